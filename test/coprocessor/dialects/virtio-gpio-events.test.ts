import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Edge } from '../../../src/gpio/chip.ts';
import { encodeEventRecord } from '../../../src/wire/event-stream.ts';
import { F_IRQ, F_STREAM, PlayedFirmware, type PlayedOptions, TokenLog } from './played-firmware.ts';

async function opened(options: PlayedOptions = {}) {
  const firmware = new PlayedFirmware(options);
  const chip = await firmware.open();
  const log = new TokenLog();
  const edges: Edge[] = [];
  chip.listen({
    edge: ({ offset, level, seq, merged, timestampNs }) =>
      edges.push({ offset, level, seq, merged, timestampNs }),
    availability: () => {},
  });
  /** Subscribes and lets the firmware confirm. */
  const subscribe = (line: number, type: number) => {
    chip.setIrqType(line, type, log, line);
    chip.flush();
    firmware.answerAll();
    firmware.ring();
    expect(log.taken()).toEqual([`${line}: 0 0`]);
  };
  return { firmware, chip, log, edges, subscribe };
}

describe('the event stream', () => {
  const stream = (options: PlayedOptions = {}) => opened({ features: F_IRQ | F_STREAM, ...options });
  const bytes = (line: number, level: number, seq: number, timestampNs = 0n, dropped = false) =>
    encodeEventRecord({ line, level, seq, timestampNs, dropped });

  it('delivers a burst in order, with level, count and flag, and gives the buffers back', async () => {
    const { firmware, chip, edges } = await stream();
    let seq = 0;
    for (let round = 0; round < 5; round++) {
      let sent = 0;
      while (firmware.record(bytes(seq % 4, seq & 1, seq, 0n, seq === 7))) {
        seq++;
        sent++;
      }
      expect(sent).toBe(16);
      const kicks = firmware.kicks[1] as number;
      firmware.publishRecords();
      firmware.ring();
      expect((firmware.kicks[1] as number) - kicks).toBeLessThanOrEqual(1);
    }
    expect(edges.map(({ offset, level, seq: at }) => [offset, level, at])).toEqual(
      Array.from({ length: 80 }, (_, i) => [i % 4, i & 1, i]),
    );
    expect(edges.filter(({ merged }) => merged).map(({ seq: at }) => at)).toEqual([7]);
    expect(chip.counters).toMatchObject({ droppedEvents: 0, malformedEvents: 0 });
    chip.close();
  });

  it('has buffers posted before anything is subscribed', async () => {
    const { firmware, chip } = await stream({ queueSizes: [16, 8] });
    let buffers = 0;
    while (firmware.queue(1).pop() !== null) buffers++;
    expect(buffers).toBe(8);
    chip.close();
  });

  it.each([
    [1024, 0x20000, 1024],
    [8192, 0x40000, 4096],
    [1024, 0x4000, 512],
    [1024, 0x1800, 256],
  ])('has an eventq of %i with %i bytes for buffers take %i records', async (size, bufferBytes, count) => {
    const { firmware, chip } = await stream({ queueSizes: [16, size], bufferBytes });
    let buffers = 0;
    while (firmware.queue(1).pop() !== null) buffers++;
    expect(buffers).toBe(count);
    chip.close();
  });

  it('counts what a gap in seq says was dropped, over its wrap', async () => {
    const { firmware, chip, edges } = await stream();
    for (const seq of [0xffff_fffc, 0xffff_ffff, 0, 1, 5, 6]) firmware.record(bytes(0, 1, seq));
    firmware.publishRecords();
    firmware.ring();
    expect(edges).toHaveLength(6);
    expect(chip.counters.droppedEvents).toBe(2 + 3);
    chip.close();
  });

  it('does not count a seq that stands still or goes back as four thousand million lost changes', async () => {
    const { firmware, chip } = await stream();
    for (const seq of [100, 100, 50, 51]) firmware.record(bytes(0, 1, seq));
    firmware.publishRecords();
    firmware.ring();
    expect(chip.counters.droppedEvents).toBe(0);
    chip.close();
  });

  it.each([
    ['an unknown line', bytes(4, 1, 1), 16],
    ['a level of 2', bytes(0, 1, 1).with(2, 2), 16],
    ['a short record', bytes(0, 1, 1), 15],
    ['nothing', bytes(0, 1, 1), 0],
  ])('counts %s, delivers nothing, goes on', async (_what, record, usedBytes) => {
    const { firmware, chip, edges } = await stream({ queueSizes: [16, 2] });
    for (let i = 0; i < 10; i++) {
      expect(firmware.record(record, usedBytes)).toBe(true);
      firmware.publishRecords();
      firmware.ring();
    }
    expect(chip.counters.malformedEvents).toBe(10);
    firmware.record(bytes(3, 1, 2));
    firmware.publishRecords();
    firmware.ring();
    expect(edges).toMatchObject([{ offset: 3, level: 1, seq: 2 }]);
    chip.close();
  });

  it('gets over a clock that was wrong for once: no time is before the boot, or yet to come', async () => {
    const { firmware, chip, edges } = await stream();
    const now = () => process.hrtime.bigint();
    const times = [0xffff_ffff_ffff_ffffn, 5n, 6n, 0x8000_0000_0000_0000n, 7n];
    for (const [seq, timestampNs] of times.entries()) {
      const before = now();
      firmware.record(bytes(0, seq & 1, seq, timestampNs));
      firmware.publishRecords();
      firmware.ring();
      const { timestampNs: told } = edges.at(-1) as Edge;
      expect(told).toBeGreaterThanOrEqual(before - 100_000_000n);
      expect(told).toBeLessThanOrEqual(now() + 1000n);
    }
    expect(edges.length).toBe(times.length);
    chip.close();
  });

  it('maps the co-processor’s clock to this host’s by the smallest offset seen', async () => {
    const { firmware, chip, edges } = await stream();
    const now = () => process.hrtime.bigint();
    const before = now();
    firmware.record(bytes(0, 1, 0, 5_000_000_000n));
    firmware.publishRecords();
    firmware.ring();
    const after = now();
    const [first] = edges as [Edge];
    // The first is taken for just arrived.
    expect(first.timestampNs).toBeGreaterThanOrEqual(before - 1000n);
    expect(first.timestampNs).toBeLessThanOrEqual(after + 1000n);
    // One that was long on its way is as much later as its own clock says.
    firmware.record(bytes(0, 0, 1, 5_000_000_000n - 700_000_000n));
    firmware.publishRecords();
    firmware.ring();
    expect(Number(first.timestampNs - (edges[1] as Edge).timestampNs) / 1e9).toBeCloseTo(0.7, 5);
    // One that says that less was on the way than was thought moves the clock.
    firmware.record(bytes(0, 1, 2, 6_000_000_000n));
    const third = now();
    firmware.publishRecords();
    firmware.ring();
    const [, , moved] = edges as [Edge, Edge, Edge];
    expect(Number(moved.timestampNs - third) / 1e9).toBeCloseTo(0, 1);
    expect(moved.timestampNs).toBeLessThanOrEqual(now() + 1000n);
    chip.close();
  });
});

