import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UsageError } from '../../src/cli/command.ts';
import { command } from '../../src/cli/inspect.ts';
import { encodeResourceTable, FW_RSC_ADDR_ANY, type ResourceEntry } from '../../src/wire/resource-table.ts';
import { elfImage } from '../wire/elf-image.ts';

const ENTRIES: readonly ResourceEntry[] = [
  { kind: 'carveout', da: 0x2000_1000, pa: FW_RSC_ADDR_ANY, len: 0x8000, flags: 3, name: 'vdev0buffer' },
  { kind: 'trace', da: 0x2000_f000, len: 4096, name: 'log\u001b[2J' },
  {
    kind: 'vdev',
    id: 41,
    notifyid: 0,
    dfeatures: 0x2001_0001,
    gfeatures: 1,
    status: 7,
    vrings: [
      { da: FW_RSC_ADDR_ANY, align: 4096, num: 64, notifyid: 1, pa: 0 },
      { da: 0x2000_4000, align: 4, num: 256, notifyid: 2, pa: 0 },
    ],
    config: Uint8Array.of(16, 0, 0, 0, 123, 0, 0, 0),
  },
  {
    kind: 'vdev',
    id: 7,
    notifyid: 9,
    dfeatures: 0x8000_0001,
    gfeatures: 0,
    status: 0,
    vrings: [],
    config: new Uint8Array(0),
  },
  {
    kind: 'vdev',
    id: 99,
    notifyid: 9,
    dfeatures: 0,
    gfeatures: 0,
    status: 0x80,
    vrings: [],
    config: Uint8Array.of(1, 0xab),
  },
  { kind: 'unknown', type: 130 },
  { kind: 'unknown', type: 5 },
];

const LISTING = `carveout vdev0buffer: da 0x20001000, pa any, 32768 bytes, flags 0x3
trace log\\x1b[2J: da 0x2000f000, 4096 bytes
vdev 0: 41 (gpio), notifyid 0
  offered:  0x20010001 IRQ EVENT_STREAM EVENT_IDX
  accepted: 0x00000001 IRQ
  status:   0x07 ACKNOWLEDGE DRIVER DRIVER_OK
  config:   16 lines, 123 bytes of names
  vring 0: da any, 64 descriptors, align 4096, 4614 bytes, notifyid 1
  vring 1: da 0x20004000, 256 descriptors, align 4, 6670 bytes, notifyid 2
vdev 1: 7 (rpmsg), notifyid 9
  offered:  0x80000001 NS bit31
  accepted: 0x00000000 none
  status:   0x00 none
  config:   none
vdev 2: 99 (unknown), notifyid 9
  offered:  0x00000000 none
  accepted: 0x00000000 none
  status:   0x80 FAILED
  config:   2 bytes: 01 ab
vendor entry of type 130 at offset 284
unknown entry of type 5 at offset 288
`;

function table(entries: readonly ResourceEntry[]): Uint8Array {
  const into = new Uint8Array(4096);
  return into.slice(0, encodeResourceTable(entries, into));
}

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rproc-gpio-cli-inspect-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function fileOf(bytes: Uint8Array): string {
  const file = join(folder, 'hub.elf');
  writeFileSync(file, bytes);
  return file;
}

function elfOf(content: Uint8Array, section: { name?: string; type?: number } = {}): Uint8Array {
  const text = { name: '.text', address: 0, content: Uint8Array.of(0, 0xbf) };
  return elfImage(32, 40, [text, { name: '.resource_table', address: 0x2000_0000, content, ...section }]);
}

async function run(...args: string[]): Promise<string> {
  let stdout = '';
  const code = await command.run(args, {
    stdout: {
      write: (text) => {
        stdout += text;
      },
    },
    stderr: {
      write: (text) => {
        throw new Error(`unexpected: ${text}`);
      },
    },
  });
  expect(code).toBe(0);
  return stdout;
}

