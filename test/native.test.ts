import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import * as native from '../src/native.ts';
import {
  closeAfterTest,
  descriptorFlags,
  mappingsNamed,
  O_CLOEXEC,
  O_NONBLOCK,
  openDescriptors,
  scratchFolder,
} from './native/scratch.ts';

const PAGE = 4096;
const EAGAIN = -11;
const EBADF = -9;
const EPIPE = -32;

function nativeErrorOf(action: () => unknown): native.NativeError {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(native.NativeError);
    return error as native.NativeError;
  }
  throw new Error('nothing was thrown');
}

/** A connected pair of Unix sockets, closed with the test. */
function connectedPair(): [number, number] {
  const [one, other] = native.createSocketPair();
  return [closeAfterTest(one), closeAfterTest(other)];
}

/** Both ends of a pipe, closed with the test: [read, write]. */
function pipe(): [number, number] {
  const [reading, writing] = native.createPipe();
  return [closeAfterTest(reading), closeAfterTest(writing)];
}

/** Descriptors that refer to `target`; other tests' and Node's own do not matter. */
function countOf(target: string): number {
  return [...openDescriptors().values()].filter((link) => link.includes(target)).length;
}

describe('memfd and mapping', () => {
  it('shares memory between two mappings of one memfd', () => {
    const fd = closeAfterTest(native.createMemfd('native-share', 2 * PAGE));
    const first = native.mapDescriptor(fd, 0, 2 * PAGE);
    const second = native.mapDescriptor(fd, PAGE, PAGE);
    expect(first).toBeInstanceOf(ArrayBuffer);
    expect([first.byteLength, second.byteLength]).toEqual([2 * PAGE, PAGE]);
    new Uint32Array(first)[PAGE / 4 + 3] = 0xdead_beef;
    expect(new Uint32Array(second)[3]).toBe(0xdead_beef);
    native.unmap(first);
    native.unmap(second);
  });

  it('maps a length that is no multiple of a page', () => {
    const fd = closeAfterTest(native.createMemfd('native-odd', 100));
    const buffer = native.mapDescriptor(fd, 0, 100);
    expect(buffer.byteLength).toBe(100);
    native.unmap(buffer);
  });

  it('maps read-only, also a descriptor that cannot be written', () => {
    const fd = closeAfterTest(native.createMemfd('native-ro', PAGE));
    writeSync(fd, 'hello', 0);
    const reading = closeAfterTest(openSync(`/proc/self/fd/${fd}`, 'r'));
    const buffer = native.mapDescriptor(reading, 0, PAGE, true);
    expect(Buffer.from(buffer, 0, 5).toString()).toBe('hello');
    native.unmap(buffer);
    expect(nativeErrorOf(() => native.mapDescriptor(reading, 0, PAGE)).code).toBe('EACCES');
  });

  it('unmaps once: detached, no longer in the address space, idempotent', () => {
    const fd = closeAfterTest(native.createMemfd('native-unmap', PAGE));
    const buffer = native.mapDescriptor(fd, 0, PAGE);
    const view = new Uint32Array(buffer);
    expect(mappingsNamed('native-unmap')).toBe(1);
    native.unmap(buffer);
    expect(mappingsNamed('native-unmap')).toBe(0);
    expect([buffer.byteLength, view.length, view[0]]).toEqual([0, 0, undefined]);
    native.unmap(buffer);
    // The kernel may give the same address again: ending the old buffer once more must not end the new mapping.
    const next = native.mapDescriptor(fd, 0, PAGE);
    native.unmap(buffer);
    expect(mappingsNamed('native-unmap')).toBe(1);
    native.unmap(next);
  });

  it('refuses to unmap what is no mapping', () => {
    expect(nativeErrorOf(() => native.unmap(new ArrayBuffer(8))).code).toBe('EINVAL');
    expect(nativeErrorOf(() => native.unmap(new ArrayBuffer(0))).code).toBe('EINVAL');
    // @ts-expect-error a view is not a buffer
    expect(nativeErrorOf(() => native.unmap(new Uint8Array(8))).code).toBe('EINVAL');
  });

  it('refuses a file that is shorter than the mapping, and says how long it is', () => {
    const fd = closeAfterTest(native.createMemfd('native-short', PAGE));
    const error = nativeErrorOf(() => native.mapDescriptor(fd, 0, PAGE + 1));
    expect(error).toMatchObject({ code: 'ETRUNC', name: 'NativeError' });
    expect(error.message).toContain(`map ${PAGE + 1} bytes at offset 0`);
    expect(error.message).toContain(`only ${PAGE} bytes`);
    expect(nativeErrorOf(() => native.mapDescriptor(fd, PAGE, 1)).code).toBe('ETRUNC');
    expect(nativeErrorOf(() => native.mapDescriptor(fd, Number.MAX_SAFE_INTEGER, PAGE)).code).toBe('ETRUNC');
    ftruncateSync(fd, 0);
    expect(nativeErrorOf(() => native.mapDescriptor(fd, 0, PAGE)).code).toBe('ETRUNC');
  });

  it.each([
    ['an offset inside a page', 100, PAGE],
    ['no bytes', 0, 0],
    ['a negative size', 0, -PAGE],
    ['a negative offset', -PAGE, PAGE],
    ['a fraction', 0.5, PAGE],
    ['NaN', 0, Number.NaN],
  ])('refuses %s', (_, offset, sizeBytes) => {
    const fd = closeAfterTest(native.createMemfd('native-einval', 2 * PAGE));
    expect(nativeErrorOf(() => native.mapDescriptor(fd, offset, sizeBytes))).toMatchObject({
      code: 'EINVAL',
      errno: 22,
    });
  });

  it('refuses what is no descriptor, or cannot be mapped', () => {
    expect(nativeErrorOf(() => native.mapDescriptor(-1, 0, PAGE)).code).toBe('EBADF');
    const eventfd = closeAfterTest(native.createEventfd());
    expect(nativeErrorOf(() => native.mapDescriptor(eventfd, 0, PAGE)).code).toBe('ENODEV');
    const fd = closeAfterTest(native.createMemfd('native-huge', 0));
    expect(nativeErrorOf(() => native.mapDescriptor(fd, 0, Number.MAX_SAFE_INTEGER)).code).toMatch(
      /EFBIG|ETRUNC/,
    );
  });

  it('seals the size when asked to', () => {
    const open = closeAfterTest(native.createMemfd('native-open', PAGE));
    ftruncateSync(open, 2 * PAGE);
    expect(native.statDescriptor(open)).toEqual({ kind: 'file', sizeBytes: 2 * PAGE });
    const sealed = closeAfterTest(native.createMemfd('native-sealed', PAGE, true));
    expect(() => ftruncateSync(sealed, 0)).toThrow('EPERM');
    expect(() => ftruncateSync(sealed, 2 * PAGE)).toThrow('EPERM');
    const buffer = native.mapDescriptor(sealed, 0, PAGE);
    new Uint8Array(buffer)[0] = 1;
    native.unmap(buffer);
  });

  it('names the memfd, and closes it on exec', () => {
    const fd = closeAfterTest(native.createMemfd('native-name', PAGE));
    expect(openDescriptors().get(fd)).toContain('/memfd:native-name');
    expect(descriptorFlags(fd) & O_CLOEXEC).toBe(O_CLOEXEC);
    expect(nativeErrorOf(() => native.createMemfd('x'.repeat(300), PAGE)).code).toBe('ENAMETOOLONG');
    expect(nativeErrorOf(() => native.createMemfd('a\0b', PAGE)).code).toBe('EINVAL');
    expect(nativeErrorOf(() => native.createMemfd('x', -1)).code).toBe('EINVAL');
  });
});

