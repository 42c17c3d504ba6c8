import { afterEach, describe, expect, it, vi } from 'vitest';
import { Coprocessor, type CoprocessorOptions } from '../../src/coprocessor/coprocessor.ts';
import type { BoundVdev } from '../../src/coprocessor/vdev.ts';
import { VDEV_STATUS } from '../../src/coprocessor/vdev-status.ts';
import { NeedlessRings } from '../../src/virtqueue/needless-rings.ts';
import { FW_RSC_ADDR_ANY, type ResourceEntry } from '../../src/wire/resource-table.ts';
import { vringLayout } from '../../src/wire/vring.ts';
import { BASE, BOUND, BUFFER, CONFIG, call, heard, LIVE, SharedFile, vdevEntry } from './shared-file.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function running(entries?: readonly ResourceEntry[], options: Partial<CoprocessorOptions> = {}) {
  const shared = new SharedFile(entries);
  closers.push(() => shared.close());
  const coprocessor = new Coprocessor({ ...shared.options, ...options });
  closers.push(() => coprocessor.close());
  await coprocessor.start();
  return { shared, coprocessor, fd: shared.peer.accept() };
}

function follow(vdev: BoundVdev) {
  const seen = { calls: 0, lost: [] as string[] };
  vdev.onCall(() => seen.calls++);
  vdev.onLost((reason) => seen.lost.push(reason));
  return seen;
}

