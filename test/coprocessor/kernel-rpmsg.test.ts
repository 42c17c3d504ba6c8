import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { KernelRpmsg, type KernelRpmsgOptions } from '../../src/coprocessor/kernel-rpmsg.ts';
import { encodeEndpointInfo, RPMSG_CREATE_EPT_IOCTL } from '../../src/wire/rpmsg-uapi.ts';
import { FakeRpmsgKernel } from './fake-rpmsg-kernel.ts';

let kernel: FakeRpmsgKernel;
let transport: KernelRpmsg;
let log: string[];
beforeEach(() => {
  kernel = new FakeRpmsgKernel();
  kernel.addControl();
  log = [];
});
afterEach(() => {
  transport?.close();
  // Whatever a test did: nothing is left open, and nobody listens.
  expect([kernel.openCount, kernel.listeners.size]).toEqual([0, 0]);
  vi.useRealTimers();
});

function start(options: Partial<KernelRpmsgOptions> = {}): KernelRpmsg {
  transport = KernelRpmsg.open({
    name: 'hub',
    kernel,
    onLog: (level, message) => log.push(`${level}: ${message}`),
    ...options,
  });
  return transport;
}

const failure = (text: string) =>
  expect.objectContaining({ code: 'ERR_RPMSG', message: expect.stringContaining(text) });
const bytes = (text: string): Uint8Array => Buffer.from(text);