describe('doorbells', () => {
  it('makes non-blocking, close-on-exec eventfds', () => {
    const fd = closeAfterTest(native.createEventfd());
    expect(descriptorFlags(fd) & (O_CLOEXEC | O_NONBLOCK)).toBe(O_CLOEXEC | O_NONBLOCK);
    expect(native.drainDescriptor(fd)).toBe(0);
    expect(native.signalDescriptor(fd)).toBe(0);
    expect(native.signalDescriptor(fd)).toBe(0);
    const count = new BigUint64Array(1);
    expect(native.readDescriptor(fd, new Uint8Array(count.buffer))).toBe(8);
    expect(count[0]).toBe(2n);
    expect(native.drainDescriptor(fd)).toBe(0);
  });

  it('takes a full eventfd for one that is rung already', () => {
    const fd = closeAfterTest(native.createEventfd());
    const full = new BigUint64Array([0xffff_ffff_ffff_fffen]);
    expect(native.writeDescriptor(fd, new Uint8Array(full.buffer))).toBe(8);
    expect(native.signalDescriptor(fd)).toBe(0);
    expect(native.drainDescriptor(fd)).toBe(8);
  });

  it('rings a pipe until it is full, and drains 4096 bytes at once', () => {
    const [reading, writing] = pipe();
    for (let bytes = 0; bytes <= 65_536; bytes += 8) expect(native.signalDescriptor(writing)).toBe(0);
    expect(native.drainDescriptor(reading)).toBe(4096);
    for (let left = 15; left > 0; left--) expect(native.drainDescriptor(reading)).toBe(4096);
    expect(native.drainDescriptor(reading)).toBe(0);
    closeSync(writing);
    expect(native.drainDescriptor(reading)).toBe(native.DRAIN_END_OF_FILE);
    expect(native.readDescriptor(reading, new Uint8Array(8))).toBe(0);
  });

  it('reports a peer that has gone without a signal', () => {
    const [reading, writing] = pipe();
    closeSync(reading);
    expect(native.signalDescriptor(writing)).toBe(-EPIPE);
    expect(native.writeDescriptor(writing, new Uint8Array(8))).toBe(EPIPE);
    const [one, other] = connectedPair();
    closeSync(other);
    expect(native.signalDescriptor(one)).toBe(-EPIPE);
    expect(native.sendMessage(one, new Uint8Array(8))).toBe(EPIPE);
    expect(native.drainDescriptor(one)).toBe(native.DRAIN_END_OF_FILE);
  });

  it('never throws for a bad descriptor or argument', () => {
    const bytes = new Uint8Array(8);
    expect(native.signalDescriptor(-1)).toBe(-EBADF);
    expect(native.drainDescriptor(-1)).toBe(EBADF);
    expect(native.readDescriptor(-1, bytes)).toBe(EBADF);
    expect(native.writeDescriptor(-1, bytes)).toBe(EBADF);
    expect(native.readDescriptor(0, new Uint8Array(0))).toBe(-22);
    for (const wrong of [undefined, 'fd', {}, null]) {
      // @ts-expect-error what an untyped caller may pass
      expect(native.signalDescriptor(wrong)).toBe(22);
      // @ts-expect-error
      expect(native.drainDescriptor(wrong)).toBe(-22);
      // @ts-expect-error
      expect(native.readDescriptor(wrong, bytes)).toBe(-22);
      // @ts-expect-error
      expect(native.writeDescriptor(0, wrong)).toBe(-22);
    }
  });
});

