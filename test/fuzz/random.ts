/** Pseudo-random numbers that are the same everywhere: sfc32, seeded by a text or by bytes (FNV-1a). */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: string | Uint8Array) {
    let hash = 0x811c9dc5;
    const add = (byte: number): void => {
      hash = Math.imul(hash ^ byte, 0x01000193);
    };
    if (typeof seed === 'string') for (let i = 0; i < seed.length; i++) add(seed.charCodeAt(i));
    else for (let i = 0; i < seed.length; i++) add(seed[i] as number);
    this.#a = hash;
    this.#b = hash ^ 0x9e3779b9;
    this.#c = Math.imul(hash, 0x85ebca6b);
    for (let i = 0; i < 12; i++) this.u32();
  }

  u32(): number {
    const result = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + result) | 0;
    return result >>> 0;
  }

  /** A whole number from 0 to `limit` - 1. */
  below(limit: number): number {
    return limit <= 1 ? 0 : Math.floor((this.u32() / 0x1_0000_0000) * limit);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }
}
