import { openPoll, POLL_READABLE, type PollHandle, readDescriptor, writeDescriptor } from '../native.ts';
import { CoprocessorError } from './coprocessor-error.ts';

const EAGAIN = 11;
const ENOSYS = 38;

/**
 * The interrupt of a UIO device (kernel Documentation/driver-api/uio-howto.rst): the descriptor is readable when it happened,
 * 4 bytes are its count, and the kernel keeps it off until 1 is written as 4 bytes.
 */
export class UioInterrupt {
  readonly #fd: number;
  /** For messages. */
  readonly #path: string;
  /** Interrupts so far, as the kernel counts them: to be read, and not needed. */
  readonly #count = new Uint8Array(4);
  readonly #enable = new Uint8Array(new Uint32Array([1]).buffer);
  #poll: PollHandle | undefined;

  /** @param fd stays the caller's; close this before it */
  constructor(fd: number, path: string) {
    this.#fd = fd;
    this.#path = path;
  }

  /**
   * Enables the interrupt, as an earlier user may have left it off, and listens.
   * @param onLost is told once; nothing is listened to then
   * @throws CoprocessorError ERR_DOORBELL
   */
  open(onInterrupt: () => void, onLost: (reason: string) => void): void {
    const lose = (reason: string): void => {
      this.close();
      onLost(`doorbell ${this.#path}: ${reason}`);
    };
    try {
      this.#poll = openPoll(this.#fd, POLL_READABLE, (status) => {
        // UIO answers a poll with an error when the device has no interrupt.
        if (status < 0) lose(`polling failed with errno ${-status}; does the device have an interrupt?`);
        else this.#interrupted(onInterrupt, lose);
      });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new CoprocessorError('ERR_DOORBELL', `doorbell ${this.#path}: ${reason}`, error);
    }
    const failed = this.#enableInterrupt();
    if (failed === 0) return;
    this.close();
    throw new CoprocessorError(
      'ERR_DOORBELL',
      `doorbell ${this.#path}: enabling the interrupt failed with errno ${failed}`,
    );
  }

  #interrupted(onInterrupt: () => void, lose: (reason: string) => void): void {
    const count = readDescriptor(this.#fd, this.#count);
    if (count === -EAGAIN) return;
    if (count !== this.#count.length) {
      lose(count < 0 ? `reading failed with errno ${-count}` : `read ${count} bytes, expected 4`);
      return;
    }
    onInterrupt();
    // Closed by what it caused.
    if (this.#poll === undefined) return;
    // Afterwards: a level-triggered line would come again at once if the cause is still there.
    const failed = this.#enableInterrupt();
    if (failed !== 0) lose(`enabling the interrupt failed with errno ${failed}`);
  }

  /** @returns errno, or 0; a driver whose interrupt needs no enabling answers ENOSYS */
  #enableInterrupt(): number {
    const result = writeDescriptor(this.#fd, this.#enable);
    return result >= 0 || result === -ENOSYS ? 0 : -result;
  }

  /** Idempotent. */
  close(): void {
    this.#poll?.close();
    this.#poll = undefined;
  }
}
