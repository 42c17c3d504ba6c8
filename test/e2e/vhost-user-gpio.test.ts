import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Gateway } from './lab/gateway.ts';
import { GuestChip, kernelComplaints } from './lab/guest-chip.ts';
import { Resources } from './lab/resources.ts';
import { ScratchFolder } from './lab/scratch-folder.ts';
import { UmlGuest, VIRTIO_ID_GPIO } from './lab/uml-guest.ts';

// The form that other programs start as their back-end, and the one that needs no co-processor:
// line 2k of a simulated chip is wired to line 2k+1.
describe('rproc-gpio vhost-user-gpio with a simulated chip', () => {
  const resources = new Resources();
  let gateway: Gateway;
  let chip: GuestChip;

  beforeAll(async () => {
    const socketPath = resources.add(new ScratchFolder()).file('gpio.sock');
    gateway = resources.add(await Gateway.vhostUserGpio(socketPath, 'sim:4'));
    const guest = resources.add(await UmlGuest.boot({ devices: [{ socketPath, deviceId: VIRTIO_ID_GPIO }] }));
    chip = await GuestChip.find(guest);
  });
  afterAll(() => resources.close());

  it('shows the simulated lines', async () => {
    expect(await chip.lineNames()).toEqual(['sim0', 'sim1', 'sim2', 'sim3']);
  });

  it('carries levels and edges from one line to its neighbour', async () => {
    const monitor = await chip.monitor([1]);
    const holder = chip.hold('0=1', '2=1');
    expect(await monitor.stdout.waitForCount(1)).toEqual(['1 1']);
    expect(await chip.get(3)).toEqual([1]);
    await monitor.stop();
    await chip.release(holder);
  });

  it('leaves nothing to complain about in the guest, and ends on SIGTERM with success', async () => {
    expect(await kernelComplaints(chip.guest)).toEqual([]);
    gateway.process.kill('SIGTERM');
    await gateway.process.exited;
    expect(gateway.process.exitCode).toBe(0);
  });
});
