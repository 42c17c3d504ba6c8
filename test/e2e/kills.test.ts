import { readFileSync, renameSync, symlinkSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildFirmware, offsetOf } from './lab/firmware.ts';
import { Gateway } from './lab/gateway.ts';
import { GuestChip, kernelComplaints } from './lab/guest-chip.ts';
import { startHostHub } from './lab/host-hub.ts';
import { McuWires } from './lab/mcu-wires.ts';
import { PersistentGuest } from './lab/persistent-guest.ts';
import { PinsClient } from './lab/pins-client.ts';
import { GPIO_PORT_B, QemuMcu } from './lab/qemu-mcu.ts';
import { Resources } from './lab/resources.ts';
import { ScratchFolder } from './lab/scratch-folder.ts';
import { UmlGuest, VIRTIO_ID_GPIO } from './lab/uml-guest.ts';

const KILLS = 20;
/** A run of this length starts the pauses before restarts anew: 100 ms. */
const STABLE_MS = 1100;
const RETURN_LIMIT_MS = 30_000;

const LED = offsetOf('LED_STATUS');
const BUTTON = offsetOf('BUTTON');

let resources: Resources;
beforeEach(() => {
  resources = new Resources();
});
afterEach(() => resources.close());

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

function tell(what: string, returnsMs: readonly number[], guest: PersistentGuest): void {
  const all = returnsMs.map((ms) => Math.round(ms)).join(' ');
  process.stdout.write(
    `${what}: from kill -9 to the first request answered OK: median ${median(returnsMs).toFixed(1)} ms of ${all}; slowest answer ${guest.slowestMs.toFixed(1)} ms\n`,
  );
}

/** The process that the service has started as its co-processor. */
function firmwareOf({ process: { pid } }: Gateway): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
  expect(children).toHaveLength(1);
  return children[0] as number;
}

async function umlOn(socketPath: string): Promise<GuestChip> {
  const guest = await UmlGuest.boot({ devices: [{ socketPath, deviceId: VIRTIO_ID_GPIO }] });
  return GuestChip.find(resources.add(guest));
}

describe('firmware that is killed during traffic', () => {
  it.each([
    { what: 'firmware that streams levels', options: [] },
    { what: 'firmware of the plain standard', options: ['--plain'] },
  ])('as a process, twenty times in a row: $what', async ({ what, options }) => {
    const hub = await startHostHub(resources, options);
    const pinsPath = hub.pinsPath;
    const chip = await umlOn(hub.secondSocketPath);
    const monitor = await chip.monitor([BUTTON]);
    const guest = resources.add(await PersistentGuest.drive(hub.socketPath, LED));
    let { pins } = hub;
    const returnsMs: number[] = [];
    for (let round = 0; round < KILLS; round++) {
      await guest.toggleFor(STABLE_MS);
      // The board's button is up, at 1, whenever the firmware starts: an edge is owed to those who saw it pressed.
      await pins.set('BUTTON', 0);
      await monitor.stdout.waitForCount(2 * round + 1);
      const pid = firmwareOf(hub.gateway);
      const killedAtMs = performance.now();
      process.kill(pid, 'SIGKILL');
      returnsMs.push(await guest.toggleUntilServed(killedAtMs, RETURN_LIMIT_MS));
      expect(firmwareOf(hub.gateway)).not.toBe(pid);
      pins.close();
      pins = await PinsClient.open(pinsPath, () => hub.gateway.process.ended);
      // The first request after the return has changed the pin.
      expect(await pins.get('LED_STATUS')).toBe(guest.level);
      await monitor.stdout.waitForCount(2 * round + 2);
    }
    await guest.toggleFor(STABLE_MS);
    expect(await pins.get('LED_STATUS')).toBe(guest.level);
    expect(await guest.get(LED)).toBe(guest.level);
    for (const level of [0, 1] as const) {
      await pins.set('BUTTON', level);
      await monitor.stdout.waitForCount(2 * KILLS + (level === 0 ? 1 : 2));
      expect([await pins.get('BUTTON'), await guest.get(BUTTON)]).toEqual([level, level]);
    }
    await monitor.stop();
    const edges = Array.from({ length: KILLS + 1 }, () => [`0 ${BUTTON}`, `1 ${BUTTON}`]).flat();
    expect(monitor.stdout.lines).toEqual(edges);
    expect(await chip.get(BUTTON)).toEqual([1]);
    expect(await kernelComplaints(chip.guest)).toEqual([]);
    const said = hub.gateway.process.stderr.lines.filter((line) => /^(error|warn): /.test(line));
    expect(said.filter((line) => !/SIGKILL \(9\).*; starting it again in 100 ms$/.test(line))).toEqual([]);
    expect(said).toHaveLength(KILLS);
    tell(what, returnsMs, guest);
    pins.close();
  });

  it('on a microcontroller, twenty times in a row', async () => {
    const elf = buildFirmware('lm3s6965evb');
    const folder = resources.add(new ScratchFolder());
    const socketPath = folder.file('vm1.sock');
    /** Memory and doorbell of the board have names that stay, as a board's have; each start of the emulator makes new ones. */
    const connect = (mcu: QemuMcu): void => {
      for (const [name, target] of [
        ['sram', mcu.sharedMemoryPath],
        ['doorbell', mcu.doorbellPath],
      ] as const) {
        symlinkSync(target, folder.file(`${name}.new`));
        renameSync(folder.file(`${name}.new`), folder.file(name));
      }
    };
    let mcu = resources.add(await QemuMcu.start(elf));
    connect(mcu);
    const gateway = resources.add(
      await Gateway.serve(folder.file('config.yaml'), {
        coprocessors: {
          hub: {
            memory: [
              { type: 'file', path: folder.file('sram'), sizeBytes: 0x1_0000, deviceAddress: 0x2000_0000 },
            ],
            resourceTable: { elf },
            doorbell: { type: 'socket', path: folder.file('doorbell') },
            // An emulated processor may stand still for as long as the machine is busy with others.
            requestTimeoutMs: 450,
          },
        },
        chips: { hub: { coprocessor: 'hub', vdev: 0 } },
        exports: { vm1: { socket: socketPath, lines: ['hub/*'] } },
      }),
    );
    const guest = resources.add(await PersistentGuest.drive(socketPath, LED));
    const returnsMs: number[] = [];
    for (let round = 0; round < KILLS; round++) {
      await guest.toggleFor(STABLE_MS);
      const killedAtMs = performance.now();
      mcu.process.kill('SIGKILL');
      const returned = guest.toggleUntilServed(killedAtMs, RETURN_LIMIT_MS);
      const ended = mcu;
      mcu = resources.add(await QemuMcu.start(elf));
      const wires = await McuWires.attach(mcu, GPIO_PORT_B);
      connect(mcu);
      returnsMs.push(await returned);
      await ended.close();
      await wires.waitForLevel('LED_STATUS', guest.level as 0 | 1);
      await wires.set('BUTTON', 1);
      // The emulator takes its time to bring the level to the pin.
      while ((await guest.get(BUTTON)) !== 1) expect(gateway.process.ended).toBeUndefined();
    }
    expect(await guest.get(LED)).toBe(guest.level);
    expect(gateway.process.ended).toBeUndefined();
    tell('microcontroller, its restart included', returnsMs, guest);
  });
});

