import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hub, mqttOptions, type Running, startExporter } from './mqtt-fixture.ts';
import { ScriptedBroker, type ScriptedSession } from './scripted-broker.ts';

describe('announcing to Home Assistant', () => {
  let broker: ScriptedBroker;
  let running: Running;
  let session: ScriptedSession;
  const configs = () => session.publishes.filter(({ topic }) => /^ha\/device\/.*\/config$/.test(topic));

  beforeEach(async () => {
    broker = await ScriptedBroker.start();
    const options = mqttOptions(broker.url, {
      homeAssistant: { discoveryPrefix: 'ha' },
      lines: [
        { line: 'hub/BUTTON', access: 'read', role: 'input', deviceClass: 'door' },
        { line: 'hub/LED', access: 'write', role: 'output' },
      ],
    });
    running = await startExporter(options, hub());
    session = await broker.session(0);
    await session.sees(() => configs().length === 2, 'two devices');
  });
  afterEach(async () => {
    await running.exporter.close();
    await broker.close();
  });
  const birth = (payload: string, retain = false) =>
    session.send({ cmd: 'publish', topic: 'ha/status', payload, qos: 0, dup: false, retain });

  it('happens after every connect, retained, with the topics that are published', async () => {
    const topics = configs().map(({ topic }) => topic);
    expect(topics).toEqual(['ha/device/gw/config', 'ha/device/gw_hub/config']);
    expect(configs().every(({ retain, qos }) => retain && qos === 1)).toBe(true);
    const payload = configs()[1]?.payload.toString() as string;
    expect(payload).toContain('"device_class":"door"');
    for (const topic of ['rproc-gpio/gw/hub/LED/set', 'rproc-gpio/gw/hub/BUTTON/state'])
      expect(payload).toContain(`"${topic}"`);
    session.cut();
    session = await broker.session(1);
    await session.sees(() => configs().length === 2, 'two devices again');
    expect(configs()[1]?.payload.toString()).toBe(payload);
  });

  it('happens again when Home Assistant comes up, with all states', async () => {
    birth('offline');
    birth('online', true);
    birth('online');
    await session.sees(() => configs().length === 4, 'four announcements');
    const states = () =>
      session.messages.filter((text) => text === 'rproc-gpio/gw/hub/BUTTON/state=OFF').length;
    await session.sees(() => states() === 2, 'the state once more');
    // What came before the last birth was no reason.
    session.send({
      cmd: 'publish',
      topic: 'rproc-gpio/gw/hub/LED/get',
      payload: '',
      qos: 0,
      dup: false,
      retain: false,
    });
    await session.sees((s) => s.messages.some((text) => text.includes('/LED/result')), 'an answer');
    expect(configs()).toHaveLength(4);
  });
});
