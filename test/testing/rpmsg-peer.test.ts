import { afterEach, describe, expect, it } from 'vitest';
import { RpmsgBus } from '../../src/coprocessor/rpmsg/bus.ts';
import {
  SimulatedRpmsgVdev,
  type SimulatedRpmsgVdevOptions,
} from '../../src/testing/simulated-rpmsg-vdev.ts';
import { Poller } from '../../src/virtqueue/poller.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close();
});

function start(options: SimulatedRpmsgVdevOptions = {}) {
  const vdev = new SimulatedRpmsgVdev(options);
  const poller = new Poller();
  const bus = RpmsgBus.open(vdev, { name: 'm4', poller });
  closers.push(() => {
    bus.close();
    poller.close();
  });
  return { vdev, bus, peer: vdev.peer };
}

describe('the simulated rpmsg device', () => {
  it('has no peer before DRIVER_OK', () => {
    expect(() => new SimulatedRpmsgVdev().peer).toThrow('the driver has not set DRIVER_OK');
  });

  it.each([0x1, 0x2000_0001])(
    'answers by itself when asked to, for as long as one likes (features %i)',
    async (features) => {
      const { bus, peer } = start({ automatic: true, features, queueSizes: [4, 4] });
      peer.listen(30, (payload, source) =>
        peer.send(
          30,
          source,
          payload.map((byte) => byte + 1),
        ),
      );
      peer.create('echo', 30);
      const endpoint = await bus.open('echo', 1000);
      for (let i = 0; i < 50; i++) {
        const answer = new Promise<number[]>((resolve) =>
          endpoint.onMessage((payload) => resolve([...payload])),
        );
        expect(endpoint.send(Uint8Array.of(i, 100))).toBe(true);
        expect(await answer).toEqual([i + 1, 101]);
      }
      expect(peer.messages).toEqual([]);
    },
  );

  it('keeps messages for addresses that nobody listens at', async () => {
    const { bus, peer } = start();
    peer.create('a', 30);
    const endpoint = await bus.open('a', 0);
    peer.listen(30, () => {});
    endpoint.send(Uint8Array.of(1));
    peer.serve();
    peer.listen(30, null);
    endpoint.send(Uint8Array.of(2));
    peer.serve();
    expect(peer.taken()).toEqual([{ source: 1024, destination: 30, payload: Uint8Array.of(2) }]);
    expect(peer.taken()).toEqual([]);
  });

  it('says when Linux has no buffer for a message', () => {
    const { vdev, peer } = start({ queueSizes: [2, 2] });
    expect([1, 2, 3].map((byte) => peer.push(30, 1024, Uint8Array.of(byte)))).toEqual([true, true, false]);
    expect(peer.lost).toBe(1);
    peer.publish();
    expect(vdev.calls).toEqual([1, 0]);
    expect(peer.push(30, 1024, Uint8Array.of(4))).toBe(true);
  });

  it('refuses a message that fits no buffer, and a buffer that holds no message', async () => {
    const { vdev, peer } = start();
    expect(() => peer.pushRaw(new Uint8Array(513))).toThrow('for a message of 513');
    vdev.queues[1]?.add(vdev.buffers.deviceAddress, 15, 0, 0);
    vdev.queues[1]?.publish();
    expect(() => peer.serve()).toThrow('a transmit buffer with 15 readable');
  });

  it('is lost once, and rings for nobody then', () => {
    const { vdev, bus } = start();
    const told: string[] = [];
    bus.onLost((reason) => told.push(reason));
    vdev.lose('gone');
    vdev.lose('gone again');
    vdev.ring();
    vdev.onLost((reason) => told.push(`late: ${reason}`));
    expect(told).toEqual(['gone', 'late: gone']);
  });
});
