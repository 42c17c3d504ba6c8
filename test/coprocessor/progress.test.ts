import { afterEach, describe, expect, it } from 'vitest';
import { Coprocessor } from '../../src/coprocessor/coprocessor.ts';
import { CoprocessorSupervisor } from '../../src/coprocessor/supervisor.ts';
import { vringLayout } from '../../src/wire/vring.ts';
import { BASE, SharedFile } from './shared-file.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** A live vdev, and firmware that returns what it is offered without a call. */
async function live() {
  const shared = new SharedFile();
  closers.push(() => shared.close());
  const coprocessor = new Coprocessor(shared.options);
  closers.push(() => coprocessor.close());
  await coprocessor.start();
  const vdev = coprocessor.bindVdev(0, 41, 0);
  vdev.driverOk();
  const queue = vdev.queues[0]!;
  const used = shared.vdev().vrings[0]!.da + vringLayout(queue.size, 64).usedOffset;
  let returned = 0;
  const returnOne = (): void => {
    const head = queue.add(BASE + 0x8000, 8, 0, 0);
    shared.memory.writeU32(used + 4 + (returned % queue.size) * 8, head);
    // Flags and index.
    shared.memory.writeU32(used, ++returned << 16);
  };
  return { coprocessor, vdev, queue, returnOne };
}

const STUCK = 'vdev 0: what vring 0 returned is not taken';

describe('whether the rings of a co-processor go on', () => {
  it('firmware that never calls is no fault of ours: the look itself takes what it returned', async () => {
    const { coprocessor, vdev, queue, returnOne } = await live();
    let taken = 0;
    vdev.onCall(() => {
      while (queue.popUsed() >= 0) taken++;
    });
    for (let round = 1; round <= 40; round++) {
      returnOne();
      expect(coprocessor.stuck()).toBeNull();
      expect(taken).toBe(round);
    }
  });

  it('an owner of the rings that takes nothing is, at the second look', async () => {
    const { coprocessor, queue, returnOne } = await live();
    returnOne();
    expect([coprocessor.stuck(), coprocessor.stuck()]).toEqual([null, STUCK]);
    queue.popUsed();
    expect(coprocessor.stuck()).toBeNull();
  });

  it('one that takes it only when it needs it is not', async () => {
    const { coprocessor, queue, returnOne } = await live();
    queue.isLazy = true;
    returnOne();
    expect([coprocessor.stuck(), coprocessor.stuck()]).toEqual([null, null]);
  });

  it('rings of a vdev that failed, or of one that is closed, are not', async () => {
    const { coprocessor, vdev, returnOne } = await live();
    returnOne();
    coprocessor.stuck();
    vdev.fail('gave up');
    expect(coprocessor.stuck()).toBeNull();
    vdev.close();
    expect(coprocessor.stuck()).toBeNull();
  });
});

describe('a co-processor that is being brought back', () => {
  it('is not blamed on the service, until it runs', async () => {
    const ends: ((reason: string, isFailure: boolean) => void)[] = [];
    const supervisor = new CoprocessorSupervisor({
      name: 'hub',
      create: () => ({
        start: () => Promise.resolve(),
        onExit: (listener: (reason: string, isFailure: boolean) => void) => void ends.push(listener),
        kill: () => false,
        stuck: () => STUCK,
        close: () => Promise.resolve(),
      }),
      hasProcess: true,
      restart: 'never',
      onLog: () => {},
    });
    closers.push(() => supervisor.close());
    expect(supervisor.stuck()).toBeNull();
    await supervisor.start();
    expect(supervisor.stuck()).toBe(`co-processor hub: ${STUCK}`);
    ends[0]?.('it hangs', true);
    expect([supervisor.state, supervisor.stuck()]).toEqual(['failed', null]);
    await supervisor.startAgain();
    expect(supervisor.stuck()).toBe(`co-processor hub: ${STUCK}`);
  });
});
