import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { LocalEdge, monotonicNs } from '../../src/gpio/local-edge.ts';

/** Half of what cold clock readings cost, which once were in every timestamp. */
const CLOSE_NS = 200_000;

describe('monotonicNs', () => {
  it('is CLOCK_MONOTONIC, in a process that just began, too', () => {
    const module = fileURLToPath(new URL('../../src/gpio/local-edge.ts', import.meta.url));
    const script = `const { monotonicNs } = await import(${JSON.stringify(module)});
      const offBy = () => { const before = Number(process.hrtime.bigint()); const ns = monotonicNs();
        const after = Number(process.hrtime.bigint()); return ns < before ? ns - before : Math.max(0, ns - after); };
      console.log(Math.min(...Array.from({ length: 100 }, () => Math.abs(offBy()))));`;
    const output = execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      encoding: 'utf8',
    });
    expect(Number(output)).toBeLessThan(CLOSE_NS);
  });

  it('goes with the clock', () => {
    const before = monotonicNs();
    expect(monotonicNs()).toBeGreaterThanOrEqual(before);
    expect(Number(new LocalEdge().at(3, 1).timestampNs)).toBeGreaterThanOrEqual(before - 1);
  });
});
