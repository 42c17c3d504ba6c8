/**
 * The only loader of the native addon: shared memory, doorbells, poll handles, descriptor passing.
 *
 * Descriptors are plain numbers; whoever gets one from here closes it (`closeSync` of `node:fs`). Functions
 * that set something up throw {@link NativeError}; those on the data path return a number and never throw.
 */
import { constants } from 'node:buffer';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { getSystemErrorMap, getSystemErrorName } from 'node:util';

/** An open native handle of a poll; opaque. */
type NativeHandle = object & { readonly brand: 'rproc-gpio poll' };

/** What the addon exports: results, or negative errno values (native/addon.c). */
interface Addon {
  mapDescriptor(fd: number, offset: number, sizeBytes: number, readOnly: boolean): ArrayBuffer | number;
  unmap(buffer: ArrayBuffer): number;
  isDead(buffer: ArrayBuffer): boolean;
  openDeathDoorbell(): number;
  closeDeathDoorbell(): void;
  createMemfd(name: string, sizeBytes: number, seal: boolean): number;
  createEventfd(): number;
  createPipe(): [number, number] | number;
  createSocketPair(): [number, number] | number;
  signalDescriptor(fd: number): number;
  drainDescriptor(fd: number): number;
  readDescriptor(fd: number, into: Uint8Array): number;
  writeDescriptor(fd: number, from: Uint8Array): number;
  setNonBlocking(fd: number): number;
  duplicateDescriptor(fd: number): number;
  statDescriptor(fd: number): DescriptorStatus | number;
  openPoll(fd: number, events: number, callback: PollCallback, drain: boolean): NativeHandle | number;
  closePoll(handle: NativeHandle): void;
  refPoll(handle: NativeHandle): void;
  unrefPoll(handle: NativeHandle): void;
  listenUnix(path: string, mode: number, backlog: number): number;
  acceptUnix(listenFd: number): number;
  connectUnix(path: string): number;
  peerCredentials(fd: number): PeerCredentials | number;
  sendMessage(fd: number, bytes: Uint8Array, fds: readonly number[]): number;
  receiveMessage(fd: number, into: Uint8Array, fds: Int32Array): number;
  receivedDescriptorCount(): number;
  notify(address: string, bytes: Uint8Array): number;
}

/** What `fstat` says of a descriptor. */
export interface DescriptorStatus {
  readonly kind: 'file' | 'socket' | 'fifo' | 'chr' | 'other';
  readonly sizeBytes: number;
}

/** Who is at the other end of a Unix socket (SO_PEERCRED). */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** Called with status 0 and the events that came, or with a negative errno and 0. */
export type PollCallback = (status: number, events: number) => void;

/** A descriptor watched by the event loop. */
export interface PollHandle {
  /** Stops watching. Idempotent, also from within the callback. Close the poll before its descriptor. */
  close(): void;
  readonly closed: boolean;
}

/** The descriptor can be read, or its other end has gone. */
export const POLL_READABLE = 1;
/** The descriptor can be written. */
export const POLL_WRITABLE = 2;
/** The other end of a socket has stopped sending. */
export const POLL_DISCONNECT = 4;
/** Out-of-band data or a sysfs attribute's change (EPOLLPRI). */
export const POLL_PRIORITIZED = 8;

/** {@link drainDescriptor}: end of file. */
export const DRAIN_END_OF_FILE = -1000;
/** {@link receiveMessage}: more descriptors came than were allowed; all of them are closed. */
export const ERRNO_MESSAGE_SIZE = -90;

/** native/arguments.h RESULT_TRUNCATED. */
const RESULT_TRUNCATED = -5000;
/** The errno that POSIX gives to a mapping beyond the end of its object. */
const ERRNO_ENXIO = 6;
/** `sun_path` of `struct sockaddr_un`, less the terminating NUL. */
const MAX_SOCKET_PATH_BYTES = 107;

