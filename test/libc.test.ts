import { execFile } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { ioctl, LibcError, openUeventSocket, probe, setRealtimePriority } from '../src/libc.ts';
import { createPipe, readDescriptor } from '../src/native.ts';

const execute = promisify(execFile);
/** sched.h */
const SCHED_OTHER = 0;
const SCHED_FIFO = 1;
const EAGAIN = 11;
const MODULE = new URL('../src/libc.ts', import.meta.url).href;

interface Outcome {
  readonly error: { readonly name: string; readonly code: string; readonly message: string } | null;
  readonly status: string;
  /** sched_getscheduler's policy of the main thread (field 41 of /proc/PID/stat) and the priority (field 40). */
  readonly policy: number;
  readonly priority: number;
  readonly childPolicy: number;
}

/** Runs a call in a process of its own: what it changes would stay with the test runner. */
async function inProcess(call: string, ...prefix: string[]): Promise<Outcome> {
  const script = `
    import { execFileSync } from 'node:child_process';
    import { readFileSync } from 'node:fs';
    const exercise = () => {
      for (let round = 0; round < 20; round++) {
        let garbage = Array.from({ length: 100 }, () => new Array(20_000).fill(round));
        const functions = Array.from({ length: 200 }, (_, n) => new Function('x', 'return x * ' + (n + round)));
        for (const f of functions) for (let n = 0; n < 500; n++) f(n);
        garbage = null;
        gc();
      }
    };
    const libc = await import(${JSON.stringify(MODULE)});
    let error = null;
    try {
      const { lockMemory, setRealtimePriority } = libc;
      ${call};
    } catch ({ name, code, message }) {
      error = { name, code, message };
    }
    const schedulingOf = (text) => text.slice(text.lastIndexOf(')') + 2).split(' ').slice(37, 39).map(Number);
    const [priority, policy] = schedulingOf(readFileSync('/proc/self/stat', 'utf8'));
    const [, childPolicy] = schedulingOf(execFileSync('cat', ['/proc/self/stat'], { encoding: 'utf8' }));
    const status = readFileSync('/proc/self/status', 'utf8');
    console.log(JSON.stringify({ error, status, priority, policy, childPolicy }));`;
  const command = [
    process.execPath,
    '--expose-gc',
    '--import',
    'tsx',
    '--input-type=module',
    '--eval',
    script,
  ];
  const [file, ...args] = [...prefix, ...command];
  const { stdout } = await execute(file!, args, { timeout: 15_000 });
  return JSON.parse(stdout) as Outcome;
}

describe('probe', () => {
  it('finds the ffi packages, which npm install has built', () => {
    expect(probe()).toEqual({ available: true });
  });

  it('does not load them in a worker thread, which would end the process', async () => {
    const worker = new Worker(
      `const { parentPort } = require('node:worker_threads');
       import('tsx/esm/api')
         .then(({ register }) => {
           register();
           return import(${JSON.stringify(MODULE)});
         })
         .then(({ probe }) => parentPort.postMessage(probe()));`,
      { eval: true },
    );
    const answer = await new Promise((resolve, reject) =>
      worker.once('message', resolve).once('error', reject),
    );
    expect(answer).toEqual({
      available: false,
      reason: 'the C library can be called from the main thread only',
    });
    await worker.terminate();
  });
});

describe('ioctl', () => {
  /** asm-generic/ioctl.h: _IOR('T', 0x30, unsigned int), the number of a terminal's pseudo-terminal. */
  const TIOCGPTN = 0x80045430;
  /** linux/fs.h: _IOR('f', 1, long), a file's attributes. */
  const FS_IOC_GETFLAGS = 0x80086601;

  it('gives the kernel a structure to fill', () => {
    const fd = openSync('/dev/ptmx', 'r+');
    try {
      const number = new Uint8Array(6).fill(0xff);
      expect(ioctl(fd, TIOCGPTN, number.subarray(1, 5), 'ask for the number')).toBe(0);
      // Where it was asked to, and nowhere else.
      expect(number[0]).toBe(0xff);
      expect(number[5]).toBe(0xff);
      expect(new DataView(number.buffer).getUint32(1, true)).toBeLessThan(0x10000);
    } finally {
      closeSync(fd);
    }
  });

  it('says what was tried, what the kernel answered and what to do', () => {
    const [readFd, writeFd] = createPipe();
    try {
      const call = () =>
        ioctl(readFd, FS_IOC_GETFLAGS, new Uint8Array(8), 'ask a pipe', { ENOTTY: 'ask a file' });
      expect(call).toThrow(
        expect.objectContaining({
          name: 'LibcError',
          code: 'ENOTTY',
          message: 'ask a pipe: inappropriate ioctl for device (ENOTTY); ask a file',
        }),
      );
    } finally {
      closeSync(readFd);
      closeSync(writeFd);
    }
    expect(() => ioctl(1 << 20, TIOCGPTN, new Uint8Array(4), 'ask nobody')).toThrow(
      expect.objectContaining({ code: 'EBADF' }),
    );
  });

  it.each([3, 5, 0])('does not let the kernel write to %d bytes where it would write 4', (sizeBytes) => {
    expect(() => ioctl(0, TIOCGPTN, new Uint8Array(sizeBytes), 'ask')).toThrow(
      `ask: ioctl 0x80045430 takes 4 bytes, not ${sizeBytes}`,
    );
  });
});