describe('channels of the kernel', () => {
  it('are those of its bus that the co-processor announced', () => {
    kernel.announce('rpmsg-io-channel', 30);
    kernel.addControl('rpmsg_ctrl1', 'virtio1');
    kernel.announce('other', 31, null, 'virtio1');
    expect(start().channels).toEqual(['rpmsg-io-channel']);
    transport.close();
    expect(start({ control: '/dev/rpmsg_ctrl1' }).channels).toEqual(['other']);
    transport.close();
    expect(start({ control: '/dev/rpmsg_ctrl7' }).channels).toEqual([]);
  });

  it('are opened by an endpoint that is made for them, and removed at its end', async () => {
    kernel.announce('rpmsg-io-channel', 0xffff_fff0);
    const endpoint = await start().open('rpmsg-io-channel', 1000);
    expect([endpoint.name, endpoint.maxPayloadBytes, endpoint.path]).toEqual([
      'rpmsg-io-channel',
      496,
      '/dev/rpmsg0',
    ]);
    endpoint.close();
    endpoint.close();
    expect(kernel.calls).toEqual([
      'open rpmsg_ctrl0',
      'create rpmsg-io-channel -1>4294967280 on rpmsg_ctrl0',
      'open rpmsg0',
      'destroy rpmsg0',
    ]);
  });

  it('named rpmsg-raw are opened by the device that the kernel makes, when it has', async () => {
    const opening = start().open('rpmsg-raw', 1000);
    kernel.announce('rpmsg-raw', 30);
    // The driver is bound a moment later.
    kernel.uevent();
    expect(kernel.calls).toEqual([]);
    kernel.destroy('rpmsg-raw', 30);
    kernel.announce('rpmsg-raw', 30, 'rpmsg_chrdev');
    kernel.uevent('bind');
    const endpoint = await opening;
    endpoint.close();
    expect(kernel.calls).toEqual(['open rpmsg0']);
  });

  it('use an endpoint that somebody left behind, but none that is in use', async () => {
    kernel.announce('rpmsg-io', 30);
    const [used, left] = ['rpmsg0', 'rpmsg1'];
    const control = kernel.open('/dev/rpmsg_ctrl0');
    const info = { name: 'rpmsg-io', src: 0xffff_ffff, dst: 30 };
    for (let i = 0; i < 2; i++) kernel.ioctl(control, RPMSG_CREATE_EPT_IOCTL, encodeEndpointInfo(info));
    kernel.close(control);
    const usedFd = kernel.open(`/dev/${used}`);
    const endpoint = await start().open('rpmsg-io', 1000);
    expect(endpoint.path).toBe(`/dev/${left}`);
    endpoint.close();
    kernel.close(usedFd);
  });

  it('that match are opened one after the other', async () => {
    kernel.announce('rpmsg-io-0', 30);
    kernel.announce('rpmsg-io-1', 31);
    start();
    const first = await transport.open(/^rpmsg-io-\d+$/g, 1000);
    const second = await transport.open(/^rpmsg-io-\d+$/g, 1000);
    expect([first.name, second.name]).toEqual(['rpmsg-io-0', 'rpmsg-io-1']);
    first.close();
    expect((await transport.open('rpmsg-io-0', 1000)).name).toBe('rpmsg-io-0');
  });

  it('that another driver uses are refused, with the way out', async () => {
    kernel.announce('rpmsg-io-channel', 30, 'gpio_imx_rpmsg');
    await expect(start().open('rpmsg-io-channel', 1000)).rejects.toEqual(
      failure(
        `hub: rpmsg channel "rpmsg-io-channel" is used by the kernel's driver gpio_imx_rpmsg; to take it from that one: echo virtio0.rpmsg-io-channel.-1.30 > ${kernel.sysfsRoot}/bus/rpmsg/drivers/gpio_imx_rpmsg/unbind`,
      ),
    );
  });

  it('are waited for, and named when the wanted one does not come', async () => {
    kernel.announce('rpmsg-tty', 31);
    await expect(start().open('rpmsg-io', 20)).rejects.toEqual(
      failure('hub: no rpmsg channel "rpmsg-io" within 20 ms: there are "rpmsg-tty"'),
    );
    await expect(transport.open(/io/, 20)).rejects.toEqual(
      failure('no rpmsg channel like /io/ within 20 ms'),
    );
    kernel.destroy('rpmsg-tty', 31);
    await expect(transport.open('rpmsg-io', 20)).rejects.toEqual(
      failure('the co-processor has announced none on /dev/rpmsg_ctrl0'),
    );
    kernel.announce('rpmsg-raw', 30);
    await expect(transport.open('rpmsg-raw', 20)).rejects.toEqual(
      failure('is rpmsg_char in the kernel, and loaded?'),
    );
    transport.close();
    await expect(start({ control: '/dev/rpmsg_ctrl3' }).open('x', 20)).rejects.toEqual(
      failure('there is no /dev/rpmsg_ctrl3; there is /dev/rpmsg_ctrl0 (has the co-processor been started'),
    );
    transport.close();
    await expect(start({ device: '/dev/rpmsg9' }).open('x', 20)).rejects.toEqual(
      failure('/dev/rpmsg9 is no rpmsg device, or not there'),
    );
  });

  it.each([
    [
      '/dev/rpmsg_ctrl0',
      'EACCES',
      '/dev/rpmsg_ctrl0: permission denied: reading and writing it must be allowed',
    ],
    ['/dev/rpmsg_ctrl0', 'ENOENT', '/dev/rpmsg_ctrl0 does not exist: are rpmsg_ctrl and rpmsg_char loaded'],
    ['/dev/rpmsg0', 'EMFILE', '/dev/rpmsg0: EMFILE'],
  ])('say what to do when %s ends with %s', async (path, code, text) => {
    kernel.announce('rpmsg-io', 30);
    kernel.refused.set(path, code);
    await expect(start().open('rpmsg-io', 1000)).rejects.toEqual(failure(text));
  });

  it('without uevents are looked for while one is waited for, and no longer', async () => {
    vi.useFakeTimers();
    kernel.hasUevents = false;
    start();
    expect(log).toEqual([expect.stringContaining('uevents cannot be had (EPROTONOSUPPORT')]);
    expect(vi.getTimerCount()).toBe(0);
    const opening = transport.open('rpmsg-io', 1000);
    kernel.announce('rpmsg-io', 30);
    await vi.advanceTimersByTimeAsync(250);
    const endpoint = await opening;
    expect(vi.getTimerCount()).toBe(0);
    // One that is destroyed shows at the next message.
    const gone: string[] = [];
    endpoint.onGone((reason) => gone.push(reason));
    kernel.destroy('rpmsg-io', 30);
    await vi.advanceTimersByTimeAsync(250);
    expect(endpoint.send(bytes('x'))).toBe(false);
    expect(gone).toEqual(['the co-processor has destroyed the channel "rpmsg-io"']);
  });

  it('of a device that is there already is the only one', async () => {
    kernel.announce('rpmsg-raw', 30, 'rpmsg_chrdev');
    kernel.announce('rpmsg-io', 31);
    const endpoint = await start({ device: '/dev/rpmsg0' }).open(/./, 1000);
    expect([transport.channels, endpoint.name]).toEqual([['rpmsg-raw'], 'rpmsg-raw']);
    const reasons: string[] = [];
    transport.onLost((reason) => reasons.push(reason));
    kernel.removeBus();
    expect(reasons).toEqual(['the kernel has removed /dev/rpmsg0: the co-processor was stopped, or crashed']);
  });

  it('of a device in use say so', async () => {
    kernel.announce('rpmsg-raw', 30, 'rpmsg_chrdev');
    const fd = kernel.open('/dev/rpmsg0');
    await expect(start().open('rpmsg-raw', 1000)).rejects.toEqual(
      failure('/dev/rpmsg0 is open in another program'),
    );
    kernel.close(fd);
  });
});

