import type { RpmsgTransport } from '../rpmsg/endpoint.ts';

interface Owed {
  readonly key: number;
  readonly isQuestion: boolean;
}

/** What a reply was found to be. */
export const NOT_OWED = 0;
export const OWED_REQUEST = 1;
export const OWED_QUESTION = 2;

/**
 * Replies that may still come and that nobody waits for any more: of requests that were given up, and of the questions that were
 * asked to find out. The co-processor answers in the order in which it was asked, but perhaps not everything.
 */
export class OwedReplies {
  /** The co-processor answers a request that it cannot do, with an error; false = it does not, or that is not known. */
  answersRefusals = false;
  #owed: Owed[] = [];

  get length(): number {
    return this.#owed.length;
  }

  add(key: number, isQuestion: boolean): void {
    this.#owed.push({ key, isQuestion });
  }

  has(key: number): boolean {
    // Nothing is owed to almost every request.
    return this.#owed.length > 0 && this.#owed.some((owed) => owed.key === key);
  }

  /**
   * A reply came that may be one of these. It is taken for the oldest of its key: what was asked before that will not be
   * answered any more, and of those that follow all may still come.
   */
  take(key: number): number {
    const at = this.#owed.findIndex((owed) => owed.key === key);
    if (at < 0) return NOT_OWED;
    const isQuestion = this.#owed[at]?.isQuestion;
    this.#owed.splice(0, at + 1);
    return isQuestion ? OWED_QUESTION : OWED_REQUEST;
  }

  /** The last one was not sent after all. */
  removeLast(): void {
    this.#owed.pop();
  }

  clear(): void {
    if (this.#owed.length > 0) this.#owed = [];
  }

  /** Nothing that was asked will be answered, and what answers from now on is another firmware. */
  forget(): void {
    this.clear();
    this.answersRefusals = false;
  }
}

const owedByTransport = new WeakMap<RpmsgTransport, Map<string, OwedReplies>>();

/** What a channel owes, across the chips that are opened on it one after the other: the endpoint's address stays the same. */
export function owedReplies(transport: RpmsgTransport, channel: string): OwedReplies {
  let channels = owedByTransport.get(transport);
  if (channels === undefined) {
    channels = new Map();
    owedByTransport.set(transport, channels);
  }
  let owed = channels.get(channel);
  if (owed === undefined) {
    owed = new OwedReplies();
    channels.set(channel, owed);
  }
  return owed;
}
