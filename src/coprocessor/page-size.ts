import { readFileSync } from 'node:fs';

/** Entry of the auxiliary vector that holds the page size (`AT_PAGESZ`, getauxval(3)). */
const AT_PAGESZ = 6;

let known: number | undefined;

/**
 * Size of a page of this kernel in bytes: 4096, or 16384 and 65536 on some arm64 kernels. UIO maps are chosen in its units.
 * Node has no call for it, so it comes from the auxiliary vector: pairs of words that the kernel gave this process.
 */
export function pageSizeBytes(): number {
  known ??= pageSizeFromAuxiliaryVector(readFileSync('/proc/self/auxv')) ?? 4096;
  return known;
}

/** @param wordBytes size of a machine word of the process */
export function pageSizeFromAuxiliaryVector(
  vector: Buffer,
  wordBytes: 4 | 8 = process.arch === 'arm' || process.arch === 'ia32' ? 4 : 8,
): number | undefined {
  const readWord = (at: number): number =>
    wordBytes === 4 ? vector.readUInt32LE(at) : Number(vector.readBigUInt64LE(at));
  for (let at = 0; at + 2 * wordBytes <= vector.length; at += 2 * wordBytes) {
    if (readWord(at) === AT_PAGESZ) return readWord(at + wordBytes);
  }
  return undefined;
}
