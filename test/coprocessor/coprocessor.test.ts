import { closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Coprocessor, type CoprocessorOptions } from '../../src/coprocessor/coprocessor.ts';
import type { ResourceEntry } from '../../src/wire/resource-table.ts';
import { elfImage } from '../wire/elf-image.ts';
import { scratchFolder } from './scratch-folder.ts';
import { BASE, BUFFER, SharedFile, SIZE, vdevEntry } from './shared-file.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function shared(entries?: readonly ResourceEntry[]): SharedFile {
  const file = new SharedFile(entries);
  closers.push(() => file.close());
  return file;
}

function made(options: CoprocessorOptions): Coprocessor {
  const coprocessor = new Coprocessor(options);
  closers.push(() => coprocessor.close());
  return coprocessor;
}

function nextDescriptor(): number {
  const fd = openSync('/dev/null', 'r');
  closeSync(fd);
  return fd;
}

describe('finding the resource table', () => {
  it('takes the address of .resource_table from the ELF file', async () => {
    const file = shared();
    const elf = join(scratchFolder(), 'hub.elf');
    const content = new Uint8Array(file.table.sizeBytes);
    writeFileSync(elf, elfImage(32, 40, [{ name: '.resource_table', address: BASE, content }]));
    const coprocessor = made({ ...file.options, resourceTable: { elf } });
    await coprocessor.start();
    expect(coprocessor.bindVdev(0, 41, 0).queues).toHaveLength(2);
  });

  it('takes it from another section when that is named, which Linux leaves alone', async () => {
    const file = shared();
    const elf = join(scratchFolder(), 'hub.elf');
    const content = new Uint8Array(file.table.sizeBytes);
    writeFileSync(elf, elfImage(32, 40, [{ name: '.hub_table', address: BASE, content }]));
    const coprocessor = made({ ...file.options, resourceTable: { elf, section: '.hub_table' } });
    await coprocessor.start();
    expect(coprocessor.bindVdev(0, 41, 0).queues).toHaveLength(2);
  });

  it.each([
    [
      'has no such section',
      'ERR_FIRMWARE',
      [{ name: '.text', address: BASE, content: new Uint8Array(4) }],
      /hub\.elf has no section \.resource_table; give the table's device address instead/,
    ],
    [
      'puts it outside the memory',
      'ERR_RESOURCE_TABLE',
      [{ name: '.resource_table', address: 0x1000, content: new Uint8Array(64) }],
      /resource table at device address 0x1000 \(\.resource_table of .*\) is outside the configured memory \(0x20000000-0x2000ffff\)/,
    ],
    [
      'has a smaller section than the table',
      'ERR_RESOURCE_TABLE',
      [{ name: '.resource_table', address: BASE, content: new Uint8Array(40) }],
      /resource table at device address 0x20000000: .*expected/,
    ],
  ])('refuses an ELF file that %s', async (_what, code, sections, message) => {
    const elf = join(scratchFolder(), 'hub.elf');
    writeFileSync(elf, elfImage(32, 40, sections));
    const coprocessor = made({ ...shared().options, resourceTable: { elf } });
    await expect(coprocessor.start()).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
  });

  it('refuses a file that is no ELF file, or not there', async () => {
    const elf = join(scratchFolder(), 'hub.elf');
    const { options } = shared();
    await expect(made({ ...options, resourceTable: { elf } }).start()).rejects.toThrow(
      `resource table from firmware ${elf} does not exist`,
    );
    writeFileSync(elf, 'no ELF');
    await expect(made({ ...options, resourceTable: { elf } }).start()).rejects.toThrow(
      `firmware ${elf} is not a good ELF file: e_ident`,
    );
  });

  it.each([
    [BASE + SIZE, 'is outside the configured memory'],
    [BASE + SIZE - 8, 'is outside the configured memory'],
    [BASE + 2, 'is not aligned to 4 bytes'],
  ])('refuses a table at 0x%s', async (deviceAddress, message) => {
    const coprocessor = made({ ...shared().options, resourceTable: { deviceAddress } });
    await expect(coprocessor.start()).rejects.toThrow(message);
  });
});