describe('binding a vdev', () => {
  it('negotiates 32 bits of features, places the vrings and writes them back', async () => {
    const { shared, coprocessor, fd } = await running([BUFFER, vdevEntry({ dfeatures: 0xa000_0001 })]);
    const vdev = coprocessor.bindVdev(0, 41, 0xa000_0002);
    expect(vdev).toMatchObject({ index: 0, id: 41, features: 0xa000_0000 });
    expect(vdev.readStatus()).toBe(BOUND);
    const entry = shared.vdev();
    expect(entry.gfeatures).toBe(0xa000_0000);
    expect(entry.vrings.map((vring) => vring.da)).toEqual([
      BASE + 0x4000,
      BASE + 0x4000 + Math.ceil(vringLayout(16, 64).sizeBytes / 64) * 64,
    ]);
    expect(vdev.queues.map((queue) => queue.size)).toEqual([16, 32]);
    expect(vdev.readConfig()).toEqual(CONFIG);
    expect(heard(fd)).toEqual([]);
    vdev.driverOk();
    expect(shared.vdev().status).toBe(LIVE);
    expect(heard(fd)).toEqual([1]);
    vdev.kick(1);
    expect(heard(fd)).toEqual([2]);
    const buffer = vdev.buffers.allocate(64, 16, 'buffer');
    expect(buffer).toBeGreaterThanOrEqual((entry.vrings[1]?.da ?? 0) + vringLayout(32, 64).sizeBytes);
  });

  it('uses the places that the firmware gave, and clears them', async () => {
    const das = [BASE + 0x1000, BASE + 0x2000];
    const shared = new SharedFile([BUFFER, vdevEntry({}, das)]);
    closers.push(() => shared.close());
    for (let i = 0; i < 0x2000; i += 4) shared.memory.writeU32(BASE + 0x1000 + i, 0xffff_ffff);
    const coprocessor = new Coprocessor(shared.options);
    closers.push(() => coprocessor.close());
    await coprocessor.start();
    const vdev = coprocessor.bindVdev(0, 41, 1);
    expect(shared.vdev().vrings.map((vring) => vring.da)).toEqual(das);
    const { sizeBytes } = vringLayout(16, 64);
    expect(shared.memory.copyOut(BASE + 0x1000, sizeBytes).every((byte) => byte === 0)).toBe(true);
    expect(shared.memory.readU8(BASE + 0x1000 + sizeBytes)).toBe(0xff);
    const [head, used] = [vdev.queues[0]?.add(BASE + 0x4000, 8, BASE + 0x4010, 2), vdev.queues[0]?.popUsed()];
    expect([head, used]).toEqual([0, -1]);
    // The descriptor shows where the firmware will look.
    expect(shared.memory.readU32(BASE + 0x1000)).toBe(BASE + 0x4000);
    vdev.close();
    expect(shared.vdev().vrings.map((vring) => vring.da)).toEqual(das);
  });

  it('is called by its own notifyids only', async () => {
    const other = vdevEntry({
      id: 7,
      notifyid: 8,
      vrings: [{ da: BASE + 0x1000, align: 64, num: 16, notifyid: 9, pa: 0 }],
    });
    const { coprocessor, fd } = await running([BUFFER, vdevEntry(), carveout1(), other]);
    const gpio = coprocessor.bindVdev(0, 41, 0);
    const rpmsg = coprocessor.bindVdev(1, 7, 0);
    const [onGpio, onRpmsg] = [follow(gpio), follow(rpmsg)];
    call(fd, 2);
    call(fd, 9);
    call(fd, 0);
    await vi.waitFor(() => expect([onGpio.calls, onRpmsg.calls]).toEqual([2, 1]));
    call(fd, 77);
    call(fd, 9);
    await vi.waitFor(() => expect([onGpio.calls, onRpmsg.calls]).toEqual([2, 2]));
  });

  it('is called also when another one goes because of the same call', async () => {
    const other = vdevEntry({
      notifyid: 5,
      vrings: vdevEntry().vrings.map((vring) => ({ ...vring, notifyid: 1 })),
    });
    const { coprocessor, fd } = await running([BUFFER, vdevEntry(), carveout1(), other]);
    const [first, second] = [coprocessor.bindVdev(0, 41, 0), coprocessor.bindVdev(1, 41, 0)];
    const calls: string[] = [];
    first.onCall(() => {
      calls.push('first');
      first.close();
    });
    second.onCall(() => {
      calls.push('second');
      second.close();
    });
    call(fd, 1);
    await vi.waitFor(() => expect(calls.sort()).toEqual(['first', 'second']));
  });

  it('is reset by close, once, and what was chosen is forgotten', async () => {
    const { shared, coprocessor, fd } = await running();
    const vdev = coprocessor.bindVdev(0, 41, 1);
    const free = vdev.buffers.freeBytes;
    vdev.buffers.allocate(64, 16, 'buffer');
    vdev.driverOk();
    expect(heard(fd)).toEqual([1]);
    vdev.close();
    vdev.close();
    expect(heard(fd)).toEqual([0]);
    expect(shared.vdev().status).toBe(0);
    expect(shared.vdev().vrings.map((vring) => vring.da)).toEqual([FW_RSC_ADDR_ANY, FW_RSC_ADDR_ANY]);
    vdev.kick(0);
    vdev.driverOk();
    vdev.fail('late');
    expect([vdev.readStatus(), vdev.readConfig().length, heard(fd)]).toEqual([0, 0, []]);
    expect(() => coprocessor.bindVdev(0, 41, 1)).toThrow('still being reset: await resetVdev(0) first');
    const reset = coprocessor.resetVdev(0);
    // The firmware says that it let go, on the vdev's own id.
    call(fd, 0);
    await reset;
    expect(coprocessor.bindVdev(0, 41, 1).buffers.freeBytes).toBe(free);
  });

  it('waits for silence where the firmware says nothing of a reset', async () => {
    const { coprocessor, fd } = await running();
    coprocessor.bindVdev(0, 41, 1).driverOk();
    const startedAt = performance.now();
    const reset = coprocessor.resetVdev(0);
    call(fd, 1);
    await reset;
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(45);
    coprocessor.bindVdev(0, 41, 1);
  });

  it('sets FAILED when the caller gives up', async () => {
    const { shared, coprocessor, fd } = await running();
    const vdev = coprocessor.bindVdev(0, 41, 1);
    vdev.fail('no answer');
    vdev.fail('no answer');
    expect(shared.vdev().status).toBe(BOUND | VDEV_STATUS.FAILED);
    expect(heard(fd)).toEqual([0]);
    expect(shared.log).toContain('error hub: vdev 0 failed: no answer');
    expect(shared.log.filter((line) => line.startsWith('error'))).toHaveLength(1);
  });

  it('may be bound once at a time', async () => {
    const { coprocessor } = await running();
    coprocessor.bindVdev(0, 41, 1);
    expect(() => coprocessor.bindVdev(0, 41, 1)).toThrow('vdev 0 is bound already');
  });
});

