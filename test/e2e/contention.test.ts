import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { LineOutcome } from '../../src/wire/control.ts';
import { type LINE_NAMES, offsetOf } from './lab/firmware.ts';
import { type GuestChip, kernelComplaints } from './lab/guest-chip.ts';
import { Mosquitto } from './lab/mosquitto.ts';
import { MosquittoSub, publishLines, request } from './lab/mosquitto-clients.ts';
import { Resources } from './lab/resources.ts';
import { SharedHub, type SharedHubSections } from './lab/shared-hub.ts';
import type { UmlGuest } from './lab/uml-guest.ts';

type LineName = (typeof LINE_NAMES)[number];

const HUB = 'rproc-gpio/lab/hub';

let resources: Resources;
let broker: Mosquitto;
let hub: SharedHub;

async function start(more: SharedHubSections): Promise<void> {
  resources = new Resources();
  broker = resources.add(await Mosquitto.start());
  hub = await SharedHub.start(resources, {
    ...more,
    mqtt: { broker: broker.url, gateway: 'lab', lines: ['hub/*'], ...more.mqtt },
  });
  const sub = resources.add(await MosquittoSub.start(broker, 'rproc-gpio/lab/#'));
  // The last of all: what came before it has been done.
  await sub.waitFor(`${HUB}/LOOP_IN/state`, /^/);
}

let questions = 0;

/** A command over MQTT, answered on the response topic. */
async function command(line: LineName, verb: string, payload: string): Promise<Record<string, unknown>> {
  questions += 1;
  const { payload: answer } = await request(broker, `${HUB}/${line}/${verb}`, payload, `q${questions}`);
  return JSON.parse(answer);
}

/** Asks again until it is granted, or refused for another reason than the owner's. */
async function setOnceFree(line: LineName, payload: string): Promise<Record<string, unknown>> {
  for (;;) {
    const outcome = await command(line, 'set', payload);
    if (!/^busy/.test(String(outcome.reason))) return outcome;
  }
}

async function expectRefused(chip: GuestChip, setting: string): Promise<void> {
  const { exitCode, stderr } = await chip.hold(setting).exit();
  expect(exitCode).not.toBe(0);
  expect(stderr).toMatch(/gpioset: .*Invalid argument/);
}

describe('a guest and MQTT that want the same output', () => {
  let chip: GuestChip;

  beforeAll(async () => {
    await start({ exports: { vm1: { lines: ['hub/*'] } } });
    chip = await hub.boot(resources, 'vm1');
  });
  afterEach(() => chip.guest.stopAll());
  afterAll(() => resources.close());

  it('have it in turn: MQTT is told who owns it, and gets it when the guest has let go of it', async () => {
    const offset = offsetOf('LED_STATUS');
    const holder = chip.hold(`${offset}=1`);
    await hub.pins.waitForLevel('LED_STATUS', 1);
    const busy = { ok: false, reason: 'busy: owned by guest vm1' };
    expect(await command('LED_STATUS', 'set', 'OFF')).toEqual({ command: 'set', ...busy });
    expect(await command('LED_STATUS', 'set', 'toggle')).toMatchObject(busy);
    expect(await command('LED_STATUS', 'set', '{"value":0,"durationMs":10}')).toMatchObject(busy);
    expect(await command('LED_STATUS', 'direction/set', 'in')).toMatchObject(busy);
    expect(await command('LED_STATUS', 'get', '')).toEqual({ command: 'get', ok: true, level: 1 });
    expect(await hub.pins.get('LED_STATUS')).toBe(1);

    await chip.release(holder);
    expect(await command('LED_STATUS', 'set', 'OFF')).toEqual({ command: 'set', ok: true, level: 0 });
    expect(await hub.pins.get('LED_STATUS')).toBe(0);
  });

  it('have it in turn: the guest gets an error while MQTT owns it', async () => {
    const offset = offsetOf('LED_ERROR');
    expect(await command('LED_ERROR', 'set', 'ON')).toMatchObject({ ok: true });
    await expectRefused(chip, `${offset}=0`);
    expect(await hub.pins.get('LED_ERROR')).toBe(1);
    expect(await command('LED_ERROR', 'direction/set', 'release')).toMatchObject({ ok: true });
    const holder = chip.hold(`${offset}=0`);
    await hub.pins.waitForLevel('LED_ERROR', 0);
    expect(await command('LED_ERROR', 'set', 'ON')).toMatchObject({ reason: 'busy: owned by guest vm1' });
    await chip.release(holder);
  });

  it('and somebody at a shell are told of one another', async () => {
    expect(await hub.command('set', 'BUZZER=1')).toMatchObject({ exitCode: 0 });
    expect(await command('BUZZER', 'set', 'OFF')).toMatchObject({ reason: 'busy: owned by command line' });
    await expectRefused(chip, `${offsetOf('BUZZER')}=0`);
    expect(await hub.command('release', 'BUZZER')).toMatchObject({ exitCode: 0 });
    expect(await command('BUZZER', 'set', 'OFF')).toMatchObject({ ok: true });
    const refused = await hub.command('set', 'BUZZER=1');
    expect(refused.exitCode).toBe(1);
    expect(refused.stderr).toMatch(/busy: owned by mqtt/);
  });

  it('leave nothing else to complain about in the guest', async () => {
    // The driver complains of the two requests that were refused.
    const refused = expect.stringMatching(/GPIO request failed: \d+$/);
    expect(await kernelComplaints(chip.guest)).toEqual([refused, refused]);
  });
});