describe('lockMemory', () => {
  it('locks the program, or says what is missing', async () => {
    const { error, status } = await inProcess('lockMemory()');
    const lockedKib = Number(/^VmLck:\s+(\d+) kB$/m.exec(status)?.[1]);
    if (error === null) {
      // The text of Node alone has tens of megabytes.
      expect(lockedKib).toBeGreaterThan(10 * 1024);
    } else {
      expect(error).toMatchObject({
        name: 'LibcError',
        code: expect.stringMatching(/^(ENOMEM|EPERM|EAGAIN)$/),
      });
      expect(error.message).toContain('ulimit -l');
      expect(lockedKib).toBe(0);
    }
  });

  it('leaves V8 able to give memory back and to compile', async () => {
    const { status } = await inProcess('lockMemory(); exercise()');
    expect(status).toContain('VmLck');
  });
});

describe('setRealtimePriority', () => {
  it('sets SCHED_FIFO for this process and not for its children, or says what is missing', async () => {
    const { error, policy, priority, childPolicy } = await inProcess('setRealtimePriority(7)');
    if (error === null) {
      expect([policy, priority]).toEqual([SCHED_FIFO, 7]);
    } else {
      expect(error).toMatchObject({ name: 'LibcError', code: 'EPERM' });
      expect(error.message).toContain('SCHED_FIFO with priority 7');
      expect(error.message).toContain('CAP_SYS_NICE');
      expect(policy).toBe(SCHED_OTHER);
    }
    expect(childPolicy).toBe(SCHED_OTHER);
  });

  it.each([0, 100, 1.5, Number.NaN])('refuses priority %d', (priority) => {
    expect(() => setRealtimePriority(priority)).toThrow(LibcError);
    expect(() => setRealtimePriority(priority)).toThrow(`from 1 to 99, not ${priority}`);
  });
});

describe('openUeventSocket', () => {
  it('opens a socket that is non-blocking, and closed on exec', () => {
    const fd = openUeventSocket();
    try {
      expect(readDescriptor(fd, new Uint8Array(16))).toBe(-EAGAIN);
      // O_RDWR, O_NONBLOCK, O_CLOEXEC
      expect(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')).toMatch(/^flags:\s+02004002$/m);
    } finally {
      closeSync(fd);
    }
  });
});

describe('without privileges', () => {
  // Root may do everything, so that this process' rights are taken away; anybody else has none.
  const isRoot = process.getuid?.() === 0;
  const prefix = isRoot ? ['setpriv', '--bounding-set=-all', '--inh-caps=-all'] : [];

  it('lockMemory is refused with the errno and the remedy', async () => {
    const limited = ['prlimit', '--memlock=65536:65536', ...prefix];
    const { error } = await inProcess('lockMemory()', ...limited);
    expect(error).toMatchObject({ name: 'LibcError', code: 'ENOMEM' });
    expect(error?.message).toMatch(/^lock \d+ MiB of memory: .*\(ENOMEM\); .*CAP_IPC_LOCK/);
  });

  it('setRealtimePriority is refused with the errno and the remedy', async () => {
    const limited = ['prlimit', '--rtprio=0:0', ...prefix];
    const { error, policy } = await inProcess('setRealtimePriority(1)', ...limited);
    expect(error).toMatchObject({ name: 'LibcError', code: 'EPERM' });
    expect(error?.message).toMatch(/\(EPERM\); .*CAP_SYS_NICE/);
    expect(policy).toBe(SCHED_OTHER);
  });
});
