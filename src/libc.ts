/**
 * What the C library offers and Node does not, for the cold path: a call takes some 7 microseconds. The only user of
 * ffi-napi and ref-napi, which are loaded with the first call, so that a platform without them still runs everything else.
 * Main thread only: loaded in a worker thread they end the process.
 */
import { closeSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { getSystemErrorMap } from 'node:util';
import { isMainThread } from 'node:worker_threads';

/** sched.h */
const SCHED_FIFO = 1;
/** What is started from here (threads, the firmware's process) gets the ordinary policy back. */
const SCHED_RESET_ON_FORK = 0x4000_0000;

/** asm-generic/ioctl.h: where a request's number holds the size of its structure. */
const IOC_SIZE_SHIFT = 16;
const IOC_SIZE_MASK = 0x3fff;

/** The calling thread, for sched_setscheduler(2). */
const SELF = 0;

/** bits/socket.h, linux/netlink.h; asm-generic (all that Node has Linux binaries for but MIPS). */
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0x800;
const SOCK_CLOEXEC = 0x8_0000;
const NETLINK_KOBJECT_UEVENT = 15;
/** What the kernel itself says; group 2 is udev's echo of it. */
const KERNEL_UEVENTS = 1;

/**
 * A call into the C library failed. `code` is the errno's name (`'EPERM'`), `'ERR_FFI_UNAVAILABLE'` when ffi-napi does not
 * load here, `'ERR_WORKER_THREAD'` outside of the main thread, or `'EINVAL'` for an argument that cannot be right.
 */
export class LibcError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'LibcError';
    this.code = code;
  }
}

interface CLibrary {
  ioctl(fd: number, request: number, argument: Buffer): number;
  mlock(address: number, sizeBytes: number): number;
  munlockall(): number;
  sched_setscheduler(pid: number, policy: number, parameters: Buffer): number;
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Buffer, sizeBytes: number): number;
}

interface Ffi {
  Library(file: null, functions: Record<keyof CLibrary, readonly [string, readonly string[]]>): CLibrary;
  errno(): number;
}

interface Ref {
  alloc(type: 'int', value: number): Buffer;
}

interface Loaded {
  readonly library: CLibrary;
  readonly errno: () => number;
  readonly ref: Ref;
}

let loaded: Loaded | undefined;

/** @throws LibcError */
function load(): Loaded {
  if (loaded !== undefined) return loaded;
  if (!isMainThread) {
    throw new LibcError('ERR_WORKER_THREAD', 'the C library can be called from the main thread only');
  }
  try {
    const require = createRequire(import.meta.url);
    const ffi = require('ffi-napi') as Ffi;
    const ref = require('ref-napi') as Ref;
    const library = ffi.Library(null, {
      // Declared with `...` in C; on every Linux that Node runs on a pointer is passed there as anywhere else.
      ioctl: ['int', ['int', 'ulong', 'pointer']],
      mlock: ['int', ['size_t', 'size_t']],
      munlockall: ['int', []],
      sched_setscheduler: ['int', ['int', 'int', 'pointer']],
      socket: ['int', ['int', 'int', 'int']],
      bind: ['int', ['int', 'pointer', 'uint32']],
    });
    loaded = { library, errno: ffi.errno, ref };
    return loaded;
  } catch (error) {
    const [reason] = (error as Error).message.split('\n');
    throw new LibcError(
      'ERR_FFI_UNAVAILABLE',
      `the packages ffi-napi and ref-napi do not load (${reason}); run npm rebuild ffi-napi ref-napi @2060.io/ref-napi, or do without what needs them`,
    );
  }
}

/** Read the errno first: anything in between may change it. */
function libcError(errno: number, tried: string, advice: Readonly<Record<string, string>>): LibcError {
  const [name, text] = getSystemErrorMap().get(-errno) ?? [`errno ${errno}`, 'unknown error'];
  const remedy = advice[name];
  return new LibcError(name, `${tried}: ${text} (${name})${remedy === undefined ? '' : `; ${remedy}`}`);
}

/** Whether the ffi packages load here, and if not, why. Never throws. */
export function probe():
  | { readonly available: true }
  | { readonly available: false; readonly reason: string } {
  try {
    load();
    return { available: true };
  } catch (error) {
    return { available: false, reason: (error as Error).message };
  }
}

/**
 * ioctl(2) with a structure, which the kernel reads, or fills, or both.
 *
 * @param request the request's number with the structure's size in it (`_IOWR` of asm-generic/ioctl.h)
 * @param argument the structure; as long as the number says
 * @param tried what it is for, for the message: `read the level of line 3`
 * @param advice what to do about an errno, by its name
 * @returns what the kernel returned, 0 mostly
 * @throws LibcError with the errno's name; `EINVAL` also for an argument of another size, before the kernel would write
 * beyond its end; `ERR_FFI_UNAVAILABLE`, `ERR_WORKER_THREAD`
 */
