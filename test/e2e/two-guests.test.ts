import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type LINE_NAMES, offsetOf } from './lab/firmware.ts';
import { type GuestChip, kernelComplaints } from './lab/guest-chip.ts';
import type { GuestProgram } from './lab/guest-console.ts';
import { Resources } from './lab/resources.ts';
import { SharedHub } from './lab/shared-hub.ts';

describe('two Linux guests at once', () => {
  const resources = new Resources();
  let hub: SharedHub;
  let first: GuestChip;
  let second: GuestChip;

  beforeAll(async () => {
    hub = await SharedHub.start(resources, {
      exports: { vm1: { lines: ['hub/*'] }, vm2: { lines: ['hub/*'] } },
    });
    [first, second] = await Promise.all([hub.boot(resources, 'vm1'), hub.boot(resources, 'vm2')]);
  });
  afterEach(() => Promise.all([first.guest.stopAll(), second.guest.stopAll()]));
  afterAll(() => resources.close());

  /** Toggles a line and waits for all monitors to have told it: edges that come faster may be merged by the standard. */
  async function toggle(line: string, levels: readonly (0 | 1)[], monitors: readonly Told[]): Promise<void> {
    for (const level of levels) {
      await hub.pins.set(line, level);
      for (const told of monitors) {
        if (told.levels.includes(level)) told.count += 1;
        await told.monitor.stdout.waitForCount(told.count);
      }
    }
  }

  interface Told {
    readonly monitor: GuestProgram;
    readonly levels: readonly (0 | 1)[];
    count: number;
  }

  async function watch(chip: GuestChip, line: (typeof LINE_NAMES)[number], edges: string): Promise<Told> {
    const levels = { both: [0, 1], rising: [1], falling: [0] }[edges] as (0 | 1)[];
    const option = edges === 'both' ? '' : `--${edges}-edge`;
    return { monitor: await chip.monitor([offsetOf(line)], option), levels, count: 0 };
  }

  it('see all the edges of the same inputs, each the ones that it asked for', async () => {
    await hub.pins.set('IMU_INT', 0);
    await hub.pins.set('LID_OPEN', 0);
    const imu = [
      await watch(first, 'IMU_INT', 'rising'),
      await watch(second, 'IMU_INT', 'both'),
      await watch(first, 'LID_OPEN', 'both'),
      await watch(second, 'LID_OPEN', 'falling'),
    ] as const;
    await toggle('IMU_INT', [1, 0, 1, 0, 1], [imu[0], imu[1]]);
    await toggle('LID_OPEN', [1, 0, 1, 0], [imu[2], imu[3]]);
    const told = await Promise.all(imu.map(async ({ monitor }) => (await monitor.stop()).stdout));
    const lines = (levels: readonly number[], name: (typeof LINE_NAMES)[number]) =>
      levels.map((level) => `${level} ${offsetOf(name)}\n`).join('');
    expect(told).toEqual([
      lines([1, 1, 1], 'IMU_INT'),
      lines([1, 0, 1, 0, 1], 'IMU_INT'),
      lines([1, 0, 1, 0], 'LID_OPEN'),
      lines([0, 0], 'LID_OPEN'),
    ]);
  });

  it('are not disturbed when the other asks for other edges, or for none', async () => {
    await hub.pins.set('MAG_DRDY', 0);
    const staying = await watch(first, 'MAG_DRDY', 'both');
    await toggle('MAG_DRDY', [1, 0], [staying]);
    const rising = await watch(second, 'MAG_DRDY', 'rising');
    await toggle('MAG_DRDY', [1, 0], [staying, rising]);
    await rising.monitor.stop();
    await toggle('MAG_DRDY', [1, 0], [staying]);
    const falling = await watch(second, 'MAG_DRDY', 'falling');
    await toggle('MAG_DRDY', [1, 0, 1], [staying, falling]);
    await staying.monitor.stop();
    await toggle('MAG_DRDY', [0], [falling]);
    expect(staying.monitor.stdout.lines).toHaveLength(9);
    expect(rising.monitor.stdout.lines).toHaveLength(1);
    expect(falling.monitor.stdout.lines).toHaveLength(2);
  });

  it('end with the right levels after a burst that both watch', async () => {
    await hub.pins.set('BUTTON', 0);
    const monitors = [await watch(first, 'BUTTON', 'both'), await watch(second, 'BUTTON', 'both')];
    await hub.pins.burst('BUTTON', 10_001);
    for (const { monitor } of monitors) {
      await monitor.stdout.waitForCount(1);
      await monitor.stop();
    }
    for (const chip of [first, second]) expect(await chip.get(offsetOf('BUTTON'))).toEqual([1]);
    const after = await Promise.all([watch(first, 'BUTTON', 'both'), watch(second, 'BUTTON', 'both')]);
    await toggle('BUTTON', [0], after);
    for (const { monitor } of after) expect(monitor.stdout.lines).toEqual([`0 ${offsetOf('BUTTON')}`]);
  });

  it('each drive an output of their own, and not that of the other', async () => {
    const [led, error] = [offsetOf('LED_STATUS'), offsetOf('LED_ERROR')];
    const holders = [first.hold(`${led}=1`), second.hold(`${error}=1`)] as const;
    await hub.pins.waitForLevel('LED_STATUS', 1);
    await hub.pins.waitForLevel('LED_ERROR', 1);
    for (const [chip, offset] of [
      [first, error],
      [second, led],
    ] as const) {
      const { exitCode, stderr } = await chip.hold(`${offset}=0`).exit();
      expect(exitCode).not.toBe(0);
      expect(stderr).toMatch(/gpioset: .*Invalid argument/);
    }
    expect(await hub.pins.get('LED_STATUS')).toBe(1);
    expect(await hub.pins.get('LED_ERROR')).toBe(1);
    await first.release(holders[0]);
    await second.release(holders[1]);
    // The other way round.
    const swapped = [first.hold(`${error}=0`), second.hold(`${led}=0`)] as const;
    await hub.pins.waitForLevel('LED_STATUS', 0);
    await hub.pins.waitForLevel('LED_ERROR', 0);
    await first.release(swapped[0]);
    await second.release(swapped[1]);
  });

  it('show who owns what in the status', async () => {
    const holders = [
      first.hold(`${offsetOf('SENSOR_RST')}=1`),
      second.hold(`${offsetOf('BUZZER')}=1`),
    ] as const;
    await hub.pins.waitForLevel('SENSOR_RST', 1);
    await hub.pins.waitForLevel('BUZZER', 1);
    const { owners, exports } = await hub.status();
    expect(owners).toEqual([
      { line: 'hub/SENSOR_RST', owner: 'guest vm1' },
      { line: 'hub/BUZZER', owner: 'guest vm2' },
    ]);
    expect(exports).toMatchObject([
      { name: 'vm1', lines: 16, connected: true },
      { name: 'vm2', lines: 16, connected: true },
    ]);
    await first.release(holders[0]);
    await second.release(holders[1]);
    expect((await hub.status()).owners).toEqual([]);
  });

  it('leave nothing else to complain about in either', async () => {
    for (const chip of [first, second]) {
      // The driver complains of the one request that each was refused.
      expect(await kernelComplaints(chip.guest)).toEqual([
        expect.stringMatching(/GPIO request failed: \d+$/),
      ]);
    }
  });
});

