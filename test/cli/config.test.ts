import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UsageError } from '../../src/cli/command.ts';
import { command } from '../../src/cli/config.ts';
import { configJsonSchema } from '../../src/config/config.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rproc-gpio-cli-config-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function fileOf(text: string): string {
  const file = join(folder, 'a.yaml');
  writeFileSync(file, text);
  return file;
}

async function run(...args: string[]) {
  let stdout = '';
  let stderr = '';
  const code = await command.run(args, {
    stdout: {
      write: (text) => {
        stdout += text;
      },
    },
    stderr: {
      write: (text) => {
        stderr += text;
      },
    },
  });
  return { code, stdout, stderr };
}

describe('config check', () => {
  it('shows the new names that no topic can hold', async () => {
    const file = fileOf(`chips: { sim: { type: sim, lines: 2 } }
mqtt:
  broker: embedded
  lines: [{ line: sim/sim0, name: "a/b+c" }, { line: sim/sim1, name: fine_name }]
`);
    const { code, stdout, stderr } = await run('check', '-c', file);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(
      /^.*a\.yaml: ok \(0 coprocessors, 1 chip, 0 exports, mqtt\)\n.*a\.yaml: mqtt: no topic can hold "a\/b\+c": it is published as a_b_c-[0-9a-f]{4}\n$/,
    );
  });

  it('says what a good file holds', async () => {
    const file = fileOf(`chips: { a: { type: sim, lines: 2 }, b: { type: sim, lines: 2 } }
exports: { vm1: { socket: a.sock, lines: ['*'] } }`);
    expect(await run('check', '-c', file)).toEqual({
      code: 0,
      stdout: `${file}: ok (0 coprocessors, 2 chips, 1 export)\n`,
      stderr: '',
    });
  });

  it('says the first fault of a bad file, and all of them when asked', async () => {
    const file = fileOf('chips: { a: { type: sim, lines: 0 } }\nexport: {}\n');
    const first = `rproc-gpio: ${file}:1:33: chips.a.lines: is 0; expected a whole number of lines from 1 to 65535\n`;
    expect(await run('check', '--config', file)).toEqual({
      code: 2,
      stdout: '',
      stderr: `${first}rproc-gpio: 1 more; --all prints them\n`,
    });
    expect(await run('check', '-c', file, '-a')).toEqual({
      code: 2,
      stdout: '',
      stderr: `${first}rproc-gpio: ${file}:2:1: export: unknown key; did you mean "exports"?\n`,
    });
  });

  it('says that the default file is missing', async () => {
    const before = process.cwd();
    process.chdir(folder);
    try {
      const { code, stderr } = await run('check');
      expect(code).toBe(2);
      expect(stderr).toBe(
        'rproc-gpio: rproc-gpio.yaml: cannot be read (ENOENT); name the file with -c FILE\n',
      );
    } finally {
      process.chdir(before);
    }
  });
});

describe('config schema', () => {
  it('prints the JSON Schema', async () => {
    const { code, stdout, stderr } = await run('schema');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toEqual(JSON.parse(JSON.stringify(configJsonSchema())));
  });
});

describe('config', () => {
  it.each([
    [[], 'expected "check" or "schema"'],
    [['chekc'], 'expected "check" or "schema", not "chekc"'],
    [['check', 'a.yaml'], 'unexpected argument "a.yaml"'],
    [['check', '--fast'], '--fast'],
    [['check', '-c'], '-c'],
    [['schema', '-c', 'x'], 'takes no options'],
  ])('refuses the arguments %j', async (args, message) => {
    await expect(async () => run(...args)).rejects.toThrow(UsageError);
    await expect(async () => run(...args)).rejects.toThrow(message);
  });

  it('prints its usage, which fits a screen', async () => {
    expect(await run('--help')).toEqual({ code: 0, stdout: command.usage, stderr: '' });
    const lines = command.usage.split('\n');
    expect(lines.length).toBeLessThanOrEqual(24);
    expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(80);
  });
});
