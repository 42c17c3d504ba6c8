import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildFirmware, LINE_NAMES, offsetOf } from './lab/firmware.ts';
import { Gateway } from './lab/gateway.ts';
import { GuestChip, kernelComplaints } from './lab/guest-chip.ts';
import { PinsClient } from './lab/pins-client.ts';
import { QemuX86Guest } from './lab/qemu-x86-guest.ts';
import { Resources } from './lab/resources.ts';
import { ScratchFolder } from './lab/scratch-folder.ts';

const KILLS = 5;
const INPUT = 'BUTTON';
const OUTPUT = 'LED_STATUS';

// QEMU 7.2 connects again when the service is back, and begins at the used index: it uses no INFLIGHT_SHMFD for this device.
describe('a guest of QEMU with reconnect=1, whose service is killed', () => {
  const resources = new Resources();
  let gateway: Gateway;
  let pins: PinsClient;
  let chip: GuestChip;
  let start: () => Promise<void>;

  beforeAll(async () => {
    const folder = resources.add(new ScratchFolder());
    const socketPath = folder.file('vm1.sock');
    start = async () => {
      // The firmware is the service's child and ends with it: its socket is another one each time.
      const pinsPath = folder.file(`pins${Math.random()}.sock`);
      gateway = resources.add(
        await Gateway.serve(folder.file('config.yaml'), {
          coprocessors: {
            hub: {
              memory: [{ type: 'memfd', sizeBytes: 0x4_0000, deviceAddress: 0x2000_0000 }],
              resourceTable: { deviceAddress: 0x2000_0000 },
              doorbell: { type: 'eventfd' },
              exec: { command: [buildFirmware('host'), `--pins=${pinsPath}`] },
            },
          },
          chips: { hub: { coprocessor: 'hub', vdev: 0 } },
          exports: { vm1: { socket: socketPath, lines: ['hub/*'] } },
          control: { socket: folder.file('control.sock') },
        }),
      );
      pins = resources.add(await PinsClient.open(pinsPath, () => gateway.process.ended));
    };
    await start();
    const guest = resources.add(await QemuX86Guest.boot({ gpioSocketPaths: [socketPath], reconnects: true }));
    chip = await GuestChip.find(guest);
  });
  afterAll(() => resources.close());

  it('has its requests go on: none fails, none hangs', async () => {
    const { guest, name } = chip;
    const input = offsetOf(INPUT);
    expect(await chip.lineNames()).toEqual(LINE_NAMES);
    // Requests without a pause; each round prints the level, or that it failed.
    const traffic = guest.start(`sh -c 'while :; do gpioget ${name} ${input} || echo failed; done'`);
    await traffic.stdout.waitForCount(3);
    for (let kill = 0; kill < KILLS; kill++) {
      gateway.process.kill('SIGKILL');
      await gateway.process.exited;
      await start();
      // The level of the new service's pin: no answer of before is taken for one of now.
      const before = traffic.stdout.lines.length;
      await pins.set(INPUT, 1);
      await traffic.stdout.waitForCount(before + 5);
      expect(traffic.stdout.lines.slice(-2)).toEqual(['1', '1']);
    }
    await traffic.stop();
    expect(traffic.stdout.lines).not.toContain('failed');
    // And writes reach the co-processor.
    const holder = chip.hold(`${offsetOf(OUTPUT)}=1`);
    await pins.waitForLevel(OUTPUT, 1);
    await chip.release(holder);
  });

  it('has nothing to complain about', async () => {
    expect(await kernelComplaints(chip.guest)).toEqual([]);
  });
});
