import { describe, expect, it } from 'vitest';
import { TARGETS } from './misbehaving-targets.ts';
import { superviseTarget, type TargetReport } from './supervise.ts';
import type { FuzzTarget } from './target.ts';

const MODULE = new URL('./misbehaving-targets.ts', import.meta.url).href;

function run(name: string, executions: number): Promise<TargetReport> {
  const target = TARGETS.find((candidate) => candidate.name === name) as FuzzTarget;
  return superviseTarget(target, { seed: 1, executions, seconds: null, inputPath: null }, MODULE);
}

describe('a target in a process of its own', () => {
  it('reports what was executed when nothing goes wrong', async () => {
    const report = await run('well', 500);
    expect(report).toMatchObject({ target: 'well', executions: 500, finds: [] });
    expect(report.outcomes).toBeGreaterThan(1);
  });

  it.each([
    ['throws', 'a bad byte among'],
    ['rejects', 'a bad byte'],
    ['spins', 'hang'],
    ['stalls', 'hang'],
    ['dies', 'SIGSEGV'],
    ['throws-later', 'nobody catches this'],
  ])(
    '%s: it is a find, with the input that did it',
    async (name, message) => {
      const { finds } = await run(name, 100_000);
      expect(finds).toHaveLength(1);
      expect(finds[0]?.message).toContain(message);
      expect([...(finds[0]?.input ?? [])]).toContain(0xff);
    },
    60_000,
  );

  it('makes the input of a find smaller, and finds the same with the same seed', async () => {
    const [first, second] = [await run('throws', 100_000), await run('throws', 100_000)];
    expect([...(first.finds[0]?.minimized ?? [])]).toEqual([0xff]);
    expect(second.finds).toEqual(first.finds);
  }, 60_000);
});
