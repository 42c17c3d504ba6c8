import { writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LINE_NAMES } from './lab/firmware.ts';
import { Gateway } from './lab/gateway.ts';
import { LabProcess } from './lab/lab-process.ts';
import { Mosquitto } from './lab/mosquitto.ts';
import { MosquittoSub, publish, request } from './lab/mosquitto-clients.ts';
import { PinsClient } from './lab/pins-client.ts';
import { Resources } from './lab/resources.ts';
import { ScratchFolder } from './lab/scratch-folder.ts';
import { SharedHub } from './lab/shared-hub.ts';

const GATEWAY = 'rproc-gpio/lab';
const HUB = `${GATEWAY}/hub`;
/** Line 13 has no name. */
const SEGMENTS = LINE_NAMES.map((name, offset) => name || `line${offset}`);

function mqttTo(broker: Mosquitto, more: object = {}): Record<string, unknown> {
  return {
    broker: broker.url,
    gateway: 'lab',
    lines: [{ line: 'hub/IMU_INT', role: 'input' }, 'hub/*'],
    retry: { minMs: 50, maxMs: 500 },
    ...more,
  };
}

describe.each([
  { what: 'MQTT 5', protocolVersion: 5, version: 'mqttv5' },
  { what: 'MQTT 3.1.1', protocolVersion: '3.1.1', version: 'mqttv311' },
] as const)('lines on Mosquitto with $what', ({ protocolVersion, version }) => {
  const resources = new Resources();
  let broker: Mosquitto;
  let sub: MosquittoSub;
  let hub: SharedHub;

  beforeAll(async () => {
    broker = resources.add(await Mosquitto.start());
    sub = resources.add(await MosquittoSub.start(broker, `${GATEWAY}/#`, { version }));
    // Left behind by somebody: it must not drive anything at the next start.
    await publish(broker, `${HUB}/SENSOR_RST/set`, 'ON', { retain: true, version });
    hub = await SharedHub.start(resources, { mqtt: mqttTo(broker, { protocolVersion }) });
    for (const line of SEGMENTS) await sub.waitFor(`${HUB}/${line}/state`, /^/);
  });
  afterAll(() => resources.close());

  /** Sends a command; resolves with the answer on the line's own topic. */
  async function command(
    line: string,
    verb: string,
    payload: Parameters<typeof publish>[2],
  ): Promise<unknown> {
    const from = sub.count;
    await publish(broker, `${HUB}/${line}/${verb}`, payload, { version });
    return JSON.parse((await sub.waitFor(`${HUB}/${line}/result`, /^/, { from })).payload);
  }

  it('tells a level change as a state and as an event', async () => {
    await sub.waitFor(`${HUB}/BUTTON/state`, 'ON');
    const from = sub.count;
    await hub.pins.set('BUTTON', 0);
    expect(await sub.waitFor(`${HUB}/BUTTON/state`, 'OFF', { from })).toMatchObject({ qos: 1 });
    const event = await sub.waitFor(`${HUB}/BUTTON/event`, /^/, { from });
    expect(event).toMatchObject({ qos: 0 });
    const { timestampNs, ...rest } = JSON.parse(event.payload);
    expect(rest).toEqual({ seq: expect.any(Number), edge: 'falling', level: 0 });
    expect(timestampNs).toMatch(/^\d+$/);
    await hub.pins.set('BUTTON', 1);
    const next = await sub.waitFor(`${HUB}/BUTTON/event`, /rising/, { from });
    expect(JSON.parse(next.payload)).toMatchObject({ seq: rest.seq + 1, edge: 'rising', level: 1 });
    expect(BigInt(JSON.parse(next.payload).timestampNs)).toBeGreaterThan(BigInt(timestampNs));
  });

  it('drives a line, says so, and toggles it', async () => {
    expect(await command('LED_STATUS', 'set', 'ON')).toEqual({ command: 'set', ok: true, level: 1 });
    expect(await hub.pins.get('LED_STATUS')).toBe(1);
    await sub.waitFor(`${HUB}/LED_STATUS/state`, 'ON');
    await sub.waitFor(`${HUB}/LED_STATUS/direction`, 'out');
    expect(await command('LED_STATUS', 'set', 'toggle')).toMatchObject({ ok: true, level: 0 });
    expect(await hub.pins.get('LED_STATUS')).toBe(0);
    expect(await command('LED_STATUS', 'set', '{"value": true}')).toMatchObject({ ok: true, level: 1 });
    expect(await hub.pins.get('LED_STATUS')).toBe(1);
    expect(await command('LED_STATUS', 'get', '')).toEqual({ command: 'get', ok: true, level: 1 });
  });

  it('gives a line up, and makes it an input', async () => {
    await command('SENSOR_PWR_EN', 'set', '1');
    expect((await hub.status()).owners).toContainEqual({ line: 'hub/SENSOR_PWR_EN', owner: 'mqtt' });
    expect(await command('SENSOR_PWR_EN', 'direction/set', 'release')).toMatchObject({ ok: true });
    expect((await hub.status()).owners).toEqual(
      expect.not.arrayContaining([expect.objectContaining({ line: 'hub/SENSOR_PWR_EN' })]),
    );
    const from = sub.count;
    expect(await command('SENSOR_PWR_EN', 'direction/set', 'in')).toMatchObject({ ok: true });
    await sub.waitFor(`${HUB}/SENSOR_PWR_EN/direction`, 'in', { from });
  });

  it('sends a pulse, once there and back', async () => {
    const wire = await hub.pins.watch('BUZZER');
    const from = sub.count;
    const outcome = await command('BUZZER', 'set', '{"value": "ON", "durationMs": 30}');
    expect(outcome).toMatchObject({ ok: true, level: 1 });
    // Its first line answers `watch`.
    await wire.waitForCount(3);
    expect(wire.lines).toEqual(['ok', 'BUZZER 1', 'BUZZER 0']);
    await sub.waitFor(`${HUB}/BUZZER/state`, 'OFF', { from });
  });

  it('ignores a retained command, and counts it', async () => {
    expect(await hub.pins.get('SENSOR_RST')).toBe(0);
    expect(sub.payloads(`${HUB}/SENSOR_RST/result`)).toEqual([]);
    expect((await hub.status()).mqtt?.counters.ignoredRetained).toBe(1);
  });

  it('answers and counts what it cannot read or may not do, and goes on', async () => {
    const folder = resources.add(new ScratchFolder());
    const large = folder.file('large');
    writeFileSync(large, 'x'.repeat(1_048_576));
    const before = (await hub.status()).mqtt?.counters;
    for (const payload of ['banana', '', '{"value": 1, "durationMs": -1}', '{"value"', { file: large }]) {
      const outcome = await command('LED_ERROR', 'set', payload);
      expect(outcome).toEqual({ command: 'set', ok: false, reason: expect.any(String) });
    }
    expect(await command('LED_ERROR', 'direction/set', 'sideways')).toMatchObject({ ok: false });
    expect(await command('IMU_INT', 'set', 'ON')).toMatchObject({ command: 'set', ok: false });
    const after = (await hub.status()).mqtt?.counters;
    expect(after?.badCommands).toBe((before?.badCommands ?? 0) + 6);
    expect(after?.refusedCommands).toBe((before?.refusedCommands ?? 0) + 1);
    await publish(broker, `${HUB}/NO_SUCH_LINE/set`, 'ON', { version });
    expect(await command('LED_ERROR', 'set', 'on')).toMatchObject({ ok: true, level: 1 });
    expect(await hub.pins.get('LED_ERROR')).toBe(1);
  });

  it('shows all states and availabilities to somebody who comes late', async () => {
    const late = resources.add(await MosquittoSub.start(broker, `${GATEWAY}/#`, { version }));
    await late.waitFor(`${GATEWAY}/status`, 'online');
    await late.waitFor(`${HUB}/status`, 'online');
    for (const line of SEGMENTS) {
      expect(await late.waitFor(`${HUB}/${line}/state`, /^(ON|OFF)$/)).toMatchObject({ retained: true });
      await late.waitFor(`${HUB}/${line}/direction`, /^(in|out|none|unknown)$/);
    }
    await late.waitFor(`${HUB}/BUTTON/state`, 'ON');
  });

  if (protocolVersion === 5) {
    it('answers on the response topic, with its correlation data', async () => {
      const reply = await request(broker, `${HUB}/LED_STATUS/set`, 'OFF', 'question-1');
      expect(reply.correlation).toBe('question-1');
      expect(JSON.parse(reply.payload)).toEqual({ command: 'set', ok: true, level: 0 });
      const refusal = await request(broker, `${HUB}/LED_STATUS/set`, 'maybe', 'question-2');
      expect(refusal.correlation).toBe('question-2');
      expect(JSON.parse(refusal.payload)).toMatchObject({ command: 'set', ok: false });
      const asked = sub.payloads(`${HUB}/LED_STATUS/result`).length;
      await command('LED_STATUS', 'get', '');
      // Had the two been answered here as well, those answers would have come first.
      expect(sub.payloads(`${HUB}/LED_STATUS/result`)).toHaveLength(asked + 1);
    });
  }
});

