import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildFirmware, LINE_NAMES } from './lab/firmware.ts';
import { GuestChip, kernelComplaints } from './lab/guest-chip.ts';
import { LabProcess } from './lab/lab-process.ts';
import { PinsClient } from './lab/pins-client.ts';
import { Resources } from './lab/resources.ts';
import { ScratchFolder } from './lab/scratch-folder.ts';
import { UmlGuest, VIRTIO_ID_GPIO } from './lab/uml-guest.ts';
import { usesOfLines } from './lab/uses-of-lines.ts';

// The firmware's library without our service in between: what it does here is what Linux itself expects of it.
describe('the firmware library as a vhost-user back-end of a Linux guest', () => {
  const resources = new Resources();
  let guest: UmlGuest;
  let chip: GuestChip;
  let pins: PinsClient;

  beforeAll(async () => {
    const folder = resources.add(new ScratchFolder());
    const socketPath = folder.file('gpio.sock');
    const pinsPath = folder.file('pins.sock');
    const firmware = resources.add(
      new LabProcess({
        name: 'vhost-user-sensor-hub',
        command: [buildFirmware('vhost-user'), `--socket-path=${socketPath}`, `--pins=${pinsPath}`],
      }),
    );
    pins = resources.add(await PinsClient.open(pinsPath, () => firmware.ended));
    guest = resources.add(await UmlGuest.boot({ devices: [{ socketPath, deviceId: VIRTIO_ID_GPIO }] }));
    chip = await GuestChip.find(guest);
  });
  afterAll(() => resources.close());

  it('shows its lines with their names', async () => {
    expect(await chip.lineNames()).toEqual(LINE_NAMES);
  });

  usesOfLines(() => ({ chip, wires: pins, input: 'BUTTON', otherInput: 'IMU_INT', output: 'LED_STATUS' }));

  it('leaves nothing to complain about in the guest', async () => {
    expect(await kernelComplaints(guest)).toEqual([]);
  });
});
