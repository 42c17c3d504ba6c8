import { describe, expect, it } from 'vitest';
import { encodeHeader } from '../../../src/wire/rpmsg.ts';
import { counted, openChannel } from './open-bus.ts';

/** A message whose header claims `length` bytes of payload. */
function message(destination: number, length: number, payloadBytes: number): Uint8Array {
  const bytes = new Uint8Array(16 + payloadBytes);
  encodeHeader({ source: 30, destination, length, flags: 0 }, bytes);
  return bytes;
}

describe('messages that make no sense', () => {
  it.each([
    ['nothing written', message(1024, 0, 0), 0, { shortMessages: 1 }],
    ['half a header', message(1024, 0, 0), 15, { shortMessages: 1 }],
    ['a length beyond what was written', message(1024, 5, 4), 20, { oversizedMessages: 1 }],
    ['a length beyond the buffer', message(1024, 497, 496), 512, { oversizedMessages: 1 }],
    ['the largest length', message(1024, 0xffff, 496), 512, { oversizedMessages: 1 }],
    ['a used length beyond the buffer', message(1024, 0xffff, 496), 0xffff_ffff, { oversizedMessages: 1 }],
    ['an unknown destination', message(1025, 4, 4), 20, { received: 3, unknownDestination: 1 }],
    ['the destination "any"', message(0xffff_ffff, 4, 4), 20, { received: 3, unknownDestination: 1 }],
    ['the destination 0', message(0, 4, 4), 20, { received: 3, unknownDestination: 1 }],
  ])('%s: dropped and counted, and the channel goes on', async (_what, bytes, usedBytes, expected) => {
    const { bus, peer, vdev, heard } = await openChannel({ queueSizes: [4, 4] });
    peer.pushRaw(bytes, usedBytes);
    peer.publish();
    peer.send(30, 1024, Uint8Array.of(1));
    expect(heard).toEqual([[1]]);
    expect(counted(bus)).toEqual({ received: 2, ...expected });
    // Every buffer went back to the co-processor.
    expect(vdev.queues[0]?.outstanding).toBe(4);
    expect(vdev.queues[0]?.publishedIndex).toBe(7);
  });

  it('a header that was written with a larger used length than the buffer has still counts for what the buffer has', async () => {
    const { peer, heard } = await openChannel();
    peer.pushRaw(message(1024, 496, 496), 0xffff_ffff);
    peer.publish();
    expect(heard).toEqual([Array(496).fill(0)]);
  });

  it('messages to a channel without an endpoint, and to one that nobody listens on', async () => {
    const { bus, peer, heard } = await openChannel();
    peer.create('quiet', 31);
    await bus.open('quiet', 0);
    peer.send(31, 1025, Uint8Array.of(1));
    expect(counted(bus)).toMatchObject({ noEndpoint: 1 });
    expect(heard).toEqual([]);
  });

  it('used entries that name no buffer of ours', async () => {
    const { bus, peer, vdev, heard } = await openChannel({ queueSizes: [4, 4] });
    const view = new DataView(vdev.bytes.buffer);
    const used = vdev.usedOffsets[1] as number;
    view.setUint32(used + 4, 3, true);
    view.setUint32(used + 12, 0xffff_ffff, true);
    view.setUint16(used + 2, 2, true);
    vdev.ring();
    peer.send(30, 1024, Uint8Array.of(1));
    expect(heard).toEqual([[1]]);
    expect(counted(bus)).toEqual({ received: 2, badUsed: 2 });
  });
});