/** A system call failed. `code` is the errno's name (`'EINVAL'`), or `'ETRUNC'`: a file is too short to be mapped. */
export class NativeError extends Error {
  readonly code: string;
  /** The positive errno. */
  readonly errno: number;

  constructor(code: string, errno: number, message: string) {
    super(message);
    this.name = 'NativeError';
    this.code = code;
    this.errno = errno;
  }
}

/**
 * Both src/native.ts and dist/native.js lie one folder below the package's root. RPROC_GPIO_ADDON names another
 * build of the addon (tools/native-sanitize.sh).
 */
function loadAddon(): Addon {
  const path =
    process.env.RPROC_GPIO_ADDON ??
    fileURLToPath(new URL('../build/Release/rproc_gpio.node', import.meta.url));
  if (!existsSync(path)) {
    throw new NativeError('ENOENT', 2, `native addon not built: run npm install (looked for ${path})`);
  }
  return createRequire(import.meta.url)(path) as Addon;
}

const addon = loadAddon();

function nativeError(result: number, tried: string, advice = ''): NativeError {
  const [name, text] = getSystemErrorMap().get(result) ?? [getSystemErrorName(result), 'unknown error'];
  return new NativeError(name, -result, `${tried}: ${text} (${name})${advice === '' ? '' : `; ${advice}`}`);
}

function descriptorOrThrow(result: number, tried: string): number {
  if (result < 0) throw nativeError(result, tried);
  return result;
}

function requireSize(value: number, name: string, tried: string): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new NativeError('EINVAL', 22, `${tried}: ${name} is ${value}, should be a whole number from 0`);
  }
}

/**
 * Maps a descriptor, shared (`MAP_SHARED`), as an ArrayBuffer that {@link unmap} ends. A mapping that is never
 * unmapped goes with its ArrayBuffer, or with the environment (worker) that made it.
 *
 * Another process can still truncate the file later. The first touch of a page that is missing then makes the mapping dead
 * ({@link onDeadMapping}): from that page on it is private memory, zeroed. A sealed memfd ({@link createMemfd}) cannot be
 * truncated. The first mapping of the process installs a SIGBUS handler for that, which passes every other fault on to the
 * one before it. Writing to a `readOnly` mapping ends this process (SIGSEGV).
 *
 * @param offset - in bytes, a multiple of the page size
 * @param sizeBytes - at most `buffer.constants.MAX_LENGTH` (4 GiB on Node 20): map bigger memory in windows
 * @throws NativeError `ETRUNC` when a regular file or memfd is shorter than `offset + sizeBytes`
 * @throws NativeError `EINVAL` (size 0, offset not of a page), `EFBIG`, `EACCES`, `ENODEV` (not mappable), `EBADF`, ...
 */
export function mapDescriptor(fd: number, offset: number, sizeBytes: number, readOnly = false): ArrayBuffer {
  const tried = `map ${sizeBytes} bytes at offset ${offset} of descriptor ${fd}`;
  requireSize(offset, 'offset', tried);
  requireSize(sizeBytes, 'sizeBytes', tried);
  if (sizeBytes > constants.MAX_LENGTH) {
    throw nativeError(-27, tried, `at most ${constants.MAX_LENGTH} bytes at once, map it in windows`);
  }
  const result = addon.mapDescriptor(fd, offset, sizeBytes, readOnly);
  if (typeof result !== 'number') return result;
  if (result === RESULT_TRUNCATED) {
    const { sizeBytes: there } = statDescriptor(fd);
    throw new NativeError('ETRUNC', ERRNO_ENXIO, `${tried}: the file has only ${there} bytes (ETRUNC)`);
  }
  if (result === -22) {
    throw nativeError(
      result,
      tried,
      'the offset must be a multiple of the page size and the size at least 1',
    );
  }
  throw nativeError(result, tried);
}

