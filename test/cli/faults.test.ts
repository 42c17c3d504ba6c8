import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { HOST_FIRMWARE } from '../../src/daemon/demo-config.ts';
import { VhostUserFrontEnd } from '../../src/testing/front-end.ts';
import { MSG_GET_VALUE, MSG_SET_DIRECTION, MSG_SET_VALUE } from '../../src/wire/virtio-gpio.ts';
import { ScriptedBroker } from '../exporters/mqtt/scripted-broker.ts';
import { CommandProcess, isAlive, scratchFolder } from './command-process.ts';
import { FakeServiceManager } from './fake-service-manager.ts';
import { PinsClient } from './pins-client.ts';

// Whole services, several a test, on a machine that may be busy.
vi.setConfig({ testTimeout: 60_000 });

const PRELOAD = fileURLToPath(new URL('fault-preload.mjs', import.meta.url));
/** Of a service that has a watchdog; looks are made twice as often. */
const WATCHDOG_MS = 1000;

interface Faulty {
  readonly command: CommandProcess;
  readonly manager: FakeServiceManager;
  readonly broker: ScriptedBroker;
  readonly cwd: string;
  connect(): Promise<VhostUserFrontEnd>;
  /** Lets the fault happen. */
  strike(): void;
}

/** A whole service with a guest's socket, firmware of its own and a broker, in which a fault can be let happen. */
async function serve(fault: string, env: Readonly<Record<string, string>> = {}): Promise<Faulty> {
  const manager = await FakeServiceManager.start();
  const broker = await ScriptedBroker.start();
  onTestFinished(() => broker.close());
  const cwd = scratchFolder();
  writeFileSync(
    join(cwd, 'rproc-gpio.yaml'),
    `coprocessors:
  hub:
    memory: [{ type: memfd, sizeBytes: 256KiB, deviceAddress: 0x20000000 }]
    resourceTable: { deviceAddress: 0x20000000 }
    doorbell: { type: eventfd }
    exec: { command: [sh, -c, 'echo $$ > ${cwd}/pid; exec "$@"', sh, ${HOST_FIRMWARE}, '--pins=${cwd}/pins'] }
chips: { hub: { coprocessor: hub }, sim: { type: sim, lines: 4 } }
mqtt: { broker: '${broker.url}', gateway: gw, lines: ['sim/*'] }
exports: { vm1: { socket: vm1.sock, pollUs: 0, lines: ['sim/*', 'hub/*'] } }
`,
  );
  const command = new CommandProcess(['serve'], {
    cwd,
    env: { ...manager.environment, ...env, FAULT: fault, NODE_OPTIONS: `--import ${PRELOAD}` },
  });
  await command.until(/^ready/m);
  await manager.until(/MQTT connected/);
  const connect = async (): Promise<VhostUserFrontEnd> => {
    const guest = await VhostUserFrontEnd.connect({ socketPath: join(cwd, 'vm1.sock'), timeoutMs: 10_000 });
    onTestFinished(() => guest.close());
    return guest;
  };
  return { command, manager, broker, cwd, connect, strike: () => void command.child.kill('SIGUSR2') };
}

