import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { counted, openChannel } from './open-bus.ts';

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate', 'performance'],
  });
});
afterEach(() => {
  vi.useRealTimers();
});

const first = (messages: readonly { payload: Uint8Array }[]): unknown[] =>
  messages.map(({ payload }) => payload[0]);

describe('when no transmit buffer is free', () => {
  it('messages wait in order and go out as buffers come back', async () => {
    const { bus, peer, endpoint, vdev } = await openChannel({ queueSizes: [4, 4] });
    const bytes = new Uint8Array(1);
    for (let i = 0; i < 10; i++) {
      bytes[0] = i;
      expect(endpoint.send(bytes)).toBe(true);
    }
    expect(first(peer.hold())).toEqual([0, 1, 2, 3]);
    vi.advanceTimersByTime(0);
    // The driver wants to be called now: the buffers come back with a call.
    peer.release(3);
    expect(vdev.calls[1]).toBe(1);
    expect(first(peer.hold())).toEqual([4, 5, 6]);
    peer.release();
    expect(first(peer.hold())).toEqual([7, 8, 9]);
    peer.release();
    vi.advanceTimersByTime(0);
    // Nothing waits any more.
    expect(endpoint.send(bytes)).toBe(true);
    vi.advanceTimersByTime(0);
    const calls = vdev.calls[1];
    peer.serve();
    expect(vdev.calls[1]).toBe(calls);
    expect(counted(bus)).toEqual({ received: 1, sent: 11, queued: 6 });
    expect(vi.getTimerCount()).toBe(0);
  });

  it('buffers that come back without a call are found in a few milliseconds', async () => {
    const { peer, endpoint, vdev } = await openChannel({ queueSizes: [2, 2] });
    for (let i = 0; i < 3; i++) endpoint.send(Uint8Array.of(i));
    peer.hold();
    vi.advanceTimersByTime(0);
    peer.release(2, true);
    expect(vdev.calls[1]).toBe(0);
    vi.advanceTimersByTime(5);
    expect(first(peer.hold())).toEqual([2]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('no more wait than the limit, and the others are refused', async () => {
    const { bus, endpoint } = await openChannel({ queueSizes: [2, 2] }, { sendQueueLimit: 3 });
    const sent = Array.from({ length: 8 }, (_, i) => endpoint.send(Uint8Array.of(i)));
    expect(sent).toEqual([true, true, true, true, true, false, false, false]);
    expect(counted(bus)).toEqual({ received: 1, sent: 2, queued: 3, sendQueueFull: 3 });
  });

  it('those that wait too long are given up, and never sent late', async () => {
    const { bus, peer, endpoint } = await openChannel({ queueSizes: [2, 2] }, { sendTimeoutMs: 50 });
    for (let i = 0; i < 3; i++) endpoint.send(Uint8Array.of(i));
    peer.hold();
    vi.advanceTimersByTime(30);
    endpoint.send(Uint8Array.of(3));
    vi.advanceTimersByTime(25);
    expect(counted(bus)).toEqual({ received: 1, sent: 2, queued: 2, sendTimeouts: 1 });
    peer.release();
    expect(first(peer.hold())).toEqual([3]);
    vi.advanceTimersByTime(100);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('a late buffer does not send what is overdue, also when the call comes before the timer', async () => {
    const { bus, peer, endpoint } = await openChannel({ queueSizes: [1, 1] }, { sendTimeoutMs: 3 });
    endpoint.send(Uint8Array.of(0));
    endpoint.send(Uint8Array.of(1));
    peer.hold();
    vi.advanceTimersByTime(4);
    peer.release();
    expect(peer.hold()).toEqual([]);
    expect(counted(bus)).toMatchObject({ sent: 1, sendTimeouts: 1 });
  });

  it('what waits ends with its endpoint, not with another', async () => {
    const { bus, peer, endpoint } = await openChannel({ queueSizes: [2, 2] });
    peer.create('other', 31);
    const other = await bus.open('other', 0);
    for (let i = 0; i < 3; i++) endpoint.send(Uint8Array.of(i));
    other.send(Uint8Array.of(100));
    endpoint.send(Uint8Array.of(3));
    peer.destroy('echo', 30);
    vi.advanceTimersByTime(0);
    peer.hold();
    peer.release();
    expect(first(peer.hold())).toEqual([100]);
    expect(counted(bus)).toMatchObject({ sendsDropped: 2 });
    other.send(Uint8Array.of(101));
    other.send(Uint8Array.of(102));
    other.close();
    expect(counted(bus)).toMatchObject({ sendsDropped: 3 });
    vi.advanceTimersByTime(10);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('nothing ticks after the bus was lost', async () => {
    const { bus, vdev, endpoint } = await openChannel({ queueSizes: [1, 1] });
    endpoint.send(Uint8Array.of(0));
    endpoint.send(Uint8Array.of(1));
    vdev.lose('gone');
    vi.advanceTimersByTime(0);
    expect(vi.getTimerCount()).toBe(0);
    expect(counted(bus)).toMatchObject({ sendsDropped: 1 });
  });
});