/**
 * Ends a mapping: the buffer is detached (its views have length 0 from now on), then unmapped. Idempotent.
 *
 * @throws NativeError `EINVAL` for a buffer that is no mapping of this environment
 */
export function unmap(buffer: ArrayBuffer): void {
  const result = addon.unmap(buffer);
  if (result < 0) throw nativeError(result, `unmap a buffer of ${buffer.byteLength} bytes`);
}

/**
 * Whether a page of a mapping turned out to be missing when it was touched, in this thread or another one: its file was
 * truncated. False for a buffer that is no mapping, or unmapped.
 */
export const isDead: (buffer: ArrayBuffer) => boolean = addon.isDead;

const deathListeners = new Set<() => void>();
let deathPoll: PollHandle | undefined;

/**
 * Tells the listener, on a later turn of the event loop, that a mapping of this environment has died; {@link isDead} says
 * which. Does not keep the loop alive, and costs nothing until then but one eventfd for all listeners.
 *
 * @returns how to stop it; idempotent
 * @throws NativeError `EMFILE`, ...
 */
export function onDeadMapping(listener: () => void): () => void {
  // Of its own: the same function may be given twice.
  const own = (): void => listener();
  deathPoll ??= openDeathPoll();
  deathListeners.add(own);
  return () => {
    if (!deathListeners.delete(own) || deathListeners.size > 0) return;
    deathPoll?.close();
    deathPoll = undefined;
    addon.closeDeathDoorbell();
  };
}

function openDeathPoll(): PollHandle {
  const fd = descriptorOrThrow(addon.openDeathDoorbell(), 'make an eventfd for dead mappings');
  try {
    const poll = openPoll(fd, POLL_READABLE, tellDeathListeners, true);
    poll.unref();
    return poll;
  } catch (error) {
    addon.closeDeathDoorbell();
    throw error;
  }
}

function tellDeathListeners(): void {
  for (const listener of [...deathListeners]) {
    // One that another listener has just removed is not told any more.
    if (deathListeners.has(listener)) listener();
  }
}

/**
 * Makes anonymous shared memory, zeroed, with a close-on-exec descriptor.
 *
 * @param name - shown in /proc/PID/fd as `/memfd:NAME`
 * @param seal - nobody can change its size any more (F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL)
 * @throws NativeError
 */
export function createMemfd(name: string, sizeBytes: number, seal = false): number {
  const tried = `create memfd "${name}" of ${sizeBytes} bytes`;
  requireSize(sizeBytes, 'sizeBytes', tried);
  return descriptorOrThrow(addon.createMemfd(name, sizeBytes, seal), tried);
}

/**
 * Makes an eventfd: close-on-exec, non-blocking, count 0.
 *
 * @throws NativeError `EMFILE`, ...
 */
export function createEventfd(): number {
  return descriptorOrThrow(addon.createEventfd(), 'create an eventfd');
}

/**
 * Makes a pipe: close-on-exec, both ends non-blocking.
 *
 * @returns the end to read from, the end to write to
 * @throws NativeError `EMFILE`, ...
 */
export function createPipe(): [readFd: number, writeFd: number] {
  const result = addon.createPipe();
  if (typeof result === 'number') throw nativeError(result, 'create a pipe');
  return result;
}

/**
 * Makes two Unix stream sockets that are connected to each other: close-on-exec, non-blocking.
 *
 * @throws NativeError `EMFILE`, ...
 */
export function createSocketPair(): [number, number] {
  const result = addon.createSocketPair();
  if (typeof result === 'number') throw nativeError(result, 'create a pair of sockets');
  return result;
}

/**
 * Rings a doorbell: writes 8 bytes, the u64 1 in host order. Allocates nothing and never throws. The descriptor must
 * be non-blocking ({@link setNonBlocking}).
 *
 * @returns 0, also when it is full (rung already); else the positive errno
 */
export const signalDescriptor: (fd: number) => number = addon.signalDescriptor;