export function ioctl(
  fd: number,
  request: number,
  argument: Uint8Array,
  tried: string,
  advice: Readonly<Record<string, string>> = {},
): number {
  const sizeBytes = (request >>> IOC_SIZE_SHIFT) & IOC_SIZE_MASK;
  if (argument.length !== sizeBytes) {
    throw new LibcError(
      'EINVAL',
      `${tried}: ioctl 0x${request.toString(16)} takes ${sizeBytes} bytes, not ${argument.length}`,
    );
  }
  const { library, errno } = load();
  const pointer = Buffer.from(argument.buffer, argument.byteOffset, argument.byteLength);
  const result = library.ioctl(fd, request, pointer);
  if (result < 0) throw libcError(errno(), tried, advice);
  return result;
}

/**
 * A socket on which the kernel tells of devices that come, go and change (kobject uevents, netlink(7)): one message a read,
 * non-blocking, close-on-exec. No privilege is needed. The caller closes it.
 *
 * @throws LibcError `EPROTONOSUPPORT` on a kernel without them, `EMFILE`, `EPERM` or `EACCES` in a sandbox (seccomp, systemd's
 * RestrictAddressFamilies= without AF_NETLINK), `ERR_FFI_UNAVAILABLE`, `ERR_WORKER_THREAD`
 */
export function openUeventSocket(): number {
  const { library, errno } = load();
  const fd = library.socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
  if (fd < 0) throw libcError(errno(), 'open a netlink socket for uevents', {});
  // struct sockaddr_nl: u16 nl_family, u16 padding, u32 nl_pid (0: the kernel chooses), u32 nl_groups; in the host's order.
  const address = Buffer.alloc(12);
  address.writeUInt16LE(AF_NETLINK, 0);
  address.writeUInt32LE(KERNEL_UEVENTS, 8);
  if (library.bind(fd, address, address.length) === 0) return fd;
  const failure = errno();
  closeSync(fd);
  throw libcError(failure, 'listen for uevents', {});
}

interface MemoryRange {
  readonly address: number;
  readonly sizeBytes: number;
}

/** Mapped files but memory that is shared on purpose, the C library's heap, the main thread's stack. */
function lockableRanges(): MemoryRange[] {
  const ranges: MemoryRange[] = [];
  for (const line of readFileSync('/proc/self/maps', 'utf8').split('\n')) {
    // 7f5c1000-7f5c2000 r-xp 00000000 08:01 1234    /usr/bin/node
    const match = /^([0-9a-f]+)-([0-9a-f]+) (r\S+) \S+ \S+ \d+\s+(\/.*|\[heap\]|\[stack\])$/.exec(line);
    if (match === null || /^\/(memfd:|dev\/|SYSV)/.test(match[4]!)) continue;
    const address = Number.parseInt(match[1]!, 16);
    ranges.push({ address, sizeBytes: Number.parseInt(match[2]!, 16) - address });
  }
  return ranges;
}

/**
 * Keeps the program resident: its code, its libraries, the heap and stack of C. On a machine without swap that is all that
 * the kernel could take away under memory pressure, and the data path's next use would wait for the disk.
 *
 * Not mlockall(2): V8 gives pages back with madvise(MADV_DONTNEED), which locked memory refuses, and V8 then ends the process
 * (tried with Node 20). On a machine with swap keep the service out of it (systemd MemorySwapMax=0).
 *
 * @returns the locked bytes
 * @throws LibcError `ENOMEM` or `EPERM` where the limit on locked memory is too small (nothing is locked then),
 * `ERR_FFI_UNAVAILABLE`, `ERR_WORKER_THREAD`
 */
export function lockMemory(): number {
  const { library, errno } = load();
  const ranges = lockableRanges();
  const sizeBytes = ranges.reduce((sum, range) => sum + range.sizeBytes, 0);
  for (const range of ranges) {
    if (library.mlock(range.address, range.sizeBytes) === 0) continue;
    const failure = errno();
    library.munlockall();
    const advice =
      'raise the limit on locked memory (ulimit -l unlimited, systemd LimitMEMLOCK=infinity) or grant CAP_IPC_LOCK';
    throw libcError(failure, `lock ${Math.ceil(sizeBytes / 2 ** 20)} MiB of memory`, {
      ENOMEM: advice,
      EPERM: advice,
      EAGAIN: advice,
    });
  }
  return sizeBytes;
}

/**
 * Gives the main thread, on which the event loop runs, the policy SCHED_FIFO. Threads and processes that are started from
 * now on do not inherit it.
 *
 * @param priority 1 (lowest) to 99
 * @throws LibcError `EPERM` without the privilege, `EINVAL` for another priority, `ERR_FFI_UNAVAILABLE`,
 * `ERR_WORKER_THREAD`
 */
export function setRealtimePriority(priority: number): void {
  if (!Number.isInteger(priority) || priority < 1 || priority > 99) {
    throw new LibcError('EINVAL', `a real-time priority is a whole number from 1 to 99, not ${priority}`);
  }
  const { library, errno, ref } = load();
  // struct sched_param has one member, int sched_priority.
  const parameters = ref.alloc('int', priority);
  if (library.sched_setscheduler(SELF, SCHED_FIFO | SCHED_RESET_ON_FORK, parameters) === 0) return;
  throw libcError(errno(), `set the scheduling policy SCHED_FIFO with priority ${priority}`, {
    EPERM:
      'grant CAP_SYS_NICE (setcap, systemd AmbientCapabilities=) or allow the priority (ulimit -r, systemd LimitRTPRIO=)',
  });
}