describe('messages through the kernel', () => {
  async function open(options: Partial<KernelRpmsgOptions> = {}) {
    kernel.announce('rpmsg-io', 30);
    const endpoint = await start(options).open('rpmsg-io', 1000);
    return { endpoint, device: kernel.device('rpmsg0') };
  }

  it('go both ways, one a call', async () => {
    const { endpoint, device } = await open();
    const messages: string[] = [];
    endpoint.onMessage((payload) => messages.push(Buffer.from(payload).toString()));
    expect(endpoint.send(bytes('ask'))).toBe(true);
    kernel.deliver('rpmsg0', 'answer');
    device.inbox.push(bytes('one'), bytes(''), bytes('two'));
    device.readable?.(0);
    expect([device.sent, messages]).toEqual([['ask'], ['answer', 'one', '', 'two']]);
    expect(transport.counters).toMatchObject({ sent: 1, received: 4, noEndpoint: 0 });
  });

  it('that came before it was opened, and that nobody listens for, are counted', async () => {
    kernel.announce('rpmsg-raw', 30, 'rpmsg_chrdev');
    kernel.deliver('rpmsg0', 'stale');
    const endpoint = await start().open('rpmsg-raw', 1000);
    kernel.deliver('rpmsg0', 'unheard');
    expect(transport.counters).toMatchObject({ staleMessages: 1, received: 1, noEndpoint: 1 });
    endpoint.close();
  });

  it('that are too long are refused', async () => {
    const { endpoint } = await open({ maxPayloadBytes: 8 });
    expect(() => endpoint.send(new Uint8Array(9))).toThrow(
      failure('a message of 9 bytes on channel "rpmsg-io"; at most 8'),
    );
  });

  it('a flood of them leaves time for others', async () => {
    const { endpoint, device } = await open();
    let count = 0;
    endpoint.onMessage(() => count++);
    for (let i = 0; i < 200; i++) device.inbox.push(bytes('x'));
    device.readable?.(0);
    expect(count).toBe(64);
  });

  it('that find no buffer wait, in order, are bounded in number and time, and cost nothing afterwards', async () => {
    const { endpoint, device } = await open({ sendQueueLimit: 3, sendTimeoutMs: 50 });
    vi.useFakeTimers();
    device.room = 1;
    expect(['a', 'b', 'c', 'd', 'e'].map((text) => endpoint.send(bytes(text)))).toEqual([
      true,
      true,
      true,
      true,
      false,
    ]);
    device.room = 2;
    await vi.advanceTimersByTimeAsync(5);
    expect(device.sent).toEqual(['a', 'b', 'c']);
    await vi.advanceTimersByTimeAsync(100);
    device.room = 10;
    expect(endpoint.send(bytes('f'))).toBe(true);
    expect(device.sent).toEqual(['a', 'b', 'c', 'f']);
    expect(transport.counters).toMatchObject({ sent: 4, queued: 3, sendQueueFull: 1, sendTimeouts: 1 });
    expect(vi.getTimerCount()).toBe(0);
  });

  it('that wait are dropped with their endpoint', async () => {
    const { endpoint, device } = await open();
    device.room = 0;
    endpoint.send(bytes('a'));
    endpoint.close();
    expect(endpoint.send(bytes('b'))).toBe(false);
    expect(transport.counters).toMatchObject({ sendsDropped: 1, sentToGone: 1 });
  });
});

