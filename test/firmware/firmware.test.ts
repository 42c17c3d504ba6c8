import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const FOLDER = fileURLToPath(new URL('../../examples/sensor-hub', import.meta.url));

// The tests themselves are the C files beside this one; here they only become part of `npm test`.
describe('the firmware library', () => {
  let out: string;
  beforeAll(() => {
    out = mkdtempSync(join(tmpdir(), 'rproc-gpio-firmware-'));
  });
  afterAll(() => rmSync(out, { recursive: true, force: true }));

  it('passes its C tests as shipped, under the sanitizers and without EVENT_IDX', async () => {
    const { stdout } = await promisify(execFile)('make', ['--silent', '-C', FOLDER, `OUT=${out}`, 'test']);
    const results = [...stdout.matchAll(/^(\S+): (\d+) passed, 0 failed$/gm)];
    expect(results.map(([, build]) => build)).toEqual(['plain', 'sanitized', 'no-event-idx']);
    for (const [, , passed] of results) expect(Number(passed)).toBeGreaterThan(0);
  }, 180_000);
});
