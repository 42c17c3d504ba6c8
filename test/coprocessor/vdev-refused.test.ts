import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Coprocessor, type CoprocessorOptions } from '../../src/coprocessor/coprocessor.ts';
import { VDEV_STATUS } from '../../src/coprocessor/vdev-status.ts';
import { FW_RSC_ADDR_ANY, type ResourceEntry } from '../../src/wire/resource-table.ts';
import { scratchFolder, textFile, zeroFile } from './scratch-folder.ts';
import {
  BASE,
  BOUND,
  BUFFER,
  call,
  carveoutEntry,
  heard,
  LIVE,
  SharedFile,
  SIZE,
  vdevEntry,
} from './shared-file.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function shared(entries?: readonly ResourceEntry[]): SharedFile {
  const file = new SharedFile(entries);
  closers.push(() => file.close());
  return file;
}

async function started(file: SharedFile, options: Partial<CoprocessorOptions> = {}): Promise<Coprocessor> {
  const coprocessor = new Coprocessor({ ...file.options, ...options });
  closers.push(() => coprocessor.close());
  await coprocessor.start();
  return coprocessor;
}

describe('a vdev that is not what is wanted', () => {
  it('is named, and left alone', async () => {
    const file = shared([BUFFER, vdevEntry({ id: 7 }), vdevEntry({ id: 99 })]);
    const coprocessor = await started(file);
    expect(() => coprocessor.bindVdev(0, 41, 0)).toThrow(
      'vdev 0 has id 7 (rpmsg), expected 41 (gpio); the resource table has vdev 0 with id 7 (rpmsg), vdev 1 with id 99 (not known here)',
    );
    expect(() => coprocessor.bindVdev(2, 41, 0)).toThrow(
      'the resource table has no vdev 2; it has vdev 0 with id 7',
    );
    expect(file.vdev(0).status).toBe(0);
  });

  it('is refused when the table has none', async () => {
    const coprocessor = await started(shared([BUFFER]));
    expect(() => coprocessor.bindVdev(0, 41, 0)).toThrow(
      'the resource table has no vdev 0; it has none at all',
    );
  });
});

describe('a vdev that somebody else drives', () => {
  it('is refused by its status, which stays', async () => {
    const file = shared([BUFFER, vdevEntry({ status: LIVE })]);
    const coprocessor = await started(file);
    expect(() => coprocessor.bindVdev(0, 41, 0)).toThrow(
      'vdev 0 is driven by somebody else: its status is 0x7 (ACKNOWLEDGE, DRIVER, DRIVER_OK). If that is a former run that ended without a reset, start with takeOver: true',
    );
    expect(file.vdev().status).toBe(LIVE);
  });

  it('is taken over by a reset when that is wished', async () => {
    const file = shared([
      BUFFER,
      vdevEntry({ status: LIVE }),
      vdevEntry({ status: LIVE, notifyid: 5, vrings: [] }),
    ]);
    const coprocessor = await started(file, { takeOver: true, vdevs: [0] });
    expect(file.vdev(0).status).toBe(0);
    expect(file.vdev(1).status).toBe(LIVE);
    const fd = file.peer.accept();
    expect(heard(fd)).toEqual([0]);
    coprocessor.bindVdev(0, 41, 0);
    expect(file.vdev(0).status).toBe(BOUND);
  });

  it('is reset without being asked when its driver had given up', async () => {
    const file = shared([BUFFER, vdevEntry({ status: LIVE | VDEV_STATUS.FAILED })]);
    const coprocessor = await started(file);
    expect(file.vdev().status).toBe(0);
    coprocessor.bindVdev(0, 41, 0);
  });

  it('is refused when it is the kernel, which keeps it also with takeOver', async () => {
    const file = shared([BUFFER, vdevEntry({ status: LIVE })]);
    const folder = join(
      file.sysfsRoot,
      'devices/platform/remoteproc/remoteproc0/rproc-virtio.0.auto/virtio4',
    );
    textFile(join(folder, 'device'), '0x0029\n');
    mkdirSync(join(file.sysfsRoot, 'bus/virtio/devices'), { recursive: true });
    symlinkSync(folder, join(file.sysfsRoot, 'bus/virtio/devices/virtio4'));
    const coprocessor = await started(file, { takeOver: true });
    expect(() => coprocessor.bindVdev(0, 41, 0)).toThrow(
      /vdev 0 \(id 41 \(gpio\)\) is the kernel's: it shows as .*virtio4\. To keep the kernel off it, place this vdev's resource table outside the section \.resource_table/,
    );
    expect(file.vdev().status).toBe(LIVE);
  });
});