describe('a fault of ours', () => {
  it.each([
    ['an exception', 'throw', /internal error: Error: injected\n {4}at /],
    ['a rejection that nobody waits for', 'reject', /internal error: Error: injected/],
    ['an exception in a callback of the addon', 'addon', /internal error: Error: injected/],
    ['an exception in the worker thread', 'worker-throw', /internal error: MQTT: the worker thread ended/],
    ['a worker thread that grows beyond its limit', 'worker-grow', /internal error: MQTT: .*memory limit/],
  ])('%s: is said, all is closed in order, the process ends with code 1', async (_what, fault, said) => {
    const { command, manager, cwd, connect, strike, broker } = await serve(fault);
    const guest = await connect();
    expect((await guest.request(MSG_SET_VALUE, 0, 1)).status).toBe(0);
    expect((await guest.request(MSG_SET_DIRECTION, 0, 1)).status).toBe(0);
    strike();
    await command.until(/internal error/, 'stderr');
    const startMs = performance.now();
    expect(await command.exit()).toBe(1);
    expect(performance.now() - startMs).toBeLessThan(5000);
    expect(command.stderr).toMatch(said);
    await guest.disconnected();
    await manager.until(/^STATUS=ending after an internal error$/);
    expect(manager.states).toContain('STOPPING=1');
    expect(existsSync(join(cwd, 'vm1.sock'))).toBe(false);
    expect(existsSync(join(cwd, 'vm1.sock.resume'))).toBe(true);
    expect(isAlive(Number(readFileSync(join(cwd, 'pid'), 'utf8')))).toBe(false);
    // Where there is no worker any more, the broker publishes the will.
    if (!fault.startsWith('worker')) {
      const session = await broker.session(0);
      await session.sees((s) => s.messages.includes('rproc-gpio/gw/status=offline'), 'offline');
    }
    // Whoever starts it again finds the guest as it was.
    const again = new CommandProcess(['serve'], { cwd });
    await again.until(/^ready/m);
    await guest.reconnect('keep');
    expect((await guest.request(MSG_GET_VALUE, 1)).value).toBe(1);
    expect(await again.terminate()).toBe(0);
  });

  it('ends the process also when closing takes for ever', async () => {
    const { command, strike } = await serve('throw-and-hang');
    strike();
    await command.until(/internal error/, 'stderr');
    const startMs = performance.now();
    expect(await command.exit()).toBe(1);
    expect(performance.now() - startMs).toBeLessThan(6000);
  });
});

describe('the watchdog is not told that all goes on', () => {
  const ENV = { WATCHDOG_USEC: String(WATCHDOG_MS * 1000) };

  it('when the event loop is blocked', async () => {
    const { command, manager, strike } = await serve('block', ENV);
    await manager.untilPings(3);
    strike();
    // What systemd does once its period is over without a ping.
    let seen = manager.pings;
    await new Promise<void>((resolve) => {
      const timer = setInterval(() => {
        if (manager.pings === seen) {
          clearInterval(timer);
          resolve();
        }
        seen = manager.pings;
      }, 2 * WATCHDOG_MS);
    });
    expect(await command.terminate('SIGABRT')).toBe('SIGABRT');
  });

  it.each([
    [
      'what a guest offers is not taken',
      'guest-queue',
      /watchdog: guest vm1: queue 0: what the guest offered/,
    ],
    [
      'what firmware returned is not taken',
      'driver-queue',
      /watchdog: co-processor hub: vdev 0: what vring \d returned/,
    ],
    ['the worker thread hangs', 'worker-hang', /watchdog: MQTT: the worker thread does not answer/],
    ['answers stay out', 'answers', /watchdog: guest vm1: queue 0: no request was answered for \d+ ms/],
  ])('when %s', async (_what, fault, said) => {
    const { command, manager, cwd, connect, strike } = await serve(fault, ENV);
    const guest = await connect();
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
    await manager.untilPings(3);
    strike();
    await command.until(/struck/, 'stderr');
    new PinsClient(join(cwd, 'pins')).tell('set IMU_INT 1');
    const asks = setInterval(() => void guest.request(MSG_GET_VALUE, 0).catch(() => {}), WATCHDOG_MS / 4);
    try {
      await command.until(said, 'stderr');
    } finally {
      clearInterval(asks);
    }
    // The ping of the look before may still be on its way; all looks of the next periods find it stuck, too.
    await new Promise((resolve) => setTimeout(resolve, WATCHDOG_MS / 4));
    const { pings } = manager;
    await new Promise((resolve) => setTimeout(resolve, 2 * WATCHDOG_MS));
    expect(manager.pings).toBe(pings);
  });
});
