import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createRing,
  KIND_SHIFT,
  LEVEL_BIT,
  RECORD_LINE,
  RING_RECORDS,
  RingReader,
  RingWriter,
} from '../../../src/exporters/mqtt/line-ring.ts';

function ring() {
  const memory = createRing();
  const records: [what: number, seq: number, timeNs: number][] = [];
  const reader = new RingReader(memory);
  const read = () => reader.read((what, seq, timeNs) => records.push([what, seq, timeNs]));
  return { memory, writer: new RingWriter(memory), reader, records, read };
}

describe('the ring of level changes', () => {
  it('hands records over in order, whole', () => {
    const { writer, read, records } = ring();
    writer.push(LEVEL_BIT | 7, 0xffff_ffff, 2 ** 52 + 1);
    writer.push((RECORD_LINE << KIND_SHIFT) | 0xffffff, 0, 0);
    expect(read()).toBe(false);
    expect(records).toEqual([
      [LEVEL_BIT | 7, 0xffff_ffff, 2 ** 52 + 1],
      [(RECORD_LINE << KIND_SHIFT) | 0xffffff, 0, 0],
    ]);
  });

  it('wakes a sleeping reader, once', () => {
    const { writer, reader, read } = ring();
    expect(writer.push(0, 1, 0)).toBe(false);
    expect(reader.sleep()).toBe(false);
    read();
    expect(reader.sleep()).toBe(true);
    expect([writer.push(0, 2, 0), writer.push(0, 3, 0)]).toEqual([true, false]);
  });

  it('gives up the oldest records when it is full, and counts the level changes among them', () => {
    const { writer, read, records } = ring();
    // One in four is no level change.
    for (let seq = 0; seq < RING_RECORDS + 1; seq++)
      writer.push(seq % 4 === 0 ? RECORD_LINE << KIND_SHIFT : 0, seq, seq);
    expect(read()).toBe(true);
    const lost = RING_RECORDS + 1 - records.length;
    expect(lost).toBe(RING_RECORDS / 8);
    expect(writer.edgesLost).toBe((lost * 3) / 4);
    expect(records.map(([, seq]) => seq)).toEqual(Array.from(records, (_, i) => lost + i));
    expect(read()).toBe(false);
  });

  it('goes on across the wrap of its indices', () => {
    const { memory, records } = ring();
    const indices = new Int32Array(memory);
    for (const at of [0, 16]) indices[at] = 0x7fff_fff0;
    const writer = new RingWriter(memory);
    const reader = new RingReader(memory);
    for (let seq = 0; seq < 100; seq++) writer.push(0, seq, seq);
    reader.read((what, seq, timeNs) => records.push([what, seq, timeNs]));
    expect(records.map(([, seq]) => seq)).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });

  it('loses nothing silently, whatever the order of pushes and reads', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.integer({ min: 1, max: 2 * RING_RECORDS }), fc.constant(0)), { maxLength: 12 }),
        (steps) => {
          const { writer, read, records } = ring();
          let seq = 0;
          for (const count of steps) {
            if (count === 0) read();
            for (let i = 0; i < count; i++) writer.push(0, seq++, 0);
          }
          read();
          expect(records.length + writer.edgesLost).toBe(seq);
          const isRising = records.every(([, at], i) => i === 0 || at > (records[i - 1]?.[1] as number));
          expect(isRising).toBe(true);
          if (seq > 0) expect(records.at(-1)?.[1]).toBe(seq - 1);
        },
      ),
      { numRuns: 30 },
    );
  });

  it('keeps records whole between threads, also when the writer laps the reader', async () => {
    const memory = createRing();
    const file = fileURLToPath(new URL('../../../dist/exporters/mqtt/line-ring.js', import.meta.url));
    const worker = new Worker(
      `const { parentPort, workerData } = require('node:worker_threads');
       import(workerData.file).then(({ RingReader }) => {
         const reader = new RingReader(workerData.memory);
         let read = 0, last = -1, faults = 0;
         parentPort.postMessage('ready');
         const look = () => {
           reader.read((what, seq, timeNs) => {
             read++;
             if (seq <= last || what !== (seq & 0xffff) || timeNs !== seq * 3) faults++;
             last = seq;
           });
           if (last === workerData.count - 1) parentPort.postMessage({ read, faults });
           else setImmediate(look);
         };
         look();
       });`,
      { eval: true, workerData: { memory, file, count: 600_000 } },
    );
    await once(worker, 'message');
    const writer = new RingWriter(memory);
    for (let seq = 0; seq < 600_000; seq++) writer.push(seq & 0xffff, seq, seq * 3);
    const [result] = (await once(worker, 'message')) as [{ read: number; faults: number }];
    await worker.terminate();
    expect(result.faults).toBe(0);
    expect(result.read + writer.edgesLost).toBe(600_000);
  });
});
