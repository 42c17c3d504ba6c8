import { describe, expect, it } from 'vitest';
import { RpmsgBus, WANTED_RPMSG_FEATURES } from '../../../src/coprocessor/rpmsg/bus.ts';
import { SimulatedRpmsgVdev } from '../../../src/testing/simulated-rpmsg-vdev.ts';
import { Poller } from '../../../src/virtqueue/poller.ts';
import { counted, openBus, openChannel } from './open-bus.ts';

describe('starting an rpmsg bus', () => {
  it('wants the name service and EVENT_IDX', () => {
    expect(WANTED_RPMSG_FEATURES).toBe(0x2000_0001);
  });

  it('posts a receive buffer a descriptor before DRIVER_OK, then kicks vring 0', () => {
    const vdev = new SimulatedRpmsgVdev({ queueSizes: [8, 4] });
    const order: string[] = [];
    const kick = vdev.kick.bind(vdev);
    vdev.kick = (index) => {
      order.push(`kick ${index} with ${vdev.queues[0]?.publishedIndex} buffers`);
      kick(index);
    };
    const driverOk = vdev.driverOk.bind(vdev);
    vdev.driverOk = () => {
      order.push(`DRIVER_OK with ${vdev.queues[0]?.publishedIndex} buffers`);
      driverOk();
    };
    RpmsgBus.open(vdev, { name: 'm4', poller: new Poller() });
    expect(order).toEqual(['DRIVER_OK with 8 buffers', 'kick 0 with 8 buffers']);
    expect([vdev.queues[0]?.free, vdev.queues[1]?.free]).toEqual([0, 4]);
  });

  it.each([
    [512, [256, 256], 512 * 512],
    [130, [4, 2], 6 * 144],
    [56, [1, 1], 2 * 64],
  ])('allocates buffers of %i bytes from the carveout, aligned', (bufferBytes, queueSizes, carveoutBytes) => {
    const { vdev, bus } = openBus({ queueSizes, carveoutBytes }, { bufferBytes });
    expect(vdev.buffers.freeBytes).toBe(0);
    expect(bus.maxPayloadBytes).toBe(bufferBytes - 16);
    bus.close();
    expect(vdev.buffers.freeBytes).toBe(carveoutBytes);
  });

  it('refuses a carveout that is too small, and closes the vdev', () => {
    const vdev = new SimulatedRpmsgVdev({ queueSizes: [16, 16], carveoutBytes: 16 * 512 + 100 });
    expect(() => RpmsgBus.open(vdev, { name: 'm4', poller: new Poller() })).toThrow(
      expect.objectContaining({
        code: 'ERR_CARVEOUT',
        message: expect.stringMatching(/^16 rpmsg transmit buffers of 512 bytes needs 8192 bytes/),
      }),
    );
    expect(vdev.closes).toBe(1);
    expect(vdev.buffers.freeBytes).toBe(16 * 512 + 100);
  });

  it.each([55, 512.5, 0, -1, 65552])('refuses buffers of %d bytes', (bufferBytes) => {
    const vdev = new SimulatedRpmsgVdev();
    expect(() => RpmsgBus.open(vdev, { name: 'm4', poller: new Poller(), bufferBytes })).toThrow(
      expect.objectContaining({
        code: 'ERR_RPMSG',
        message: expect.stringContaining(`m4: rpmsg buffers of ${bufferBytes} bytes; 56 to 65551`),
      }),
    );
  });

  it('refuses a vdev with one vring', () => {
    const vdev = new SimulatedRpmsgVdev({ queueSizes: [16] });
    expect(() => RpmsgBus.open(vdev, { name: 'm4', poller: new Poller() })).toThrow(
      'm4: vdev 0 has 1 vrings; rpmsg needs 2',
    );
  });
});

