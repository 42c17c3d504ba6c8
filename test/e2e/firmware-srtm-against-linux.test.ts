import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildFirmware } from './lab/firmware.ts';
import { kernelComplaints } from './lab/guest-chip.ts';
import { LabProcess } from './lab/lab-process.ts';
import { PinsClient } from './lab/pins-client.ts';
import { Resources } from './lab/resources.ts';
import { ScratchFolder } from './lab/scratch-folder.ts';
import { UmlGuest } from './lab/uml-guest.ts';

const VIRTIO_ID_RPMSG = 7;
/** The channel's device, as Linux names it: bus, channel, its own address (any), the firmware's. */
const CHANNEL = 'virtio0.rpmsg-io-channel.-1.30';

// Linux's own virtio_rpmsg_bus, rpmsg_ns and rpmsg_char, and the remote side of rpmsg in the firmware's library.
describe('the firmware library with SRTM as a vhost-user back-end of a Linux guest', () => {
  const resources = new Resources();
  let guest: UmlGuest;
  let pins: PinsClient;

  beforeAll(async () => {
    const folder = resources.add(new ScratchFolder());
    const socketPath = folder.file('rpmsg.sock');
    const pinsPath = folder.file('pins.sock');
    const firmware = resources.add(
      new LabProcess({
        name: 'vhost-user-sensor-hub',
        command: [
          buildFirmware('vhost-user'),
          `--socket-path=${socketPath}`,
          `--pins=${pinsPath}`,
          '--dialect=srtm',
        ],
      }),
    );
    pins = resources.add(await PinsClient.open(pinsPath, () => firmware.ended));
    guest = resources.add(await UmlGuest.boot({ devices: [{ socketPath, deviceId: VIRTIO_ID_RPMSG }] }));
  });
  afterAll(() => resources.close());

  async function run(command: string): Promise<string> {
    const { exitCode, stdout, stderr } = await guest.run(command);
    if (exitCode === 0) return stdout;
    const { stdout: log } = await guest.run('dmesg | tail -n 20');
    throw new Error(`${command} ended with ${exitCode}: ${stdout}${stderr}\n${log}`);
  }

  /** Opens the channel, then writes a message and reads one, for each word. */
  async function converse(...messages: readonly string[]): Promise<string[]> {
    const words = messages.map((hex) => hex.replaceAll(/../g, (byte) => `\\\\x${byte}`)).join(' ');
    const output = await run(
      `exec 3<>/dev/rpmsg0; for word in ${words}; do printf "$word" >&3; dd bs=512 count=1 <&3 2>/dev/null | hexdump -v -e '1/1 "%02x"'; echo; done`,
    );
    return output.trim().split('\n');
  }

  it('announces its channel, and Linux makes a device of it', async () => {
    await run(`while [ ! -e /sys/bus/rpmsg/devices/${CHANNEL} ]; do usleep 10000; done`);
    const bind = `echo rpmsg_chrdev > ${CHANNEL}/driver_override; echo ${CHANNEL} > ../drivers/rpmsg_chrdev/bind`;
    await run(`cd /sys/bus/rpmsg/devices; ${bind}`);
    await run('while [ ! -e /dev/rpmsg0 ]; do usleep 10000; done');
  });

  it('answers requests that Linux carries', async () => {
    await pins.set('IMU_INT', 1);
    expect(
      await converse(
        '05010000020000000000000000000000',
        '05010000010000000000000101000000',
        '05010000030000000000000100000000',
      ),
    ).toEqual([
      '0501000102000000000000000001',
      '0501000101000000000000010000',
      '0501000103000000000000010000',
    ]);
    expect(await pins.get('LED_STATUS')).toBe(1);
  });

  it('answers more requests than there are buffers', async () => {
    const output = await run(
      `exec 3<>/dev/rpmsg0; for i in $(seq 300); do printf '\\x05\\x01\\x02\\x00\\x02\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00' >&3; dd bs=512 count=1 <&3 2>/dev/null; done | wc -c`,
    );
    expect(Number(output)).toBe(300 * 14);
  });

  it('tells an edge, once, until it is asked again', async () => {
    // Input-init of line 1, both edges; then two messages.
    const output = guest.start(
      `sh -c 'exec 3<>/dev/rpmsg0; printf "\\x05\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x01\\x00\\x03\\x00" >&3; for i in 1 2; do dd bs=512 count=1 <&3 2>/dev/null | hexdump -v -e "1/1 \\"%02x\\""; echo; done'`,
    );
    await output.stdout.waitFor(/^0501000100000000000001000000$/);
    await pins.set('BARO_DRDY', 1);
    expect((await output.exit()).stdout).toBe('0501000100000000000001000000\n050100020000000000000100\n');
  });

  it('leaves nothing to complain about in the guest', async () => {
    expect(await kernelComplaints(guest)).toEqual([]);
  });
});
