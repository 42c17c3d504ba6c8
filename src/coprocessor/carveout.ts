import { CoprocessorError, hex } from './coprocessor-error.ts';

interface Block {
  readonly start: number;
  readonly end: number;
}

/** Taken ranges of one piece of memory, in order of addresses; shared by all views of it. */
interface Ledger {
  blocks: Block[];
}

/**
 * Gives out pieces of a range of the co-processor's memory. Nothing is stored in the memory itself. First fit: allocations are
 * few and live long.
 */
export class Carveout {
  /** First device address. */
  readonly deviceAddress: number;
  readonly sizeBytes: number;
  #ledger: Ledger = { blocks: [] };
  #own: Block[] = [];

  constructor(deviceAddress: number, sizeBytes: number) {
    this.deviceAddress = deviceAddress;
    this.sizeBytes = sizeBytes;
  }

  /** Another view of the same memory, whose allocations can be given back apart from the others'. */
  share(): Carveout {
    const view = new Carveout(this.deviceAddress, this.sizeBytes);
    view.#ledger = this.#ledger;
    return view;
  }

  /** Keeps what lies there from being given out; parts outside the range do not matter. */
  reserve(deviceAddress: number, sizeBytes: number): void {
    const block = { start: deviceAddress, end: deviceAddress + sizeBytes };
    if (sizeBytes > 0 && block.start < this.#end && block.end > this.deviceAddress) this.#take(block);
  }

  /**
   * @param align a power of two, in bytes
   * @param what for the message when it does not fit, e.g. `vring 0 of vdev 0`
   * @returns the device address
   * @throws CoprocessorError ERR_CARVEOUT
   */
  allocate(sizeBytes: number, align: number, what: string): number {
    let start = alignUp(this.deviceAddress, align);
    for (const block of this.#ledger.blocks) {
      if (start + sizeBytes <= block.start) break;
      if (block.end > start) start = alignUp(block.end, align);
    }
    if (start + sizeBytes > this.#end) {
      throw new CoprocessorError(
        'ERR_CARVEOUT',
        `${what} needs ${sizeBytes} bytes aligned to ${align}, but the memory at ${hex(this.deviceAddress)}-${hex(this.#end - 1)} (${this.sizeBytes} bytes) has only ${this.freeBytes} left`,
      );
    }
    this.#take({ start, end: start + sizeBytes });
    return start;
  }

  /** Bytes that are not taken, in however many pieces. */
  get freeBytes(): number {
    let free = 0;
    let start = this.deviceAddress;
    for (const block of this.#ledger.blocks) {
      if (block.start > start) free += Math.min(block.start, this.#end) - start;
      start = Math.max(start, block.end);
    }
    return free + Math.max(0, this.#end - start);
  }

  /** Gives back all that this view allocated or reserved. */
  releaseAll(): void {
    this.#ledger.blocks = this.#ledger.blocks.filter((block) => !this.#own.includes(block));
    this.#own = [];
  }

  get #end(): number {
    return this.deviceAddress + this.sizeBytes;
  }

  #take(block: Block): void {
    this.#own.push(block);
    this.#ledger.blocks.push(block);
    this.#ledger.blocks.sort((a, b) => a.start - b.start);
  }
}

function alignUp(address: number, align: number): number {
  return Math.ceil(address / align) * align;
}