describe('devices that are made of chosen lines', () => {
  const resources = new Resources();
  let hub: SharedHub;
  let chip: GuestChip;

  beforeAll(async () => {
    hub = await SharedHub.start(resources, {
      chips: { bench: { type: 'sim', lines: 2 } },
      exports: {
        vm1: {
          lines: [
            { line: 'hub/BUTTON', name: 'power-key', role: 'input' },
            'bench/*',
            { line: 'hub/LED_STATUS', role: 'output' },
            { line: 'hub/LED_ERROR', access: 'read' },
            { line: 'hub/LID_OPEN', debounceMs: 500 },
          ],
        },
        vm2: { lines: [{ line: 'hub/BUZZER', access: 'owner' }, 'hub/LED_ERROR'] },
      },
    });
    chip = await hub.boot(resources, 'vm1');
  });
  afterEach(() => chip.guest.stopAll());
  afterAll(() => resources.close());

  it('have lines of several chips in the order of the configuration', async () => {
    expect(await chip.lineNames()).toEqual([
      'power-key',
      'sim0',
      'sim1',
      'LED_STATUS',
      'LED_ERROR',
      'LID_OPEN',
    ]);
    const monitor = await chip.monitor([0, 2]);
    await hub.pins.set('BUTTON', 0);
    await monitor.stdout.waitForCount(1);
    const holder = chip.hold('1=1');
    expect(await monitor.stdout.waitForCount(2)).toEqual(['0 0', '1 2']);
    await monitor.stop();
    await chip.release(holder);
  });

  it('keep inputs from being driven, outputs from being watched, and read-only lines from both', async () => {
    for (const line of ['0=1', '4=1']) {
      const { exitCode, stderr } = await chip.hold(line).exit();
      expect(exitCode).not.toBe(0);
      expect(stderr).toMatch(/gpioset: .*Invalid argument/);
    }
    const { exitCode } = await chip.guest.run(`gpiomon --num-events=1 ${chip.name} 3`);
    expect(exitCode).not.toBe(0);
    const holder = chip.hold('3=1');
    await hub.pins.waitForLevel('LED_STATUS', 1);
    await chip.release(holder);
  });

  it('leave out what is shorter than the debounce period', async () => {
    await hub.pins.set('LID_OPEN', 0);
    const monitor = await chip.monitor([5]);
    const seen = await hub.pins.watch('LID_OPEN');
    await hub.pins.burst('LID_OPEN', 11, 2000);
    expect(await monitor.stdout.waitForCount(1)).toEqual(['1 5']);
    await hub.pins.set('LID_OPEN', 0);
    expect(await monitor.stdout.waitForCount(2)).toEqual(['1 5', '0 5']);
    await monitor.stop();
    expect(monitor.stdout.lines).toHaveLength(2);
    // The answer to `watch`, the burst, and the last one.
    expect(seen.lines).toHaveLength(1 + 11 + 1);
  });
});
