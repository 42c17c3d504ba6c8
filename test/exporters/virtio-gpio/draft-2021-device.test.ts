import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Draft2021Device } from '../../../src/exporters/virtio-gpio/draft-2021-device.ts';
import type { Chip } from '../../../src/gpio/chip.ts';
import type { LineSelector } from '../../../src/gpio/line-selection.ts';
import type { VhostUserFrontEnd } from '../../../src/testing/front-end.ts';
import { SimulatedChip } from '../../../src/testing/simulated-chip.ts';
import {
  DRAFT_CONFIG_SIZE,
  decodeDraftConfig,
  encodeDraftRequest,
} from '../../../src/wire/draft-2021-gpio.ts';
import { decodeNames } from '../../../src/wire/virtio-gpio.ts';
import { DESC_F_NEXT, DESC_F_WRITE } from '../../../src/wire/vring.ts';
import { DeferredChip } from './deferred-chip.ts';
import { until } from './served-device.ts';
import { serveOther } from './served-other.ts';

/** The driver's timeout is 100 ms; what is answered within 80 gets there. */
const LIMIT_MS = 80;

/** A guest's driver: one request, and its answer as `status data (used length)`. */
class DraftGuest {
  readonly frontEnd: VhostUserFrontEnd;
  readonly answers: string[] = [];

  constructor(frontEnd: VhostUserFrontEnd) {
    this.frontEnd = frontEnd;
  }

  ask(type: number, gpio: number, data = 0): Promise<string> {
    const { memory } = this.frontEnd;
    const address = memory.allocate(16, 8);
    memory.write(address, encodeDraftRequest(type, gpio, data));
    memory.write(address + 8, Uint8Array.of(0xee, 0xee));
    return new Promise((resolve, reject) => {
      const answered = (usedLength: number): void => {
        const [status, value] = memory.read(address + 8, 2);
        this.answers.push(`${type}:${gpio} ${status} ${value}`);
        resolve(`${status} ${value} (${usedLength})`);
      };
      this.frontEnd.vring(0).offer(address, 6, address + 8, 2, { resolve: answered, reject });
    });
  }
}

async function guestOf(chip: Chip, lines?: LineSelector[]) {
  const served = serveOther(
    chip,
    (given) => new Draft2021Device(given),
    lines === undefined ? {} : { lines },
  );
  const frontEnd = await served.connect({ queueCount: 1 });
  return { ...served, frontEnd, guest: new DraftGuest(frontEnd) };
}

describe('the device', () => {
  it('has one queue, and a config space with a name for every line', async () => {
    const { frontEnd, device } = await guestOf(new SimulatedChip('sim', 3, ['A', '', 'C']));
    const bytes = await frontEnd.readConfig(0, device.config.length);
    expect(decodeDraftConfig(bytes)).toEqual({ name: 'vm1', lineCount: 3, namesSize: 10 });
    expect(decodeNames(bytes.subarray(DRAFT_CONFIG_SIZE), 3)).toEqual(['A', 'line1', 'C']);
    expect(device.queueCount).toBe(1);
    await expect(frontEnd.control.getVringBase(1)).rejects.toThrow();
  });

  it('answers all requests', async () => {
    const chip = new SimulatedChip('sim', 4);
    const { guest, lines } = await guestOf(chip);
    expect(await guest.ask(1, 0)).toBe('0 0 (2)');
    expect(await guest.ask(3, 0)).toBe('0 1 (2)');
    expect(await guest.ask(5, 0, 1)).toBe('0 0 (2)');
    expect(await guest.ask(3, 0)).toBe('0 0 (2)');
    expect(chip.level(0)).toBe(1);
    expect(await guest.ask(6, 1)).toBe('0 1 (2)');
    expect(await guest.ask(7, 0, 0)).toBe('0 0 (2)');
    expect(chip.level(0)).toBe(0);
    expect(await guest.ask(4, 0)).toBe('0 0 (2)');
    expect(await guest.ask(3, 0)).toBe('0 1 (2)');
    expect(await guest.ask(5, 0, 1)).toBe('0 0 (2)');
    expect(await guest.ask(2, 0)).toBe('0 0 (2)');
    expect(lines.lines[0]!.owner).toBeNull();
  });

  it('answers ERR to what cannot be done, and goes on', async () => {
    const lines = ['sim/sim0', { line: 'sim/sim1', access: 'read' as const }];
    const { guest, device } = await guestOf(new SimulatedChip('sim', 4), lines);
    for (const [type, gpio, data] of [
      [5, 0, 2],
      [7, 0, 2],
      [5, 1, 1],
      [6, 2, 0],
      [6, 0xffff, 0],
      [0, 0, 0],
      [8, 0, 0],
    ])
      expect(await guest.ask(type!, gpio!, data)).toBe('1 0 (2)');
    expect(device.counters.badChains).toEqual({ 'line-out-of-range': 2, 'unknown-type': 2 });
    expect(await guest.ask(6, 0)).toBe('0 0 (2)');
  });

  it('completes bad chains, and goes on', async () => {
    const { guest, frontEnd, device } = await guestOf(new SimulatedChip('sim', 4));
    const address = frontEnd.memory.allocate(16, 8);
    const answer = { address: address + 8, length: 2, flags: DESC_F_WRITE };
    expect(await frontEnd.rawChain([{ address, length: 5, flags: DESC_F_NEXT }, answer])).toBe(2);
    expect(frontEnd.memory.read(address + 8, 2)).toEqual(Uint8Array.of(1, 0));
    expect(
      await frontEnd.rawChain([
        { address, length: 6, flags: DESC_F_NEXT },
        { ...answer, length: 1 },
      ]),
    ).toBe(1);
    expect(await frontEnd.rawChain([{ address, length: 6, flags: 0 }])).toBe(0);
    expect(await frontEnd.rawChain([{ address: 1, length: 6, flags: DESC_F_NEXT }, answer])).toBe(0);
    expect(device.counters.badChains).toEqual({
      'short-request': 1,
      'no-room-for-response': 2,
      'address-outside-memory': 1,
    });
    expect(await guest.ask(6, 0)).toBe('0 0 (2)');
  });
});

