import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CoprocessorError, describeOpenError } from '../../src/coprocessor/coprocessor-error.ts';
import { type MemorySource, openMemory } from '../../src/coprocessor/memory-region.ts';
import { pageSizeBytes, pageSizeFromAuxiliaryVector } from '../../src/coprocessor/page-size.ts';
import { createMemfd } from '../../src/native.ts';
import { scratchFolder, textFile, zeroFile } from './scratch-folder.ts';

const PAGE = pageSizeBytes();
const DEVICE_ADDRESS = 0x2000_0000;

function errorOf(source: MemorySource, sysfsRoot?: string): CoprocessorError {
  try {
    openMemory(source, sysfsRoot).close();
  } catch (error) {
    expect(error).toBeInstanceOf(CoprocessorError);
    return error as CoprocessorError;
  }
  throw new Error('was opened');
}

function openDescriptors(): number {
  const fd = openSync('/dev/null', 'r');
  closeSync(fd);
  return fd;
}

describe('memfd', () => {
  it('is zero, of the asked size, and nobody can change that size', () => {
    const region = openMemory({ type: 'memfd', deviceAddress: DEVICE_ADDRESS, sizeBytes: 3 * PAGE });
    expect(region).toMatchObject({ deviceAddress: DEVICE_ADDRESS, sizeBytes: 3 * PAGE, byteOffset: 0 });
    expect(new Uint8Array(region.buffer).every((byte) => byte === 0)).toBe(true);
    expect(() => ftruncateSync(region.fd, PAGE)).toThrow('EPERM');
    expect(() => ftruncateSync(region.fd, 4 * PAGE)).toThrow('EPERM');
    region.close();
  });

  it('closes once, and leaves nothing open', () => {
    const before = openDescriptors();
    const region = openMemory({ type: 'memfd', deviceAddress: 0, sizeBytes: PAGE });
    region.close();
    region.close();
    expect(region.buffer.byteLength).toBe(0);
    expect(openDescriptors()).toBe(before);
  });

  it.each([0, -1, 1.5, Number.NaN])('refuses %s bytes', (sizeBytes) => {
    expect(errorOf({ type: 'memfd', deviceAddress: 0, sizeBytes })).toMatchObject({ code: 'ERR_MEMORY' });
  });

  it('refuses device addresses beyond 32 bits, and leaves nothing open', () => {
    const before = openDescriptors();
    const error = errorOf({ type: 'memfd', deviceAddress: 0xffff_ff00, sizeBytes: 2 * PAGE });
    expect(error.message).toContain(
      `device address 0xffffff00 + ${2 * PAGE} bytes does not fit into 32 bits`,
    );
    expect(openDescriptors()).toBe(before);
  });
});

