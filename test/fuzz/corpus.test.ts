import { describe, expect, it } from 'vitest';
import { corpusTargets, readCorpus } from './corpus.ts';
import { FuzzSession } from './session.ts';
import { TARGETS } from './targets/index.ts';

/** Behind the seeds and the corpus. */
const EXECUTIONS = 300;
/** A slow target gets what it does in this time. */
const LIMIT_MS = 1500;

describe('fuzz targets', () => {
  it('have names of their own, and every folder of the corpus belongs to one', () => {
    const names = TARGETS.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toEqual(expect.arrayContaining(corpusTargets()));
  });

  it.each(TARGETS.map((target) => [target.name, target] as const))(
    '%s: what was found once is not found again, nor anything else by a few executions',
    async (name, target) => {
      const corpus = readCorpus(name);
      const session = new FuzzSession(target, { seed: 1, corpus: corpus.map(({ bytes }) => bytes) });
      const start = performance.now();
      const initial = session.initialExecutions;
      try {
        while (session.executions < initial + EXECUTIONS) {
          if (session.executions >= initial && performance.now() - start > LIMIT_MS) break;
          const find = await session.step();
          if (find === null) continue;
          const path = corpus[find.execution - target.seeds().length]?.path;
          const hex = Buffer.from(find.input).toString('hex');
          throw new Error(`execution ${find.execution}, input ${path ?? hex}`, { cause: find.error });
        }
      } finally {
        await target.close?.();
      }
      expect(session.executions).toBeGreaterThanOrEqual(initial);
    },
  );
});
