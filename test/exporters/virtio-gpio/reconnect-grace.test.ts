import { afterEach, describe, expect, it, vi } from 'vitest';
import { MSG_SET_DIRECTION, MSG_SET_IRQ_TYPE, MSG_SET_VALUE } from '../../../src/wire/virtio-gpio.ts';
import { serveSimulatedChip, until } from './served-device.ts';

const OUT = 1;
const GRACE_MS = 60_000;

afterEach(() => {
  vi.useRealTimers();
});

/** A guest that owns output 0, with its front-end gone. */
async function leftOutput(reconnectGraceMs: number) {
  // Only what the grace is counted with: the front-end's own limits go by the real clock.
  const served = serveSimulatedChip({ reconnectGraceMs });
  const guest = await served.served.connect();
  await guest.request(MSG_SET_VALUE, 0, 1);
  await guest.request(MSG_SET_DIRECTION, 0, OUT);
  expect(served.lines.lines[0]!.ownerName).toBe('guest vm1');
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  guest.disconnect();
  return { ...served, guest };
}

/** Turns of the event loop until the server has seen the front-end go; timers are not real here. */
async function untilGone(server: { readonly connected: boolean }): Promise<void> {
  while (server.connected) await new Promise((resolve) => setImmediate(resolve));
}

describe('an output of a guest whose front-end has gone', () => {
  it('stays the guest’s for the grace, and is given up then', async () => {
    const { lines, served } = await leftOutput(GRACE_MS);
    await untilGone(served.server);
    vi.advanceTimersByTime(GRACE_MS - 1);
    expect(lines.lines[0]!.ownerName).toBe('guest vm1');
    vi.advanceTimersByTime(1);
    expect(lines.lines[0]!.ownerName).toBeNull();
  });

  it('is still the guest’s when it comes back in time, for good', async () => {
    const { lines, served, guest } = await leftOutput(GRACE_MS);
    await untilGone(served.server);
    vi.advanceTimersByTime(GRACE_MS - 1);
    expect(vi.getTimerCount()).toBe(1);
    vi.useRealTimers();
    await guest.reconnect('keep');
    expect(lines.lines[0]!.ownerName).toBe('guest vm1');
    expect((await guest.request(MSG_SET_VALUE, 0, 0)).status).toBe(0);
    expect(lines.lines[0]!.level).toBe(0);
  });

  it('is given up at once without a grace', async () => {
    const { lines, served } = await leftOutput(0);
    await untilGone(served.server);
    expect(lines.lines[0]!.ownerName).toBeNull();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('leaves no timer behind when the service ends', async () => {
    const { served } = await leftOutput(GRACE_MS);
    await untilGone(served.server);
    served.server.close();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('an interrupt of a guest whose front-end has gone', () => {
  it('ends at once: nothing is subscribed for who is not there', async () => {
    const { lines, served } = serveSimulatedChip({ reconnectGraceMs: GRACE_MS });
    const guest = await served.connect();
    await guest.request(MSG_SET_IRQ_TYPE, 3, 3);
    expect(lines.lines[3]!.subscribed).toBe(3);
    guest.disconnect();
    await until(() => !served.server.connected);
    expect(lines.lines[3]!.subscribed).toBe(0);
  });
});
