import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildFirmware, LINE_NAMES, offsetOf } from './lab/firmware.ts';
import { Gateway } from './lab/gateway.ts';
import { GuestChip, kernelComplaints } from './lab/guest-chip.ts';
import { McuWires } from './lab/mcu-wires.ts';
import { GPIO_PORT_B, QemuMcu } from './lab/qemu-mcu.ts';
import { Resources } from './lab/resources.ts';
import { ScratchFolder } from './lab/scratch-folder.ts';
import { UmlGuest, VIRTIO_ID_GPIO } from './lab/uml-guest.ts';
import { usesOfLines } from './lab/uses-of-lines.ts';

// The whole chain on real instruction sets: the pin of an emulated Cortex-M3, its firmware, its RAM as
// shared memory, its UART as doorbell, the service, a Linux guest's own driver and tools.
describe('a Linux guest and the firmware of a Cortex-M3', () => {
  const resources = new Resources();
  let chip: GuestChip;
  let wires: McuWires;

  beforeAll(async () => {
    const elf = buildFirmware('lm3s6965evb');
    const mcu = resources.add(await QemuMcu.start(elf));
    wires = await McuWires.attach(mcu, GPIO_PORT_B);
    const folder = resources.add(new ScratchFolder());
    const socketPath = folder.file('vm1.sock');
    resources.add(
      await Gateway.serve(folder.file('config.yaml'), {
        coprocessors: {
          hub: {
            memory: [
              { type: 'file', path: mcu.sharedMemoryPath, sizeBytes: 0x1_0000, deviceAddress: 0x2000_0000 },
            ],
            resourceTable: { elf },
            doorbell: { type: 'socket', path: mcu.doorbellPath },
          },
        },
        chips: { hub: { coprocessor: 'hub', vdev: 0 } },
        exports: { vm1: { socket: socketPath, lines: ['hub/*'] } },
      }),
    );
    const guest = resources.add(await UmlGuest.boot({ devices: [{ socketPath, deviceId: VIRTIO_ID_GPIO }] }));
    chip = await GuestChip.find(guest);
  });
  afterAll(() => resources.close());

  it('shows the lines with their names', async () => {
    expect(await chip.lineNames()).toEqual(LINE_NAMES);
  });

  usesOfLines(() => ({
    chip,
    wires,
    input: 'BUTTON',
    otherInput: 'IMU_INT',
    output: 'LED_STATUS',
  }));

  it('keeps the lines of a port apart', async () => {
    const holder = chip.hold(`${offsetOf('LED_ERROR')}=1`, `${offsetOf('SENSOR_PWR_EN')}=1`);
    await wires.waitForLevel('LED_ERROR', 1);
    await wires.waitForLevel('SENSOR_PWR_EN', 1);
    for (const untouched of ['SENSOR_RST', 'BUZZER']) expect(wires.changesOf(untouched)).toEqual([]);
    await chip.release(holder);
  });

  it('leaves nothing to complain about in the guest', async () => {
    expect(await kernelComplaints(chip.guest)).toEqual([]);
  });
});