describe('messages on an rpmsg bus', () => {
  it('go from Linux to the announced address with the endpoint as their source', async () => {
    const { peer, endpoint, vdev, bus } = await openChannel();
    expect([endpoint.name, endpoint.localAddress, endpoint.remoteAddress]).toEqual(['echo', 1024, 30]);
    for (let length = 0; length <= 9; length++) {
      expect(endpoint.send(Uint8Array.from({ length }, (_, i) => 0xf0 + i))).toBe(true);
    }
    expect(vdev.kicks[1]).toBe(10);
    peer.serve();
    expect(peer.taken()).toEqual(
      Array.from({ length: 10 }, (_, length) => ({
        source: 1024,
        destination: 30,
        payload: Uint8Array.from({ length }, (_, i) => 0xf0 + i),
      })),
    );
    expect(counted(bus)).toEqual({ received: 1, sent: 10 });
  });

  it('go to the endpoint of their destination', async () => {
    const { peer, bus, heard } = await openChannel();
    for (let length = 0; length <= 9; length++) {
      peer.send(
        30,
        1024,
        Uint8Array.from({ length }, (_, i) => 0xf0 + i),
      );
    }
    expect(heard).toEqual(
      Array.from({ length: 10 }, (_, length) => Array.from({ length }, (_, i) => 0xf0 + i)),
    );
    expect(counted(bus)).toEqual({ received: 11 });
  });

  it('have up to 496 bytes with the usual buffers', async () => {
    const { peer, endpoint, heard, poller } = await openChannel();
    expect(endpoint.maxPayloadBytes).toBe(496);
    const payload = Uint8Array.from({ length: 496 }, (_, i) => i * 7);
    endpoint.send(payload);
    peer.serve();
    expect(peer.taken()[0]?.payload).toEqual(payload);
    peer.send(30, 1024, payload);
    poller.run();
    expect(heard).toEqual([[...payload]]);
    expect(() => endpoint.send(new Uint8Array(497))).toThrow(
      expect.objectContaining({
        code: 'ERR_RPMSG',
        message: 'm4: a message of 497 bytes on channel "echo"; at most 496 fit a buffer',
      }),
    );
  });

  it('have more with larger buffers, also beyond the lengths whose views are kept', async () => {
    const { peer, endpoint, heard, poller } = await openChannel(
      { queueSizes: [2, 2], carveoutBytes: 0x4000 },
      { bufferBytes: 3001 },
    );
    const payload = Uint8Array.from({ length: 2985 }, (_, i) => i * 13);
    expect(endpoint.send(payload)).toBe(true);
    peer.serve();
    expect(peer.taken()[0]?.payload).toEqual(payload);
    peer.send(30, 1024, payload);
    poller.run();
    expect(heard).toEqual([[...payload]]);
  });

  it('are a private copy: what the co-processor writes later does not show', async () => {
    const { peer, endpoint, vdev } = await openChannel();
    let copy: Uint8Array = new Uint8Array(0);
    endpoint.onMessage((payload) => {
      vdev.bytes.fill(0xee, vdev.buffersOffset, vdev.endOffset);
      copy = payload;
      expect(payload.buffer).not.toBe(vdev.bytes.buffer);
    });
    peer.send(30, 1024, Uint8Array.of(1, 2, 3, 4, 5));
    expect([...copy]).toEqual([1, 2, 3, 4, 5]);
  });

  it('are taken from any source, as Linux does', async () => {
    const { peer, heard } = await openChannel();
    peer.send(99, 1024, Uint8Array.of(7));
    expect(heard).toEqual([[7]]);
  });

  it('have their buffers returned at the end of the pass with one kick', async () => {
    const { peer, vdev, endpoint } = await openChannel({ queueSizes: [8, 8] });
    vdev.kicks.fill(0);
    const returned: unknown[] = [];
    endpoint.onMessage(() => returned.push(vdev.queues[0]?.publishedIndex));
    const before = vdev.queues[0]?.publishedIndex as number;
    for (let i = 0; i < 8; i++) peer.push(30, 1024, Uint8Array.of(i));
    peer.publish();
    expect(returned).toEqual(Array(8).fill(before));
    expect(vdev.queues[0]?.publishedIndex).toBe(before + 8);
    expect(vdev.kicks).toEqual([1, 0]);
  });

  it('sent from a listener are told with one kick at the end of the pass', async () => {
    const { peer, vdev, endpoint } = await openChannel({ queueSizes: [8, 8] });
    endpoint.onMessage((payload) => expect(endpoint.send(payload)).toBe(true));
    vdev.kicks.fill(0);
    for (let i = 0; i < 8; i++) peer.push(30, 1024, Uint8Array.of(i));
    peer.publish();
    expect(vdev.kicks).toEqual([1, 1]);
    peer.serve();
    expect(peer.taken().map(({ payload }) => payload[0])).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it('do not ask for a call for each buffer that comes back', async () => {
    const { peer, vdev, endpoint } = await openChannel();
    for (let i = 0; i < 100; i++) {
      endpoint.send(Uint8Array.of(i));
      peer.serve();
    }
    expect(vdev.calls[1]).toBe(0);
    expect(peer.taken()).toHaveLength(100);
  });

  it.each([0x1, 0x2000_0001])('go on over the wrap of the indices (features %i)', async (features) => {
    const { peer, vdev, poller, endpoint } = await openChannel({ queueSizes: [2, 2], features });
    let sum = 0;
    endpoint.onMessage((payload) => {
      sum += (payload[0] as number) | ((payload[1] as number) << 8);
    });
    const total = 70_000;
    const taken = (): number => peer.taken().length;
    let sent = 0;
    for (let i = 0; i < total; i++) {
      if (!peer.send(30, 1024, Uint8Array.of(i, i >>> 8))) throw new Error(`no buffer for message ${i}`);
      if (!endpoint.send(Uint8Array.of(i))) throw new Error(`message ${i} was refused`);
      peer.serve();
      peer.enableKicks();
      poller.run();
      sent += taken();
    }
    expect(sent).toBe(total);
    expect(sum).toBe(Array.from({ length: total }, (_, i) => i & 0xffff).reduce((a, b) => a + b));
    expect(vdev.failures).toEqual([]);
  });
});

describe('an rpmsg bus that ends', () => {
  it('tells endpoints, those who wait, and its listeners once', async () => {
    const { bus, vdev, endpoint } = await openChannel();
    const told: string[] = [];
    endpoint.onGone((reason) => told.push(`endpoint: ${reason}`));
    bus.onLost((reason) => told.push(`bus: ${reason}`));
    const opening = bus.open('other', 10_000);
    vdev.lose('the firmware exited');
    await expect(opening).rejects.toMatchObject({ code: 'ERR_RPMSG', message: 'm4: the firmware exited' });
    expect(told).toEqual(['endpoint: the firmware exited', 'bus: the firmware exited']);
    expect(endpoint.send(Uint8Array.of(1))).toBe(false);
    expect(bus.counters.sentToGone).toBe(1);
    await expect(bus.open('echo', 0)).rejects.toMatchObject({ code: 'ERR_RPMSG' });
    endpoint.onGone((reason) => told.push(`late: ${reason}`));
    bus.onLost((reason) => told.push(`late: ${reason}`));
    expect(told.slice(2)).toEqual(['late: the firmware exited', 'late: the firmware exited']);
    expect(bus.channels).toEqual([]);
    bus.close();
    bus.close();
    expect([told.length, vdev.closes]).toEqual([4, 1]);
  });

  it('on close tells endpoints and those who wait, but not who listens for losses', async () => {
    const { bus, vdev, endpoint } = await openChannel();
    const told: string[] = [];
    endpoint.onGone((reason) => told.push(reason));
    bus.onLost((reason) => told.push(`bus: ${reason}`));
    const opening = bus.open('other', 10_000);
    bus.close();
    await expect(opening).rejects.toThrow('m4: the rpmsg bus was closed');
    expect([told, vdev.closes]).toEqual([['the rpmsg bus was closed'], 1]);
    vdev.ring();
    expect(bus.poll()).toBe(false);
  });

  it('may be closed from a listener in the middle of a pass', async () => {
    const { bus, peer, vdev, endpoint } = await openChannel();
    let count = 0;
    endpoint.onMessage(() => {
      count++;
      bus.close();
    });
    for (let i = 0; i < 3; i++) peer.push(30, 1024, Uint8Array.of(i));
    peer.publish();
    expect([count, vdev.closes]).toEqual([1, 1]);
  });

  it('when a ring is corrupt fails the vdev and is lost', async () => {
    const { bus, vdev } = await openChannel({ queueSizes: [8, 8] });
    const told: string[] = [];
    bus.onLost((reason) => told.push(reason));
    // The used index of the transmit ring jumps.
    new DataView(vdev.bytes.buffer).setUint16((vdev.usedOffsets[1] as number) + 2, 9, true);
    vdev.ring();
    expect(told).toEqual(['used index 9 is 9 ahead of 0, more than the queue size 8']);
    expect(vdev.failures).toEqual(told);
  });
});