describe('plain events (virtio 1.2, section 5.18.7)', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'setImmediate', 'performance'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('a buffer is posted when the subscription is confirmed, and again with each event', async () => {
    const { firmware, chip, edges, log } = await opened();
    chip.setIrqType(2, 3, log, 0);
    chip.flush();
    expect(firmware.takeBuffers()).toEqual([]);
    firmware.answerAll();
    firmware.ring();
    expect(firmware.takeBuffers()).toEqual([2]);
    for (let i = 0; i < 40; i++) {
      firmware.event(2);
      firmware.ring();
      expect(firmware.takeBuffers()).toEqual([2]);
    }
    expect(edges).toHaveLength(40);
    expect(edges.every(({ offset, level }) => offset === 2 && level === -1)).toBe(true);
    chip.close();
  });

  it('no buffer for a subscription that was refused', async () => {
    const { firmware, chip, log } = await opened();
    chip.setIrqType(2, 3, log, 0);
    chip.flush();
    firmware.answer(firmware.take()[0], 1);
    firmware.ring();
    expect(log.taken()).toEqual(['0: 1 0']);
    expect(firmware.takeBuffers()).toEqual([]);
    chip.close();
  });

  it('INVALID on a subscribed line is counted and does not go round and round', async () => {
    const { firmware, chip, edges, subscribe } = await opened();
    subscribe(0, 3);
    firmware.event(0, 0);
    firmware.ring();
    expect(firmware.takeBuffers()).toEqual([]);
    expect([edges.length, chip.counters.malformedEvents]).toEqual([0, 1]);
    // Subscribed anew it lives again.
    subscribe(0, 0);
    subscribe(0, 3);
    expect(firmware.takeBuffers()).toEqual([0]);
    chip.close();
  });

  it('an event of the wrong length is no event', async () => {
    const { firmware, chip, edges, subscribe } = await opened();
    subscribe(0, 3);
    firmware.event(0, 1, 0);
    firmware.ring();
    expect([edges.length, chip.counters.malformedEvents]).toEqual([0, 1]);
    chip.close();
  });

  const ends = [
    [
      'SET_IRQ_TYPE(none)',
      (chip: Awaited<ReturnType<typeof opened>>['chip'], log: TokenLog) => chip.setIrqType(0, 0, log, 0),
    ],
    [
      'SET_DIRECTION(none)',
      (chip: Awaited<ReturnType<typeof opened>>['chip'], log: TokenLog) => chip.setDirection(0, 0, log, 0),
    ],
  ] as const;
  describe.each(ends)('the buffer that %s gives back as INVALID', (_name, end) => {
    it.each(['before the answer', 'with the answer', 'after the answer', 'after the next subscription'])(
      '%s: the next subscription has a buffer, nothing is malformed',
      async (when) => {
        const { firmware, chip, edges, log, subscribe } = await opened();
        subscribe(0, 1);
        firmware.takeBuffers();
        end(chip, log);
        chip.setIrqType(0, 3, log, 1);
        chip.flush();
        const [none] = firmware.take();
        if (when === 'before the answer') {
          firmware.event(0, 0);
          firmware.ring();
        }
        firmware.answer(none, 0);
        if (when === 'with the answer') firmware.event(0, 0);
        firmware.ring();
        if (when === 'after the answer') {
          firmware.event(0, 0);
          firmware.ring();
        }
        firmware.answer(firmware.take()[0], 0);
        firmware.ring();
        if (when === 'after the next subscription') {
          expect(firmware.takeBuffers()).toEqual([]);
          firmware.event(0, 0);
          firmware.ring();
        }
        expect(log.taken()).toEqual(['0: 0 0', '1: 0 0']);
        expect(firmware.takeBuffers()).toEqual([0]);
        firmware.event(0);
        firmware.ring();
        expect([edges.length, chip.counters.malformedEvents]).toEqual([1, 0]);
        chip.close();
      },
    );
  });

  it('an event that crosses the end of the subscription is told, and its buffer not posted in vain', async () => {
    const { firmware, chip, edges, log, subscribe } = await opened();
    subscribe(0, 1);
    firmware.takeBuffers();
    chip.setIrqType(0, 0, log, 0);
    chip.setIrqType(0, 3, log, 1);
    chip.flush();
    firmware.event(0);
    firmware.ring();
    expect(edges).toHaveLength(1);
    expect(firmware.takeBuffers()).toEqual([]);
    firmware.answer(firmware.take()[0], 0);
    firmware.ring();
    firmware.answer(firmware.take()[0], 0);
    firmware.ring();
    expect(firmware.takeBuffers()).toEqual([0]);
    expect(chip.counters.malformedEvents).toBe(0);
    chip.close();
  });

  it('a subscription that did not end has its buffer', async () => {
    const { firmware, chip, log, subscribe } = await opened();
    subscribe(0, 1);
    firmware.takeBuffers();
    chip.setIrqType(0, 0, log, 0);
    chip.flush();
    firmware.event(0);
    firmware.ring();
    firmware.answer(firmware.take()[0], 1);
    firmware.ring();
    expect(log.taken()).toEqual(['0: 1 0']);
    expect(firmware.takeBuffers()).toEqual([0]);
    chip.close();
  });

  it('with more lines than buffers, buffers go round: each line has at most one, no line is forgotten', async () => {
    const { firmware, chip, edges, subscribe } = await opened({ lineCount: 5, queueSizes: [16, 4] });
    for (let line = 0; line < 5; line++) subscribe(line, 3);
    expect(firmware.takeBuffers()).toEqual([0, 1]);
    expect(chip.counters.linesWithoutEventBuffer).toBe(3);
    // Off and on again while it waits: still once.
    subscribe(3, 0);
    subscribe(3, 3);
    const held = [0, 1];
    for (let i = 0; i < 25; i++) {
      firmware.event(held.shift() as number);
      firmware.ring();
      const posted = firmware.takeBuffers();
      expect(posted).toHaveLength(1);
      expect(held).not.toContain(posted[0]);
      held.push(...posted);
    }
    for (let line = 0; line < 5; line++) {
      expect(edges.filter(({ offset }) => offset === line)).toHaveLength(5);
    }
    expect(chip.counters.malformedEvents).toBe(0);
    chip.close();
  });

  it('a line that is given up makes room for one that waits', async () => {
    const { firmware, chip, subscribe } = await opened({ lineCount: 3, queueSizes: [16, 4] });
    for (let line = 0; line < 3; line++) subscribe(line, 3);
    expect(firmware.takeBuffers()).toEqual([0, 1]);
    subscribe(1, 0);
    firmware.event(1, 0);
    firmware.ring();
    expect(firmware.takeBuffers()).toEqual([2]);
    expect(chip.counters).toMatchObject({ malformedEvents: 0, linesWithoutEventBuffer: 0 });
    chip.close();
  });
});
