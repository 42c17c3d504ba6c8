import { existsSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LINE_NAMES, offsetOf } from './lab/firmware.ts';
import { GuestChip, kernelComplaints } from './lab/guest-chip.ts';
import { type HostHub, startHostHub } from './lab/host-hub.ts';
import { PinsClient } from './lab/pins-client.ts';
import { Resources } from './lab/resources.ts';
import { UmlGuest, VIRTIO_ID_GPIO } from './lab/uml-guest.ts';
import { usesOfLines } from './lab/uses-of-lines.ts';

async function boot(resources: Resources, socketPath: string): Promise<GuestChip> {
  const guest = await UmlGuest.boot({ devices: [{ socketPath, deviceId: VIRTIO_ID_GPIO }] });
  return GuestChip.find(resources.add(guest));
}

describe.each([
  { what: 'firmware that streams levels', options: [] },
  { what: 'firmware of the plain standard', options: ['--plain'] },
  { what: 'firmware whose vrings the service places', options: ['--vrings=any'] },
])('a Linux guest and $what', ({ options }) => {
  const resources = new Resources();
  let hub: HostHub;
  let chip: GuestChip;

  beforeAll(async () => {
    hub = await startHostHub(resources, options);
    chip = await boot(resources, hub.socketPath);
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

  it('follows an output that is wired to an input', async () => {
    const monitor = await chip.monitor([offsetOf('LOOP_IN')]);
    const high = chip.hold(`${offsetOf('LOOP_OUT')}=1`);
    await monitor.stdout.waitForCount(1);
    await chip.release(high);
    // What a released output's wire does is the board's affair: drive it low, whatever came before.
    const low = chip.hold(`${offsetOf('LOOP_OUT')}=0`);
    await monitor.stdout.waitForCount(2);
    await chip.release(low);
    await monitor.stop();
    expect(monitor.stdout.lines).toEqual([`1 ${offsetOf('LOOP_IN')}`, `0 ${offsetOf('LOOP_IN')}`]);
  });

  it('survives more edges than anybody can tell, and ends with the right level', async () => {
    const offset = offsetOf('BUTTON');
    await hub.pins.set('BUTTON', 0);
    const monitor = await chip.monitor([offset]);
    await hub.pins.burst('BUTTON', 10_001);
    await monitor.stdout.waitForCount(1);
    await monitor.stop();
    expect(await chip.get(offset)).toEqual([1]);
    const after = await chip.monitor([offset]);
    await hub.pins.set('BUTTON', 0);
    expect(await after.stdout.waitForCount(1)).toEqual([`0 ${offset}`]);
    await after.stop();
  });

  it('leaves nothing to complain about in the guest', async () => {
    expect(await kernelComplaints(chip.guest)).toEqual([]);
  });
});

describe('two Linux guests that share the lines of one co-processor', () => {
  let resources: Resources;
  let hub: HostHub;
  let first: GuestChip;
  let second: GuestChip;

  beforeEach(async () => {
    resources = new Resources();
    hub = await startHostHub(resources);
    first = await boot(resources, hub.socketPath);
    second = await boot(resources, hub.secondSocketPath);
  });
  afterEach(() => resources.close());

  it('are both told the edges of an input, also after one has stopped to watch', async () => {
    const offset = offsetOf('LID_OPEN');
    const both = [await first.monitor([offset]), await second.monitor([offset])];
    await hub.pins.set('LID_OPEN', 1);
    for (const monitor of both) expect(await monitor.stdout.waitForCount(1)).toEqual([`1 ${offset}`]);
    await both[0]?.stop();
    await hub.pins.set('LID_OPEN', 0);
    expect(await both[1]?.stdout.waitForCount(2)).toEqual([`1 ${offset}`, `0 ${offset}`]);
  });

  it('cannot drive an output that the other one drives, until that one lets go of it', async () => {
    const offset = offsetOf('LED_ERROR');
    const owner = first.hold(`${offset}=1`);
    await hub.pins.waitForLevel('LED_ERROR', 1);
    const refused = await second.hold(`${offset}=0`).exit();
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stderr).toMatch(/gpioset/);
    expect(await hub.pins.get('LED_ERROR')).toBe(1);

    await first.release(owner);
    const next = second.hold(`${offset}=0`);
    await hub.pins.waitForLevel('LED_ERROR', 0);
    await second.release(next);
  });

  it('lose their outputs when they are switched off, and nobody else loses anything', async () => {
    const offset = offsetOf('BUZZER');
    const monitor = await second.monitor([offsetOf('TAMPER')]);
    first.hold(`${offset}=1`);
    await hub.pins.waitForLevel('BUZZER', 1);
    await (first.guest as UmlGuest).close();

    const next = second.hold(`${offset}=0`);
    await hub.pins.waitForLevel('BUZZER', 0);
    await second.release(next);
    await hub.pins.set('TAMPER', 1);
    expect(await monitor.stdout.waitForCount(1)).toEqual([`1 ${offsetOf('TAMPER')}`]);

    const again = await boot(resources, hub.socketPath);
    expect(await again.lineNames()).toEqual(LINE_NAMES);
  });
});

describe('a Linux guest whose co-processor fails', () => {
  let resources: Resources;
  let hub: HostHub;
  let chip: GuestChip;

  beforeEach(async () => {
    resources = new Resources();
    hub = await startHostHub(resources);
    chip = await boot(resources, hub.socketPath);
  });
  afterEach(() => resources.close());

  /** Linux waits for an answer for ever; gpio-virtio makes EINVAL of the answer ERR. */
  async function expectRefusal(): Promise<void> {
    expect(await chip.guest.run(`gpioget ${chip.name} ${offsetOf('IMU_INT')}`)).toEqual({
      exitCode: 1,
      stdout: '',
      stderr: 'gpioget: error reading GPIO values: Invalid argument\n',
    });
  }

  it('is refused while the firmware hangs, and served again when it goes on', async () => {
    const monitor = await chip.monitor([offsetOf('BUTTON')]);
    await hub.pins.set('IMU_INT', 1);
    expect(await hub.pins.command('hang')).toBe('ok');
    await expectRefusal();
    expect(await hub.pins.command('resume')).toBe('ok');
    // Linux asked often enough for it to be taken for hung.
    await hub.gateway.process.stderr.waitFor(/^info: hub: is back after/);
    expect(await chip.get(offsetOf('IMU_INT'))).toEqual([1]);
    await hub.pins.set('BUTTON', 0);
    expect(await monitor.stdout.waitForCount(1)).toEqual([`0 ${offsetOf('BUTTON')}`]);
    await monitor.stop();
  });

  it('is served again once the firmware has crashed, with a line still watched', async () => {
    const monitor = await chip.monitor([offsetOf('BUTTON')]);
    await expect(hub.pins.command('crash')).rejects.toThrow(/was closed/);
    await hub.gateway.process.stderr.waitFor(/^info: hub: is back after/);
    expect(await chip.get(offsetOf('IMU_INT'))).toEqual([0]);
    const pins = resources.add(await PinsClient.open(hub.pinsPath, () => hub.gateway.process.ended));
    await pins.set('BUTTON', 0);
    expect(await monitor.stdout.waitForCount(1)).toEqual([`0 ${offsetOf('BUTTON')}`]);
    await monitor.stop();
  });
});

describe('the service with a guest connected', () => {
  it('ends on SIGTERM with success, its sockets removed and its firmware gone', async () => {
    const resources = new Resources();
    try {
      const hub = await startHostHub(resources);
      await boot(resources, hub.socketPath);
      const watch = await hub.pins.watch('*');
      hub.gateway.process.kill('SIGTERM');
      await hub.gateway.process.exited;
      expect(hub.gateway.process.exitCode).toBe(0);
      expect(existsSync(hub.socketPath)).toBe(false);
      // The firmware's end closes its sockets.
      await expect(watch.waitFor(/^never$/)).rejects.toThrow(/was closed/);
    } finally {
      await resources.close();
    }
  });
});
