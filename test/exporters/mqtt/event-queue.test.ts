import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventQueue, SENT_CAPACITY } from '../../../src/exporters/mqtt/worker/event-queue.ts';

/** Sends all there is. @returns sequence numbers and positions */
function sendAll(queue: EventQueue): [seq: number, position: number][] {
  const sent: [number, number][] = [];
  for (let at = queue.next(); at >= 0; at = queue.next()) sent.push([queue.seqAt(at), at]);
  return sent;
}

describe('the queue of events', () => {
  it('keeps what, sequence number and time', () => {
    const queue = new EventQueue(4);
    queue.push(5, 0xffff_ffff, 2 ** 53 - 1);
    const at = queue.next();
    expect([queue.whatAt(at), queue.seqAt(at), queue.timeNsAt(at)]).toEqual([5, 0xffff_ffff, 2 ** 53 - 1]);
  });

  it('lets the oldest go when too many wait, and says so', () => {
    const queue = new EventQueue(3);
    expect([1, 2, 3, 4, 5].map((seq) => queue.push(0, seq, 0))).toEqual([true, true, true, false, false]);
    expect(queue.waiting).toBe(3);
    expect(sendAll(queue).map(([seq]) => seq)).toEqual([3, 4, 5]);
  });

  it('sends what was not confirmed again, first and in order', () => {
    const queue = new EventQueue(10);
    for (const seq of [1, 2, 3, 4]) queue.push(0, seq, 0);
    const sent = sendAll(queue);
    expect(queue.unconfirmed).toBe(4);
    // Out of order, as no broker should.
    queue.confirm((sent[1] as [number, number])[1]);
    queue.confirm((sent[0] as [number, number])[1]);
    queue.confirm((sent[3] as [number, number])[1]);
    queue.push(0, 5, 0);
    queue.sendAgain();
    expect(queue.waiting).toBe(2);
    expect(sendAll(queue).map(([seq]) => seq)).toEqual([3, 5]);
  });

  it('bounds what is unconfirmed', () => {
    const queue = new EventQueue(2 * SENT_CAPACITY);
    for (let seq = 0; seq < 2 * SENT_CAPACITY; seq++) queue.push(0, seq, 0);
    const sent = sendAll(queue);
    expect(sent).toHaveLength(SENT_CAPACITY);
    queue.confirm((sent[0] as [number, number])[1]);
    expect(sendAll(queue).map(([seq]) => seq)).toEqual([SENT_CAPACITY]);
  });

  it('sends every event that it did not let go, in order, whatever happens', () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.constant('push' as const) },
      { weight: 4, arbitrary: fc.constant('send' as const) },
      { weight: 3, arbitrary: fc.constant('confirm' as const) },
      { weight: 1, arbitrary: fc.constant('break' as const) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 1, max: 20 }), (steps, limit) => {
        const queue = new EventQueue(limit);
        /** The model: what waits and what was sent, by sequence number. */
        let waiting: number[] = [];
        let sent: { seq: number; at: number }[] = [];
        const again = new Set<number>();
        let next = 0;
        for (const action of steps) {
          if (action === 'push') {
            // Only those that were never sent count against the limit; those to be sent again stay.
            const fits = queue.push(0, ++next, 0);
            waiting.push(next);
            if (!fits) {
              const oldestNew = waiting.findIndex((seq) => !again.has(seq));
              waiting.splice(oldestNew, 1);
            }
          } else if (action === 'send') {
            const at = queue.next();
            const seq = waiting.shift();
            if (seq === undefined) expect(at).toBe(-1);
            else {
              expect(queue.seqAt(at)).toBe(seq);
              sent.push({ seq, at });
            }
          } else if (action === 'confirm') {
            const first = sent.shift();
            if (first !== undefined) queue.confirm(first.at);
          } else {
            queue.sendAgain();
            for (const { seq } of sent) again.add(seq);
            waiting = [...sent.map(({ seq }) => seq), ...waiting];
            sent = [];
          }
          expect(queue.waiting).toBe(waiting.length);
          expect(queue.isEmpty).toBe(waiting.length === 0);
        }
      }),
    );
  });
});
