/** Targets that go wrong in each of the ways that a run has to notice: for test/fuzz/supervise.test.ts. */
import type { FuzzTarget } from './target.ts';

function target(name: string, run: (input: Uint8Array) => string | Promise<string>): FuzzTarget {
  return {
    name,
    what: 'goes wrong on purpose',
    seeds: () => [Uint8Array.of(1, 2, 3, 4)],
    run,
    timeoutMs: 300,
    maxInputBytes: 64,
  };
}

const isBad = (input: Uint8Array): boolean => input.includes(0xff);

export const TARGETS: readonly FuzzTarget[] = [
  target('well', (input) => `length ${input.length % 8}`),
  target('throws', (input) => {
    if (isBad(input)) throw new Error(`a bad byte among ${input.length}`);
    return 'fine';
  }),
  target('rejects', async (input) => {
    if (isBad(input)) throw new Error('a bad byte');
    return 'fine';
  }),
  target('spins', (input) => {
    while (isBad(input));
    return 'fine';
  }),
  target('stalls', (input) => (isBad(input) ? new Promise(() => {}) : 'fine')),
  target('dies', (input) => {
    if (isBad(input)) process.kill(process.pid, 'SIGSEGV');
    return 'fine';
  }),
  target('throws-later', async (input) => {
    if (isBad(input))
      setImmediate(() => {
        throw new Error('nobody catches this');
      });
    await new Promise((resolve) => setImmediate(resolve));
    return 'fine';
  }),
];
