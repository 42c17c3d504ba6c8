import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ANY_NOTIFY_ID, type Doorbell, type DoorbellOptions } from '../../src/coprocessor/doorbell.ts';
import { createDoorbell } from '../../src/coprocessor/open-doorbell.ts';
import { pageSizeBytes } from '../../src/coprocessor/page-size.ts';
import { UioInterrupt } from '../../src/coprocessor/uio-interrupt.ts';
import { drainDescriptor, readDescriptor, signalDescriptor, writeDescriptor } from '../../src/native.ts';
import { scratchFolder, textFile, zeroFile } from './scratch-folder.ts';
import { Peer, socketPair } from './socket-pair.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

function opened<T extends { close(): void }>(resource: T): T {
  closers.push(() => resource.close());
  return resource;
}

function doorbell(options: DoorbellOptions, connectTimeoutMs = 5000, sysfsRoot = '/sys'): Doorbell {
  return opened(createDoorbell(options, connectTimeoutMs, sysfsRoot));
}

function nextDescriptor(): number {
  const fd = openSync('/dev/null', 'r');
  closeSync(fd);
  return fd;
}

function readBytes(fd: number): number[] {
  const bytes = new Uint8Array(65536);
  const count = readDescriptor(fd, bytes);
  return [...bytes.subarray(0, Math.max(0, count))];
}

describe('eventfd', () => {
  it('kicks and is called', async () => {
    const bell = doorbell({ type: 'eventfd' });
    const [kickFd, callFd] = bell.inheritedFds as [number, number];
    const calls: number[] = [];
    await bell.open((id) => calls.push(id));
    bell.ring(1);
    bell.ring(2);
    expect(drainDescriptor(kickFd)).toBe(8);
    signalDescriptor(callFd);
    await vi.waitFor(() => expect(calls).toEqual([ANY_NOTIFY_ID]));
    signalDescriptor(callFd);
    await vi.waitFor(() => expect(calls).toEqual([ANY_NOTIFY_ID, ANY_NOTIFY_ID]));
  });

  it('does not listen while it is paused', async () => {
    const bell = doorbell({ type: 'eventfd' });
    const calls: number[] = [];
    await bell.open((id) => calls.push(id));
    bell.pause?.();
    signalDescriptor(bell.inheritedFds[1]!);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(calls).toEqual([]);
    bell.resume?.();
    await vi.waitFor(() => expect(calls).toEqual([ANY_NOTIFY_ID]));
  });

  it('closes once, leaves nothing open, and rings no stranger afterwards', () => {
    const before = nextDescriptor();
    const bell = createDoorbell({ type: 'eventfd' }, 0);
    void bell.open(() => {});
    bell.close();
    bell.close();
    expect(nextDescriptor()).toBe(before);
    const other = createDoorbell({ type: 'eventfd' }, 0);
    bell.ring(1);
    expect(drainDescriptor(other.inheritedFds[0] as number)).toBe(0);
    other.close();
  });
});

