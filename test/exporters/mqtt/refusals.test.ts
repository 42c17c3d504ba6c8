import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { hub, mqttOptions, type Running, startExporter, until } from './mqtt-fixture.ts';
import { ScriptedBroker } from './scripted-broker.ts';

describe('connections that cannot be', () => {
  let folder = '';
  let broker: ScriptedBroker | null = null;
  let running: Running | null = null;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'mqtt-refusals-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));
  afterEach(async () => {
    await running?.exporter.close();
    await broker?.close();
    running = null;
    broker = null;
  });

  /** What the status says of a broker that answers so. */
  async function reason(
    options: Parameters<typeof mqttOptions>[1],
    url = broker?.url as string,
  ): Promise<string> {
    running = await startExporter(mqttOptions(url, options), hub());
    const { exporter } = running;
    await until(
      () => exporter.status.reason !== undefined && exporter.status.reason !== 'not connected yet',
      'a reason',
    );
    expect(exporter.status.connected).toBe(false);
    return exporter.status.reason as string;
  }

  for (const [code, words] of [
    [1, 'set mqtt.protocolVersion to 5'],
    [2, 'mqtt.clientId'],
    [3, 'unavailable'],
    [4, 'user name or the password'],
    [5, 'does not authorize'],
  ] as const) {
    it(`says why: return code ${code} of MQTT 3.1.1`, async () => {
      broker = await ScriptedBroker.start({
        connack: () => ({ cmd: 'connack', returnCode: code, sessionPresent: false }),
      });
      expect(await reason({ protocolVersion: '3.1.1' })).toContain(words);
    });
  }

  for (const [code, words] of [
    [0x84, 'set mqtt.protocolVersion to "3.1.1"'],
    [0x86, 'user name or the password'],
    [0x87, 'does not authorize'],
    [0x9a, 'retain: false'],
    [0xff, '0xff'],
  ] as const) {
    it(`says why: reason code ${code} of MQTT 5`, async () => {
      broker = await ScriptedBroker.start({
        connack: () => ({ cmd: 'connack', reasonCode: code, sessionPresent: false }),
      });
      expect(await reason({})).toContain(words);
    });
  }

  it('understands a broker that knows MQTT 3.1.1 only and says so in its way', async () => {
    broker = await ScriptedBroker.start({ connack: () => Buffer.from([0x20, 2, 0, 1]) });
    expect(await reason({})).toContain('"3.1.1"');
  });

  it('understands one that closes without an answer', async () => {
    broker = await ScriptedBroker.start({ connack: () => null });
    broker.script.connack = () => {
      for (const { socket } of broker?.sessions ?? []) socket.end();
      return null;
    };
    expect(await reason({})).toContain('"3.1.1"');
  });

  it('gives a silent broker its time, and no more', async () => {
    broker = await ScriptedBroker.start({ connack: () => null });
    expect(await reason({ connectTimeoutMs: 100 })).toBe(
      'the broker has not accepted the connection within 0.1 s',
    );
  });

  it('takes no nonsense', async () => {
    broker = await ScriptedBroker.start({ connack: () => Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n') });
    expect(await reason({})).not.toBe('');
  });

  it('says that nothing listens', async () => {
    broker = await ScriptedBroker.start();
    const { url } = broker;
    await broker.close();
    expect(await reason({}, url)).toBe('nothing listens at that address and port (ECONNREFUSED)');
  });

  it('says that a host is unknown', async () => {
    expect(await reason({}, 'mqtt://no-such-host.invalid')).toMatch(/^the host name /);
  });

  it('tries again with growing pauses, and says the same thing once', async () => {
    let refused = 0;
    broker = await ScriptedBroker.start({
      connack: () => {
        refused++;
        return { cmd: 'connack', returnCode: 5, reasonCode: 0x87, sessionPresent: false };
      },
    });
    await reason({ retry: { minMs: 1, maxMs: 4 } });
    await until(() => refused > 20, 'twenty attempts');
    const { log, exporter } = running as Running;
    expect(log.filter((text) => text.startsWith('warn'))).toHaveLength(1);
    broker.script.connack = () => ({ cmd: 'connack', returnCode: 0, reasonCode: 0, sessionPresent: false });
    await until(() => exporter.status.connected, 'a connection');
    expect(log.filter((text) => text.includes('connected to mqtt://'))).toHaveLength(1);
    expect(exporter.status.counters.reconnects).toBe(0);
  });

  it('notices a broker that no longer answers', async () => {
    broker = await ScriptedBroker.start({ answersPings: false });
    running = await startExporter(mqttOptions(broker.url, { keepaliveSeconds: 1 }), hub());
    const { log } = running;
    await broker.session(1);
    expect(log.find((text) => text.includes('lost'))).toContain('the broker no longer answers');
  });

  it('passes on why the broker ends a connection', async () => {
    broker = await ScriptedBroker.start();
    running = await startExporter(mqttOptions(broker.url), hub());
    const session = await broker.session(0);
    await session.sees((s) => s.publishes.length > 0, 'a message');
    session.send({ cmd: 'disconnect', reasonCode: 0x8e } as never);
    session.socket.end();
    const { log } = running;
    await until(() => log.some((text) => text.includes('lost')), 'the log');
    expect(log.find((text) => text.includes('lost'))).toContain('another client has connected');
  });

  it('says which subscriptions and messages a broker refuses, once', async () => {
    broker = await ScriptedBroker.start({ grants: (topic) => !topic.endsWith('/get') });
    running = await startExporter(mqttOptions(broker.url, { topics: mqttOptions('').topics }), hub());
    const { log } = running;
    const session = await broker.session(0);
    await until(() => log.some((text) => text.includes('rproc-gpio/gw/+/+/get')), 'the log');
    broker.script.acknowledges = () => false;
    running.exporter.refresh();
    for (const { messageId } of session.publishes.filter(({ qos }) => qos === 1))
      session.send({ cmd: 'puback', messageId: messageId as number, reasonCode: 0x87 });
    expect(log.filter((text) => text.includes('subscription'))).toHaveLength(1);
  });

  it('sends user name and password, from files and variables, and tells nobody', async () => {
    broker = await ScriptedBroker.start();
    writeFileSync(join(folder, 'user'), 'gateway\n');
    process.env.MQTT_TEST_PASSWORD = 'correct horse';
    running = await startExporter(
      mqttOptions(broker.url, {
        username: { file: join(folder, 'user') },
        password: { env: 'MQTT_TEST_PASSWORD' },
      }),
      hub(),
    );
    const { connect } = await broker.session(0);
    expect([connect.username, connect.password?.toString()]).toEqual(['gateway', 'correct horse']);
    await until(() => running?.exporter.status.connected === true, 'the connection');
    expect(JSON.stringify([running.log, running.exporter.status])).not.toContain('correct horse');
  });

  it('names the file of a secret that cannot be read, and uses it when it is there', async () => {
    broker = await ScriptedBroker.start();
    const file = join(folder, 'password');
    expect(await reason({ username: 'gateway', password: { file } })).toBe(
      `the password ${file} cannot be read: ENOENT`,
    );
    writeFileSync(file, 'later\r\n');
    const { connect } = await broker.session(0);
    expect(connect.password?.toString()).toBe('later');
  });

  it('names the variable of a secret that is not set', async () => {
    broker = await ScriptedBroker.start();
    expect(await reason({ password: { env: 'MQTT_TEST_NOT_SET' } })).toContain('$MQTT_TEST_NOT_SET');
  });
});
