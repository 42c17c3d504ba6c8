import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DeferredChip } from '../virtio-gpio/deferred-chip.ts';
import { RawClient } from './raw-client.ts';
import { eventually, openLines, serve } from './served-control.ts';

const CLIENTS = 3;
const LINES = 4;

const line = fc.nat(LINES - 1).map((offset) => `slow/#${offset}`);
const lines = fc.uniqueArray(line, { minLength: 1, maxLength: LINES });
const level = fc.constantFrom(0, 1);

type Step =
  | { readonly kind: 'ask'; readonly client: number; readonly method: string; readonly params: object }
  | { readonly kind: 'answer'; readonly count: number }
  | { readonly kind: 'drive'; readonly offset: number; readonly level: 0 | 1 }
  | { readonly kind: 'leave'; readonly client: number };

function ask(method: string, params: fc.Arbitrary<object>): fc.Arbitrary<Step> {
  return fc.record({
    kind: fc.constant('ask' as const),
    client: fc.nat(CLIENTS - 1),
    method: fc.constant(method),
    params,
  });
}

const step: fc.Arbitrary<Step> = fc.oneof(
  ask('get', fc.record({ lines })),
  ask(
    'set',
    fc.record({
      values: lines.chain((all) =>
        fc.tuple(...all.map((name) => fc.record({ line: fc.constant(name), level }))),
      ),
    }),
  ),
  ask('toggle', fc.record({ lines })),
  ask('pulse', fc.record({ lines, level, durationMs: fc.constantFrom(1, 3_600_000) })),
  ask('direction', fc.record({ lines, direction: fc.constantFrom('in', 'out', 'none') })),
  ask('release', fc.record({ lines })),
  ask('watch', fc.record({ lines, edges: fc.constantFrom('both', 'rising') })),
  ask('unwatch', fc.record({ subscription: fc.integer({ min: 1, max: 3 }) })),
  fc.record({ kind: fc.constant('answer' as const), count: fc.integer({ min: 1, max: 8 }) }),
  fc.record({
    kind: fc.constant('drive' as const),
    offset: fc.nat(LINES - 1),
    level: fc.constantFrom(0 as const, 1 as const),
  }),
  fc.record({ kind: fc.constant('leave' as const), client: fc.nat(CLIENTS - 1) }),
);

describe('any course of things', () => {
  it('answers every request of who stays, and leaves no line open', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const chip = new DeferredChip(LINES);
        const slow = openLines(chip);
        chip.answerAll();
        const { path, server } = await serve({ chips: () => [slow] });
        const clients = await Promise.all(Array.from({ length: CLIENTS }, () => RawClient.greeted(path)));
        const asked = clients.map(() => 0);
        for (const one of steps) {
          if (one.kind === 'ask') {
            const at = one.client;
            asked[at] = (asked[at] ?? 0) + 1;
            clients[at]?.ask(asked[at] as number, one.method, one.params);
          } else if (one.kind === 'answer') {
            for (let i = 0; i < one.count && chip.waiting.length > 0; i++) chip.answer();
          } else if (one.kind === 'drive') chip.inner.drive(one.offset, one.level);
          else clients[one.client]?.socket.destroy();
          await new Promise<void>((resolve) => setImmediate(resolve));
        }
        const answering = setInterval(() => chip.answerAll(), 1);
        for (const [at, client] of clients.entries()) {
          if (client.socket.destroyed) continue;
          const ids = () => client.messages.flatMap(({ id }) => (typeof id === 'number' ? [id] : []));
          await client.until(() => ids().length === asked[at], 'all answers');
          expect(new Set(ids()).size).toBe(asked[at]);
          client.socket.destroy();
        }
        const last = await RawClient.greeted(path);
        await eventually(() => expect(server.status.connections).toBe(1));
        await last.result('release', { lines: slow.lines.map((_, offset) => `slow/#${offset}`) });
        await eventually(() => expect(server.openLines).toBe(0));
        chip.answerAll();
        clearInterval(answering);
        expect(slow.lines.flatMap(({ handles }) => handles)).toEqual([]);
        expect(slow.lines.map(({ owner }) => owner)).toEqual(slow.lines.map(() => null));
        expect(slow.lines.map(({ subscribed }) => subscribed)).toEqual(slow.lines.map(() => 0));
        await server.close();
      }),
      { numRuns: 60 },
    );
  });
});