describe('what MQTT shows when something ends', () => {
  let resources: Resources;
  let broker: Mosquitto;
  let sub: MosquittoSub;
  let hub: SharedHub;

  beforeEach(async () => {
    resources = new Resources();
    broker = resources.add(await Mosquitto.start());
    sub = resources.add(await MosquittoSub.start(broker, `${GATEWAY}/#`));
    hub = await SharedHub.start(resources, { mqtt: mqttTo(broker) });
    await sub.waitFor(`${GATEWAY}/status`, 'online');
    await sub.waitFor(`${HUB}/status`, 'online');
  });
  afterEach(() => resources.close());

  it('is a gateway that is offline when the service was killed', async () => {
    hub.gateway.process.kill('SIGKILL');
    await sub.waitFor(`${GATEWAY}/status`, 'offline');
    const late = resources.add(await MosquittoSub.start(broker, `${GATEWAY}/status`));
    expect(await late.waitFor(`${GATEWAY}/status`, /^/)).toMatchObject({
      payload: 'offline',
      retained: true,
    });
  });

  it('is a gateway and chips that are offline when the service ended in order', async () => {
    hub.gateway.process.kill('SIGTERM');
    await hub.gateway.process.exited;
    expect(hub.gateway.process.exitCode).toBe(0);
    await sub.waitFor(`${GATEWAY}/status`, 'offline');
    await sub.waitFor(`${HUB}/status`, 'offline');
    // The service said it; a will would have been the broker's doing.
    expect(sub.payloads(`${GATEWAY}/status`)).toEqual(['online', 'offline']);
  });

  it('is a chip that is offline, of a gateway that is online, when the firmware crashed', async () => {
    await expect(hub.pins.command('crash')).rejects.toThrow(/was closed/);
    await sub.waitFor(`${HUB}/status`, 'offline');
    const outcome = await request(broker, `${HUB}/LED_STATUS/set`, 'ON', 'c');
    expect(JSON.parse(outcome.payload)).toMatchObject({ command: 'set', ok: false });
    const late = resources.add(await MosquittoSub.start(broker, `${GATEWAY}/#`));
    expect(await late.waitFor(`${GATEWAY}/status`, /^/)).toMatchObject({ payload: 'online' });
    expect(await late.waitFor(`${HUB}/status`, /^/)).toMatchObject({ payload: 'offline' });
    expect(sub.payloads(`${GATEWAY}/status`)).toEqual(['online']);
  });
});

