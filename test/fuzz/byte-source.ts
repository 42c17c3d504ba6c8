import { Random } from './random.ts';

export interface ByteSourceOptions {
  /**
   * What follows when the input is used up: zeros (default), or numbers that the input's bytes seed, so that short inputs lead far.
   */
  readonly tail?: 'zeros' | 'random';
}

/** An execution's decisions, taken one after the other from its input: nothing else in a target is left to chance. */
export class ByteSource {
  readonly #bytes: Uint8Array;
  readonly #tail: Random | null;
  #at = 0;

  constructor(bytes: Uint8Array, options: ByteSourceOptions = {}) {
    this.#bytes = bytes;
    this.#tail = options.tail === 'random' ? new Random(bytes) : null;
  }

  /** Bytes of the input that are left. */
  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    if (this.#at < this.#bytes.length) return this.#bytes[this.#at++] as number;
    return this.#tail === null ? 0 : this.#tail.u32() & 0xff;
  }

  /** Little-endian, as the others. */
  u16(): number {
    const low = this.u8();
    return low | (this.u8() << 8);
  }

  u32(): number {
    const low = this.u16();
    return (low | (this.u16() << 16)) >>> 0;
  }

  u64(): bigint {
    const low = this.u32();
    return BigInt(low) | (BigInt(this.u32()) << 32n);
  }

  /** One in two. */
  bool(): boolean {
    return (this.u8() & 1) !== 0;
  }

  /** True one time in `n`, and never where zeros follow the input (unless `n` is 1). */
  oneIn(n: number): boolean {
    return this.below(n) === n - 1;
  }

  /** A whole number from 0 to `n` - 1; takes as few bytes as `n` needs. */
  below(n: number): number {
    if (n <= 1) return 0;
    if (n <= 0x100) return this.u8() % n;
    return n <= 0x10000 ? this.u16() % n : this.u32() % n;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  /** The next `n` bytes, a copy. */
  bytes(n: number): Uint8Array {
    const bytes = new Uint8Array(n);
    for (let i = 0; i < n; i++) bytes[i] = this.u8();
    return bytes;
  }

  /** All that is left of the input. */
  rest(): Uint8Array {
    const bytes = this.#bytes.slice(this.#at);
    this.#at = this.#bytes.length;
    return bytes;
  }
}