describe('file', () => {
  it('shows a part of a file that begins within a page', () => {
    const path = zeroFile(join(scratchFolder(), 'ram'), 4 * PAGE);
    const fd = openSync(path, 'r+');
    writeSync(fd, Buffer.from('hub!'), 0, 4, PAGE + 0x40);
    const region = openMemory({
      type: 'file',
      path,
      offset: PAGE + 0x40,
      sizeBytes: 100,
      deviceAddress: DEVICE_ADDRESS,
    });
    expect(region).toMatchObject({ sizeBytes: 100, byteOffset: 0x40 });
    const bytes = new Uint8Array(region.buffer, region.byteOffset, region.sizeBytes);
    expect(Buffer.from(bytes.subarray(0, 4)).toString()).toBe('hub!');
    bytes[99] = 7;
    expect(readFileSync(path)[PAGE + 0x40 + 99]).toBe(7);
    region.close();
    closeSync(fd);
  });

  it('takes all that follows the offset when no size is given', () => {
    const path = zeroFile(join(scratchFolder(), 'ram'), 3 * PAGE);
    const region = openMemory({ type: 'file', path, offset: PAGE, deviceAddress: DEVICE_ADDRESS });
    expect(region.sizeBytes).toBe(2 * PAGE);
    region.close();
  });

  it("opens another process's memfd by its place in /proc", () => {
    const fd = createMemfd('ram', PAGE);
    const path = `/proc/${process.pid}/fd/${fd}`;
    const region = openMemory({ type: 'file', path, deviceAddress: DEVICE_ADDRESS });
    new Uint8Array(region.buffer)[5] = 42;
    region.close();
    expect(readFileSync(path)[5]).toBe(42);
    closeSync(fd);
  });

  it('says how long the file is when that is too short, and leaves nothing open', () => {
    const path = zeroFile(join(scratchFolder(), 'ram'), PAGE);
    const before = openDescriptors();
    const source = { type: 'file', path, offset: 16, sizeBytes: PAGE, deviceAddress: 0 } as const;
    expect(errorOf(source).message).toBe(
      `memory file ${path} has ${PAGE} bytes, too few for ${PAGE} bytes from offset 0x10`,
    );
    expect(errorOf({ ...source, sizeBytes: undefined, offset: 2 * PAGE }).message).toContain(
      `has ${PAGE} bytes`,
    );
    expect(openDescriptors()).toBe(before);
  });

  it('names what is missing, and what is no file', () => {
    const folder = scratchFolder();
    const missing = join(folder, 'none');
    expect(errorOf({ type: 'file', path: missing, deviceAddress: 0 }).message).toBe(
      `memory: ${missing} does not exist`,
    );
    mkdirSync(join(folder, 'sub'));
    expect(errorOf({ type: 'file', path: join(folder, 'sub'), deviceAddress: 0 }).message).toContain(
      'is a directory',
    );
    expect(errorOf({ type: 'file', path: '/dev/zero', deviceAddress: 0 }).message).toContain(
      'is not a regular file; for a device use memory of type uio or devmem',
    );
  });

  it('refuses a device address that is aligned otherwise than the file', () => {
    const path = zeroFile(join(scratchFolder(), 'ram'), PAGE);
    const error = errorOf({ type: 'file', path, offset: 4, deviceAddress: DEVICE_ADDRESS });
    expect(error.message).toContain('both must have the same remainder by 16');
  });

  it('says what to do about a permission', () => {
    const text = describeOpenError('/dev/uio0', Object.assign(new Error('x'), { code: 'EACCES' }));
    expect(text).toBe(
      '/dev/uio0: permission denied (EACCES): reading and writing it must be allowed to this user (chmod, a udev rule, or run as root)',
    );
  });
});

describe('devmem', () => {
  it('maps from the page below, as uncached memory', () => {
    const path = zeroFile(join(scratchFolder(), 'mem'), 0x5500_0000 + 2 * PAGE);
    const physicalAddress = 0x5500_0000 + 0x120;
    const source = { type: 'devmem', path, physicalAddress, sizeBytes: PAGE, deviceAddress: 0x120 } as const;
    const region = openMemory(source);
    expect(region).toMatchObject({ byteOffset: 0x120, sizeBytes: PAGE, deviceAddress: 0x120 });
    new Uint32Array(region.buffer)[0x120 / 4] = 0x1234_5678;
    const flags = readFileSync(`/proc/self/fdinfo/${region.fd}`, 'utf8').match(/^flags:\s*(\d+)/m)?.[1];
    // O_SYNC is 04010000 on Linux, O_RDWR 2.
    expect(Number.parseInt(flags ?? '', 8) & 0o4010002).toBe(0o4010002);
    const again = openMemory({ ...source, physicalAddress: 0x5500_0120 });
    expect(new Uint32Array(again.buffer)[0x120 / 4]).toBe(0x1234_5678);
    again.close();
    region.close();
  });
});

