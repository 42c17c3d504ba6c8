/** A guest's memory in two neighbouring windows, a vring in it, and a guest that writes into both whatever its input says. */
import { AddressSpace } from '../../src/virtqueue/address-space.ts';
import { DeviceQueue } from '../../src/virtqueue/device-queue.ts';
import { vringLayout } from '../../src/wire/vring.ts';
import type { ByteSource } from './byte-source.ts';
import { ChangingRule, rewrite, WatchedMemory, watchWindow } from './changing-memory.ts';

/** Bytes in front of and behind what is the guest's, in the same buffer. */
const FENCE = 0x400;
const FIRST_BYTES = 0x4000;
const SECOND_BYTES = 0x1000;
export const GUEST_BASE = 0x4000_0000;
const GUEST_END = GUEST_BASE + FIRST_BYTES + SECOND_BYTES;
/** Where a vring's buffers begin. */
const BUFFERS = 0x2800;
const LENGTHS = [0, 1, 2, 7, 8, 9, 16, 32, 0x100, 0x1000, 0x7fff_ffff, 0xffff_ffff] as const;
const ADDRESSES = [0, GUEST_BASE - 1, GUEST_END - 1, GUEST_END - 8, GUEST_END, 0xffff_ffff] as const;

/** The longest walk that a chain may cost: its table, and an indirect one of 1024, four elements each. */
export function readsOfOneChain(size: number): number {
  return (size + 1024 + 4) * 4;
}

export class HostileGuest {
  readonly space = new AddressSpace();
  readonly first: WatchedMemory;
  readonly second: WatchedMemory;
  readonly size: number;
  readonly eventIdx: boolean;
  readonly indirect: boolean;
  /** Index of the available ring as the guest keeps it. */
  offered: number;
  readonly #source: ByteSource;
  readonly #at: number;
  readonly #availableOffset: number;
  readonly #usedOffset: number;

  /** @param at bytes from the first window's begin to the vring @param memory another vring's guest, with the same memory */
  constructor(source: ByteSource, size: number, at = 0, memory: HostileGuest | null = null) {
    this.#source = source;
    this.size = size;
    this.eventIdx = source.bool();
    this.indirect = source.bool();
    this.offered = source.bool() ? source.u16() : 0;
    const layout = vringLayout(size, 16);
    this.#at = at;
    this.#availableOffset = at + layout.availableOffset;
    this.#usedOffset = at + layout.usedOffset;
    if (memory === null) {
      const begin = FENCE;
      this.first = new WatchedMemory(new ArrayBuffer(FENCE * 2 + FIRST_BYTES), {
        begin,
        end: begin + FIRST_BYTES,
      });
      this.second = new WatchedMemory(new ArrayBuffer(SECOND_BYTES));
    } else {
      this.first = memory.first;
      this.second = memory.second;
    }
    watchWindow(this.space.add(GUEST_BASE, this.first.raw.buffer, FENCE, FIRST_BYTES), this.first);
    watchWindow(this.space.add(GUEST_BASE + FIRST_BYTES, this.second.raw.buffer), this.second);
    this.availableIndex = this.offered;
    this.usedIndex = source.bool() ? source.u16() : this.offered;
  }

  queue(nextAvailable = this.offered): DeviceQueue {
    const { size, eventIdx, indirect, space: memory } = this;
    return new DeviceQueue({
      ...{ memory, size, eventIdx, indirect, nextAvailable },
      descriptorAddress: GUEST_BASE + this.#at,
      availableAddress: GUEST_BASE + this.#availableOffset,
      usedAddress: GUEST_BASE + this.#usedOffset,
    });
  }