describe('a chip that does not answer', () => {
  it('is answered for with ERR within 80 ms, every time, also behind a request that is still under way', async () => {
    const chip = new DeferredChip(4);
    const { guest } = await guestOf(chip);
    const tookMs: number[] = [];
    for (const line of [0, 0, 1, 2, 3]) {
      const before = performance.now();
      expect(await guest.ask(6, line)).toBe('1 0 (2)');
      tookMs.push(performance.now() - before);
    }
    tookMs.sort((a, b) => a - b);
    expect(tookMs[0]).toBeGreaterThan(40);
    // Not the worst of them: what a machine under test does meanwhile is not the device's doing.
    expect(tookMs[2]).toBeLessThan(LIMIT_MS);
    // The second one of line 0 never got its turn: when the first is through, it is not done either.
    expect(chip.waiting).toEqual(['get 0', 'get 1', 'get 2', 'get 3']);
    chip.answerAll();
    expect(chip.waiting).toEqual([]);
    const last = guest.ask(6, 0);
    await until(() => chip.waiting.length === 1);
    chip.inner.drive(0, 1);
    chip.answerAll();
    expect(await last).toBe('0 1 (2)');
  });

  it('is answered for when the ring stops', async () => {
    const chip = new DeferredChip(4);
    const { guest, frontEnd } = await guestOf(chip);
    const asked = guest.ask(6, 0);
    await until(() => chip.waiting.length === 1);
    const bases = await frontEnd.stopVrings();
    expect(bases).toEqual([1]);
    expect(await asked).toBe('1 0 (2)');
    chip.answerAll();
    await frontEnd.resumeVrings(bases);
    const next = guest.ask(6, 1);
    await until(() => chip.waiting.length === 1);
    chip.answerAll();
    expect(await next).toBe('0 0 (2)');
  });

  it('leaves nothing behind when the device is closed', async () => {
    const chip = new DeferredChip(4);
    const { guest, server } = await guestOf(chip);
    void guest.ask(6, 0).catch(() => {});
    await until(() => chip.waiting.length === 1);
    server.close();
    server.close();
    chip.answerAll();
  });
});

it('a reset ends what the guest drove', async () => {
  const { guest, frontEnd, lines } = await guestOf(new SimulatedChip('sim', 4));
  await guest.ask(5, 0, 1);
  expect(lines.lines[0]!.ownerName).toBe('guest vm1');
  await frontEnd.resetDevice();
  expect(lines.lines[0]!.ownerName).toBeNull();
});

it('behaves as a chip of its own would, whatever is asked', async () => {
  const request = fc.record({ type: fc.integer({ min: 1, max: 7 }), line: fc.nat(3), data: fc.nat(1) });
  await fc.assert(
    fc.asyncProperty(fc.array(request, { maxLength: 30 }), async (requests) => {
      const { guest, frontEnd, server } = await guestOf(new SimulatedChip('sim', 8), [
        ...['sim/sim0', 'sim/sim2', 'sim/sim4', 'sim/sim6'],
      ]);
      const isOut = [false, false, false, false];
      const levels = [0, 0, 0, 0];
      // A value set before the direction is kept for DIRECTION_OUT of the standard; here that has one of its own.
      for (const { type, line, data } of requests) {
        let answer = 0;
        if (type === 3) answer = isOut[line] ? 0 : 1;
        if (type === 2 || type === 4) isOut[line] = false;
        if (type === 5) isOut[line] = true;
        if ((type === 5 || type === 7) && isOut[line]) levels[line] = data;
        if (type === 6) answer = isOut[line] ? levels[line]! : 0;
        expect(await guest.ask(type, line, data)).toBe(`0 ${answer} (2)`);
      }
      frontEnd.close();
      server.close();
    }),
    { numRuns: 25 },
  );
});
