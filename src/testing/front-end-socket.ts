import { closeSync } from 'node:fs';
import {
  openPoll,
  POLL_READABLE,
  type PollHandle,
  receivedDescriptorCount,
  receiveMessage,
  sendMessage,
} from '../native.ts';
import {
  decodeHeader,
  decodeU64,
  encodeMessage,
  HEADER_FLAG,
  HEADER_SIZE,
  MAX_MEMORY_REGIONS,
  REQUEST,
  type VhostUserHeader,
} from '../wire/vhost-user.ts';
import { FrontEndError, withDeadline } from './front-end-error.ts';

const EAGAIN = -11;
const READ_SIZE = 4096;
const REQUEST_NAMES = new Map(Object.entries(REQUEST).map(([name, id]) => [id as number, name]));

/** The name of a request of the front-end, for messages to people. */
export function requestName(request: number): string {
  return REQUEST_NAMES.get(request) ?? `request ${request}`;
}

interface Waiter {
  readonly request: number;
  resolve(payload: Uint8Array): void;
  reject(error: Error): void;
}

/** Called with a message that is no answer to one of ours: a request of the back-end. */
export type MessageListener = (header: VhostUserHeader, payload: Uint8Array) => void;

/** One vhost-user connection as the side sees it that asks: sends messages, matches answers to them. Owns its descriptor. */
export class FrontEndSocket {
  /** Resolves when the connection is over, with the reason. */
  readonly closed: Promise<string>;
  readonly #fd: number;
  readonly #poll: PollHandle;
  readonly #onMessage: MessageListener;
  readonly #into = new Uint8Array(READ_SIZE);
  readonly #fds = new Int32Array(MAX_MEMORY_REGIONS);
  #received: Uint8Array = new Uint8Array(0);
  /** Descriptors that came and were not taken. */
  #descriptors: number[] = [];
  #waiters: Waiter[] = [];
  #reason: string | null = null;
  #setClosed: (reason: string) => void = () => {};

  /** @param fd a connected socket, non-blocking */
  constructor(fd: number, onMessage: MessageListener = () => {}) {
    this.#fd = fd;
    this.#onMessage = onMessage;
    this.closed = new Promise((resolve) => {
      this.#setClosed = resolve;
    });
    this.#poll = openPoll(fd, POLL_READABLE, () => this.#read());
  }

  /** Why the connection is over; null while it is not. */
  get closedReason(): string | null {
    return this.#reason;
  }

  /**
   * Sends bytes as they are, with descriptors, whatever they mean.
   *
   * @returns the bytes sent or a negative errno, as sendMessage does
   */
  sendRaw(bytes: Uint8Array, fds: readonly number[] = []): number {
    return this.#reason === null ? sendMessage(this.#fd, bytes, fds) : -32;
  }