describe('socket', () => {
  it('says and hears a byte a notifyid', async () => {
    const peer = opened(new Peer());
    const bell = doorbell({ type: 'socket', path: peer.path });
    const calls: number[] = [];
    await bell.open((id) => calls.push(id));
    const fd = peer.accept();
    bell.ring(1);
    bell.ring(2);
    bell.ring(0);
    expect(readBytes(fd)).toEqual([1, 2, 0]);
    writeDescriptor(fd, Uint8Array.of(2, 2, 255, 0));
    await vi.waitFor(() => expect(calls).toEqual([2, 255, 0]));
  });

  it('tells each notifyid once, however often and in whatever turn it was said', async () => {
    const peer = opened(new Peer());
    const bell = doorbell({ type: 'socket', path: peer.path });
    const calls: number[] = [];
    await bell.open((id) => calls.push(id));
    writeDescriptor(
      peer.accept(),
      new Uint8Array(256).map((_, i) => 1 + (i % 2)),
    );
    await vi.waitFor(() => expect(calls).toEqual([1, 2]));
  });

  it('does not listen while it is paused, and rings all the same', async () => {
    const peer = opened(new Peer());
    const bell = doorbell({ type: 'socket', path: peer.path });
    const calls: number[] = [];
    await bell.open((id) => calls.push(id));
    const fd = peer.accept();
    bell.pause?.();
    writeDescriptor(fd, Uint8Array.of(5));
    // So many that the socket is full: it is watched for room, and still not for calls.
    for (let i = 0; i < 100_000; i++) bell.ring(1);
    await vi.waitFor(() => expect(readBytes(fd).length).toBeLessThan(100_000));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(calls).toEqual([]);
    bell.resume?.();
    await vi.waitFor(() => expect(calls).toEqual([5]));
  });

  it('waits for the peer to listen', async () => {
    const path = join(scratchFolder(), 'late.sock');
    const bell = doorbell({ type: 'socket', path });
    const opening = bell.open(() => {});
    await new Promise((resolve) => setImmediate(resolve));
    const peer = opened(new Peer(path));
    await opening;
    bell.ring(7);
    expect(readBytes(peer.accept())).toEqual([7]);
  });

  it('says who did not listen in time', async () => {
    const path = join(scratchFolder(), 'none.sock');
    await expect(doorbell({ type: 'socket', path }, 10).open(() => {})).rejects.toMatchObject({
      code: 'ERR_DOORBELL',
      message: `doorbell socket ${path} does not exist (waited 10 ms for it)`,
    });
  });

  it('says at once what will not get better', async () => {
    const path = zeroFile(join(scratchFolder(), 'file'), 1);
    const bell = doorbell({ type: 'socket', path: `${path}/below` }, 60_000);
    await expect(bell.open(() => {})).rejects.toMatchObject({ code: 'ERR_DOORBELL' });
  });

  it('stops waiting when it is closed', async () => {
    const bell = doorbell({ type: 'socket', path: join(scratchFolder(), 'none.sock') }, 60_000);
    const opening = bell.open(() => {});
    bell.close();
    await expect(opening).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });

  it('never blocks nor loses a kick when the peer does not read', async () => {
    const peer = opened(new Peer());
    const bell = doorbell({ type: 'socket', path: peer.path });
    const calls: number[] = [];
    await bell.open((id) => calls.push(id));
    const fd = peer.accept();
    // One byte costs a whole buffer in the kernel: a few hundred fit.
    for (let i = 0; i < 100_000; i++) bell.ring(1);
    bell.ring(2);
    bell.ring(200);
    bell.ring(2);
    // Calls still come in meanwhile.
    writeDescriptor(fd, Uint8Array.of(3));
    await vi.waitFor(() => expect(calls).toEqual([3]));
    const arrived: number[] = [];
    await vi.waitFor(() => {
      arrived.push(...readBytes(fd));
      expect(arrived.filter((id) => id !== 1)).toEqual([2, 200]);
    });
    expect(arrived.length).toBeLessThan(100_000);
    // And it goes on as before.
    bell.ring(9);
    await vi.waitFor(() => {
      arrived.push(...readBytes(fd));
      expect(arrived.at(-1)).toBe(9);
    });
    expect(calls).toEqual([3]);
  });

  it('does not lose the very kick that finds no room', async () => {
    const peer = opened(new Peer());
    const bell = doorbell({ type: 'socket', path: peer.path });
    await bell.open(() => {});
    const fd = peer.accept();
    for (let i = 0; i < 100_000; i++) bell.ring(1);
    const room = readBytes(fd).length;
    const next = doorbell({ type: 'socket', path: peer.path });
    await next.open(() => {});
    const nextFd = peer.accept();
    for (let i = 0; i < room; i++) next.ring(1);
    next.ring(7);
    const arrived: number[] = [];
    await vi.waitFor(() => {
      arrived.push(...readBytes(nextFd));
      expect(arrived.at(-1)).toBe(7);
    });
    expect(arrived).toHaveLength(room + 1);
  });

  it('tells once when the peer hangs up, and rings nobody then', async () => {
    const peer = opened(new Peer());
    const bell = doorbell({ type: 'socket', path: peer.path });
    const lost: string[] = [];
    await bell.open(
      () => {},
      (reason) => lost.push(reason),
    );
    peer.hangUp(peer.accept());
    bell.ring(1);
    await vi.waitFor(() => expect(lost).toHaveLength(1));
    bell.ring(1);
    await new Promise((resolve) => setImmediate(resolve));
    expect(lost).toHaveLength(1);
    expect(lost[0]).toContain(`doorbell socket ${peer.path}: `);
  });

  it('may be closed by its listener', async () => {
    const peer = opened(new Peer());
    const bell = doorbell({ type: 'socket', path: peer.path });
    const calls: number[] = [];
    await bell.open((id) => {
      calls.push(id);
      bell.close();
    });
    writeDescriptor(peer.accept(), Uint8Array.of(1, 2, 3));
    await vi.waitFor(() => expect(calls).toEqual([1]));
  });
});