/**
 * Takes what a doorbell's ringing left: one read of up to 4096 bytes, discarded. Allocates nothing and never throws.
 *
 * @returns the bytes read; 0 when there were none; {@link DRAIN_END_OF_FILE}; else a negative errno
 */
export const drainDescriptor: (fd: number) => number = addon.drainDescriptor;

/**
 * One read(2) of a non-blocking descriptor.
 *
 * @returns the bytes read; 0 at the end of the file; else a negative errno (-11: nothing there yet)
 */
export const readDescriptor: (fd: number, into: Uint8Array) => number = addon.readDescriptor;

/**
 * One write(2) on a non-blocking descriptor. No SIGPIPE: -32 when the reader has gone.
 *
 * @returns the bytes written, may be fewer than given; else a negative errno
 */
export const writeDescriptor: (fd: number, from: Uint8Array) => number = addon.writeDescriptor;

/**
 * Sets O_NONBLOCK. It belongs to the open file description: whoever shares it is non-blocking from now on, too.
 *
 * @throws NativeError
 */
export function setNonBlocking(fd: number): void {
  const result = addon.setNonBlocking(fd);
  if (result < 0) throw nativeError(result, `make descriptor ${fd} non-blocking`);
}

class Poll implements PollHandle {
  #handle: NativeHandle | undefined;

  constructor(handle: NativeHandle) {
    this.#handle = handle;
  }

  get closed(): boolean {
    return this.#handle === undefined;
  }

