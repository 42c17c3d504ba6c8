import { describe, expect, it } from 'vitest';
import type { BusEndpoint } from '../../../src/coprocessor/rpmsg/bus-endpoint.ts';
import { MAX_CHANNELS } from '../../../src/coprocessor/rpmsg/channel-table.ts';
import { encodeAnnouncement } from '../../../src/wire/rpmsg.ts';
import { counted, hear, openBus, openChannel } from './open-bus.ts';

describe('channels', () => {
  it('are found by name or expression, before and after they are announced', async () => {
    const { bus, peer } = openBus();
    const early = bus.open(/^rpmsg-io-\d+$/g, 1000);
    peer.create('rpmsg-tty', 7);
    peer.create('rpmsg-io-12', 8);
    expect(await early).toMatchObject({ name: 'rpmsg-io-12', remoteAddress: 8, localAddress: 1024 });
    expect(await bus.open('rpmsg-tty', 0)).toMatchObject({ remoteAddress: 7, localAddress: 1025 });
    expect(bus.channels).toEqual(['rpmsg-tty', 'rpmsg-io-12']);
  });

  it('of one name and several addresses are channels of their own, given out in order', async () => {
    const { bus, peer } = openBus();
    peer.create('tty', 3);
    const endpoints = [await bus.open('tty', 0)];
    const second = bus.open('tty', 1000);
    peer.create('tty', 2);
    endpoints.push(await second);
    expect(endpoints.map(({ remoteAddress }) => remoteAddress)).toEqual([3, 2]);
    const heard = endpoints.map(hear);
    peer.send(2, 1025, Uint8Array.of(5));
    expect(heard).toEqual([[], [[5]]]);
  });

  it('that do not come within the time are named with those that came', async () => {
    const { bus, peer } = await openChannel();
    peer.create('rpmsg-tty', 7);
    await expect(bus.open('rpmsg-io', 1)).rejects.toMatchObject({
      code: 'ERR_RPMSG',
      message:
        'm4: no free rpmsg channel "rpmsg-io" within 1 ms; the co-processor has announced "echo" (in use), "rpmsg-tty"',
    });
    await expect(bus.open(/^x/, 1)).rejects.toThrow('no free rpmsg channel that matches /^x/ within 1 ms');
    // The waiting has ended: nobody takes the channel now.
    peer.create('rpmsg-io', 9);
    expect(await bus.open('rpmsg-io', 0)).toMatchObject({ localAddress: 1025 });
  });

  it('that do not come at all are explained', async () => {
    await expect(openBus().bus.open('a', 1)).rejects.toThrow(
      'm4: no free rpmsg channel "a" within 1 ms; the co-processor has announced none: is the firmware running',
    );
    await expect(openBus({ features: 0 }).bus.open('a', 1)).rejects.toThrow(
      'announces none: its vdev 0 does not offer the name service (feature bit 0)',
    );
  });

  it('are destroyed: the endpoint is told once, and a new one waits for the next announcement', async () => {
    const { bus, peer, endpoint, heard } = await openChannel();
    const gone: string[] = [];
    endpoint.onGone((reason) => gone.push(reason));
    peer.destroy('echo', 30);
    expect(gone).toEqual(['the co-processor has destroyed the channel "echo"']);
    expect(bus.channels).toEqual([]);
    expect(endpoint.send(Uint8Array.of(1))).toBe(false);
    peer.send(30, 1024, Uint8Array.of(1));
    expect(counted(bus)).toMatchObject({ sentToGone: 1, unknownDestination: 1 });

    const again = bus.open('echo', 1000);
    peer.create('echo', 31);
    const second = await again;
    expect(second).toMatchObject({ localAddress: 1024, remoteAddress: 31 });
    const heardAgain = hear(second);
    peer.send(31, 1024, Uint8Array.of(2));
    expect([heard, heardAgain]).toEqual([[], [[2]]]);
    endpoint.close();
    expect([second.alive, gone.length]).toEqual([true, 1]);
  });

  it('may be opened anew from the listener that hears of the end', async () => {
    const { bus, peer, endpoint } = await openChannel();
    let next: Promise<BusEndpoint> | undefined;
    endpoint.onGone(() => {
      next = bus.open('echo', 1000);
    });
    peer.push(30, 53, encodeAnnouncement({ name: 'echo', address: 30, destroyed: true }));
    peer.push(30, 53, encodeAnnouncement({ name: 'echo', address: 30, destroyed: false }));
    peer.publish();
    expect(await next).toMatchObject({ name: 'echo', alive: true });
  });

  it('that were closed on our side go to the next who waits, with the same address', async () => {
    const { bus, peer, endpoint } = await openChannel();
    const gone: string[] = [];
    endpoint.onGone((reason) => gone.push(reason));
    const waiting = bus.open('echo', 1000);
    endpoint.close();
    endpoint.close();
    const second = await waiting;
    expect([second.localAddress, second === endpoint, gone]).toEqual([1024, false, []]);
    expect(endpoint.send(Uint8Array.of(1))).toBe(false);
    second.close();
    peer.send(30, 1024, Uint8Array.of(1));
    expect(counted(bus)).toMatchObject({ noEndpoint: 1, sentToGone: 1 });
  });

  it('do not take the local address of one that is closed, but not destroyed', async () => {
    const { bus, peer, endpoint } = await openChannel();
    endpoint.close();
    peer.create('other', 31);
    expect(await bus.open('other', 0)).toMatchObject({ localAddress: 1025 });
  });
});