describe('vrings that cannot be', () => {
  it.each([
    [
      'outside the memory',
      [BASE + SIZE - 64, FW_RSC_ADDR_ANY],
      /vring 0 of vdev 0 at device address 0x2000ffc0 \(\d+ bytes\) is outside the configured memory \(0x20000000-0x2000ffff\)/,
    ],
    ['not aligned', [BASE + 0x1010, FW_RSC_ADDR_ANY], 'is not aligned to 64 bytes'],
    [
      'over each other',
      [BASE + 0x1000, BASE + 0x1040],
      /vring 0 of vdev 0 .* overlaps vring 1 of vdev 0 at 0x20001040/,
    ],
    [
      'over the table',
      [FW_RSC_ADDR_ANY, BASE + 0x40],
      /vring 1 of vdev 0 .* overlaps the resource table at 0x20000000/,
    ],
  ])('are refused: %s', async (_what, das, message) => {
    const file = shared([BUFFER, vdevEntry({}, das)]);
    const coprocessor = await started(file);
    expect(() => coprocessor.bindVdev(0, 41, 0)).toThrow(message);
    expect(file.vdev().status).toBe(BOUND | VDEV_STATUS.FAILED);
    // The firmware may put it right: the next binding is not mistaken for somebody else's.
    file.writeTable([BUFFER, vdevEntry({ status: file.vdev().status })]);
    coprocessor.bindVdev(0, 41, 0);
    expect(file.vdev().status).toBe(BOUND);
  });

  it('are refused when a notifyid cannot be said by the doorbell', async () => {
    const coprocessor = await started(shared([BUFFER, vdevEntry({ notifyid: 256 })]));
    expect(() => coprocessor.bindVdev(0, 41, 0)).toThrow(
      expect.objectContaining({
        code: 'ERR_DOORBELL',
        message: 'vdev 0 has notifyid 256, but this doorbell can say 0 to 255',
      }),
    );
  });
});

