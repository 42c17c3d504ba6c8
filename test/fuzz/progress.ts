/**
 * What a child process is executing, in a file that its parent reads: known also after a fatal signal or in an endless loop.
 * u32 execution (0xffffffff = none), u32 length, the input.
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';

export const IDLE = 0xffff_ffff;

export class ProgressFile {
  readonly #fd: number;
  #buffer = new Uint8Array(64 * 1024);

  constructor(path: string) {
    this.#fd = openSync(path, 'w');
    this.note(IDLE, new Uint8Array(0));
  }

  note(execution: number, input: Uint8Array): void {
    const size = 8 + input.length;
    if (size > this.#buffer.length) this.#buffer = new Uint8Array(size * 2);
    const view = new DataView(this.#buffer.buffer);
    view.setUint32(0, execution, true);
    view.setUint32(4, input.length, true);
    this.#buffer.set(input, 8);
    writeSync(this.#fd, this.#buffer, 0, size, 0);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

export interface Progress {
  readonly execution: number;
  readonly input: Uint8Array;
}

/** null when the file is not there yet, or just being written. */
export function readProgress(path: string): Progress | null {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch {
    return null;
  }
  if (bytes.length < 8) return null;
  const length = bytes.readUInt32LE(4);
  if (bytes.length < 8 + length) return null;
  return { execution: bytes.readUInt32LE(0), input: new Uint8Array(bytes.subarray(8, 8 + length)) };
}
