import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { LineEdge } from '../../src/wire/control.ts';
import { offsetOf } from './lab/firmware.ts';
import { type GuestChip, kernelComplaints } from './lab/guest-chip.ts';
import { Resources } from './lab/resources.ts';
import { SharedHub, type SharedHubSections } from './lab/shared-hub.ts';
import type { UmlGuest } from './lab/uml-guest.ts';

const SECTIONS = {
  exports: { vm1: { lines: ['hub/*'] } },
} satisfies SharedHubSections;

describe('somebody at a shell of the host, beside a guest', () => {
  const resources = new Resources();
  let hub: SharedHub;
  let chip: GuestChip;

  beforeAll(async () => {
    hub = await SharedHub.start(resources, SECTIONS);
    chip = await hub.boot(resources, 'vm1');
  });
  afterEach(() => chip.guest.stopAll());
  afterAll(() => resources.close());

  async function succeed(...parameters: readonly string[]): Promise<string> {
    const outcome = await hub.command(...parameters);
    expect(outcome).toMatchObject({ exitCode: 0, stderr: '' });
    return outcome.stdout;
  }

  it('is shown the chip and its lines', async () => {
    expect(await succeed('detect')).toMatch(/^hub \[.+\] \(16 lines\)\n$/);
    const info = await succeed('info', '--chip', 'hub');
    expect(info).toMatch(/^hub - 16 lines:\n/);
    expect(info.split('\n')[1]).toMatch(/^\tline {3}0:\t"IMU_INT" +\t/);
  });

  it('reads and drives lines', async () => {
    await hub.pins.set('BARO_DRDY', 1);
    expect(await succeed('get', 'BARO_DRDY', 'ALS_INT')).toBe('"BARO_DRDY"=active "ALS_INT"=inactive\n');
    expect(await succeed('get', '--numeric', 'BARO_DRDY', 'ALS_INT')).toBe('1 0\n');
    await succeed('set', 'LED_STATUS=1', 'LED_ERROR=on');
    // It has returned: the levels are there.
    expect(await hub.pins.get('LED_STATUS')).toBe(1);
    expect(await hub.pins.get('LED_ERROR')).toBe(1);
    await succeed('toggle', 'LED_STATUS');
    expect(await hub.pins.get('LED_STATUS')).toBe(0);
    await succeed('release', 'LED_STATUS', 'LED_ERROR');
  });

  it('and a guest both see the edges of a line', async () => {
    await hub.pins.set('TAMPER', 0);
    const monitor = await chip.monitor([offsetOf('TAMPER')]);
    const mon = hub.startCommand('mon', '-n', '4', '--format', '%o %e %l', 'TAMPER', 'BUTTON');
    resources.add(mon);
    await expect
      .poll(async () => (await succeed('info', 'BUTTON')).includes('command line'), { timeout: 60_000 })
      .toBe(true);
    for (const level of [1, 0] as const) {
      await hub.pins.set('TAMPER', level);
      await monitor.stdout.waitForCount(level === 1 ? 1 : 2);
    }
    await hub.pins.set('BUTTON', 0);
    await hub.pins.set('BUTTON', 1);
    await mon.exited;
    expect(mon.exitCode).toBe(0);
    // gpiomon of libgpiod 2: 1 = rising, 2 = falling.
    expect(mon.stdout.lines).toEqual(['7 1 TAMPER', '7 2 TAMPER', '5 2 BUTTON', '5 1 BUTTON']);
    await monitor.stop();
    expect(monitor.stdout.lines).toEqual(['1 7', '0 7']);
  });

  it('loses no edge of a burst', async () => {
    await hub.pins.set('LID_OPEN', 0);
    const mon = resources.add(hub.startCommand('mon', '--json', 'LID_OPEN', 'MAG_DRDY'));
    await expect
      .poll(async () => (await succeed('info', 'LID_OPEN')).includes('command line'), { timeout: 60_000 })
      .toBe(true);
    await hub.pins.burst('LID_OPEN', 10_001, 100);
    await hub.pins.set('MAG_DRDY', 1);
    await mon.stdout.waitFor(/"MAG_DRDY"/);
    mon.kill('SIGINT');
    await mon.exited;
    expect(mon.stderr.lines).toEqual([]);
    const edges = mon.stdout.lines.map((line): LineEdge => JSON.parse(line));
    const seqs = edges.filter(({ name }) => name === 'LID_OPEN').map(({ seq }) => seq);
    expect(seqs).toEqual(seqs.map((_, index) => (seqs[0] ?? 0) + index));
    expect(edges.findLast(({ name }) => name === 'LID_OPEN')).toMatchObject({ edge: 'rising', level: 1 });
    // The chip merges edges when a busy machine keeps the service from taking them; it says so.
    if (!edges.some(({ merged }) => merged)) expect(seqs).toHaveLength(10_001);
  });

  it('is told that a guest owns a line, and what the service does', async () => {
    const holder = chip.hold(`${offsetOf('BUZZER')}=1`);
    await hub.pins.waitForLevel('BUZZER', 1);
    const { exitCode, stderr } = await hub.command('set', 'BUZZER=0');
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^rproc-gpio: .*BUZZER.*busy: owned by guest vm1/);
    const status = await hub.status();
    expect(status).toMatchObject({
      pid: hub.gateway.process.pid,
      coprocessors: [{ name: 'hub', state: 'running' }],
      chips: [{ name: 'hub', lineCount: 16, available: true, coprocessor: 'hub' }],
      exports: [{ name: 'vm1', connected: true }],
      mqtt: null,
      owners: [{ line: 'hub/BUZZER', owner: 'guest vm1' }],
    });
    expect(status.exports[0]?.counters).toMatchObject({ errors: 0, badChains: {} });
    expect(status.exports[0]?.counters.requests).toBeGreaterThan(0);
    expect(await succeed('status')).toMatch(/guest vm1/);
    await chip.release(holder);
  });
});

