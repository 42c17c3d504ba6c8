import type { Random } from './random.ts';

/** Numbers at the edges of fields, of the sizes that headers, rings and lengths have. */
const EDGES_16 = [0, 1, 2, 7, 8, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xfffe, 0xffff] as const;
const EDGES_32 = [
  ...EDGES_16,
  0x1_0000,
  0x7fff_ffff,
  0x8000_0000,
  0xffff_f000,
  0xffff_fffe,
  0xffff_ffff,
] as const;
const EDGES_64 = [
  0n,
  1n,
  0xffff_ffffn,
  0x1_0000_0000n,
  (1n << 53n) - 1n,
  1n << 53n,
  1n << 63n,
  (1n << 64n) - 0x1000n,
  (1n << 64n) - 1n,
] as const;

const MAX_STACKED = 6;
const MAX_BLOCK = 64;

/**
 * A new input from an old one: some stacked changes of bits, numbers and blocks, another input's part, a piece of the dictionary.
 * The random numbers alone decide; the given input stays as it is.
 */
export function mutate(
  input: Uint8Array,
  other: Uint8Array,
  dictionary: readonly Uint8Array[],
  maxBytes: number,
  random: Random,
): Uint8Array {
  let bytes: Uint8Array = input.slice();
  for (let left = 1 + random.below(MAX_STACKED); left > 0; left--) {
    bytes = change(bytes, other, dictionary, random);
    if (bytes.length > maxBytes) bytes = bytes.slice(0, maxBytes);
  }
  return bytes;
}

function change(
  bytes: Uint8Array,
  other: Uint8Array,
  dictionary: readonly Uint8Array[],
  random: Random,
): Uint8Array {
  const at = random.below(bytes.length + 1);
  const block = Math.min(1 + random.below(MAX_BLOCK), bytes.length - at);
  switch (random.below(14)) {
    case 0:
    case 1:
      return replaced(bytes, at, (byte) => byte ^ (1 << random.below(8)));
    case 2:
      return replaced(bytes, at, () => random.below(0x100));
    case 3:
      return replaced(bytes, at, (byte) => byte + random.below(17) - 8);
    case 4:
      return put(bytes, at, BigInt(random.pick(EDGES_16)), 2, random.below(2) === 0);
    case 5:
      return put(bytes, at, BigInt(random.pick(EDGES_32)), 4, random.below(2) === 0);
    case 6:
      return put(bytes, at, random.pick(EDGES_64), 8, random.below(2) === 0);
    case 7: {
      const inserted = new Uint8Array(1 + random.below(MAX_BLOCK));
      const fill = random.below(2) === 0 ? -1 : random.below(0x100);
      for (let i = 0; i < inserted.length; i++) inserted[i] = fill < 0 ? random.below(0x100) : fill;
      return joined(bytes.subarray(0, at), inserted, bytes.subarray(at));
    }
    case 8:
      return joined(bytes.subarray(0, at), bytes.subarray(at + block));
    case 9:
      return joined(bytes.subarray(0, at + block), bytes.subarray(at));
    case 10: {
      const from = random.below(bytes.length + 1);
      const copy = bytes.slice();
      for (let i = 0; i < block && from + i < bytes.length; i++) copy[from + i] = bytes[at + i] as number;
      return copy;
    }
    case 11:
      return joined(bytes.subarray(0, at), other.subarray(random.below(other.length + 1)));
    case 12: {
      const begin = random.below(other.length + 1);
      const part = other.subarray(begin, begin + 1 + random.below(MAX_BLOCK));
      return joined(bytes.subarray(0, at), part, bytes.subarray(at));
    }
    default: {
      const word = dictionary.length > 0 ? random.pick(dictionary) : other.subarray(0, 4);
      const over = random.below(2) === 0 ? word.length : 0;
      return joined(bytes.subarray(0, at), word, bytes.subarray(at + over));
    }
  }
}

function replaced(bytes: Uint8Array, at: number, value: (byte: number) => number): Uint8Array {
  if (at < bytes.length) bytes[at] = value(bytes[at] as number);
  return bytes;
}

function put(
  bytes: Uint8Array,
  at: number,
  value: bigint,
  size: number,
  isLittleEndian: boolean,
): Uint8Array {
  // Fields are aligned more often than not.
  const start = at % 3 === 0 ? at : at - (at % size);
  for (let i = 0; i < size && start + i < bytes.length; i++) {
    const shift = BigInt(8 * (isLittleEndian ? i : size - 1 - i));
    bytes[start + i] = Number((value >> shift) & 0xffn);
  }
  return bytes;
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
