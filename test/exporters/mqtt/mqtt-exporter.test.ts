import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DIRECTION_OUT, RESULT_OK } from '../../../src/gpio/chip.ts';
import type { LineConsumer } from '../../../src/gpio/line-handle.ts';
import {
  hub,
  mqttOptions,
  type Running,
  startExporter,
  TestBroker,
  TestClient,
  until,
} from './mqtt-fixture.ts';

const GW = 'rproc-gpio/gw';

describe('lines on MQTT', () => {
  let broker: TestBroker;
  let client: TestClient;
  let running: Running | null = null;
  const start = async (changes: Parameters<typeof mqttOptions>[1] = {}, chip = hub()) => {
    running = await startExporter(mqttOptions(broker.url, { protocolVersion: '3.1.1', ...changes }), chip);
    return { ...running, sim: chip };
  };

  beforeEach(async () => {
    broker = await TestBroker.start();
    client = await TestClient.connect(broker.url);
  });

  afterEach(async () => {
    await running?.exporter.close();
    running = null;
    await client.close();
    await broker.close();
  });

  it('publishes availability, levels and directions, retained', async () => {
    await start();
    await client.message(`${GW}/hub/RELAY/direction`, 'none');
    // aedes passes messages of QoS 0 on before earlier ones of QoS 1.
    const received = client.received.filter(({ topic }) => !topic.endsWith('/diagnostics'));
    expect(received.slice(0, 6).map(({ topic, text }) => [topic, text])).toEqual([
      [`${GW}/status`, 'online'],
      [`${GW}/hub/status`, 'online'],
      [`${GW}/hub/INT/state`, 'OFF'],
      [`${GW}/hub/LED/state`, 'OFF'],
      [`${GW}/hub/BUTTON/state`, 'OFF'],
      [`${GW}/hub/RELAY/state`, 'OFF'],
    ]);
    const late = await TestClient.connect(broker.url);
    expect((await late.message('/INT/state', 'OFF')).packet.retain).toBe(true);
    expect((await late.message(`${GW}/status`, 'online')).packet.retain).toBe(true);
    await late.close();
  });

  it('publishes every level change as an event, and the level as a state', async () => {
    const { sim, exporter } = await start();
    await client.message('/RELAY/direction');
    for (const level of [1, 0, 1] as const) sim.drive(0, level);
    await until(() => client.texts('/INT/event').length === 3, 'three events');
    const events = client.texts('/INT/event').map((text) => JSON.parse(text) as Record<string, unknown>);
    expect(events.map(({ seq, edge, level }) => [seq, edge, level])).toEqual([
      [1, 'rising', 1],
      [2, 'falling', 0],
      [3, 'rising', 1],
    ]);
    const times = events.map(({ timestampNs }) => BigInt(timestampNs as string));
    expect(times[0]).toBeLessThanOrEqual(times[1] as bigint);
    expect(process.hrtime.bigint() - (times[2] as bigint)).toBeLessThan(60_000_000_000n);
    await client.message('/INT/state', 'ON');
    expect(exporter.status).toMatchObject({ connected: true, counters: { eventsDropped: 0 } });
    expect(exporter.status.reason).toBeUndefined();
  });

  it('inverts levels of active-low lines, and says them anew when that changes', async () => {
    const { sim, chip, exporter } = await start();
    await client.message('/INT/state', 'OFF');
    const line = chip.lines[0] as (typeof chip.lines)[number];
    line.settings = { ...line.settings, activeLow: true };
    exporter.refresh();
    await client.message('/INT/state', 'ON');
    sim.drive(0, 1);
    expect(JSON.parse((await client.message('/INT/event')).text)).toMatchObject({
      edge: 'falling',
      level: 0,
    });
    expect(await client.command(`${GW}/hub/INT/get`, '')).toEqual({ command: 'get', ok: true, level: 0 });
  });

  it('sets lines, makes them outputs, and answers with the level that was confirmed', async () => {
    const { sim } = await start();
    await client.message('/RELAY/direction');
    const topic = `${GW}/hub/LED/set`;
    expect(await client.command(topic, 'ON')).toEqual({ command: 'set', ok: true, level: 1 });
    expect(sim.level(1)).toBe(1);
    await client.message('/LED/state', 'ON');
    await client.message('/LED/direction', 'out');
    expect(await client.command(topic, 'toggle')).toMatchObject({ ok: true, level: 0 });
    expect(await client.command(topic, '{"value": true}')).toMatchObject({ ok: true, level: 1 });
    expect(await client.command(topic, '0')).toMatchObject({ ok: true, level: 0 });
    expect(await client.command(`${GW}/hub/LED/get`, '')).toEqual({ command: 'get', ok: true, level: 0 });
    expect(await client.command(`${GW}/hub/LED/direction/set`, 'in')).toMatchObject({
      command: 'direction/set',
      ok: true,
    });
    await client.message('/LED/direction', 'in');
  });

  it('pulses a line', async () => {
    await start();
    await client.message('/RELAY/direction');
    const answer = await client.command(`${GW}/hub/LED/set`, '{"value":"ON","durationMs":20}');
    expect(answer).toMatchObject({ ok: true, level: 1 });
    await until(() => client.texts('/LED/event').length === 2, 'both edges of the pulse');
    expect(client.texts('/LED/event').map((text) => JSON.parse(text).edge)).toEqual(['rising', 'falling']);
  });

  it('says who owns a line that is busy, and takes it over when it is released', async () => {
    const { chip, exporter } = await start();
    await client.message('/RELAY/direction');
    const guest: LineConsumer = { name: 'guest vm1', interrupt: () => undefined };
    const handle = chip.open(1, guest, 0);
    const results: number[] = [];
    const done = { complete: (_token: number, result: number) => void results.push(result) };
    handle.setDirection(DIRECTION_OUT, done, 0);
    expect(results).toEqual([RESULT_OK]);
    await client.message('/LED/direction', 'out');
    expect(await client.command(`${GW}/hub/LED/set`, 'ON')).toEqual({
      command: 'set',
      ok: false,
      reason: 'busy: owned by guest vm1',
    });
    expect(exporter.status.counters.refusedCommands).toBe(1);
    handle.close();
    expect(await client.command(`${GW}/hub/LED/set`, 'ON')).toMatchObject({ ok: true });
    expect(chip.lines[1]?.ownerName).toBe('mqtt');
    expect(await client.command(`${GW}/hub/LED/direction/set`, 'release')).toMatchObject({ ok: true });
    expect(chip.lines[1]?.ownerName).toBeNull();
  });

  it('refuses to drive an input, and a line that it may only read', async () => {
    await start({
      lines: [
        { line: 'hub/INT', access: 'write', role: 'input' },
        { line: 'hub/LED', access: 'read', role: 'any' },
      ],
    });
    await client.message('/LED/direction');
    expect(await client.command(`${GW}/hub/INT/set`, 'ON')).toMatchObject({ ok: false });
    expect(await client.command(`${GW}/hub/LED/set`, 'ON')).toMatchObject({ ok: false });
  });

  it('answers and counts what is malformed or too long, and ignores what is no command of ours', async () => {
    const { exporter } = await start();
    await client.message('/RELAY/direction');
    const answer = await client.command(`${GW}/hub/LED/set`, 'perhaps');
    expect(answer).toMatchObject({ command: 'set', ok: false });
    expect(answer.reason).toContain('"perhaps"');
    for (const sizeBytes of [1025, 1_000_000]) {
      const long = await client.command(`${GW}/hub/LED/set`, Buffer.alloc(sizeBytes, '1'));
      expect(long).toMatchObject({ ok: false });
      expect(long.reason).toContain(`${sizeBytes} bytes`);
    }
    await client.client.publishAsync(`${GW}/hub/NOBODY/set`, 'ON', { qos: 1 });
    expect(await client.command(`${GW}/hub/LED/set`, 'OFF')).toMatchObject({ ok: true });
    expect(exporter.status.counters).toMatchObject({ commands: 4, badCommands: 3, refusedCommands: 0 });
  });

  it('ignores and counts retained commands', async () => {
    await client.client.publishAsync(`${GW}/hub/LED/set`, 'ON', { qos: 1, retain: true });
    const { exporter, sim } = await start();
    await until(() => exporter.status.counters.ignoredRetained === 1, 'the retained command');
    expect(await client.command(`${GW}/hub/LED/get`, '')).toMatchObject({ level: 0 });
    expect(sim.level(1)).toBe(0);
    expect(exporter.status.counters.commands).toBe(1);
  });

  it('says offline for gateway and chips on a clean stop, after the last changes', async () => {
    const { sim, exporter } = await start();
    await client.message('/RELAY/direction');
    sim.drive(0, 1);
    await exporter.close();
    await exporter.close();
    await client.message(`${GW}/status`, 'offline');
    await client.message(`${GW}/hub/status`, 'offline');
    const order = client.received.map(({ topic, text }) => `${topic}=${text}`);
    expect(order.indexOf(`${GW}/hub/INT/state=ON`)).toBeLessThan(order.indexOf(`${GW}/status=offline`));
    expect(client.texts('/INT/event')).toHaveLength(1);
    // The will would have said it again.
    expect(client.texts(`${GW}/status`)).toEqual(['online', 'offline']);
  });

  it('serves an exporter without lines', async () => {
    const { exporter } = await start({ lines: [{ line: 'hub/NOTHING', access: 'write', role: 'any' }] });
    await client.message(`${GW}/hub/status`, 'online');
    await until(() => exporter.status.connected, 'the status');
  });

  it('gives its lines back', async () => {
    const { chip, exporter } = await start();
    await exporter.close();
    expect(chip.lines.flatMap(({ handles }) => handles)).toEqual([]);
  });
});