describe('descriptors', () => {
  it('sets O_NONBLOCK on the shared description', () => {
    const path = join(scratchFolder(), 'fifo');
    execFileSync('mkfifo', [path]);
    const fd = closeAfterTest(openSync(path, constants.O_RDWR));
    const copy = closeAfterTest(native.duplicateDescriptor(fd));
    expect(descriptorFlags(fd) & O_NONBLOCK).toBe(0);
    native.setNonBlocking(fd);
    native.setNonBlocking(fd);
    expect(descriptorFlags(copy) & O_NONBLOCK).toBe(O_NONBLOCK);
    expect(native.readDescriptor(copy, new Uint8Array(1))).toBe(EAGAIN);
    expect(nativeErrorOf(() => native.setNonBlocking(-1)).code).toBe('EBADF');
  });

  it('duplicates with close-on-exec', () => {
    const fd = closeAfterTest(native.createEventfd());
    const copy = closeAfterTest(native.duplicateDescriptor(fd));
    expect(copy).toBeGreaterThan(2);
    expect(descriptorFlags(copy) & O_CLOEXEC).toBe(O_CLOEXEC);
    native.signalDescriptor(copy);
    expect(native.drainDescriptor(fd)).toBe(8);
    expect(nativeErrorOf(() => native.duplicateDescriptor(-1)).message).toContain('duplicate descriptor -1');
  });

  it('makes pipes and socket pairs, non-blocking and close-on-exec', () => {
    for (const [one, other] of [pipe(), connectedPair()]) {
      for (const fd of [one, other]) {
        expect(descriptorFlags(fd) & (O_CLOEXEC | O_NONBLOCK)).toBe(O_CLOEXEC | O_NONBLOCK);
      }
      expect(native.writeDescriptor(other, Buffer.from('x'))).toBe(1);
      expect(native.readDescriptor(one, new Uint8Array(4))).toBe(1);
    }
  });

  it('tells what a descriptor is', () => {
    const kindOf = (fd: number): string => native.statDescriptor(closeAfterTest(fd)).kind;
    const file = join(scratchFolder(), 'file');
    writeFileSync(file, 'four');
    expect(native.statDescriptor(closeAfterTest(openSync(file, 'r')))).toEqual({
      kind: 'file',
      sizeBytes: 4,
    });
    expect(kindOf(openSync('/dev/null', 'r'))).toBe('chr');
    expect(native.statDescriptor(pipe()[0]).kind).toBe('fifo');
    expect(native.statDescriptor(connectedPair()[0]).kind).toBe('socket');
    expect(kindOf(openSync(scratchFolder(), 'r'))).toBe('other');
    expect(nativeErrorOf(() => native.statDescriptor(-1)).code).toBe('EBADF');
  });
});