describe('what MQTT shows when the configuration changes', () => {
  const resources = new Resources();
  let broker: Mosquitto;
  let sub: MosquittoSub;
  let hub: SharedHub;

  beforeAll(async () => {
    broker = resources.add(await Mosquitto.start());
    sub = resources.add(await MosquittoSub.start(broker, `${GATEWAY}/#`));
    hub = await SharedHub.start(resources, { mqtt: mqttTo(broker) });
    for (const line of SEGMENTS) await sub.waitFor(`${HUB}/${line}/direction`, /^/);
  });
  afterAll(() => resources.close());

  it('is nothing when only others are concerned', async () => {
    const from = sub.count;
    hub.configure({ mqtt: mqttTo(broker), exports: { vm1: { lines: ['hub/*'] } } });
    expect(await hub.command('reload')).toMatchObject({ exitCode: 0 });
    await hub.pins.set('BUTTON', 0);
    await sub.waitFor(`${HUB}/BUTTON/state`, 'OFF', { from });
    expect(sub.payloads(`${GATEWAY}/status`)).toEqual(['online']);
    expect((await hub.status()).mqtt?.counters.reconnects).toBe(0);
  });

  it('is the new lines and settings, and then no gateway', async () => {
    const from = sub.count;
    hub.configure({
      mqtt: mqttTo(broker, { lines: [{ line: 'hub/BUTTON', name: 'power key' }] }),
      lineSettings: { BUTTON: { activeLow: true } },
    });
    expect(await hub.command('reload')).toMatchObject({ exitCode: 0 });
    const segment = (await sub.waitForTopic(new RegExp(`^${HUB}/power[^/]*/state$`), { from })).topic;
    // The wire is low, which is active.
    await sub.waitFor(segment, 'ON', { from });
    await hub.pins.set('BUTTON', 1);
    await sub.waitFor(segment, 'OFF', { from });

    hub.configure({});
    expect(await hub.command('reload')).toMatchObject({ exitCode: 0 });
    await sub.waitFor(`${GATEWAY}/status`, 'offline', { from });
    expect((await hub.status()).mqtt).toBeNull();
  });
});

describe('rproc-gpio demo, which has a broker of its own', () => {
  const resources = new Resources();
  let gateway: Gateway;
  let pins: PinsClient;

  beforeAll(async () => {
    const folder = resources.add(new ScratchFolder());
    gateway = resources.add(await Gateway.demo(folder.path));
    pins = resources.add(await PinsClient.open(folder.file('pins.sock'), () => gateway.process.ended));
  });
  afterAll(() => resources.close());

  it('shows levels to those who run the command that it prints, and takes theirs', async () => {
    const hint = await gateway.process.stdout.waitFor(/mosquitto_sub/);
    const [, command = '', port = ''] = /(mosquitto_sub -p (\d+) .*)$/.exec(hint) ?? [];
    const shell = ['sh', '-c', `exec ${command}`] as const;
    const sub = resources.add(new LabProcess({ name: command, command: shell }));
    await sub.stdout.waitFor(/^rproc-gpio\/demo\/hub\/BUTTON\/state ON$/);
    await pins.set('BUTTON', 0);
    await sub.stdout.waitFor(/^rproc-gpio\/demo\/hub\/BUTTON\/state OFF$/);
    await sub.stdout.waitFor(/^rproc-gpio\/demo\/hub\/BUTTON\/event .*"falling"/);
    await publish(Number(port), 'rproc-gpio/demo/hub/LED_STATUS/set', 'ON', { version: 'mqttv311' });
    await pins.waitForLevel('LED_STATUS', 1);
    await sub.stdout.waitFor(/^rproc-gpio\/demo\/hub\/LED_STATUS\/state ON$/);
  });
});