describe('uio', () => {
  function device(maps: Record<string, { addr: string; size: string; offset: string }>) {
    const root = scratchFolder();
    for (const [map, files] of Object.entries(maps)) {
      for (const [name, text] of Object.entries(files)) {
        textFile(join(root, 'sys/class/uio/uio3/maps', map, name), `${text}\n`);
      }
    }
    const path = zeroFile(join(root, 'dev/uio3'), 4 * PAGE);
    return { sysfs: join(root, 'sys'), path };
  }

  it('maps area M at M pages, with the size that sysfs says', () => {
    const { sysfs, path } = device({
      map0: { addr: '0x40000000', size: '0x1000', offset: '0x0' },
      // The kernel's own address, of memory that a driver allocated: no Number holds it.
      map1: { addr: '0xffff888012345000', size: `0x${(2 * PAGE).toString(16)}`, offset: '0x0' },
    });
    const region = openMemory({ type: 'uio', device: path, map: 1, deviceAddress: DEVICE_ADDRESS }, sysfs);
    expect(region).toMatchObject({ sizeBytes: 2 * PAGE, byteOffset: 0 });
    new Uint8Array(region.buffer)[0] = 9;
    region.close();
    expect(readFileSync(path)[PAGE]).toBe(9);
  });

  it.each([
    ['an exact address (older drivers)', { addr: '0x55000120', size: '0x400', offset: '0x120' }, 0x400],
    [
      "a page's address and an offset (newer drivers)",
      { addr: '0x55000000', size: '0x1000', offset: '0x120' },
      0xee0,
    ],
  ])('handles memory that begins within a page: %s', (_what, files, sizeBytes) => {
    const { sysfs, path } = device({ map0: files });
    const region = openMemory({ type: 'uio', device: path, deviceAddress: DEVICE_ADDRESS }, sysfs);
    expect(region).toMatchObject({ sizeBytes, byteOffset: 0x120 });
    region.close();
    const part = openMemory(
      { type: 'uio', device: path, offset: 0x100, sizeBytes: 0x80, deviceAddress: DEVICE_ADDRESS },
      sysfs,
    );
    expect(part).toMatchObject({ sizeBytes: 0x80, byteOffset: 0x220 });
    part.close();
  });

  it('names the maps there are, and the size found', () => {
    const { sysfs, path } = device({ map0: { addr: '0x40000000', size: '0x1000', offset: '0x0' } });
    expect(errorOf({ type: 'uio', device: path, map: 2, deviceAddress: 0 }, sysfs).message).toBe(
      'UIO device uio3 has no map 2; it has 0',
    );
    expect(
      errorOf({ type: 'uio', device: path, offset: 0x800, sizeBytes: 0x1000, deviceAddress: 0 }, sysfs)
        .message,
    ).toBe(`memory ${path} map 0 has 4096 bytes, too few for 4096 bytes from offset 0x800`);
    expect(errorOf({ type: 'uio', device: 'uio9', deviceAddress: 0 }, sysfs).message).toContain(
      'UIO device uio9 does not exist',
    );
  });

  it('refuses numbers in sysfs that are none', () => {
    const { sysfs, path } = device({ map0: { addr: 'what', size: '0x1000', offset: '0x0' } });
    expect(errorOf({ type: 'uio', device: path, deviceAddress: 0 }, sysfs).message).toContain(
      'holds "what", expected a number',
    );
  });
});

describe('page size', () => {
  it('is read from vectors of 32 and 64 bits', () => {
    const words = [3, 0x1000, 6, 65536, 0, 0];
    expect(pageSizeFromAuxiliaryVector(Buffer.from(new Uint32Array(words).buffer), 4)).toBe(65536);
    const big = new BigUint64Array(words.map(BigInt));
    expect(pageSizeFromAuxiliaryVector(Buffer.from(big.buffer), 8)).toBe(65536);
    expect(pageSizeFromAuxiliaryVector(Buffer.alloc(0), 8)).toBeUndefined();
  });
});
