import { isUtf8 } from 'node:buffer';
import { MAX_REQUEST_BYTES } from '../../wire/control.ts';

const NEWLINE = 0x0a;
const NONE = Buffer.alloc(0);

/** What cannot be a request, whatever it says. */
export type NoRequest = 'too long' | 'not UTF-8';

/** Cuts what arrives into lines. What it keeps is up to who pushes: {@link bytes}. */
export class RequestSplitter {
  #chunk: Buffer = NONE;
  /** The beginning of a line whose end has not come, in pieces. */
  #pieces: Buffer[] = [];
  #piecesBytes = 0;

  /** What has been pushed and not taken. */
  get bytes(): number {
    return this.#piecesBytes + this.#chunk.length;
  }

  push(chunk: Buffer): void {
    this.#chunk = this.#chunk.length === 0 ? chunk : Buffer.concat([this.#chunk, chunk]);
  }

  /** The next line without its newline; null when its end has not come. After a line that is too long there are no others. */
  next(): { readonly text: string } | NoRequest | null {
    const end = this.#chunk.indexOf(NEWLINE);
    const piece = end < 0 ? this.#chunk : this.#chunk.subarray(0, end);
    if (this.#piecesBytes + piece.length > MAX_REQUEST_BYTES) {
      this.clear();
      return 'too long';
    }
    if (end < 0) {
      if (piece.length > 0) this.#pieces.push(piece);
      this.#piecesBytes += piece.length;
      this.#chunk = NONE;
      return null;
    }
    this.#chunk = this.#chunk.subarray(end + 1);
    const line = this.#pieces.length === 0 ? piece : Buffer.concat([...this.#pieces, piece]);
    this.#pieces = [];
    this.#piecesBytes = 0;
    return isUtf8(line) ? { text: line.toString('utf8') } : 'not UTF-8';
  }

  clear(): void {
    this.#chunk = NONE;
    this.#pieces = [];
    this.#piecesBytes = 0;
  }
}