describe('what goes', () => {
  async function open() {
    kernel.announce('rpmsg-io', 30);
    const endpoint = await start().open('rpmsg-io', 1000);
    const gone: string[] = [];
    const lost: string[] = [];
    endpoint.onGone((reason) => gone.push(reason));
    transport.onLost((reason) => lost.push(reason));
    return { endpoint, gone, lost };
  }

  it('a channel: told once, and opened again when it is back', async () => {
    const { endpoint, gone, lost } = await open();
    kernel.destroy('rpmsg-io', 30);
    kernel.uevent('remove');
    kernel.uevent('remove');
    const again = transport.open('rpmsg-io', 1000);
    kernel.announce('rpmsg-io', 33);
    kernel.uevent('add');
    expect((await again).channel.dst).toBe(33);
    expect([gone, lost, endpoint.alive]).toEqual([
      ['the co-processor has destroyed the channel "rpmsg-io"'],
      [],
      false,
    ]);
    const late: string[] = [];
    endpoint.onGone((reason) => late.push(reason));
    expect(late).toEqual(gone);
  });

  it('the bus: all end, and who listens or waits is told', async () => {
    const { gone, lost } = await open();
    const waiting = transport.open('other', 1000);
    kernel.removeBus();
    await expect(waiting).rejects.toEqual(failure('the kernel has removed /dev/rpmsg_ctrl0'));
    expect(gone).toEqual([expect.stringMatching(/the kernel has (ended|removed) \/dev\/rpmsg/)]);
    expect(lost).toEqual([
      'the kernel has removed /dev/rpmsg_ctrl0: the co-processor was stopped, or crashed',
    ]);
    await expect(transport.open('rpmsg-io', 1000)).rejects.toEqual(failure('removed /dev/rpmsg_ctrl0'));
    const late: string[] = [];
    transport.onLost((reason) => late.push(reason));
    expect(late).toEqual(lost);
  });

  it('the endpoint alone: noticed when it is written to', async () => {
    const { endpoint, gone, lost } = await open();
    kernel.device('rpmsg0').isDead = true;
    expect(endpoint.send(bytes('x'))).toBe(false);
    expect(gone).toEqual(['the kernel has ended /dev/rpmsg0: its channel "rpmsg-io" is gone']);
    expect([lost, transport.counters.sentToGone]).toEqual([[], 1]);
  });

  it('what was left in an endpoint that is gone is read before', async () => {
    const { endpoint, gone } = await open();
    const messages: string[] = [];
    endpoint.onMessage((payload) => messages.push(Buffer.from(payload).toString()));
    const device = kernel.device('rpmsg0');
    device.inbox.push(bytes('last'));
    device.readable?.(-9);
    expect([messages, gone.length]).toEqual([['last'], 1]);
  });

  it('a control device that is not there yet is no loss', async () => {
    transport = KernelRpmsg.open({ name: 'hub', kernel, control: '/dev/rpmsg_ctrl5' });
    const opening = transport.open('rpmsg-io', 1000);
    kernel.uevent();
    kernel.addControl('rpmsg_ctrl5', 'virtio5');
    kernel.announce('rpmsg-io', 30, null, 'virtio5');
    kernel.uevent('add', 'usb');
    expect(kernel.calls).toEqual([]);
    kernel.uevent('lost', '');
    expect((await opening).name).toBe('rpmsg-io');
  });

  it('closed by its owner tells nobody', async () => {
    const { lost } = await open();
    const waiting = transport.open('other', 1000);
    transport.close();
    transport.close();
    await expect(waiting).rejects.toEqual(failure('the rpmsg transport was closed'));
    expect(lost).toEqual([]);
  });
});
