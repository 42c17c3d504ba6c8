import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RpmsgPeer } from '../../src/testing/rpmsg-peer.ts';
import type { MessageNews } from './lab/kernel-agent-protocol.ts';
import { Resources } from './lab/resources.ts';
import { RpmsgBackEnd } from './lab/rpmsg-back-end.ts';
import { ScratchFolder } from './lab/scratch-folder.ts';
import { UmlHostRoot } from './lab/uml-host-root.ts';

const VIRTIO_ID_RPMSG = 7;
/** Of the co-processor's endpoints. */
const GPIO = 30;
const RAW = 31;
/** Transmit buffers of Linux's rpmsg bus. */
const LINUX_BUFFERS = 256;
const LAST = 'that is all';
const CHANNEL = 'rpmsg-io-channel';

// Our transport on a real kernel's /dev/rpmsg*, with the played firmware behind that kernel's virtio_rpmsg_bus.
describe("the kernel's rpmsg as transport", () => {
  const resources = new Resources();
  let kernel: UmlHostRoot;
  let backEnd: RpmsgBackEnd;
  let peer: RpmsgPeer;

  beforeAll(async () => {
    const socketPath = resources.add(new ScratchFolder()).file('rpmsg.sock');
    backEnd = resources.add(new RpmsgBackEnd(socketPath));
    kernel = resources.add(await UmlHostRoot.boot([{ socketPath, deviceId: VIRTIO_ID_RPMSG }]));
    peer = await backEnd.started();
    await kernel.do('openRpmsg', {
      options: { name: 'hub', sendTimeoutMs: 30_000, sendQueueLimit: LINUX_BUFFERS },
    });
  });
  afterAll(() => resources.close());

  const open = (channel: string, timeoutMs = 30_000) =>
    kernel.do('openChannel', { name: 'hub', channel, timeoutMs });
  const send = (channel: string, ...texts: string[]) => kernel.do('sendMessages', { channel, texts });
  const devices = async () =>
    (await kernel.do('run', { command: 'ls /dev | grep "^rpmsg[0-9]"' })).stdout.split('\n').filter(Boolean);
  const echo = (address: number) =>
    peer.listen(address, (payload, source) => peer.send(address, source, Uint8Array.from(payload).reverse()));

  /** Texts that a channel was told, once there are `count` since `from`. */
  async function messages(channel: string, from: number, count: number): Promise<readonly string[]> {
    const told = (): string[] =>
      kernel.news.lines
        .slice(from)
        .map((line) => JSON.parse(line) as MessageNews)
        .filter((news) => news.kind === 'message' && news.channel === channel)
        .map(({ text }) => text);
    for (let next = from; told().length < count; next = kernel.news.lines.length) {
      await kernel.news.waitFor(/"kind":"message"/, { from: next });
    }
    return told();
  }
  const now = (): number => kernel.news.lines.length;

  it('waits for a channel, and opens it when it is announced', async () => {
    await expect(open(CHANNEL, 100)).rejects.toMatchObject({
      code: 'ERR_RPMSG',
      message: expect.stringContaining('the co-processor has announced none on /dev/rpmsg_ctrl0'),
    });
    // The agent answers in order: it is asked before the channel is there, and tells after.
    const opening = open(CHANNEL);
    peer.create(CHANNEL, GPIO);
    expect(await opening).toBe('/dev/rpmsg0');
    expect(await kernel.do('rpmsgChannels', { name: 'hub' })).toEqual([CHANNEL]);
  });

  it('carries messages both ways', async () => {
    echo(GPIO);
    const from = now();
    const long = `${'x'.repeat(495)}y`;
    expect(await send(CHANNEL, 'a', 'hello', long)).toEqual([true, true, true]);
    expect(await messages(CHANNEL, from, 3)).toEqual(['a', 'olleh', [...long].reverse().join('')]);
    await expect(send(CHANNEL, `${long}z`)).rejects.toMatchObject({
      message: expect.stringContaining('a message of 497 bytes on channel "rpmsg-io-channel"; at most 496'),
    });
  });

  it('keeps what finds no buffer, and sends it in order when there is room', async () => {
    const received: string[] = [];
    peer.listen(GPIO, (payload, source) => {
      received.push(Buffer.from(payload).toString());
      if (received.at(-1) === LAST) peer.send(GPIO, source, Buffer.from('all there'));
    });
    backEnd.pause();
    const texts = Array.from({ length: LINUX_BUFFERS + 20 }, (_, i) => `${i}`);
    expect(await send(CHANNEL, ...texts)).toEqual(texts.map(() => true));
    expect(await kernel.do('rpmsgCounters', { name: 'hub' })).toMatchObject({
      sendQueueFull: 0,
      sendTimeouts: 0,
    });
    expect((await kernel.do('rpmsgCounters', { name: 'hub' })).queued).toBeGreaterThanOrEqual(20);
    const from = now();
    backEnd.resume();
    await send(CHANNEL, LAST);
    expect(await messages(CHANNEL, from, 1)).toEqual(['all there']);
    expect(received).toEqual([...texts, LAST]);
  });

  it('opens rpmsg-raw by the device that the kernel makes', async () => {
    peer.create('rpmsg-raw', RAW);
    expect(await open('rpmsg-raw')).toBe('/dev/rpmsg1');
    echo(RAW);
    const from = now();
    await send('rpmsg-raw', 'raw');
    expect(await messages('rpmsg-raw', from, 1)).toEqual(['war']);
  });

  it('tells that a channel was destroyed, whosever device it is', async () => {
    peer.destroy(CHANNEL, GPIO);
    expect(await kernel.news.waitFor(/"kind":"channelGone","channel":"rpmsg-io-channel"/)).toContain(
      'the co-processor has destroyed the channel',
    );
    peer.destroy('rpmsg-raw', RAW);
    await kernel.news.waitFor(/"kind":"channelGone","channel":"rpmsg-raw"/);
    expect(await send(CHANNEL, 'late')).toEqual([false]);
    expect(await kernel.do('rpmsgChannels', { name: 'hub' })).toEqual([]);
    // Its own devices are removed, and the kernel removes what it made.
    expect(await devices()).toEqual([]);
  });

  it('opens a channel that was created again, at another address', async () => {
    const opening = open(CHANNEL);
    peer.create(CHANNEL, GPIO + 10);
    await opening;
    echo(GPIO + 10);
    const from = now();
    await send(CHANNEL, 'again');
    expect(await messages(CHANNEL, from, 1)).toEqual(['niaga']);
    await kernel.do('closeChannel', { channel: CHANNEL });
    expect(await devices()).toEqual([]);
  });

  it('leaves nothing behind', async () => {
    await kernel.do('closeRpmsg', { name: 'hub' });
    const { stdout } = await kernel.do('run', { command: 'ls -l /proc/[0-9]*/fd 2>/dev/null | grep rpmsg' });
    expect(stdout).toBe('');
    const { stdout: log } = await kernel.do('run', { command: 'dmesg' });
    expect(log.split('\n').filter((line) => /WARNING:|BUG:|Oops/.test(line))).toEqual([]);
  });
});