describe('losing a vdev', () => {
  it.each([
    ['its status is cleared', 0, 'was reset by the co-processor: its status is 0x0'],
    ['its status is that of another driver', 1, 'expected 0x7 (ACKNOWLEDGE, DRIVER, DRIVER_OK)'],
    ['it wants a reset', LIVE | VDEV_STATUS.NEEDS_RESET, 'vdev 0 needs a reset, says the co-processor'],
  ])('is told once when %s', async (_what, status, reason) => {
    const { shared, coprocessor, fd } = await running();
    const vdev = coprocessor.bindVdev(0, 41, 1);
    const seen = follow(vdev);
    vdev.driverOk();
    call(fd, 1);
    await vi.waitFor(() => expect(seen.calls).toBe(1));
    shared.setStatus(status);
    call(fd, 1);
    await vi.waitFor(() => expect(seen.lost).toEqual([expect.stringContaining(reason)]));
    call(fd, 2);
    call(fd, 1);
    const late = follow(vdev);
    await vi.waitFor(() => expect(late.lost).toEqual(seen.lost));
    expect(seen).toMatchObject({ calls: 1, lost: [expect.anything()] });
  });

  it('leaves the status to whom it belongs now', async () => {
    const { shared, coprocessor, fd } = await running();
    const vdev = coprocessor.bindVdev(0, 41, 1);
    const seen = follow(vdev);
    shared.setStatus(VDEV_STATUS.ACKNOWLEDGE);
    call(fd, 1);
    await vi.waitFor(() => expect(seen.lost).toHaveLength(1));
    vdev.fail('lost');
    vdev.close();
    expect(shared.vdev().status).toBe(VDEV_STATUS.ACKNOWLEDGE);
  });

  it('is told when a used index is nonsense', async () => {
    const { shared, coprocessor, fd } = await running([
      BUFFER,
      vdevEntry({}, [BASE + 0x1000, BASE + 0x2000]),
    ]);
    const vdev = coprocessor.bindVdev(0, 41, 1);
    const seen = follow(vdev);
    vdev.onCall(() => vdev.queues[0]?.popUsed());
    vdev.driverOk();
    const usedIndex = BASE + 0x1000 + vringLayout(16, 64).usedOffset;
    shared.memory.writeU32(usedIndex, 17 << 16);
    call(fd, 1);
    await vi.waitFor(() => expect(seen.lost).toHaveLength(1));
    expect(seen.lost[0]).toContain('vring 0 of vdev 0 is corrupt: used index 17');
  });
});

function carveout1(): ResourceEntry {
  return { kind: 'carveout', da: BASE + 0xc000, pa: 0, len: 0x1000, flags: 0, name: 'vdev1buffer' };
}

describe('a co-processor that rings without pause', () => {
  it('is listened to only now and then, until its rings have something new', async () => {
    const calls = new NeedlessRings();
    const { shared, coprocessor, fd } = await running(undefined, { calls });
    const vdev = coprocessor.bindVdev(0, 41, 1);
    const seen = follow(vdev);
    vdev.driverOk();
    await vi.waitFor(
      () => {
        call(fd, 1);
        expect(calls.pauses).toBe(2);
      },
      { interval: 0 },
    );
    expect(calls.needless).toBe(256 + 4);
    // What comes in a pause is found at its end, although nobody rings any more.
    const before = seen.calls;
    expect(vdev.queues[0]?.add(BASE + 0x4000, 8, BASE + 0x4010, 2)).toBe(0);
    await vi.waitFor(() => expect(seen.calls).toBeGreaterThan(before));
    await coprocessor.close();
    expect(shared.vdev().status).toBe(0);
  });
});
