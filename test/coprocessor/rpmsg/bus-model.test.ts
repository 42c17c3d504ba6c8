import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openBus } from './open-bus.ts';

type Opened = Awaited<ReturnType<typeof open>>;

interface Step {
  readonly what:
    | 'push'
    | 'publish'
    | 'turn'
    | 'ring'
    | 'send'
    | 'serve'
    | 'hold'
    | 'release'
    | 'releaseQuietly';
  /** Which of the two channels. */
  readonly channel: 0 | 1;
  readonly length: number;
  readonly count: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  what: fc.constantFrom(
    'push',
    'push',
    'publish',
    'turn',
    'ring',
    'send',
    'send',
    'serve',
    'hold',
    'release',
    'releaseQuietly',
  ),
  channel: fc.constantFrom(0, 1),
  length: fc.oneof(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 40 })),
  count: fc.integer({ min: 1, max: 3 }),
});

const setting = fc.record({
  queueSizes: fc.tuple(fc.constantFrom(1, 2, 4, 16), fc.constantFrom(1, 2, 4, 16)),
  features: fc.constantFrom(0x1, 0x2000_0001),
  bufferBytes: fc.integer({ min: 56, max: 70 }),
  sendQueueLimit: fc.integer({ min: 0, max: 5 }),
});
type Setting = typeof setting extends fc.Arbitrary<infer T> ? T : never;

async function open({ queueSizes, features, bufferBytes, sendQueueLimit }: Setting) {
  const carveoutBytes = (queueSizes[0] + queueSizes[1]) * 80;
  // Time plays no part here: nothing that waits is given up.
  const opened = openBus(
    { queueSizes, features, carveoutBytes },
    { bufferBytes, sendQueueLimit, sendTimeoutMs: 1e9 },
  );
  const { bus, peer } = opened;
  const endpoints = [];
  const heard: string[][] = [[], []];
  for (const [index, name] of ['a', 'b'].entries()) {
    peer.create(name, 30 + index);
    const endpoint = await bus.open(name, 0);
    endpoint.onMessage((payload) => heard[index]?.push(text(payload)));
    endpoints.push(endpoint);
  }
  return { ...opened, endpoints, heard };
}

function text(payload: Uint8Array): string {
  return Buffer.from(payload).toString('hex');
}

/** Sends and takes until nothing moves any more. */
function drain({ peer, vdev, poller }: Opened, taken: () => void): void {
  for (let i = 0; i < 20; i++) {
    peer.publish();
    vdev.ring();
    poller.run();
    taken();
    peer.release();
  }
}

function play(opened: Opened, limit: number, steps: readonly Step[]): void {
  const { bus, vdev, peer, poller, endpoints, heard } = opened;
  const size = vdev.queues[1]?.size as number;
  const toLinux: string[][] = [[], []];
  const accepted: string[][] = [[], []];
  const arrived: string[][] = [[], []];
  const sentBefore = bus.counters.sent as number;
  const waiting = (): number => accepted.flat().length - ((bus.counters.sent as number) - sentBefore);
  let tag = 0;
  /** Those that the peer holds, or has not taken. */
  const arrive = (
    messages: readonly { source: number; destination: number; payload: Uint8Array }[],
  ): void => {
    for (const { source, destination, payload } of messages) {
      const at = destination - 30;
      expect(source).toBe(endpoints[at]?.localAddress);
      arrived[at]?.push(text(payload));
    }
  };
  const serve = (): void => {
    peer.serve();
    arrive(peer.taken());
    peer.enableKicks();
  };
  for (const { what, channel, length, count } of steps) {
    const payload = Uint8Array.from({ length }, (_, i) => tag + i * 3);
    const endpoint = endpoints[channel] as (typeof endpoints)[number];
    if (what === 'push') {
      tag++;
      if (peer.push(30 + channel, endpoint.localAddress, payload)) toLinux[channel]?.push(text(payload));
    } else if (what === 'publish') peer.publish();
    else if (what === 'turn') poller.run();
    else if (what === 'ring') vdev.ring();
    else if (what === 'send') {
      tag++;
      const waitingBefore = waiting();
      const sent = endpoint.send(payload);
      // Refused only when as many wait as may.
      expect(sent || waitingBefore === limit).toBe(true);
      if (sent) accepted[channel]?.push(text(payload));
      // The copy is ours.
      payload.fill(0xff);
    } else if (what === 'serve') serve();
    else if (what === 'hold') arrive(peer.hold());
    else peer.release(count, what === 'releaseQuietly');
    // What was accepted is in the ring, or waits for a buffer.
    expect(vdev.queues[1]?.outstanding).toBeLessThanOrEqual(size);
    expect(waiting()).toBeLessThanOrEqual(limit);
  }
  drain(opened, serve);
  expect(heard.map((list) => list.splice(0))).toEqual(toLinux);
  expect(arrived).toEqual(accepted);
  // All buffers are where they belong.
  expect([vdev.queues[0]?.outstanding, vdev.queues[1]?.outstanding]).toEqual([vdev.queues[0]?.size, 0]);
  const { badUsed, unknownDestination, noEndpoint, shortMessages, oversizedMessages } = bus.counters;
  expect([badUsed, unknownDestination, noEndpoint, shortMessages, oversizedMessages]).toEqual([
    0, 0, 0, 0, 0,
  ]);
}

describe('an rpmsg bus against its peer', () => {
  it('loses, repeats and mixes up nothing, whatever the sizes and the order of things', async () => {
    await fc.assert(
      fc.asyncProperty(setting, fc.array(step, { maxLength: 150, size: 'max' }), async (one, steps) => {
        const opened = await open(one);
        play(opened, one.sendQueueLimit, steps);
        opened.bus.close();
        opened.poller.close();
      }),
      { numRuns: 200 },
    );
  });

  it('goes on so over the wrap of the indices', async () => {
    await fc.assert(
      fc.asyncProperty(
        setting,
        fc.array(step, { minLength: 150, maxLength: 300, size: 'max' }),
        async (one, steps) => {
          const opened = await open(one);
          const { peer, poller, endpoints, heard } = opened;
          // The announcements were messages as well.
          for (let i = 2; i < 65_520; i++) {
            peer.send(30, 1024, Uint8Array.of(1));
            endpoints[0]?.send(Uint8Array.of(1));
            peer.serve();
            peer.enableKicks();
            poller.run();
          }
          expect(heard[0]?.splice(0)).toHaveLength(65_518);
          expect(peer.taken()).toHaveLength(65_518);
          play(opened, one.sendQueueLimit, steps);
          opened.bus.close();
          opened.poller.close();
        },
      ),
      // Each run takes a second: none is shrunk.
      { numRuns: 3, endOnFailure: true },
    );
  });
});
