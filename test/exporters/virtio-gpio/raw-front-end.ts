import { closeSync } from 'node:fs';
import { onTestFinished } from 'vitest';
import { connectUnix, receivedDescriptorCount, receiveMessage, sendMessage } from '../../../src/native.ts';
import { decodeHeader, encodeMessage, HEADER_SIZE } from '../../../src/wire/vhost-user.ts';
import { until } from './served-device.ts';

const EAGAIN = -11;

/** A bare vhost-user socket: sends whatever bytes, and reads answers one message at a time. Closed after the test. */
export class RawFrontEnd {
  readonly fd: number;
  #open = true;

  constructor(socketPath: string) {
    this.fd = connectUnix(socketPath);
    onTestFinished(() => this.close());
  }

  static closeAll(...fds: number[]): void {
    for (const fd of fds) closeSync(fd);
  }

  /** Sends a message of the right form. */
  send(
    request: number,
    flags: number,
    payload: Uint8Array = new Uint8Array(0),
    fds: readonly number[] = [],
  ): void {
    this.sendBytes(encodeMessage(request, flags, payload), fds);
  }

  /** Sends bytes as they are. */
  sendBytes(bytes: Uint8Array, fds: readonly number[] = []): void {
    const sent = sendMessage(this.fd, bytes, fds);
    if (sent !== bytes.length) throw new Error(`sent ${sent} of ${bytes.length} bytes`);
  }

  /** Sends bytes if the socket takes them now. @returns whether it took them all */
  trySend(bytes: Uint8Array): boolean {
    return sendMessage(this.fd, bytes, []) === bytes.length;
  }

  async #receiveBytes(count: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(count);
    const slots = new Int32Array(8);
    let got = 0;
    await until(() => {
      if (got === count) return true;
      const length = receiveMessage(this.fd, bytes.subarray(got), slots);
      if (length === EAGAIN) return false;
      if (length <= 0) throw new Error(`the back-end ended the connection (${length})`);
      for (let i = 0; i < receivedDescriptorCount(); i++) closeSync(slots[i]!);
      got += length;
      return got === count;
    });
    return bytes;
  }

  /** The next message, whole. @throws when the connection is over or none comes */
  async receive(): Promise<Uint8Array> {
    const header = await this.#receiveBytes(HEADER_SIZE);
    const { size } = decodeHeader(header);
    const payload = size === 0 ? new Uint8Array(0) : await this.#receiveBytes(size);
    return Uint8Array.of(...header, ...payload);
  }

  /** Waits until the back-end has closed the connection, and nothing came before. */
  async closedByPeer(): Promise<void> {
    const slots = new Int32Array(8);
    await until(() => {
      const length = receiveMessage(this.fd, new Uint8Array(64), slots);
      if (length > 0) throw new Error(`${length} bytes came instead of the end`);
      // ECONNRESET (104): it closed with bytes of ours unread.
      return length === 0 || length === -104;
    });
  }

  /** Idempotent. */
  close(): void {
    if (this.#open) closeSync(this.fd);
    this.#open = false;
  }
}
