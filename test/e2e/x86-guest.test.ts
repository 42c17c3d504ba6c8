import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LINE_NAMES } from './lab/firmware.ts';
import { GuestChip, kernelComplaints } from './lab/guest-chip.ts';
import { type HostHub, startHostHub } from './lab/host-hub.ts';
import { QemuX86Guest } from './lab/qemu-x86-guest.ts';
import { Resources } from './lab/resources.ts';
import { usesOfLines } from './lab/uses-of-lines.ts';

// QEMU's front-end is another than User-Mode Linux's: PCI with MSI-X, other messages in another order.
describe('an x86 guest of QEMU with vhost-user-gpio-pci', () => {
  const resources = new Resources();
  let hub: HostHub;
  let chip: GuestChip;

  beforeAll(async () => {
    hub = await startHostHub(resources);
    const guest = resources.add(await QemuX86Guest.boot({ gpioSocketPaths: [hub.socketPath] }));
    chip = await GuestChip.find(guest);
  });
  afterAll(() => resources.close());

  it('shows the lines with their names', async () => {
    expect(await chip.lineNames()).toEqual(LINE_NAMES);
  });

  usesOfLines(() => ({
    chip,
    wires: hub.pins,
    input: 'BUTTON',
    otherInput: 'IMU_INT',
    output: 'LED_STATUS',
  }));

  it('leaves nothing to complain about in the guest', async () => {
    expect(await kernelComplaints(chip.guest)).toEqual([]);
  });
});
