import { connect } from 'node:net';
import type { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { hub, mqttOptions, type Running, startExporter, TestClient, until } from './mqtt-fixture.ts';
import { ScriptedBroker } from './scripted-broker.ts';

const { workers } = vi.hoisted(() => ({ workers: [] as Worker[] }));
vi.mock('node:worker_threads', async (original) => {
  const threads = await original<typeof import('node:worker_threads')>();
  class Watched extends threads.Worker {
    constructor(...args: ConstructorParameters<typeof Worker>) {
      super(...args);
      workers.push(this);
    }
  }
  return { ...threads, Worker: Watched };
});

/** Makes the present worker end with an error: a message that nobody sends. */
function crash(): void {
  workers.at(-1)?.postMessage({ kind: 'answers', answers: 5 });
}

describe('the worker thread', () => {
  let running: Running | null = null;
  let broker: ScriptedBroker | null = null;

  afterEach(async () => {
    await running?.exporter.close();
    await broker?.close();
    running = null;
    broker = null;
  });

  it('is started again when it crashes, and the lines go on', async () => {
    broker = await ScriptedBroker.start();
    const sim = hub();
    running = await startExporter(mqttOptions(broker.url, { retry: { minMs: 10, maxMs: 20 } }), sim);
    const first = await broker.session(0);
    await first.sees((s) => s.messages.some((text) => text.includes('/RELAY/direction')), 'states');
    const { log, exporter } = running;
    crash();
    await until(() => log.some((text) => text.startsWith('error: MQTT: the worker thread ended')), 'the log');
    expect(exporter.status.connected).toBe(false);
    expect(exporter.status.reason).toContain('the worker thread ended');
    sim.drive(0, 1);
    const second = await broker.session(1);
    await second.sees((s) => s.messages.some((text) => text.includes('/INT/event={"seq":1,')), 'the event');
    await second.sees((s) => s.messages.includes('rproc-gpio/gw/hub/INT/state=ON'), 'the state');
    second.send({
      cmd: 'publish',
      topic: 'rproc-gpio/gw/hub/LED/set',
      payload: 'ON',
      qos: 0,
      dup: false,
      retain: false,
    });
    await second.sees(
      (s) => s.messages.some((text) => text.includes('/LED/result={"command":"set","ok":true')),
      'the answer',
    );
    expect(exporter.status).toMatchObject({ connected: true, counters: { reconnects: 1 } });
  });

  it('runs the embedded broker, on the same port after a crash', async () => {
    running = await startExporter(mqttOptions('embedded'), hub());
    const { exporter, log } = running;
    const { port } = exporter;
    expect(port).toBeGreaterThan(0);
    const client = await TestClient.connect(`mqtt://127.0.0.1:${port}`);
    await client.message('/hub/INT/state', 'OFF');
    expect(exporter.status).toMatchObject({ broker: 'embedded' });
    crash();
    await until(() => log.some((text) => text.includes('the worker thread ended')), 'the log');
    await client.close();
    await until(() => exporter.status.connected, 'a connection of the new worker');
    expect(exporter.port).toBe(port);
    const again = await TestClient.connect(`mqtt://127.0.0.1:${port}`);
    await again.message('/hub/INT/state', 'OFF');
    await exporter.close();
    await again.message('/gw/status', 'offline');
    await again.close();
    const socket = connect(port as number, '127.0.0.1');
    const refused = await new Promise<boolean>((resolve) => {
      socket.on('connect', () => resolve(false));
      socket.on('error', () => resolve(true));
    });
    socket.destroy();
    expect(refused).toBe(true);
  });

  it('does not start when the embedded broker cannot listen, and leaves nothing behind', async () => {
    broker = await ScriptedBroker.start();
    const { port } = broker;
    const sim = hub();
    await expect(startExporter(mqttOptions('embedded', { port }), sim)).rejects.toMatchObject({
      code: 'ERR_MQTT_LISTEN',
      message: expect.stringContaining(String(port)),
    });
  });
});
