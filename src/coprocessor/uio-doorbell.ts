import { closeSync, constants, openSync } from 'node:fs';
import {
  mapDescriptor,
  openPoll,
  POLL_READABLE,
  type PollHandle,
  readDescriptor,
  unmap,
  writeDescriptor,
} from '../native.ts';
import { CoprocessorError, describeOpenError, hex } from './coprocessor-error.ts';
import { ANY_NOTIFY_ID, type Doorbell, type KickEncoding, type UioDoorbellOptions } from './doorbell.ts';
import { readUioMap, uioPath } from './uio-device.ts';

const EAGAIN = 11;
const ENOSYS = 38;
const REGISTER_SIZE = 4;
const MAX_IDS: Readonly<Record<KickEncoding, number>> = {
  id: 0xffff_ffff,
  'id-shifted-16': 0xffff,
  bit: 31,
  constant: 0xffff_ffff,
};

/**
 * A UIO device (kernel Documentation/driver-api/uio-howto.rst): its interrupt is the call, a 32-bit register the kick. After
 * an interrupt the kernel keeps it off until 1 is written to the device.
 */
export class UioDoorbell implements Doorbell {
  readonly inheritedFds: readonly number[] = [];
  readonly isPolled = false;
  readonly maxNotifyId: number;
  readonly #path: string;
  readonly #encoding: KickEncoding;
  readonly #value: number;
  readonly #buffer: ArrayBuffer;
  readonly #registers: Uint32Array;
  readonly #index: number;
  readonly #fd: number;
  /** Interrupts so far, as the kernel counts them: read, and not needed. */
  readonly #count = new Uint8Array(4);
  readonly #enable = new Uint8Array(new Uint32Array([1]).buffer);
  #poll: PollHandle | undefined;
  #closed = false;

  /** @throws CoprocessorError ERR_DOORBELL */
  constructor(options: UioDoorbellOptions, sysfsRoot: string) {
    const { map = 0, offset, encoding = 'id', value = 1 } = options;
    this.#path = uioPath(options.device);
    this.#encoding = encoding;
    this.#value = value;
    this.maxNotifyId = MAX_IDS[encoding];
    const found = readUioMap(sysfsRoot, this.#path, map, 'ERR_DOORBELL');
    if (!Number.isInteger(offset) || offset < 0 || offset + REGISTER_SIZE > found.sizeBytes) {
      throw new CoprocessorError(
        'ERR_DOORBELL',
        `doorbell ${this.#path}: kick register at offset ${hex(offset)} is outside map ${map}, which has ${found.sizeBytes} bytes`,
      );
    }
    const at = found.inPageOffset + offset;
    if (at % REGISTER_SIZE !== 0) {
      throw new CoprocessorError(
        'ERR_DOORBELL',
        `doorbell ${this.#path}: kick register at offset ${hex(offset)} is not aligned to ${REGISTER_SIZE} bytes`,
      );
    }
    this.#index = at / REGISTER_SIZE;
    try {
      this.#fd = openSync(this.#path, constants.O_RDWR | constants.O_NONBLOCK);
    } catch (error) {
      throw new CoprocessorError('ERR_DOORBELL', `doorbell ${describeOpenError(this.#path, error)}`, error);
    }
    try {
      this.#buffer = mapDescriptor(this.#fd, found.mmapOffset, at + REGISTER_SIZE);
    } catch (error) {
      closeSync(this.#fd);
      const reason = error instanceof Error ? error.message : String(error);
      throw new CoprocessorError('ERR_DOORBELL', `doorbell ${this.#path} map ${map}: ${reason}`, error);
    }
    this.#registers = new Uint32Array(this.#buffer, 0, this.#index + 1);
  }

  ring(notifyId: number): void {
    // A releasing store: the ring's bytes are there before the kick is. Never read-modify-write on a register.
    if (!this.#closed) Atomics.store(this.#registers, this.#index, this.#encode(notifyId));
  }

  #encode(notifyId: number): number {
    switch (this.#encoding) {
      case 'id':
        return notifyId;
      case 'id-shifted-16':
        return notifyId << 16;
      case 'bit':
        return 1 << notifyId;
      case 'constant':
        return this.#value;
    }
  }

  open(listener: (notifyId: number) => void, onLost?: (reason: string) => void): void {
    const lose = (reason: string): void => {
      if (this.#closed) return;
      this.close();
      onLost?.(`doorbell ${this.#path}: ${reason}`);
    };
    try {
      this.#poll = openPoll(this.#fd, POLL_READABLE, (status) => {
        if (status < 0) {
          // UIO answers a poll with an error when the device has no interrupt.
          lose(`polling failed with errno ${-status}; does the device have an interrupt?`);
          return;
        }
        const count = readDescriptor(this.#fd, this.#count);
        if (count === -EAGAIN) return;
        if (count !== this.#count.length) {
          lose(count < 0 ? `reading failed with errno ${-count}` : `read ${count} bytes, expected 4`);
          return;
        }
        listener(ANY_NOTIFY_ID);
        if (this.#closed) return;
        const failed = this.#enableInterrupt();
        if (failed !== 0) lose(`enabling the interrupt failed with errno ${failed}`);
      });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new CoprocessorError(
        'ERR_DOORBELL',
        `doorbell ${this.#path}: cannot be polled: ${reason}`,
        error,
      );
    }
    // An earlier user may have left it off.
    const failed = this.#enableInterrupt();
    if (failed !== 0) {
      throw new CoprocessorError(
        'ERR_DOORBELL',
        `doorbell ${this.#path}: enabling the interrupt failed with errno ${failed}`,
      );
    }
  }

  /** @returns errno, or 0; a driver whose interrupt needs no enabling answers ENOSYS */
  #enableInterrupt(): number {
    const result = writeDescriptor(this.#fd, this.#enable);
    return result >= 0 || result === -ENOSYS || result === -EAGAIN ? 0 : -result;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poll?.close();
    unmap(this.#buffer);
    closeSync(this.#fd);
  }
}