describe('uio', () => {
  const PAGE = pageSizeBytes();

  function device(): { sysfs: string; path: string } {
    const root = scratchFolder();
    const map = join(root, 'sys/class/uio/uio0/maps/map1');
    textFile(join(map, 'addr'), '0x40000040\n');
    textFile(join(map, 'size'), '0x100\n');
    textFile(join(map, 'offset'), '0x40\n');
    return { sysfs: join(root, 'sys'), path: zeroFile(join(root, 'dev/uio0'), 3 * PAGE) };
  }

  it.each([
    [{ encoding: 'id' }, 5, 5],
    [{ encoding: 'id-shifted-16' }, 5, 5 << 16],
    [{ encoding: 'bit' }, 5, 1 << 5],
    [{ encoding: 'bit' }, 31, 0x8000_0000],
    [{ encoding: 'constant', value: 0xdead_beef }, 5, 0xdead_beef],
    [{ encoding: 'constant' }, 5, 1],
    [{}, 0xffff_ffff, 0xffff_ffff],
  ] as const)('kicks by a register write: %j', (encoding, notifyId, written) => {
    const { sysfs, path } = device();
    const bell = doorbell({ type: 'uio', device: path, map: 1, offset: 0x10, ...encoding }, 0, sysfs);
    bell.ring(notifyId);
    const bytes = readFileSync(path);
    expect(bytes.readUInt32LE(PAGE + 0x50)).toBe(written);
    bytes.fill(0, PAGE + 0x50, PAGE + 0x54);
    expect(bytes.every((byte) => byte === 0)).toBe(true);
    bell.close();
    bell.ring(1);
  });

  it('knows which ids its encoding can say', () => {
    const { sysfs, path } = device();
    const limit = (encoding: 'id' | 'id-shifted-16' | 'bit'): number =>
      doorbell({ type: 'uio', device: path, map: 1, offset: 0, encoding }, 0, sysfs).maxNotifyId;
    expect([limit('id'), limit('id-shifted-16'), limit('bit')]).toEqual([0xffff_ffff, 0xffff, 31]);
  });

  it.each([
    [0x100, 'kick register at offset 0x100 is outside map 1, which has 256 bytes'],
    [0x12, 'kick register at offset 0x12 is not aligned to 4 bytes'],
  ])('refuses a register at %s', (offset, message) => {
    const { sysfs, path } = device();
    expect(() => createDoorbell({ type: 'uio', device: path, map: 1, offset }, 0, sysfs)).toThrow(message);
  });

  it('names a device that is not there', () => {
    const { sysfs } = device();
    const options = { type: 'uio', device: '/dev/none/uio0', map: 1, offset: 0 } as const;
    expect(() => createDoorbell(options, 0, sysfs)).toThrow('doorbell /dev/none/uio0 does not exist');
    expect(() => createDoorbell({ ...options, device: 'uio7' }, 0, sysfs)).toThrow(
      'UIO device uio7 does not exist',
    );
  });

  it('refuses a device that cannot be polled', () => {
    const { sysfs, path } = device();
    const bell = doorbell({ type: 'uio', device: path, map: 1, offset: 0 }, 0, sysfs);
    expect(() => bell.open(() => {})).toThrow(expect.objectContaining({ code: 'ERR_DOORBELL' }));
  });

  /** A socket stands for the device: readable when something was written to it, and it takes what is written. */
  function interrupt(): { fd: number; kernelFd: number } {
    const peer = opened(new Peer());
    const [fd, kernelFd] = socketPair(peer);
    closers.unshift(() => closeSync(fd));
    return { fd, kernelFd };
  }

  it('reads 4 bytes an interrupt, and enables it before the first and after each', async () => {
    const { fd, kernelFd } = interrupt();
    const enabled: number[][] = [];
    let count = 0;
    const uio = new UioInterrupt(fd, '/dev/uio0');
    uio.open(
      () => {
        count++;
        enabled.push(readBytes(kernelFd));
      },
      () => {},
    );
    closers.unshift(() => uio.close());
    writeDescriptor(kernelFd, Uint8Array.of(1, 0, 0, 0));
    await vi.waitFor(() => expect(count).toBe(1));
    writeDescriptor(kernelFd, Uint8Array.of(2, 0, 0, 0));
    await vi.waitFor(() => expect(count).toBe(2));
    // By the first call: from open; by the second: after the first.
    expect(enabled).toEqual([
      [1, 0, 0, 0],
      [1, 0, 0, 0],
    ]);
    await vi.waitFor(() => expect(readBytes(kernelFd)).toEqual([1, 0, 0, 0]));
  });

  it('may be closed by what the interrupt caused', async () => {
    const { fd, kernelFd } = interrupt();
    const uio = new UioInterrupt(fd, '/dev/uio0');
    let count = 0;
    uio.open(
      () => {
        count++;
        uio.close();
      },
      () => {},
    );
    expect(readBytes(kernelFd)).toEqual([1, 0, 0, 0]);
    writeDescriptor(kernelFd, Uint8Array.of(1, 0, 0, 0));
    await vi.waitFor(() => expect(count).toBe(1));
    expect(readBytes(kernelFd)).toEqual([]);
  });

  it('tells once when the device is gone', async () => {
    const peer = opened(new Peer());
    const [fd, kernelFd] = socketPair(peer);
    const uio = new UioInterrupt(fd, '/dev/uio0');
    const lost: string[] = [];
    uio.open(
      () => {},
      (reason) => lost.push(reason),
    );
    peer.hangUp(kernelFd);
    await vi.waitFor(() => expect(lost).toEqual([expect.stringContaining('doorbell /dev/uio0: ')]));
    uio.close();
    closeSync(fd);
  });
});

describe('poll', () => {
  it('looks at the interval until it is closed', async () => {
    vi.useFakeTimers();
    try {
      const bell = doorbell({ type: 'poll', intervalMs: 20 });
      const calls: number[] = [];
      await bell.open((id) => calls.push(id));
      expect(bell.isPolled).toBe(true);
      vi.advanceTimersByTime(61);
      expect(calls).toEqual([-1, -1, -1]);
      bell.close();
      vi.advanceTimersByTime(100);
      expect(calls).toHaveLength(3);
    } finally {
      vi.useRealTimers();
    }
  });

  it.each([0, -5, Number.NaN])('refuses %s ms', (intervalMs) => {
    expect(() => createDoorbell({ type: 'poll', intervalMs }, 0)).toThrow('expected 1 or more');
  });
});