describe('Unix sockets', () => {
  it('listens with the mode asked for, whatever the umask', () => {
    const folder = scratchFolder();
    const before = process.umask(0o777);
    onTestFinished(() => void process.umask(before));
    closeAfterTest(native.listenUnix(join(folder, 'default')));
    closeAfterTest(native.listenUnix(join(folder, 'group'), 0o660));
    process.umask(0);
    closeAfterTest(native.listenUnix(join(folder, 'narrow'), 0o600));
    const modeOf = (name: string): number => statSync(join(folder, name)).mode & 0o777;
    expect([modeOf('default'), modeOf('group'), modeOf('narrow')]).toEqual([0o600, 0o660, 0o600]);
    expect(nativeErrorOf(() => native.listenUnix(join(folder, 'odd'), 0o4600)).code).toBe('EINVAL');
  });

  it('accepts, non-blocking and close-on-exec on all ends', () => {
    const path = join(scratchFolder(), 'socket');
    const listening = closeAfterTest(native.listenUnix(path));
    expect(native.acceptUnix(listening)).toBe(EAGAIN);
    const connecting = closeAfterTest(native.connectUnix(path));
    const accepted = closeAfterTest(native.acceptUnix(listening));
    for (const fd of [listening, connecting, accepted]) {
      expect(descriptorFlags(fd) & (O_CLOEXEC | O_NONBLOCK)).toBe(O_CLOEXEC | O_NONBLOCK);
    }
    expect(native.writeDescriptor(connecting, Buffer.from('ping'))).toBe(4);
    const bytes = Buffer.alloc(8);
    expect(native.readDescriptor(accepted, bytes)).toBe(4);
    expect(bytes.toString('utf8', 0, 4)).toBe('ping');
    expect(native.readDescriptor(accepted, bytes)).toBe(EAGAIN);
    expect(native.acceptUnix(-1)).toBe(EBADF);
  });

  it('knows who is at the other end', () => {
    const [connecting, accepted] = connectedPair();
    const self = { pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() };
    expect(native.peerCredentials(connecting)).toEqual(self);
    expect(native.peerCredentials(accepted)).toEqual(self);
    expect(nativeErrorOf(() => native.peerCredentials(closeAfterTest(native.createEventfd()))).code).toBe(
      'ENOTSOCK',
    );
  });

  it('replaces the socket file of a listener that has gone', () => {
    const path = join(scratchFolder(), 'socket');
    closeSync(native.listenUnix(path));
    expect(existsSync(path)).toBe(true);
    expect(nativeErrorOf(() => native.connectUnix(path)).code).toBe('ECONNREFUSED');
    const listening = closeAfterTest(native.listenUnix(path));
    closeAfterTest(native.connectUnix(path));
    expect(closeAfterTest(native.acceptUnix(listening))).toBeGreaterThan(0);
  });

  it('leaves a live listener alone, also one with a full backlog', () => {
    const path = join(scratchFolder(), 'socket');
    const listening = closeAfterTest(native.listenUnix(path, 0o600, 0));
    const error = nativeErrorOf(() => native.listenUnix(path));
    expect(error).toMatchObject({ code: 'EADDRINUSE', errno: 98 });
    expect(error.message).toContain(path);
    // That look took the only place in the backlog: the next one finds it full.
    expect(nativeErrorOf(() => native.listenUnix(path)).code).toBe('EADDRINUSE');
    expect(nativeErrorOf(() => native.connectUnix(path)).code).toBe('EAGAIN');
    closeAfterTest(native.acceptUnix(listening));
    closeAfterTest(native.connectUnix(path));
  });

  it('leaves everything alone that is no socket', () => {
    const folder = scratchFolder();
    const file = join(folder, 'file');
    writeFileSync(file, 'precious');
    mkdirSync(join(folder, 'folder'));
    expect(nativeErrorOf(() => native.listenUnix(file)).code).toBe('ENOTSOCK');
    expect(nativeErrorOf(() => native.listenUnix(join(folder, 'folder'))).code).toBe('ENOTSOCK');
    expect(statSync(file).size).toBe(8);
  });

  it('refuses paths that are no socket paths', () => {
    const long = join('/tmp', 'x'.repeat(120));
    const error = nativeErrorOf(() => native.listenUnix(long));
    expect(error.code).toBe('ENAMETOOLONG');
    expect(error.message).toContain('at most 107 bytes');
    expect(error.message).toContain(`has ${long.length}`);
    expect(nativeErrorOf(() => native.connectUnix(long)).code).toBe('ENAMETOOLONG');
    expect(nativeErrorOf(() => native.connectUnix('')).code).toBe('EINVAL');
    expect(nativeErrorOf(() => native.listenUnix('a\0b')).code).toBe('EINVAL');
    expect(nativeErrorOf(() => native.connectUnix(join(scratchFolder(), 'none'))).code).toBe('ENOENT');
    expect(nativeErrorOf(() => native.listenUnix(join(scratchFolder(), 'no', 'folder'))).code).toBe('ENOENT');
  });
});

