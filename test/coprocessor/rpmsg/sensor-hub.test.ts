import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { Coprocessor } from '../../../src/coprocessor/coprocessor.ts';
import { RpmsgBus, WANTED_RPMSG_FEATURES } from '../../../src/coprocessor/rpmsg/bus.ts';
import { Poller } from '../../../src/virtqueue/poller.ts';
import { VIRTIO_ID_RPMSG } from '../../../src/wire/rpmsg.ts';
import { scratchFolder } from '../scratch-folder.ts';
import { counted } from './open-bus.ts';

const HUB = fileURLToPath(new URL('../../../build/Release/sensor-hub', import.meta.url));
const BASE = 0x2000_0000;

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

beforeAll(() => {
  if (!existsSync(HUB)) throw new Error(`${HUB} is not built: npm run build`);
});

async function hub() {
  const log: string[] = [];
  const coprocessor = new Coprocessor({
    name: 'hub',
    memory: [{ type: 'memfd', sizeBytes: 0x20000, deviceAddress: BASE }],
    resourceTable: { deviceAddress: BASE },
    doorbell: { type: 'eventfd' },
    exec: { command: [HUB, '--dialect=srtm', `--pins=${join(scratchFolder(), 'pins')}`] },
    onLog: (_level, message) => log.push(message),
  });
  closers.push(() => coprocessor.close());
  await coprocessor.start();
  const poller = new Poller();
  closers.push(() => poller.close());
  const open = (): RpmsgBus => {
    const bus = RpmsgBus.open(coprocessor.bindVdev(0, VIRTIO_ID_RPMSG, WANTED_RPMSG_FEATURES), {
      name: 'hub',
      poller,
      // On a busy machine the firmware takes its time.
      sendTimeoutMs: 10_000,
    });
    closers.push(() => bus.close());
    return bus;
  };
  const pid = Number(/process (\d+)/.exec(log.join('\n'))?.[1]);
  return { coprocessor, open, pid };
}

/** An input-get of SRTM (category 5, version 1.0, command 2) for a pin that tells the messages apart. */
function request(pin: number): Uint8Array {
  return Uint8Array.of(5, 1, 0, 0, 2, 0, 0, 0, 0, 0, pin, 0, 0, 0, 0, 0);
}

describe('an rpmsg bus on the sensor hub as a process', () => {
  it('carries messages to the firmware library and back, more than there are buffers', async () => {
    const { open, pid } = await hub();
    const bus = open();
    const endpoint = await bus.open('rpmsg-io-channel', 5000);
    expect(bus.channels).toEqual(['rpmsg-io-channel']);
    const pins: unknown[] = [];
    endpoint.onMessage((payload) => pins.push([payload.length, payload[3], payload[10]]));
    // 32 descriptors a vring: the rest waits for buffers that come back.
    process.kill(pid, 'SIGSTOP');
    for (let i = 0; i < 80; i++) expect(endpoint.send(request(i % 8))).toBe(true);
    process.kill(pid, 'SIGCONT');
    await vi.waitFor(() => expect(pins).toHaveLength(80), { timeout: 10_000 });
    expect(pins).toEqual(Array.from({ length: 80 }, (_, i) => [14, 1, i % 8]));
    expect(counted(bus)).toEqual({ received: 81, sent: 80, queued: 48 });
  });

  it('can be closed and opened anew: the firmware announces its channel again', async () => {
    const { coprocessor, open } = await hub();
    for (let round = 0; round < 3; round++) {
      const bus = open();
      const endpoint = await bus.open(/^rpmsg-io/, 5000);
      const answered = new Promise<number>((resolve) =>
        endpoint.onMessage((payload) => resolve(payload.length)),
      );
      endpoint.send(request(0));
      expect(await answered).toBe(14);
      bus.close();
      await coprocessor.resetVdev(0);
    }
  });

  it('tells its endpoints when the firmware is killed', async () => {
    const { open, pid } = await hub();
    const bus = open();
    const endpoint = await bus.open('rpmsg-io-channel', 5000);
    const gone = new Promise<string>((resolve) => endpoint.onGone(resolve));
    const lost = new Promise<string>((resolve) => bus.onLost(resolve));
    process.kill(pid, 'SIGKILL');
    expect(await gone).toMatch(/SIGKILL/);
    expect(await lost).toBe(await gone);
    expect(endpoint.send(request(0))).toBe(false);
  });
});
