import { existsSync, readdirSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { Coprocessor, type CoprocessorOptions } from '../../src/coprocessor/coprocessor.ts';
import { VirtioGpioChip, WANTED_FEATURES } from '../../src/coprocessor/dialects/virtio-gpio.ts';
import { VDEV_STATUS } from '../../src/coprocessor/vdev-status.ts';
import { ChipLines } from '../../src/gpio/chip-lines.ts';
import { SimulatedChip } from '../../src/testing/simulated-chip.ts';
import { Poller } from '../../src/virtqueue/poller.ts';
import { MSG_GET_VALUE, MSG_SET_DIRECTION } from '../../src/wire/virtio-gpio.ts';
import { ServedDevice } from '../exporters/virtio-gpio/served-device.ts';
import { scratchFolder, zeroFile } from './scratch-folder.ts';
import { BASE, call, SharedFile, SIZE } from './shared-file.ts';

const HUB = fileURLToPath(new URL('../../build/Release/sensor-hub', import.meta.url));
const GONE =
  'the memory at device address 0x20000000-0x2000ffff was truncated by somebody who shares it while it was mapped';

/** As long as no co-processor runs, nothing watches for dead memory either. */
const DESCRIPTORS_AT_FIRST = readdirSync('/proc/self/fd').length;

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function sharedFile(): SharedFile {
  const shared = new SharedFile();
  closers.push(() => shared.close());
  return shared;
}

function made(options: CoprocessorOptions): Coprocessor {
  const coprocessor = new Coprocessor(options);
  closers.push(() => coprocessor.close());
  return coprocessor;
}

/** A running co-processor that is a file and a socket, with its vdev bound and live. */
async function bound() {
  const shared = sharedFile();
  const coprocessor = made(shared.options);
  await coprocessor.start();
  const vdev = coprocessor.bindVdev(0, 41, 0);
  vdev.driverOk();
  const told: string[] = [];
  vdev.onLost((reason) => told.push(`vdev: ${reason}`));
  coprocessor.onExit((reason) => told.push(`owner: ${reason}`));
  return { shared, coprocessor, vdev, told, fd: shared.peer.accept() };
}

const TOLD = [`vdev: ${GONE}`, `owner: ${GONE}`];

describe('a co-processor whose memory is truncated', () => {
  it('is lost with that reason when we look at it', async () => {
    const { shared, coprocessor, vdev, told } = await bound();
    truncateSync(shared.path, 0);
    expect(vdev.readStatus()).toBe(0);
    expect(told).toEqual([]);
    await vi.waitFor(() => expect(told).toEqual(TOLD));
    expect(shared.log.filter((line) => !line.startsWith('debug'))).toEqual([`error hub: ${GONE}`]);
    expect(() => coprocessor.bindVdev(0, 41, 0)).toThrow('co-processor hub does not run');
    await coprocessor.close();
  });

  it('is not said to have reset its vdev, as the zero status of a call would mean', async () => {
    const { shared, told, fd } = await bound();
    truncateSync(shared.path, 0);
    call(fd, 1);
    await vi.waitFor(() => expect(told).toEqual(TOLD));
    expect(shared.log.filter((line) => !line.startsWith('debug'))).toEqual([`error hub: ${GONE}`]);
  });

  it('is not blamed for a driver that gives up for what it read there', async () => {
    const { shared, vdev, told } = await bound();
    truncateSync(shared.path, 0);
    expect(vdev.readStatus()).toBe(0);
    vdev.fail('used index 0 makes no sense');
    expect(told).toEqual([TOLD[0]]);
    expect(vdev.readStatus() & VDEV_STATUS.FAILED).toBe(0);
    await vi.waitFor(() => expect(told).toEqual(TOLD));
    expect(shared.log.filter((line) => !line.startsWith('debug'))).toEqual([`error hub: ${GONE}`]);
  });

  it('has its status reset where that part of the file is still there', async () => {
    const { shared, coprocessor, vdev, told } = await bound();
    truncateSync(shared.path, 0x1000);
    vdev.memory.require('buffer', BASE + 0x8000, 1, 1).u8[0x8000] = 1;
    await vi.waitFor(() => expect(told).toEqual(TOLD));
    expect(shared.vdev().status & VDEV_STATUS.DRIVER_OK).not.toBe(0);
    await coprocessor.close();
    expect(shared.vdev().status).toBe(0);
  });

  it('is named by the region that is gone', async () => {
    const shared = sharedFile();
    const second = zeroFile(join(scratchFolder(), 'more-ram'), SIZE);
    const coprocessor = made({
      ...shared.options,
      memory: [...shared.options.memory, { type: 'file', path: second, deviceAddress: 0x3000_0000 }],
    });
    await coprocessor.start();
    const told: string[] = [];
    coprocessor.onExit((reason) => told.push(reason));
    const vdev = coprocessor.bindVdev(0, 41, 0);
    truncateSync(second, 0);
    vdev.driverOk();
    expect(vdev.memory.require('byte', 0x3000_0000, 1, 1).u8[5]).toBe(0);
    await vi.waitFor(() => expect(told).toEqual([GONE.replaceAll('0x2000', '0x3000')]));
  });

  it('is refused with that reason while it starts', async () => {
    const shared = sharedFile();
    shared.memory.writeU32(BASE, 0);
    const starting = made(shared.options).start();
    const refused = expect(starting).rejects.toMatchObject({ code: 'ERR_MEMORY_LOST', message: GONE });
    await vi.waitFor(() => expect(shared.peer.accept()).toBeGreaterThan(0));
    truncateSync(shared.path, 0);
    await refused;
  });

  it('leaves nothing open, and can be had again when its memory is back', async () => {
    const { shared, coprocessor, vdev, told } = await bound();
    truncateSync(shared.path, 0);
    vdev.readStatus();
    await vi.waitFor(() => expect(told).toEqual(TOLD));
    await coprocessor.close();
    shared.close();
    closers.length = 0;
    expect(readdirSync('/proc/self/fd')).toHaveLength(DESCRIPTORS_AT_FIRST);

    const again = await bound();
    expect(again.vdev.readStatus() & VDEV_STATUS.DRIVER_OK).not.toBe(0);
    expect(again.told).toEqual([]);
  });
});

describe('the service of a chip whose memory is truncated', () => {
  it('goes on with the other chips', async () => {
    if (!existsSync(HUB)) throw new Error(`${HUB} is not built: npm run build`);
    const folder = scratchFolder();
    const path = zeroFile(join(folder, 'ram'), SIZE);
    const coprocessor = made({
      name: 'hub',
      memory: [{ type: 'file', path, deviceAddress: BASE }],
      resourceTable: { deviceAddress: BASE },
      doorbell: { type: 'eventfd' },
      exec: { command: [HUB, `--pins=${join(folder, 'pins')}`] },
    });
    await coprocessor.start();
    const poller = new Poller();
    onTestFinished(() => poller.close());
    const vdev = coprocessor.bindVdev(0, 41, WANTED_FEATURES);
    const options = { name: 'hub', where: 'hub', poller, requestTimeoutMs: 5000 };
    const hub = new ChipLines(await VirtioGpioChip.open(vdev, options), 'through');
    closers.push(() => hub.chip.close());
    const reasons: string[] = [];
    hub.onAvailability((available, reason) => reasons.push(`${available}: ${reason}`));
    const other = new ChipLines(new SimulatedChip('sim', 4));
    const served = new ServedDevice([hub, other], poller);
    const guest = await served.connect();
    const firstOther = hub.lines.length;
    const statusOf = async (gpio: number): Promise<number> =>
      (await guest.request(MSG_GET_VALUE, gpio)).status;
    await guest.request(MSG_SET_DIRECTION, 0, 2);
    expect([await statusOf(0), await statusOf(firstOther)]).toEqual([0, 0]);

    truncateSync(path, 0);
    // The firmware waits for its doorbell: it is we who touch the memory first.
    expect(vdev.readStatus()).toBe(0);
    await vi.waitFor(() => expect(reasons).toEqual([`false: ${GONE}`]));
    expect([await statusOf(0), await statusOf(firstOther)]).toEqual([1, 0]);
    expect(guest.closedReason).toBeNull();
  });
});