describe('memory for buffers', () => {
  it('is refused when there is none that is not full of firmware', async () => {
    const coprocessor = await started(shared([vdevEntry()]));
    expect(() => coprocessor.bindVdev(0, 41, 0)).toThrow(
      'no memory for the buffers of vdev 0: the resource table has no carveout "vdev0buffer" with an address',
    );
  });

  it('is refused when the carveout is outside, or too small', async () => {
    const outside = await started(shared([carveoutEntry('vdev0buffer', BASE + SIZE, 64), vdevEntry()]));
    expect(() => outside.bindVdev(0, 41, 0)).toThrow(
      'carveout "vdev0buffer" at device address 0x20010000 + 64 bytes is outside the configured memory',
    );
    const small = await started(shared([carveoutEntry('vdev0buffer', BASE + 0x4000, 64), vdevEntry()]));
    expect(() => small.bindVdev(0, 41, 0)).toThrow(/vring 0 of vdev 0 needs \d+ bytes aligned to 64/);
  });

  it('keeps off what lies in the carveout', async () => {
    const all = carveoutEntry('vdev0buffer', BASE, SIZE);
    const trace = { kind: 'trace', da: BASE + 0x400, len: 0xc00, name: 'trace' } as const;
    const file = shared([all, trace, vdevEntry({}, [BASE + 0x1000, FW_RSC_ADDR_ANY])]);
    const vdev = (await started(file)).bindVdev(0, 41, 0);
    const second = file.vdev().vrings[1]?.da ?? 0;
    const taken = [...'abcdefgh'].map((what) => vdev.buffers.allocate(256, 16, what));
    for (const address of [second, ...taken]) {
      expect(address >= BASE + file.table.sizeBytes && address < BASE + SIZE).toBe(true);
      expect(address + 256 <= BASE + 0x400 || address >= BASE + 0x1000 + 0x100).toBe(true);
    }
  });

  it('is a configured region of its own when the table has no carveout, shared by vdevs', async () => {
    const file = shared([vdevEntry(), vdevEntry({ id: 7, notifyid: 5 })]);
    const path = zeroFile(join(scratchFolder(), 'buffers'), 0x4000);
    const buffers = { type: 'file', path, deviceAddress: 0x5500_0000 } as const;
    const coprocessor = await started(file, { memory: [...file.options.memory, buffers] });
    const gpio = coprocessor.bindVdev(0, 41, 0);
    const rpmsg = coprocessor.bindVdev(1, 7, 0);
    const das = [0, 1].flatMap((index) => file.vdev(index).vrings.map((vring) => vring.da));
    const taken = [...das, gpio.buffers.allocate(64, 16, 'a'), rpmsg.buffers.allocate(64, 16, 'b')];
    expect(new Set(taken).size).toBe(6);
    expect(taken.every((address) => address >= 0x5500_0000 && address < 0x5500_4000)).toBe(true);
    const free = rpmsg.buffers.freeBytes;
    gpio.close();
    expect(rpmsg.buffers.freeBytes).toBeGreaterThan(free);
  });

  it('prefers a region without vrings, and keeps off those in the one it takes', async () => {
    const regions = [0x5500_0000, 0x5600_0000].map((deviceAddress) => ({
      type: 'file' as const,
      path: zeroFile(join(scratchFolder(), 'region'), 0x4000),
      deviceAddress,
    }));
    const file = shared([vdevEntry({}, [0x5500_0000, 0x5500_1000])]);
    const both = await started(file, { memory: [...file.options.memory, ...regions] });
    expect(both.bindVdev(0, 41, 0).buffers.allocate(64, 16, 'a')).toBe(0x5600_0000);
    await both.close();
    const one = await started(file, { memory: [...file.options.memory, ...regions.slice(0, 1)] });
    const { buffers } = one.bindVdev(0, 41, 0);
    const between = buffers.allocate(64, 16, 'b');
    expect(between >= 0x5500_0000 + 300 && between < 0x5500_1000).toBe(true);
    expect(buffers.allocate(0x1000, 16, 'c')).toBeGreaterThan(0x5500_1000 + 600);
  });

  it('gives back what a binding took that failed', async () => {
    const tooMany = vdevEntry({}, [FW_RSC_ADDR_ANY, BASE + 1]);
    const file = shared([tooMany]);
    const path = zeroFile(join(scratchFolder(), 'buffers'), 0x800);
    const buffers = { type: 'file', path, deviceAddress: 0x5500_0000 } as const;
    const coprocessor = await started(file, { memory: [...file.options.memory, buffers] });
    for (let i = 0; i < 10; i++) {
      expect(() => coprocessor.bindVdev(0, 41, 0)).toThrow('vring 1 of vdev 0');
    }
    expect(() => coprocessor.bindVdev(0, 41, 0)).toThrow('is not aligned to 64 bytes');
  });

  it.each([
    [
      'not aligned',
      BASE + 0x8010,
      0x1000,
      'vring 0 of vdev 0 in carveout "vdev0vring0" at device address 0x20008010 is not aligned to 64 bytes',
    ],
    [
      'too small',
      BASE + 0x8000,
      64,
      /carveout "vdev0vring0" at device address 0x20008000 needs \d+ bytes, it has 64/,
    ],
    [
      'outside',
      BASE + SIZE,
      0x1000,
      /carveout "vdev0vring0" at device address 0x20010000 is outside the configured memory/,
    ],
    [
      'over the resource table',
      BASE,
      0x1000,
      /carveout "vdev0vring0" at device address 0x20000000 overlaps the resource table at 0x20000000/,
    ],
  ])('is refused where the carveout of a vring is %s', async (_what, da, len, message) => {
    const coprocessor = await started(shared([BUFFER, carveoutEntry('vdev0vring0', da, len), vdevEntry()]));
    expect(() => coprocessor.bindVdev(0, 41, 0)).toThrow(message);
  });

  it.each([
    ['another vring with an address', [FW_RSC_ADDR_ANY, BASE + 0x8000], 0x8000],
    ['another vring in its carveout', [FW_RSC_ADDR_ANY, FW_RSC_ADDR_ANY], 0x8040],
  ])('is refused where the carveout of a vring lies over %s', async (_what, das, second) => {
    const coprocessor = await started(
      shared([
        BUFFER,
        carveoutEntry('vdev0vring0', BASE + 0x8000, 0x1000),
        carveoutEntry('vdev0vring1', BASE + second, 0x1000),
        vdevEntry({}, das),
      ]),
    );
    expect(() => coprocessor.bindVdev(0, 41, 0)).toThrow(/vring \d of vdev 0 .* overlaps vring \d of vdev 0/);
  });

  it('gives a carveout without an address its place there, and takes that back', async () => {
    const any = carveoutEntry('vdev0buffer', FW_RSC_ADDR_ANY, 0x2000);
    const file = shared([any, carveoutEntry('vdev0vring0', BASE + 0x8000, 0x1000), vdevEntry()]);
    const path = zeroFile(join(scratchFolder(), 'buffers'), 0x4000);
    const buffers = { type: 'file', path, deviceAddress: 0x5500_0000 } as const;
    const coprocessor = await started(file, { memory: [...file.options.memory, buffers] });
    const vdev = coprocessor.bindVdev(0, 41, 0);
    const carveoutDa = (): number => (file.table.entries[0] as { da: number }).da;
    expect(carveoutDa()).toBe(0x5500_0000);
    expect(vdev.buffers.sizeBytes).toBe(0x2000);
    expect(file.vdev().vrings.map((vring) => vring.da)).toEqual([BASE + 0x8000, 0x5500_0000]);
    vdev.close();
    expect(carveoutDa()).toBe(FW_RSC_ADDR_ANY);
  });

  it('accepts the places that a run left that was killed', async () => {
    const file = shared();
    const first = await started(file);
    first.bindVdev(0, 41, 0).driverOk();
    const das = file.vdev().vrings.map((vring) => vring.da);
    // As after a SIGKILL: nothing is reset, and another connection comes.
    const second = new Coprocessor({ ...file.options, takeOver: true });
    closers.push(() => second.close());
    const starting = second.start();
    await starting;
    expect(second.bindVdev(0, 41, 0).readStatus()).toBe(BOUND);
    expect(file.vdev().vrings.map((vring) => vring.da)).toEqual(das);
    call(file.peer.accept(), 1);
  });
});