  /** From now on both windows change while they are read; or not any more. */
  change(isChanging: boolean): void {
    this.first.rule = isChanging ? new ChangingRule(this.first.raw, this.#source, 2000) : {};
    this.second.rule = isChanging ? new ChangingRule(this.second.raw, this.#source, 2000) : {};
  }

  /** From now on at most `reads` of either window. */
  allow(reads: number): void {
    this.first.allow(reads);
    this.second.allow(reads);
  }

  get reads(): number {
    return this.first.reads + this.second.reads;
  }

  set availableIndex(index: number) {
    this.first.view.setUint16(FENCE + this.#availableOffset + 2, index, true);
  }
  set availableFlags(flags: number) {
    this.first.view.setUint16(FENCE + this.#availableOffset, flags, true);
  }
  set usedIndex(index: number) {
    this.first.view.setUint16(FENCE + this.#usedOffset + 2, index, true);
  }
  get usedIndex(): number {
    return this.first.view.getUint16(FENCE + this.#usedOffset + 2, true);
  }

  usedEntry(index: number): { head: number; usedBytes: number } {
    const at = FENCE + this.#usedOffset + 4 + (index % this.size) * 8;
    return {
      head: this.first.view.getUint32(at, true),
      usedBytes: this.first.view.getUint32(at + 4, true),
    };
  }

  descriptor(index: number, address: bigint, sizeBytes: number, flags: number, next: number): void {
    const at = FENCE + this.#at + index * 16;
    this.#descriptorAt(this.first.view, at, address, sizeBytes, flags, next);
  }

  #descriptorAt(
    view: DataView,
    at: number,
    address: bigint,
    sizeBytes: number,
    flags: number,
    next: number,
  ): void {
    view.setBigUint64(at, address, true);
    view.setUint32(at + 8, sizeBytes, true);
    view.setUint16(at + 12, flags, true);
    view.setUint16(at + 14, next, true);
  }

  /** Puts a head where the next one is expected; visible with the index. */
  entry(index: number, head: number): void {
    this.first.view.setUint16(FENCE + this.#availableOffset + 4 + (index % this.size) * 2, head, true);
  }

  offer(head: number): void {
    this.entry(this.offered, head);
    this.offered = (this.offered + 1) & 0xffff;
    this.availableIndex = this.offered;
  }

  /** Writes into the first window's buffers. @returns the address */
  buffer(offset: number, bytes: Uint8Array): number {
    this.first.raw.set(bytes, FENCE + BUFFERS + offset);
    return GUEST_BASE + BUFFERS + offset;
  }

  bufferBytes(offset: number, sizeBytes: number): Uint8Array {
    return this.first.raw.slice(FENCE + BUFFERS + offset, FENCE + BUFFERS + offset + sizeBytes);
  }

  /** A chain of a readable and a writable buffer, as a driver makes it. */
  offerWell(head: number, request: Uint8Array, responseBytes: number, at = 0): void {
    const next = (head + 1) % this.size;
    const address = this.buffer(at, request);
    if (next === head) {
      // Room for one descriptor only: a table of its own.
      const table = BUFFERS + at + 0x80;
      const end = FENCE + table;
      this.#descriptorAt(this.first.view, end, BigInt(address), request.length, 1, 1);
      this.#descriptorAt(this.first.view, end + 16, BigInt(address + 0x40), responseBytes, 2, 0);
      this.descriptor(head, BigInt(GUEST_BASE + table), 32, 4, 0);
    } else {
      this.descriptor(head, BigInt(address), request.length, 1, next);
      this.descriptor(next, BigInt(address + 0x40), responseBytes, 2, 0);
    }
    this.offer(head);
  }

  #address(): bigint {
    const source = this.#source;
    switch (source.below(6)) {
      case 0:
        return BigInt(source.pick(ADDRESSES));
      case 1:
        return source.u64();
      case 2:
        return BigInt(GUEST_BASE + FIRST_BYTES - source.below(32));
      default:
        return BigInt(GUEST_BASE + BUFFERS + source.below(0x1000));
    }
  }

  #length(): number {
    const source = this.#source;
    return source.bool() ? source.pick(LENGTHS) : source.below(64);
  }

  #flags(): number {
    return this.#source.oneIn(8) ? this.#source.u16() : this.#source.below(8);
  }

  /** One step of a guest that stops at nothing. */
  mischief(): void {
    const source = this.#source;
    switch (source.below(8)) {
      case 0:
        return this.descriptor(
          source.below(this.size),
          this.#address(),
          this.#length(),
          this.#flags(),
          source.oneIn(6) ? source.u16() : source.below(this.size),
        );
      case 1: {
        // An indirect table.
        const at = source.below(0x40) * 16;
        const count = source.below(5);
        for (let i = 0; i < count; i++) {
          const next = source.oneIn(8) ? source.u16() : i + 1;
          this.#descriptorAt(
            this.first.view,
            FENCE + BUFFERS + at + i * 16,
            this.#address(),
            this.#length(),
            source.oneIn(6) ? this.#flags() : (i + 1 < count ? 1 : 0) | (source.bool() ? 2 : 0),
            next,
          );
        }
        const sizeBytes = source.oneIn(6) ? this.#length() : count * 16;
        return this.descriptor(
          source.below(this.size),
          BigInt(GUEST_BASE + BUFFERS + at),
          sizeBytes,
          4 | (source.oneIn(8) ? 1 : 0),
          0,
        );
      }
      case 2:
      case 3:
        return this.offer(source.oneIn(8) ? source.u16() : source.below(this.size));
      case 4: {
        const delta = source.oneIn(4) ? source.u16() : source.below(this.size + 2);
        this.offered = (this.offered + delta) & 0xffff;
        this.availableIndex = this.offered;
        return;
      }
      case 5:
        rewrite(this.first.raw, source, FENCE + source.below(FIRST_BYTES), 1 << source.below(3));
        return;
      case 6:
        this.availableFlags = source.below(4);
        return;
      default:
        this.buffer(source.below(0x80) * 8, source.bytes(8));
    }
  }
}