describe('outputs of a guest that is switched off', () => {
  const OUTPUTS = { LED_STATUS: 'low', LED_ERROR: 'high', SENSOR_RST: 'keep', BUZZER: 'input' } as const;
  // The BUZZER is pulled high from outside, which shows when nobody here drives it low.
  let chip: GuestChip;

  beforeEach(async () => {
    await start({
      exports: { vm1: { lines: ['hub/*'], reconnectGraceMs: 3000 } },
      lineSettings: Object.fromEntries(
        Object.entries(OUTPUTS).map(([line, onRelease]) => [line, { onRelease }]),
      ),
    });
    chip = await hub.boot(resources, 'vm1');
    const [status, error] = [offsetOf('LED_STATUS'), offsetOf('LED_ERROR')];
    const [reset, buzzer] = [offsetOf('SENSOR_RST'), offsetOf('BUZZER')];
    await hub.pins.set('BUZZER', 1);
    chip.hold(`${status}=1`, `${error}=0`, `${reset}=1`, `${buzzer}=0`);
    await expect.poll(async () => (await hub.status()).owners, { timeout: 60_000 }).toHaveLength(4);
    expect(await hub.pins.get('BUZZER')).toBe(0);
  });
  afterEach(() => resources.close());

  it('stay its own for the time of grace, then do as configured and are free', async () => {
    const log = hub.gateway.process.stderr;
    const wire = await hub.pins.watch('LED_STATUS');
    const from = log.lines.length;
    await (chip.guest as UmlGuest).close();
    await log.waitFor(/vm1.*disconnected/, { from });
    expect(await command('LED_ERROR', 'set', 'ON')).toMatchObject({ reason: 'busy: owned by guest vm1' });
    // Its first line answers `watch`.
    expect(wire.lines).toEqual(['ok']);

    await hub.pins.waitForLevel('LED_STATUS', 0);
    await hub.pins.waitForLevel('LED_ERROR', 1);
    await hub.pins.waitForLevel('BUZZER', 1);
    expect(await hub.pins.get('SENSOR_RST')).toBe(1);
    expect(await setOnceFree('SENSOR_RST', '{"value": "toggle"}')).toMatchObject({ ok: true, level: 0 });
    expect((await hub.status()).owners).toEqual([{ line: 'hub/SENSOR_RST', owner: 'mqtt' }]);
  });
});

describe('an MQTT client that sends 10,000 commands a second', () => {
  const PER_SECOND = 10_000;
  const SECONDS = 4;
  /** Far above what messages that are under way need, far below what keeping them all would take. */
  const GROWTH_LIMIT_KIB = 150 * 1024;
  let chip: GuestChip;

  beforeAll(async () => {
    await start({ exports: { vm1: { lines: ['hub/*'] } } });
    chip = await hub.boot(resources, 'vm1');
  });
  afterAll(() => resources.close());

  function residentKiB(): number {
    const status = readFileSync(`/proc/${hub.gateway.process.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]);
  }

  it('is answered each time, in bounded memory, and a guest is served meanwhile', async () => {
    // Programs of their own: this one has to be there for the guest.
    const answers = resources.add(await MosquittoSub.start(broker, 'lab/answers'));
    const flood = resources.add(publishLines(broker, `${HUB}/LED_STATUS/set`, 'lab/answers'));
    const startKiB = residentKiB();
    let mostKiB = 0;
    let sent = 0;
    const flooding = new Promise<void>((resolve) => {
      const startedMs = Date.now();
      const tick = setInterval(() => {
        // As many as the clock says, however late this timer is.
        const due = Math.min((Date.now() - startedMs) / 1000, SECONDS) * PER_SECOND;
        let lines = '';
        for (; sent < due; sent += 1) lines += sent % 2 === 0 ? 'ON\n' : 'OFF\n';
        flood.write(lines);
        mostKiB = Math.max(mostKiB, residentKiB());
        if (sent < SECONDS * PER_SECOND) return;
        clearInterval(tick);
        resolve();
      }, 10);
    });

    let requests = 0;
    while (sent < SECONDS * PER_SECOND) {
      const level = requests % 2 === 0 ? 1 : 0;
      await hub.pins.set('IMU_INT', level);
      expect(await chip.get(offsetOf('IMU_INT'))).toEqual([level]);
      requests += 1;
    }
    await flooding;
    await expect.poll(() => answers.count, { timeout: 60_000 }).toBe(sent);
    mostKiB = Math.max(mostKiB, residentKiB());

    const outcomes = answers.messages.map(({ payload }): LineOutcome => JSON.parse(payload));
    const granted = outcomes.filter(({ ok }) => ok);
    expect(granted.length).toBeGreaterThan(0);
    const refused = outcomes.filter(({ ok }) => !ok);
    for (const { reason } of refused) expect(reason).toBe('too many commands at once');
    expect((await hub.status()).mqtt?.counters).toMatchObject({
      commands: sent,
      refusedCommands: refused.length,
      badCommands: 0,
    });
    expect(await hub.pins.get('LED_STATUS')).toBe(granted.at(-1)?.level);
    expect(mostKiB - startKiB).toBeLessThan(GROWTH_LIMIT_KIB);
    // Each of them was granted and right.
    expect(requests).toBeGreaterThan(0);
    expect((await hub.status()).exports[0]?.counters.errors).toBe(0);
    expect(await kernelComplaints(chip.guest)).toEqual([]);
  });
});