  close(): void {
    if (this.#handle === undefined) return;
    addon.closePoll(this.#handle);
    this.#handle = undefined;
  }

  ref(): void {
    if (this.#handle !== undefined) addon.refPoll(this.#handle);
  }

  unref(): void {
    if (this.#handle !== undefined) addon.unrefPoll(this.#handle);
  }
}

/**
 * Watches a descriptor (level-triggered, made non-blocking) on the event loop of the environment that calls. The
 * descriptor stays the caller's. The poll keeps the loop alive until it is closed or `unref()`ed, also when nobody
 * holds the object. What the callback throws is an uncaught exception.
 *
 * @param events - POLL_ bits
 * @param drain - for doorbells: one read of up to 4096 bytes precedes each callback. When that finds the end of the file
 * or an error, watching stops and the callback gets a negative status (-32, EPIPE, at the end of the file)
 * @throws NativeError `EEXIST` when the descriptor is being watched already, `EPERM` for regular files and memfds, `EBADF`
 */
export function openPoll(
  fd: number,
  events: number,
  callback: PollCallback,
  drain = false,
): PollHandle & { ref(): void; unref(): void } {
  const result = addon.openPoll(fd, events, callback, drain);
  if (typeof result === 'number') throw nativeError(result, `watch descriptor ${fd} for events ${events}`);
  return new Poll(result);
}

function socketPathAdvice(result: number, path: string): string {
  switch (getSystemErrorName(result)) {
    case 'ENAMETOOLONG':
      return `a socket path has at most ${MAX_SOCKET_PATH_BYTES} bytes, this one has ${Buffer.byteLength(path)}`;
    case 'EADDRINUSE':
      return 'another process is listening there';
    case 'EEXIST':
      return 'there is a socket of another user at this path; it was left alone';
    case 'ENOTSOCK':
      return 'there is something else than a socket at this path; it was left alone';
    case 'EINVAL':
      return 'a socket path is not empty and has no NUL in it';
    default:
      return '';
  }
}

/**
 * Listens on a Unix stream socket (close-on-exec, non-blocking). A socket file of this user that nobody listens on any more is
 * replaced; a live one, one of another user, and anything that is no socket, is refused. Who closes the descriptor removes the file.
 *
 * @param mode - permissions of the socket file whatever the umask, in force before anybody can connect
 * @throws NativeError `EADDRINUSE`, `ENOTSOCK`, `EEXIST`, `ENAMETOOLONG`, `ENOENT`, `EACCES`, ...
 */
export function listenUnix(path: string, mode = 0o600, backlog = 16): number {
  const result = addon.listenUnix(path, mode, backlog);
  if (result < 0) throw nativeError(result, `listen on ${path}`, socketPathAdvice(result, path));
  return result;
}

/**
 * Takes a waiting connection (close-on-exec, non-blocking).
 *
 * @returns the descriptor, or a negative errno (-11: nobody waits)
 */
export const acceptUnix: (listenFd: number) => number = addon.acceptUnix;

/**
 * Connects to a Unix stream socket; waits for a second at most while the listener's backlog is full. The descriptor is
 * close-on-exec and non-blocking.
 *
 * @throws NativeError `ENOENT`, `ECONNREFUSED`, `EACCES`, `EAGAIN` (backlog full), `ENAMETOOLONG`, ...
 */
export function connectUnix(path: string): number {
  const result = addon.connectUnix(path);
  if (result < 0) throw nativeError(result, `connect to ${path}`, socketPathAdvice(result, path));
  return result;
}

/**
 * Sends bytes, and descriptors with them, on a Unix socket. Copies of the descriptors arrive: the caller's own stay open.
 * They travel with the first byte, also when only some of the bytes are taken.
 *
 * @returns the bytes sent, may be fewer than given; else a negative errno (-22 without bytes or with more than 253
 * descriptors; -32 when the other end has gone, without SIGPIPE)
 */
export function sendMessage(fd: number, bytes: Uint8Array, fds: readonly number[] = []): number {
  return addon.sendMessage(fd, bytes, fds);
}

/**
 * Receives bytes, and the descriptors that came with them (close-on-exec), from a Unix socket. The descriptors go to
 * `fds[0..]`, {@link receivedDescriptorCount} says how many; they are the caller's to close. If more came than `fds` has room for,
 * or than this process may have, all of them are closed and the connection can only be dropped: {@link ERRNO_MESSAGE_SIZE}.
 *
 * @returns the bytes received; 0 at the end; else a negative errno (-11: nothing there yet)
 */
export const receiveMessage: (fd: number, into: Uint8Array, fds: Int32Array) => number = addon.receiveMessage;

/** How many descriptors the last {@link receiveMessage} of this environment left in its `fds`. */
export const receivedDescriptorCount: () => number = addon.receivedDescriptorCount;

/**
 * Sends one datagram to a service manager (sd_notify(3)). Waits for a tenth of a second at most while its queue is full.
 *
 * @param address - a path, or `@` and an abstract name
 * @throws NativeError `ENOENT`, `ECONNREFUSED`, `EAGAIN` (its queue stays full), `EINVAL` for another kind of address, ...
 */
export function notifyServiceManager(address: string, bytes: Uint8Array): void {
  const result = addon.notify(address, bytes);
  if (result < 0) throw nativeError(result, `notify ${address}`);
}

/**
 * Who connected to, or listens on, the other end of a Unix socket.
 *
 * @throws NativeError `ENOTSOCK`, `EBADF`
 */
export function peerCredentials(fd: number): PeerCredentials {
  const result = addon.peerCredentials(fd);
  if (typeof result === 'number')
    throw nativeError(result, `ask who is at the other end of descriptor ${fd}`);
  return result;
}

/**
 * What a descriptor is, and how long.
 *
 * @throws NativeError `EBADF`
 */
export function statDescriptor(fd: number): DescriptorStatus {
  const result = addon.statDescriptor(fd);
  if (typeof result === 'number') throw nativeError(result, `look at descriptor ${fd}`);
  return result;
}

/**
 * A second descriptor (close-on-exec) of the same open file description.
 *
 * @throws NativeError `EBADF`, `EMFILE`
 */
export function duplicateDescriptor(fd: number): number {
  return descriptorOrThrow(addon.duplicateDescriptor(fd), `duplicate descriptor ${fd}`);
}
