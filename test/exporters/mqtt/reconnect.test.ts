import { afterEach, describe, expect, it } from 'vitest';
import type { SimulatedChip } from '../../../src/testing/simulated-chip.ts';
import {
  hub,
  mqttOptions,
  type Running,
  startExporter,
  TestBroker,
  TestClient,
  until,
  withEventQos,
} from './mqtt-fixture.ts';
import { ScriptedBroker, type ScriptedSession } from './scripted-broker.ts';

const HUB = 'rproc-gpio/gw/hub';

/** Toggles a line so many times, beginning with a rise. */
function toggle(sim: SimulatedChip, times: number): void {
  for (let i = 0; i < times; i++) sim.drive(0, i % 2 === 0 ? 1 : 0);
}

/** Sequence numbers of the events that a connection got, in order. */
function seqs(session: ScriptedSession): number[] {
  return session.publishes
    .filter(({ topic }) => topic.endsWith('/event'))
    .map(({ payload }) => (JSON.parse(payload.toString()) as { seq: number }).seq);
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

describe('a broker that is away or slow', () => {
  let broker: ScriptedBroker | null = null;
  let running: Running | null = null;

  afterEach(async () => {
    await running?.exporter.close();
    await broker?.close();
    running = null;
    broker = null;
  });

  it('gets states first after a connect, each once and the last level, then the events in order', async () => {
    broker = await ScriptedBroker.start();
    const { port } = broker;
    await broker.close();
    const sim = hub();
    running = await startExporter(mqttOptions(`mqtt://127.0.0.1:${port}`), sim);
    const { exporter } = running;
    await until(() => exporter.status.reason?.includes('ECONNREFUSED') === true, 'a refused connection');
    toggle(sim, 7);
    broker = await ScriptedBroker.start({}, port);
    const session = await broker.session(0);
    await session.sees((s) => seqs(s).length === 7, 'seven events');
    expect(seqs(session)).toEqual(range(1, 7));
    expect(session.messages.filter((text) => text.startsWith(`${HUB}/INT/state`))).toEqual([
      `${HUB}/INT/state=ON`,
    ]);
    const firstEvent = session.messages.findIndex((text) => text.includes('/event='));
    const lastState = session.messages.findLastIndex((text) => /\/(status|state|direction)=/.test(text));
    expect(session.messages[0]).toBe('rproc-gpio/gw/status=online');
    expect(lastState).toBeLessThan(firstEvent);
    // Subscribed before anybody is told that we are there.
    const commands = session.packets.map(({ cmd }) => cmd);
    expect(commands.indexOf('subscribe')).toBeLessThan(commands.indexOf('publish'));
  });

  it('loses no message after a reconnect, not the first one either', async () => {
    broker = await ScriptedBroker.start();
    const sim = hub();
    running = await startExporter(mqttOptions(broker.url, { topics: withEventQos(1) }), sim);
    for (let round = 0; round < 5; round++) {
      const session = await broker.session(round);
      await session.sees(
        (s) => s.messages.some((text) => text.startsWith(`${HUB}/RELAY/direction`)),
        'states',
      );
      // At the very moment when the connection breaks.
      session.cut();
      sim.drive(0, round % 2 === 0 ? 1 : 0);
      const next = await broker.session(round + 1);
      await next.sees((s) => seqs(s).includes(round + 1), `event ${round + 1}`);
      const level = round % 2 === 0 ? 'ON' : 'OFF';
      await next.sees((s) => s.messages.includes(`${HUB}/INT/state=${level}`), `state ${level}`);
    }
    await until(() => running?.exporter.status.counters.reconnects === 5, 'five reconnects');
  });

  for (const protocolVersion of [5, '3.1.1'] as const) {
    for (const qos of [1, 2] as const) {
      it(`gets again what it did not confirm: QoS ${qos}, MQTT ${protocolVersion}`, async () => {
        let confirmed = 0;
        broker = await ScriptedBroker.start({
          // Three events are confirmed, no further one.
          acknowledges: ({ topic }) => !topic.endsWith('/event') || ++confirmed <= 3,
        });
        const sim = hub();
        const options = mqttOptions(broker.url, { protocolVersion, topics: withEventQos(qos) });
        running = await startExporter(options, sim);
        const first = await broker.session(0);
        toggle(sim, 10);
        await first.sees((s) => seqs(s).length === 10, 'ten events');
        const releases = (s: ScriptedSession) => s.packets.filter(({ cmd }) => cmd === 'pubrel').length;
        if (qos === 2) await first.sees((s) => releases(s) === 3, 'three releases');
        // The answer comes when the confirmations before the command have been seen.
        first.send({
          cmd: 'publish',
          topic: `${HUB}/LED/get`,
          payload: '',
          qos: 0,
          dup: false,
          retain: false,
        });
        await first.sees((s) => s.messages.some((text) => text.includes('/LED/result')), 'the answer');
        const { exporter } = running;
        const published = () => exporter.status.counters.published;
        const before = published();
        broker.script.acknowledges = () => true;
        first.cut();
        sim.drive(0, 1);
        sim.drive(0, 0);
        const second = await broker.session(1);
        await second.sees((s) => seqs(s).length === 9, 'the rest');
        expect(seqs(second)).toEqual(range(4, 12));
        await until(() => published() >= before + 9, 'confirmations');
        expect(exporter.status.counters.eventsDropped).toBe(0);
      });
    }
  }

  it('confirms nothing, and gets no more than it said that it takes', async () => {
    broker = await ScriptedBroker.start({
      connack: () => ({
        cmd: 'connack',
        reasonCode: 0,
        sessionPresent: false,
        properties: { receiveMaximum: 3 },
      }),
      acknowledges: () => false,
    });
    const sim = hub();
    running = await startExporter(mqttOptions(broker.url, { topics: withEventQos(1) }), sim);
    const session = await broker.session(0);
    await session.sees((s) => s.publishes.length === 3, 'three messages');
    toggle(sim, 100);
    session.send({ cmd: 'puback', messageId: session.publishes[0]?.messageId as number, reasonCode: 0 });
    await session.sees((s) => s.publishes.length === 4, 'a fourth one');
    expect(session.publishes.filter(({ qos }) => qos > 0)).toHaveLength(4);
  });

  it('is away for long: events are kept up to the bound, the oldest go and are counted', async () => {
    broker = await ScriptedBroker.start({ connack: () => null });
    const sim = hub();
    const options = mqttOptions(broker.url, { eventQueueLimit: 50, topics: withEventQos(1) });
    running = await startExporter(options, sim);
    const { exporter } = running;
    const waiting = await broker.session(0);
    toggle(sim, 180);
    await until(() => exporter.status.counters.eventsDropped === 130, 'dropped events');
    waiting.send({ cmd: 'connack', reasonCode: 0, returnCode: 0, sessionPresent: false });
    await waiting.sees((s) => seqs(s).length === 50, 'fifty events');
    expect(seqs(waiting)).toEqual(range(131, 180));
  });

  it('does not read: what it was not sent stays bounded, and it gets the newest when it reads again', async () => {
    broker = await ScriptedBroker.start();
    const sim = hub();
    running = await startExporter(mqttOptions(broker.url, { eventQueueLimit: 1000 }), sim);
    const { exporter } = running;
    const session = await broker.session(0);
    await session.sees((s) => s.messages.some((text) => text.includes('/RELAY/direction')), 'states');
    session.socket.pause();
    // As many as the kernel's buffers take, and then until some go.
    let driven = 0;
    while (exporter.status.counters.eventsDropped < 5000) {
      for (let i = 0; i < 500; i++) sim.drive(0, ++driven % 2 === 1 ? 1 : 0);
      await new Promise((resolve) => setImmediate(resolve));
    }
    sim.drive(0, ++driven % 2 === 1 ? 1 : 0);
    session.socket.resume();
    const level = driven % 2 === 1 ? 'ON' : 'OFF';
    await session.sees((s) => seqs(s).at(-1) === driven, 'the last event');
    await session.sees(
      (s) => s.messages.findLast((text) => text.includes('/INT/state')) === `${HUB}/INT/state=${level}`,
      'the last level',
    );
    const received = seqs(session);
    expect(received.every((seq, i) => i === 0 || seq > (received[i - 1] as number))).toBe(true);
    expect(received.length + exporter.status.counters.eventsDropped).toBe(driven);
    // States were not queued up: far fewer than level changes.
    const states = session.messages.filter((text) => text.includes('/INT/state')).length;
    expect(states).toBeLessThan(received.length / 2);
  });

  it('forgets what it retained: all is said anew', async () => {
    const first = await TestBroker.start();
    const sim = hub();
    running = await startExporter(mqttOptions(first.url, { protocolVersion: '3.1.1' }), sim);
    const before = await TestClient.connect(first.url);
    await before.message('/RELAY/direction');
    await before.close();
    const { port } = first;
    await first.close();
    sim.drive(0, 1);
    const second = await TestBroker.start(port);
    const client = await TestClient.connect(second.url);
    await client.message('/gw/status', 'online');
    await client.message('/INT/state', 'ON');
    await client.close();
    await running.exporter.close();
    await second.close();
    const { log } = running;
    expect(log.filter((text) => text.includes('lost'))).toHaveLength(1);
    expect(log.filter((text) => text.includes(': connected to'))).toHaveLength(2);
  });

  it('gets our will when we vanish', async () => {
    broker = await ScriptedBroker.start();
    running = await startExporter(mqttOptions(broker.url), hub());
    const session = await broker.session(0);
    const { will, clientId, clean, keepalive, properties } = session.connect;
    expect(will).toMatchObject({ topic: 'rproc-gpio/gw/status', qos: 1, retain: true });
    expect(will?.payload.toString()).toBe('offline');
    expect([clientId, clean, keepalive]).toEqual(['rproc-gpio-gw', true, 60]);
    expect(properties).toEqual({ maximumPacketSize: 2_097_152 });
  });

  it('confirms nothing and reads nothing at our end: we end in time', async () => {
    broker = await ScriptedBroker.start({ acknowledges: () => false, grants: () => true });
    running = await startExporter(mqttOptions(broker.url), hub());
    const session = await broker.session(0);
    await session.sees((s) => s.publishes.length > 3, 'states');
    session.socket.pause();
    const before = performance.now();
    await running.exporter.close();
    expect(performance.now() - before).toBeLessThan(3500);
  });
});