  /**
   * Sends a request.
   *
   * @throws FrontEndError `ERR_FRONT_END_CLOSED` when the connection is over or does not take it
   */
  send(request: number, payload: Uint8Array, fds: readonly number[] = [], flags = 0): void {
    if (this.#reason !== null) throw this.#closedError(`send ${requestName(request)}`);
    const message = encodeMessage(request, flags, payload);
    const sent = sendMessage(this.#fd, message, fds);
    if (sent === message.length) return;
    // The socket's buffer holds hundreds of messages: a back-end that reads none of them is not coming back.
    this.#end(
      sent < 0 ? `sending failed with errno ${-sent}` : `only ${sent} of ${message.length} bytes were taken`,
    );
    throw this.#closedError(`send ${requestName(request)}`);
  }

  /** Sends a request that has an answer, and waits for it. @returns the answer's payload */
  transact(
    request: number,
    payload: Uint8Array,
    fds: readonly number[],
    flags: number,
    timeoutMs: number,
  ): Promise<Uint8Array> {
    let waiter: Waiter | undefined;
    return withDeadline<Uint8Array>(
      `the answer to ${requestName(request)}`,
      timeoutMs,
      (resolve, reject) => {
        try {
          this.send(request, payload, fds, flags);
        } catch (error) {
          reject(error as Error);
          return;
        }
        waiter = { request, resolve, reject };
        this.#waiters.push(waiter);
      },
      // The answer may still come, and must then not be taken for the next one: its place stays.
      () => {},
    );
  }

  /**
   * Sends a request with NEED_REPLY and waits until the back-end has done it (REPLY_ACK).
   *
   * @throws FrontEndError `ERR_FRONT_END_REFUSED` when the answer is not 0
   */
  async acknowledge(
    request: number,
    payload: Uint8Array,
    fds: readonly number[],
    timeoutMs: number,
  ): Promise<void> {
    const answer = decodeU64(await this.transact(request, payload, fds, HEADER_FLAG.NEED_REPLY, timeoutMs));
    if (answer !== 0n) {
      throw new FrontEndError('ERR_FRONT_END_REFUSED', `${requestName(request)} was refused with ${answer}`);
    }
  }

  #read(): void {
    while (this.#reason === null) {
      const length = receiveMessage(this.#fd, this.#into, this.#fds);
      if (length === EAGAIN) return;
      if (length === 0) return this.#end('the back-end closed the connection');
      if (length < 0) return this.#end(`receiving failed with errno ${-length}`);
      for (let index = 0; index < receivedDescriptorCount(); index++)
        this.#descriptors.push(this.#fds[index]!);
      const received = new Uint8Array(this.#received.length + length);
      received.set(this.#received);
      received.set(this.#into.subarray(0, length), this.#received.length);
      this.#received = received;
      this.#takeMessages();
    }
  }

  #takeMessages(): void {
    while (this.#reason === null && this.#received.length >= HEADER_SIZE) {
      let header: VhostUserHeader;
      try {
        header = decodeHeader(this.#received);
      } catch (error) {
        return this.#end(`the back-end broke the protocol: ${(error as Error).message}`);
      }
      const end = HEADER_SIZE + header.size;
      if (this.#received.length < end) return;
      const payload = this.#received.slice(HEADER_SIZE, end);
      this.#received = this.#received.slice(end);
      if ((header.flags & HEADER_FLAG.REPLY) === 0) this.#onMessage(header, payload);
      else this.#takeAnswer(header, payload);
    }
  }

  #takeAnswer(header: VhostUserHeader, payload: Uint8Array): void {
    const waiter = this.#waiters.shift();
    // The only answer with a descriptor.
    if (header.request !== REQUEST.GET_INFLIGHT_FD) this.#closeDescriptors();
    if (waiter?.request === header.request) return waiter.resolve(payload);
    const wanted = waiter === undefined ? 'no answer is due' : `one to ${requestName(waiter.request)} is due`;
    const error = new FrontEndError(
      'ERR_FRONT_END_PROTOCOL',
      `the back-end answered ${requestName(header.request)}, ${wanted}`,
    );
    waiter?.reject(error);
    this.#end(error.message);
  }

  /** The descriptor that came with the last answer, now the caller's; -1 when there was none. */
  takeDescriptor(): number {
    return this.#descriptors.shift() ?? -1;
  }

  #closeDescriptors(): void {
    for (const fd of this.#descriptors.splice(0)) closeSync(fd);
  }

  #closedError(what: string): FrontEndError {
    return new FrontEndError('ERR_FRONT_END_CLOSED', `${what}: the connection is over: ${this.#reason}`);
  }

  #end(reason: string): void {
    if (this.#reason !== null) return;
    this.#reason = reason;
    this.#poll.close();
    closeSync(this.#fd);
    this.#closeDescriptors();
    for (const { request, reject } of this.#waiters.splice(0)) {
      reject(this.#closedError(`the answer to ${requestName(request)}`));
    }
    this.#setClosed(reason);
  }

  /** Ends the connection; idempotent. */
  close(): void {
    this.#end('closed by the front-end');
  }
}
