import { closeSync, constants, openSync } from 'node:fs';
import { openPoll, POLL_PRIORITIZED, POLL_READABLE, type PollHandle, readDescriptor } from '../native.ts';

const EPIPE = 32;
/** The kernel writes no longer record (CONSOLE_EXT_LOG_MAX). */
const RECORD_SIZE = 8192;
/** Records read in one turn: the kernel's buffer has not many more, and who floods it leaves time for others. */
const BATCH = 4096;

/** A message of a device driver in the kernel's log (Documentation/ABI/testing/dev-kmsg). */
export interface KernelRecord {
  readonly text: string;
  /** The class or bus of the device, `remoteproc`; empty for a message about no device. */
  readonly subsystem: string;
  /** `+remoteproc:remoteproc0`, or `c250:0` for a device that has a character device. */
  readonly device: string;
}

/** `6,339,5140900,-;text`, then a line ` KEY=value` for each thing known. */
export function parseRecord(record: string): KernelRecord {
  const [first = '', ...rest] = record.split('\n');
  const field = (key: string): string =>
    rest.find((line) => line.startsWith(` ${key}=`))?.slice(key.length + 2) ?? '';
  return {
    text: first.slice(first.indexOf(';') + 1),
    subsystem: field('SUBSYSTEM'),
    device: field('DEVICE'),
  };
}

/**
 * Follows the kernel's log from now on. It wakes this process for each message of the kernel: on a machine that has settled,
 * those are few.
 */
export class KernelLog {
  readonly #fd: number;
  readonly #poll: PollHandle;
  readonly #record = Buffer.alloc(RECORD_SIZE);
  readonly #listener: (record: KernelRecord) => void;
  #closed = false;

  /**
   * @param onReadable there are new records; {@link read} them
   * @param onLost the log cannot be followed any more; this is closed
   * @throws Error with the errno's name as `code`: `EACCES`, `EPERM` (needs CAP_SYSLOG where `kernel.dmesg_restrict` is 1), `ENOENT`
   */
  constructor(
    path: string,
    listener: (record: KernelRecord) => void,
    onReadable: () => void,
    onLost: () => void,
  ) {
    this.#listener = listener;
    this.#fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      // Reading starts with the oldest record, and what was before is not asked for.
      while (this.#next() !== null);
      const poll = openPoll(this.#fd, POLL_READABLE | POLL_PRIORITIZED, (status) => {
        if (status >= 0) return onReadable();
        this.close();
        onLost();
      });
      poll.unref();
      this.#poll = poll;
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
  }

  /** Tells what has come. */
  read(): void {
    for (let i = 0; i < BATCH && !this.#closed; i++) {
      const record = this.#next();
      if (record === null) return;
      if (record !== '') this.#listener(parseRecord(record));
    }
  }

  /** @returns the next record; empty for a gap, as the kernel has overwritten some; null when there is none */
  #next(): string | null {
    const count = readDescriptor(this.#fd, this.#record);
    if (count === -EPIPE) return '';
    return count <= 0 ? null : this.#record.toString('utf8', 0, count);
  }

  /** Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poll.close();
    closeSync(this.#fd);
  }
}
