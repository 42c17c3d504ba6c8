import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LINE_NAMES, offsetOf } from './lab/firmware.ts';
import { Gateway } from './lab/gateway.ts';
import { GuestChip } from './lab/guest-chip.ts';
import { PinsClient } from './lab/pins-client.ts';
import { Resources } from './lab/resources.ts';
import { ScratchFolder } from './lab/scratch-folder.ts';
import { UmlGuest, VIRTIO_ID_GPIO } from './lab/uml-guest.ts';

// What somebody without a board types first; it has to work with a real guest, too.
describe('rproc-gpio demo', () => {
  const resources = new Resources();
  let chip: GuestChip;
  let pins: PinsClient;

  beforeAll(async () => {
    const folder = resources.add(new ScratchFolder());
    const gateway = resources.add(await Gateway.demo(folder.path));
    pins = resources.add(await PinsClient.open(folder.file('pins.sock'), () => gateway.process.ended));
    const socketPath = folder.file('vm1.sock');
    const guest = await UmlGuest.boot({ devices: [{ socketPath, deviceId: VIRTIO_ID_GPIO }] });
    chip = await GuestChip.find(resources.add(guest));
  });
  afterAll(() => resources.close());

  it('offers the lines of the example firmware to a guest', async () => {
    expect(await chip.lineNames()).toEqual(LINE_NAMES);
  });

  it('carries an edge from the outside to the guest, and a level from the guest to the outside', async () => {
    const monitor = await chip.monitor([offsetOf('IMU_INT')]);
    await pins.set('IMU_INT', 1);
    expect(await monitor.stdout.waitForCount(1)).toEqual([`1 ${offsetOf('IMU_INT')}`]);
    const holder = chip.hold(`${offsetOf('LED_STATUS')}=1`);
    await pins.waitForLevel('LED_STATUS', 1);
    await chip.release(holder);
    await monitor.stop();
  });
});