describe('announcements that make no sense', () => {
  const named = (name: string): Uint8Array => {
    const bytes = new Uint8Array(40);
    bytes.set([...name].map((c) => c.charCodeAt(0)));
    bytes[32] = 40;
    return bytes;
  };

  it.each([
    ['a short one', named('a').subarray(0, 39), { badAnnouncementSize: 1 }],
    ['a long one', new Uint8Array(41), { badAnnouncementSize: 1 }],
    ['an empty one', new Uint8Array(0), { badAnnouncementSize: 1 }],
    ['a name without NUL', named('n'.repeat(32)), { badAnnouncementName: 1 }],
    ['no name', named(''), { badAnnouncementName: 1 }],
    ['a name for a terminal', named('\x1b[2J'), { badAnnouncementName: 1 }],
    ['the address "any"', named('a').fill(0xff, 32, 36), { badAnnouncementAddress: 1 }],
    [
      'a channel that is there',
      encodeAnnouncement({ name: 'echo', address: 30, destroyed: false }),
      { duplicateAnnouncements: 1 },
    ],
    [
      'the end of one that is not',
      encodeAnnouncement({ name: 'echo', address: 31, destroyed: true }),
      { unknownChannelsDestroyed: 1 },
    ],
  ])('%s is dropped and counted, and the bus goes on', async (_what, payload, expected) => {
    const { bus, peer, heard } = await openChannel();
    peer.send(30, 53, payload);
    peer.send(30, 1024, Uint8Array.of(1));
    expect(counted(bus)).toEqual({ received: 3, ...expected });
    expect([bus.channels, heard]).toEqual([['echo'], [[1]]]);
  });

  it('in a flood are bounded, and one that ends makes room for another', async () => {
    const { bus, peer, heard } = await openChannel();
    for (let i = 0; i < 1000; i++) expect(peer.create(`flood-${i}`, 100 + i)).toBe(true);
    expect(bus.channels).toHaveLength(MAX_CHANNELS);
    expect(bus.counters.tooManyChannels).toBe(1001 - MAX_CHANNELS);
    peer.destroy('flood-0', 100);
    peer.create('late', 5000);
    expect(await bus.open('late', 0)).toMatchObject({ name: 'late' });
    peer.send(30, 1024, Uint8Array.of(9));
    expect(heard).toEqual([[9]]);
  });

  it('are messages to nobody where no name service was negotiated', () => {
    const { bus, peer } = openBus({ features: 0 });
    peer.create('echo', 30);
    expect(bus.channels).toEqual([]);
    expect(counted(bus)).toEqual({ received: 1, unknownDestination: 1 });
  });
});
