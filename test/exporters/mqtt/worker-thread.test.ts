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
    workers.length = 0;
    await running?.exporter.close();
    await broker?.close();
    running = null;
    broker = null;
  });

  it('is not started again when it ends by a fault: whoever owns the exporter hears of it', async () => {
    broker = await ScriptedBroker.start();
    const sim = hub();
    const lost: string[] = [];
    running = await startExporter(mqttOptions(broker.url), sim, { onLost: (reason) => lost.push(reason) });
    const first = await broker.session(0);
    await first.sees((s) => s.messages.some((text) => text.includes('/RELAY/direction')), 'states');
    const { log, exporter } = running;
    crash();
    await until(() => lost.length > 0, 'the end of the worker');
    expect(lost[0]).toMatch(/^the worker thread ended: /);
    expect(log.filter((text) => text.startsWith('error: MQTT: the worker thread ended'))).toHaveLength(1);
    expect(exporter.status).toMatchObject({ connected: false, reason: lost[0] });
    // A line may still change, and everything can still be closed.
    sim.drive(0, 1);
    await exporter.close();
    expect([workers.length, lost.length]).toEqual([1, 1]);
  });

  it('answers the watchdog, which does not blame it before it has run', async () => {
    broker = await ScriptedBroker.start();
    running = await startExporter(mqttOptions(broker.url), hub());
    const { exporter } = running;
    // Asked in this turn, so not answered yet; for one look it may be busy.
    expect([exporter.stuck(), exporter.stuck()]).toEqual([null, null]);
    expect(exporter.stuck()).toBe('MQTT: the worker thread does not answer');
    await until(() => exporter.stuck() === null, 'its answer');
    await exporter.close();
    expect([exporter.stuck(), exporter.stuck()]).toEqual([null, null]);
  });

  it('runs the embedded broker, which is gone with it', async () => {
    running = await startExporter(mqttOptions('embedded'), hub());
    const { exporter } = running;
    const { port } = exporter;
    expect(port).toBeGreaterThan(0);
    const client = await TestClient.connect(`mqtt://127.0.0.1:${port}`);
    await client.message('/hub/INT/state', 'OFF');
    expect(exporter.status).toMatchObject({ broker: 'embedded' });
    await exporter.close();
    await client.message('/gw/status', 'offline');
    await client.close();
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