describe('firmware as a process that', () => {
  it('crashes is started again, with its outputs as they were', async () => {
    const hub = await startHostHub(resources);
    const guest = resources.add(await PersistentGuest.drive(hub.socketPath, LED));
    await guest.toggle();
    expect(await hub.pins.get('LED_STATUS')).toBe(1);
    await expect(hub.pins.command('crash')).rejects.toThrow(/was closed/);
    await hub.gateway.process.stderr.waitFor(/^info: hub: is back after \d+ ms/);
    const pins = resources.add(await PinsClient.open(hub.pinsPath));
    // Answered once everything is what it was.
    expect(await guest.get(LED)).toBe(1);
    expect(await pins.get('LED_STATUS')).toBe(1);
  });

  it('hangs is served again when it goes on, and nothing is taken for an answer that is none', async () => {
    const hub = await startHostHub(resources);
    const guest = resources.add(await PersistentGuest.drive(hub.socketPath, LED));
    const pid = firmwareOf(hub.gateway);
    expect(await hub.pins.command('hang')).toBe('ok');
    const log = hub.gateway.process.stderr;
    const isGone = log.waitFor(/^error: hub: chip hub is gone: vdev 0 does not answer/);
    while (!log.lines.some((line) => /is gone/.test(line))) expect(await guest.toggle()).toBe(false);
    await isGone;
    const resumedAtMs = performance.now();
    expect(await hub.pins.command('resume')).toBe('ok');
    await guest.toggleUntilServed(resumedAtMs, RETURN_LIMIT_MS);
    expect(firmwareOf(hub.gateway)).toBe(pid);
    for (let i = 0; i < 100; i++) {
      expect(await guest.toggle()).toBe(true);
      expect(await hub.pins.get('LED_STATUS')).toBe(guest.level);
    }
  });

  it('hangs for long is killed and started again', async () => {
    const hub = await startHostHub(resources);
    const guest = resources.add(await PersistentGuest.drive(hub.socketPath, LED));
    const pid = firmwareOf(hub.gateway);
    expect(await hub.pins.command('hang')).toBe('ok');
    await guest.toggleUntilServed(performance.now(), RETURN_LIMIT_MS);
    expect(firmwareOf(hub.gateway)).not.toBe(pid);
    const pins = resources.add(await PinsClient.open(hub.pinsPath));
    expect(await pins.get('LED_STATUS')).toBe(guest.level);
  });
});