describe('a changed configuration while a guest is connected', () => {
  const resources = new Resources();
  let hub: SharedHub;
  let chip: GuestChip;
  let other: UmlGuest;

  beforeAll(async () => {
    hub = await SharedHub.start(resources, SECTIONS);
    chip = await hub.boot(resources, 'vm1');
  });
  afterEach(() => chip.guest.stopAll());
  afterAll(() => resources.close());

  /** Runs `body` beside a guest that watches an input and drives an output, and does not notice. */
  async function undisturbed(body: () => Promise<void>): Promise<void> {
    await hub.pins.set('BUTTON', 0);
    const monitor = await chip.monitor([offsetOf('BUTTON')]);
    const holder = chip.hold(`${offsetOf('LED_STATUS')}=1`);
    await hub.pins.waitForLevel('LED_STATUS', 1);
    const wires = await hub.pins.watch('LED_STATUS');
    await body();
    await hub.pins.set('BUTTON', 1);
    expect(await monitor.stdout.waitForCount(1)).toEqual([`1 ${offsetOf('BUTTON')}`]);
    await monitor.stop();
    // Its first line answers `watch`.
    expect(wires.lines).toEqual(['ok']);
    expect((await hub.status()).owners).toContainEqual({ line: 'hub/LED_STATUS', owner: 'guest vm1' });
    await chip.release(holder);
  }

  it('that says the same changes nothing', async () => {
    await undisturbed(async () => {
      hub.configure(SECTIONS);
      expect(await hub.command('reload')).toMatchObject({ exitCode: 0 });
    });
  });

  it('adds a device and settings of lines with `reload`, and the guest does not notice', async () => {
    await undisturbed(async () => {
      hub.configure({
        exports: { ...SECTIONS.exports, vm2: { lines: ['hub/LED_*'] } },
        lineSettings: { LED_ERROR: { activeLow: true } },
      });
      const { exitCode, stdout, stderr } = await hub.command('reload');
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
      expect(stdout).toMatch(/vm2/);
      const second = await hub.boot(resources, 'vm2');
      other = second.guest as UmlGuest;
      expect(await second.lineNames()).toEqual(['LED_STATUS', 'LED_ERROR']);
      expect((await hub.command('get', 'LED_ERROR')).stdout).toBe('"LED_ERROR"=active\n');
      const refused = await second.hold('0=0').exit();
      expect(refused.exitCode).not.toBe(0);
    });
  });

  it('is refused with the reason when the device of a connected guest would be gone', async () => {
    await undisturbed(async () => {
      hub.configure(SECTIONS);
      const { exitCode, stderr } = await hub.command('reload');
      expect(exitCode).toBe(1);
      expect(stderr).toMatch(/vm2.*connected/);
      expect((await hub.command('get', 'LED_ERROR')).stdout).toBe('"LED_ERROR"=active\n');
    });
  });

  it('is applied on SIGHUP, too', async () => {
    const log = hub.gateway.process.stderr;
    await undisturbed(async () => {
      const from = log.lines.length;
      await other.close();
      await log.waitFor(/vm2.*disconnected/, { from });
      hub.gateway.process.kill('SIGHUP');
      await log.waitFor(/reloaded: .*vm2/, { from });
      await expect
        .poll(async () => (await hub.command('get', 'LED_ERROR')).stdout, { timeout: 60_000 })
        .toBe('"LED_ERROR"=inactive\n');
      expect((await hub.status()).exports.map(({ name }) => name)).toEqual(['vm1']);
    });
  });

  it('is refused with the reason when the device of the guest would have other lines', async () => {
    await undisturbed(async () => {
      hub.configure({ exports: { vm1: { lines: ['hub/LED_*'] } } });
      const { exitCode, stderr } = await hub.command('reload');
      expect(exitCode).toBe(1);
      expect(stderr).toMatch(/vm1.*16.*2|vm1.*2.*16/s);
      const { exports } = await hub.status();
      expect(exports).toMatchObject([{ name: 'vm1', lines: 16, connected: true }]);
    });
  });

  it('is refused with its place when it is wrong, and the service goes on', async () => {
    await undisturbed(async () => {
      hub.configure({ exports: { vm1: { lines: ['hub/NO_SUCH_LINE'] } } });
      const { exitCode, stderr } = await hub.command('reload');
      expect(exitCode).toBe(1);
      expect(stderr).toMatch(/NO_SUCH_LINE/);
    });
    expect(hub.gateway.process.ended).toBeUndefined();
  });

  it('leaves nothing to complain about in the guest', async () => {
    expect(await kernelComplaints(chip.guest)).toEqual([]);
  });
});

describe('a shell without a service', () => {
  it('is told so, and how to start one', async () => {
    const resources = new Resources();
    try {
      const hub = await SharedHub.start(resources, SECTIONS);
      hub.gateway.process.kill('SIGTERM');
      await hub.gateway.process.exited;
      expect(hub.gateway.process.exitCode).toBe(0);
      const { exitCode, stdout, stderr } = await hub.command('get', 'BUTTON');
      expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
      expect(stderr).toMatch(/^rproc-gpio: no rproc-gpio service listens on .*rproc-gpio serve/);
    } finally {
      await resources.close();
    }
  });
});
