import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';

/** A packet with its header is at most this long; the parser behind would wait for up to 256 MiB. */
export const MAX_PACKET_BYTES = 65_536;

/** More than this is never waited for: above it, the broker sends nothing more to the client, see `EmbeddedBroker`. */
const WRITE_WATER_MARK_BYTES = 4 << 20;
const READ_WATER_MARK_BYTES = 65_536;
/** A packet that has begun is to be there, all of it, after this time. */
const PACKET_TIMEOUT_MS = 10_000;

/**
 * Follows the fixed headers of MQTT packets (3.1.1 and 5.0, section 2.1: a byte of type and flags, then the remaining length in
 * 1 to 4 bytes of 7 bits, least significant first) in a stream of bytes, without keeping any.
 */
export class PacketSizes {
  #state: 'type' | 'length' | 'body' = 'type';
  #remaining = 0;
  #shift = 0;
  #count = 0;

  /** Whole packets so far. */
  get count(): number {
    return this.#count;
  }

  /** Whether a part of a packet has come. */
  get isInside(): boolean {
    return this.#state !== 'type';
  }

  /** What is wrong with these bytes, following those before; null when nothing is. After a fault it is of no more use. */
  fault(bytes: Uint8Array): string | null {
    let at = 0;
    while (at < bytes.length) {
      if (this.#state === 'body') {
        const skipped = Math.min(this.#remaining, bytes.length - at);
        this.#remaining -= skipped;
        at += skipped;
        if (this.#remaining === 0) this.#ended();
        continue;
      }
      const byte = bytes[at++]!;
      if (this.#state === 'type') {
        this.#state = 'length';
        this.#remaining = 0;
        this.#shift = 0;
        continue;
      }
      if (this.#shift > 21) return 'a remaining length of more than 4 bytes';
      this.#remaining |= (byte & 0x7f) << this.#shift;
      this.#shift += 7;
      if (this.#remaining > MAX_PACKET_BYTES) {
        return `a packet of at least ${this.#remaining} bytes; at most ${MAX_PACKET_BYTES} are taken`;
      }
      if ((byte & 0x80) !== 0) continue;
      this.#state = 'body';
      if (this.#remaining === 0) this.#ended();
    }
    return null;
  }

  #ended(): void {
    this.#state = 'type';
    this.#count++;
  }
}

/**
 * A client's socket as the broker sees it: too long packets end it before anything is kept of them, and what is written goes
 * out in as few pieces as possible. `writableLength` is what the client has not taken yet.
 */
export class BrokerConnection extends Duplex {
  readonly #socket: Socket;
  readonly #sizes = new PacketSizes();
  readonly #packetTimeoutMs: number;
  /** Runs while a part of a packet is here. */
  #timer: NodeJS.Timeout | null = null;
  /** Has sent its CONNECT; set by the broker. */
  isConnected = false;
  /** Why it was ended, where it was for its packets. */
  endedFor: 'stalled' | 'broken' | null = null;

  constructor(socket: Socket, packetTimeoutMs: number = PACKET_TIMEOUT_MS) {
    super({ readableHighWaterMark: READ_WATER_MARK_BYTES, writableHighWaterMark: WRITE_WATER_MARK_BYTES });
    this.#socket = socket;
    this.#packetTimeoutMs = packetTimeoutMs;
    socket.on('data', (bytes: Buffer) => this.#received(bytes));
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
  }

  /** What is written already still goes out, then the connection ends. */
  endSoon(): void {
    this.#socket.destroySoon();
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, done);
  }

  override _writev(
    chunks: readonly { readonly chunk: Buffer }[],
    done: (error?: Error | null) => void,
  ): void {
    this.#socket.write(Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#stopTimer();
    this.#socket.destroy();
    done(error);
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #stalled(): void {
    this.endedFor = 'stalled';
    this.destroy(
      new Error(`a packet that has begun was not complete after ${this.#packetTimeoutMs / 1000} s`),
    );
  }

  #received(bytes: Buffer): void {
    if (this.destroyed) return;
    const before = this.#sizes.count;
    const fault = this.#sizes.fault(bytes);
    if (this.#sizes.count !== before) this.#stopTimer();
    if (this.#sizes.isInside) this.#timer ??= setTimeout(() => this.#stalled(), this.#packetTimeoutMs);
    if (fault !== null) {
      this.endedFor = 'broken';
      this.destroy(new Error(fault));
      return;
    }
    if (!this.push(bytes)) this.#socket.pause();
  }
}
