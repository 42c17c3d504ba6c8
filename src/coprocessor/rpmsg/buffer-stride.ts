/** Alignment of every buffer, in bytes: its header's and payload's 32-bit elements are aligned then, on any memory. */
export const BUFFER_ALIGN = 16;

/** Distance of two neighbouring buffers in bytes: a size that both sides agreed on need not be a multiple of the alignment. */
export function bufferStride(bufferBytes: number): number {
  return Math.ceil(bufferBytes / BUFFER_ALIGN) * BUFFER_ALIGN;
}