describe('waiting for the firmware', () => {
  it('sees a table that comes later, with or without a call', async () => {
    const file = shared([BUFFER, vdevEntry()]);
    file.memory.writeU32(BASE, 0);
    const starting = made(file.options).start();
    let isOver = false;
    const over = starting.then(() => {
      isOver = true;
    });
    await vi.waitFor(() => expect(file.peer.accept()).toBeGreaterThan(0));
    expect(isOver).toBe(false);
    file.memory.writeU32(BASE, 1);
    await over;
  });

  it('says that there is none in time', async () => {
    const file = shared();
    file.memory.writeU32(BASE, 0);
    await expect(made({ ...file.options, startTimeoutMs: 60 }).start()).rejects.toMatchObject({
      code: 'ERR_START_TIMEOUT',
      message:
        'resource table at device address 0x20000000: version is still 0 (0x0) after 60 ms, expected 1: the firmware does not run, or its table is elsewhere',
    });
  });

  it('says the version that is not known', async () => {
    const file = shared();
    file.memory.writeU32(BASE, 2);
    await expect(made({ ...file.options, startTimeoutMs: 60 }).start()).rejects.toMatchObject({
      code: 'ERR_RESOURCE_TABLE',
      message: expect.stringContaining('version is still 2 (0x2) after 60 ms, expected 1'),
    });
  });

  it.each([
    ['an offset outside', 20, 0xffff_0000, /offset\[1\] at offset 20 is 4294901760/],
    ['vrings of no size', 16 + 8 + 56 + 28 + 8, 0, /vring\[0\]\.num .* is 0, expected a power of two/],
    [
      'vrings of an odd size',
      16 + 8 + 56 + 28 + 20 + 8,
      48,
      /vring\[1\]\.num .* is 48 \(0x30\), expected a power of two/,
    ],
  ])('names what is wrong with the table: %s', async (_what, offset, value, message) => {
    const file = shared();
    file.memory.writeU32(BASE + offset, value);
    await expect(made(file.options).start()).rejects.toMatchObject({
      code: 'ERR_RESOURCE_TABLE',
      message: expect.stringMatching(message),
    });
  });
});

describe('what does not go together', () => {
  it.each([
    [{ memory: [] }, 'ERR_MEMORY', 'no memory is configured'],
    [{ doorbell: { type: 'eventfd' } }, 'ERR_DOORBELL', 'a doorbell of type eventfd needs exec'],
    [
      { memory: [{ type: 'memfd', deviceAddress: 0, sizeBytes: 4096 }] },
      'ERR_MEMORY',
      'memory of type memfd needs exec',
    ],
    [
      {
        exec: { command: ['true'] },
        doorbell: { type: 'eventfd' },
        memory: [{ type: 'uio', device: 'uio0', deviceAddress: 0 }],
      },
      'ERR_EXEC',
      'needs memory of type memfd or file',
    ],
  ] as const)('is refused: %j', async (changes, code, message) => {
    const coprocessor = made({ ...shared().options, ...changes });
    await expect(coprocessor.start()).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
  });

  it('is refused for regions that overlap, and nothing stays open', async () => {
    const file = shared();
    const before = nextDescriptor();
    const [memory] = file.options.memory;
    const coprocessor = made({ ...file.options, memory: [memory as never, memory as never] });
    await expect(coprocessor.start()).rejects.toThrow('overlaps memory at');
    expect(nextDescriptor()).toBe(before);
  });
});

describe('the life of a co-processor', () => {
  it('starts once', async () => {
    const coprocessor = made(shared().options);
    await coprocessor.start();
    await expect(coprocessor.start()).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });

  it('closes while it waits for the firmware', async () => {
    const file = shared();
    file.memory.writeU32(BASE, 0);
    const before = nextDescriptor();
    const coprocessor = made({ ...file.options, startTimeoutMs: 60_000 });
    const starting = coprocessor.start();
    const refused = expect(starting).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    await Promise.all([coprocessor.close(), coprocessor.close()]);
    await refused;
    expect(nextDescriptor()).toBe(before);
    expect(() => coprocessor.bindVdev(0, 41, 0)).toThrow('co-processor hub does not run');
  });

  it('resets what is bound when it is closed, and gives everything back', async () => {
    const file = shared();
    const before = nextDescriptor();
    const coprocessor = made(file.options);
    await coprocessor.start();
    const vdev = coprocessor.bindVdev(0, 41, 0);
    const lost: string[] = [];
    vdev.onLost((reason) => lost.push(reason));
    coprocessor.onExit((reason) => lost.push(reason));
    vdev.driverOk();
    await coprocessor.close();
    expect(file.vdev().status).toBe(0);
    expect(lost).toEqual([]);
    expect(nextDescriptor()).toBe(before);
    vdev.kick(0);
    vdev.close();
    expect(vdev.readStatus()).toBe(0);
  });

  it('tells vdevs and owner when the doorbell breaks down', async () => {
    const file = shared();
    const coprocessor = made(file.options);
    await coprocessor.start();
    const told: string[] = [];
    coprocessor.bindVdev(0, 41, 0).onLost(() => told.push('vdev'));
    coprocessor.onExit(() => told.push('owner'));
    file.peer.hangUp(file.peer.accept());
    await vi.waitFor(() => expect(told).toEqual(['vdev', 'owner']));
    coprocessor.onExit(() => told.push('late'));
    expect(told).toEqual(['vdev', 'owner', 'late']);
    expect(() => coprocessor.bindVdev(0, 41, 0)).toThrow('does not run');
  });

  it('works with firmware that is looked at from time to time', async () => {
    const file = shared();
    const coprocessor = made({ ...file.options, doorbell: { type: 'poll', intervalMs: 2 } });
    await coprocessor.start();
    const vdev = coprocessor.bindVdev(0, 41, 0);
    let calls = 0;
    vdev.onCall(() => calls++);
    vdev.driverOk();
    await vi.waitFor(() => expect(calls).toBeGreaterThan(2));
    const lost: string[] = [];
    vdev.onLost((reason) => lost.push(reason));
    file.setStatus(0);
    await vi.waitFor(() => expect(lost).toHaveLength(1));
  });
});
