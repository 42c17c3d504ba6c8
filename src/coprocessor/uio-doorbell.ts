import { closeSync, constants, openSync } from 'node:fs';
import { mapDescriptor, unmap } from '../native.ts';
import { CoprocessorError, describeOpenError, hex } from './coprocessor-error.ts';
import { ANY_NOTIFY_ID, type Doorbell, type KickEncoding, type UioDoorbellOptions } from './doorbell.ts';
import { readUioMap, uioPath } from './uio-device.ts';
import { UioInterrupt } from './uio-interrupt.ts';

const REGISTER_SIZE = 4;
const MAX_IDS: Readonly<Record<KickEncoding, number>> = {
  id: 0xffff_ffff,
  'id-shifted-16': 0xffff,
  bit: 31,
  constant: 0xffff_ffff,
};

/** A UIO device: its interrupt is the call, a 32-bit register in one of its memory areas the kick. */
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
  readonly #interrupt: UioInterrupt;
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
    this.#interrupt = new UioInterrupt(this.#fd, this.#path);
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
    this.#interrupt.open(
      () => listener(ANY_NOTIFY_ID),
      (reason) => onLost?.(reason),
    );
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#interrupt.close();
    unmap(this.#buffer);
    closeSync(this.#fd);
  }
}
