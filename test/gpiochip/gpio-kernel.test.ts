import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { GpiochipChip } from '../../src/gpiochip/gpiochip.ts';
import { GpiochipError } from '../../src/gpiochip/gpiochip-error.ts';

/** The kernel that runs the tests: any machine has what is no GPIO chip. test/e2e/gpiochip.test.ts has chips. */
describe('what is no GPIO chip', () => {
  const folder = mkdtempSync(join(tmpdir(), 'gpiochip-'));
  const file = join(folder, 'file');
  writeFileSync(file, '');
  afterAll(() => rmSync(folder, { recursive: true }));

  it.each([
    ['nothing', join(folder, 'gpiochip0'), 'ERR_NO_CHIP', 'gpiochip0 does not exist'],
    ['nothing in a file', join(file, 'gpiochip0'), 'ERR_NO_CHIP', 'does not exist'],
    ['a file', file, 'ERR_NOT_GPIOCHIP', 'is not even a character device, not a GPIO chip'],
    ['a folder', folder, 'ERR_NOT_GPIOCHIP', 'is a folder, not a GPIO chip'],
    ['another device', '/dev/null', 'ERR_NOT_GPIOCHIP', 'not a GPIO chip'],
  ])('%s: is refused with the reason', (_what, path, code, text) => {
    const call = () => GpiochipChip.open({ name: 'soc', path });
    expect(call).toThrow(GpiochipError);
    expect(call).toThrow(expect.objectContaining({ code, message: expect.stringContaining(text) }));
    expect(call).toThrow('gpiodetect lists the chips');
  });
});