describe('inspect', () => {
  it('prints the table of an ELF file', async () => {
    const file = fileOf(elfOf(table(ENTRIES)));
    expect(await run(file)).toBe(
      `${file}: ELF32 Arm, resource table at 0x20000000, 292 bytes, 7 entries\n${LISTING}`,
    );
  });

  it('prints the table of an image of memory', async () => {
    const memory = new Uint8Array(0x1_0000).fill(0x55);
    memory.set(table(ENTRIES));
    const file = fileOf(memory);
    expect(await run(file)).toBe(`${file}: memory, resource table, 292 bytes, 7 entries\n${LISTING}`);
  });

  it('prints the table of another section', async () => {
    const file = fileOf(elfOf(table([]), { name: '.hub_table' }));
    expect(await run('--section', '.hub_table', file)).toContain('16 bytes, 0 entries\n');
  });

  it('prints a table whose version the firmware stores last', async () => {
    const content = table(ENTRIES.slice(0, 1));
    content[0] = 0;
    const file = fileOf(elfOf(content));
    expect(await run(file)).toBe(
      `${file}: ELF32 Arm, resource table at 0x20000000, 76 bytes, 1 entry (version 0: the firmware marks it ready at run time)\n` +
        'carveout vdev0buffer: da 0x20001000, pa any, 32768 bytes, flags 0x3\n',
    );
    expect(JSON.parse(await run('-j', file))).toMatchObject({ version: 0 });
  });

  it('prints one line of JSON', async () => {
    const file = fileOf(elfOf(table(ENTRIES)));
    const output = await run('--json', file);
    expect(output.indexOf('\n')).toBe(output.length - 1);
    const json = JSON.parse(output);
    expect(json).toMatchObject({
      file,
      elf: { bits: 32, machine: 40 },
      deviceAddress: 0x2000_0000,
      version: 1,
      sizeBytes: 292,
    });
    expect(json.entries.map(({ kind }: { kind: string }) => kind)).toEqual(ENTRIES.map(({ kind }) => kind));
    expect(json.entries[0]).toEqual({
      kind: 'carveout',
      offset: 44,
      name: 'vdev0buffer',
      da: 0x2000_1000,
      pa: null,
      sizeBytes: 0x8000,
      flags: 3,
    });
    expect(json.entries[2]).toEqual({
      kind: 'vdev',
      offset: 148,
      id: 41,
      device: 'gpio',
      notifyid: 0,
      dfeatures: 0x2001_0001,
      offered: ['IRQ', 'EVENT_STREAM', 'EVENT_IDX'],
      gfeatures: 1,
      accepted: ['IRQ'],
      status: 7,
      config: '10 00 00 00 7b 00 00 00',
      lines: 16,
      namesSizeBytes: 123,
      vrings: [
        { offset: 176, da: null, num: 64, align: 4096, notifyid: 1, sizeBytes: 4614 },
        { offset: 196, da: 0x2000_4000, num: 256, align: 4, notifyid: 2, sizeBytes: 6670 },
      ],
    });
    expect(JSON.parse(await run('--json', fileOf(table(ENTRIES))))).toMatchObject({
      elf: null,
      deviceAddress: null,
    });
  });

  it('names what is wrong with a table', async () => {
    const content = table(ENTRIES);
    content[176 + 8] = 3;
    const file = fileOf(elfOf(content));
    await expect(run(file)).rejects.toThrow(
      `${file}: entry[2].vdev.vring[0].num at offset 184 is 3, expected a power of two between 1 and 32768`,
    );
  });

  it('names what is wrong with a file', async () => {
    const none = fileOf(elfOf(table([]), { name: '.other' }));
    await expect(run(none)).rejects.toThrow(
      `${none}: no section .resource_table; it has .text .other .shstrtab`,
    );
    await expect(run(fileOf(elfOf(table([]), { type: 8 })))).rejects.toThrow('inspect its memory instead');
    await expect(run(fileOf(elfOf(table([])).slice(0, 100)))).rejects.toThrow(
      'hub.elf: e_shoff at offset 32',
    );
    await expect(run(fileOf(Uint8Array.of(1)))).rejects.toThrow('ver at offset 0 is "cut off at 1"');
    await expect(run(join(folder, 'missing'))).rejects.toThrow(
      'missing: cannot be read (ENOENT); expected an ELF file or an image of memory',
    );
    await expect(run(folder)).rejects.toThrow('not a regular file');
    await expect(run('/dev/zero')).rejects.toThrow('not a regular file');
  });

  it.each([
    [[], 'expected a FILE'],
    [['a', 'b'], 'unexpected argument "b"'],
    [['--fast', 'a'], '--fast'],
    [['a', '--section'], '--section'],
  ])('refuses the arguments %j', async (args, message) => {
    await expect(run(...args)).rejects.toThrow(UsageError);
    await expect(run(...args)).rejects.toThrow(message);
  });

  it('prints its usage, which fits a screen', async () => {
    expect(await run('--help')).toBe(command.usage);
    const lines = command.usage.split('\n');
    expect(lines.length).toBeLessThanOrEqual(24);
    expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(80);
  });
});