describe('a service manager', () => {
  const bytes = new TextEncoder().encode('READY=1\n');
  it.each([
    ['/nonexistent/notify', 'ENOENT'],
    ['@rproc-gpio-nobody', 'ECONNREFUSED'],
    ['vsock:2:1', 'EINVAL'],
    ['relative', 'EINVAL'],
    ['/', 'EINVAL'],
    ['@', 'EINVAL'],
    ['', 'EINVAL'],
    ['/nul\0', 'EINVAL'],
    [`/${'x'.repeat(200)}`, 'ENAMETOOLONG'],
  ])('that is not there, at %j: %s, and nothing is left open', (address, code) => {
    const before = openDescriptors().size;
    expect(nativeErrorOf(() => native.notifyServiceManager(address, bytes))).toMatchObject({ code });
    expect(openDescriptors().size).toBe(before);
  });

  it('that listens at a stream socket is none', () => {
    const path = join(scratchFolder(), 'stream');
    closeAfterTest(native.listenUnix(path));
    expect(nativeErrorOf(() => native.notifyServiceManager(path, bytes)).code).toBe('EPROTOTYPE');
  });
});

describe('messages with descriptors', () => {
  const bytes = Buffer.from('message');

  it('passes bytes without descriptors', () => {
    const [one, other] = connectedPair();
    const into = new Uint8Array(32);
    expect(native.receiveMessage(other, into, new Int32Array(8))).toBe(EAGAIN);
    expect(native.sendMessage(one, bytes)).toBe(bytes.length);
    expect(native.receiveMessage(other, into, new Int32Array(0))).toBe(bytes.length);
    expect(Buffer.from(into.subarray(0, bytes.length)).toString()).toBe('message');
    expect(native.receivedDescriptorCount()).toBe(0);
    closeSync(one);
    expect(native.receiveMessage(other, into, new Int32Array(8))).toBe(0);
  });

  it('passes eight descriptors that are close-on-exec and the same files', () => {
    const [one, other] = connectedPair();
    const memfd = closeAfterTest(native.createMemfd('native-passed', PAGE));
    const sent = [memfd, ...Array.from({ length: 7 }, () => closeAfterTest(native.createEventfd()))];
    expect(native.sendMessage(one, bytes, sent)).toBe(bytes.length);
    const fds = new Int32Array(8);
    expect(native.receiveMessage(other, new Uint8Array(32), fds)).toBe(bytes.length);
    expect(native.receivedDescriptorCount()).toBe(8);
    for (const fd of fds) expect(descriptorFlags(closeAfterTest(fd)) & O_CLOEXEC).toBe(O_CLOEXEC);
    expect(new Set([...fds, ...sent]).size).toBe(16);
    native.signalDescriptor(fds[3]!);
    expect(native.drainDescriptor(sent[3]!)).toBe(8);
    writeSync(memfd, 'shared', 0);
    const text = Buffer.alloc(6);
    readSync(fds[0]!, text, 0, 6, 0);
    expect(text.toString()).toBe('shared');
  });

  it('closes all of them when there are more than expected', () => {
    const [one, other] = connectedPair();
    const memfd = closeAfterTest(native.createMemfd('native-too-many', PAGE));
    for (const [count, room] of [
      [9, 8],
      [1, 0],
      [253, 8],
    ] as const) {
      native.sendMessage(one, bytes, new Array<number>(count).fill(memfd));
      const got = native.receiveMessage(other, new Uint8Array(32), new Int32Array(room));
      expect(got).toBe(native.ERRNO_MESSAGE_SIZE);
      expect(native.receivedDescriptorCount()).toBe(0);
      expect(countOf('native-too-many')).toBe(1);
    }
  });

  it('forgets the count of the message before', () => {
    const [one, other] = connectedPair();
    native.sendMessage(one, bytes, [one]);
    const fds = new Int32Array(1);
    native.receiveMessage(other, new Uint8Array(32), fds);
    closeAfterTest(fds[0]!);
    expect(native.receivedDescriptorCount()).toBe(1);
    expect(native.receiveMessage(other, new Uint8Array(32), fds)).toBe(EAGAIN);
    expect(native.receivedDescriptorCount()).toBe(0);
  });

  it('returns an errno for what cannot be sent or received', () => {
    const [one, other] = connectedPair();
    expect(native.sendMessage(one, new Uint8Array(0), [one])).toBe(-22);
    expect(native.sendMessage(one, bytes, new Array<number>(254).fill(one))).toBe(-22);
    expect(native.sendMessage(one, bytes, [12_345_678])).toBe(EBADF);
    expect(native.sendMessage(-1, bytes)).toBe(EBADF);
    // @ts-expect-error
    expect(native.sendMessage(one, bytes, ['fd'])).toBe(-22);
    expect(native.receiveMessage(-1, new Uint8Array(8), new Int32Array(1))).toBe(EBADF);
    // @ts-expect-error descriptors need 32 bits
    expect(native.receiveMessage(other, new Uint8Array(8), new Uint8Array(8))).toBe(-22);
    expect(native.receiveMessage(other, new Uint8Array(0), new Int32Array(1))).toBe(-22);
  });
});
