import type { RpmsgLineMap } from './rpmsg-lines.ts';
import type { Outcome } from './single-request.ts';

/** What a message from the co-processor is. */
export const INCOMING_DROPPED = 0;
export const INCOMING_REPLY = 1;
export const INCOMING_NOTIFICATION = 2;

/** Reasons for which a message is dropped; each has a counter. */
export type DropReason =
  | 'shortMessages'
  | 'otherServices'
  | 'otherVersions'
  | 'unknownTypes'
  | 'unknownLines';

/** A message as its dialect understands it. One object serves all. */
export class Incoming {
  /** `INCOMING_…`. */
  kind = INCOMING_DROPPED;
  /** Of a reply. */
  key = 0;
  result = 0;
  value = 0;
  /** Of a notification. */
  line = 0;
  /** Of what is dropped. */
  drop: DropReason = 'shortMessages';

  reply(key: number, result: number, value: number): void {
    this.kind = INCOMING_REPLY;
    this.key = key;
    this.result = result;
    this.value = value;
  }

  /** @param line -1 = none of the chip's */
  notification(line: number): void {
    if (line < 0) return this.dropped('unknownLines');
    this.kind = INCOMING_NOTIFICATION;
    this.line = line;
  }

  dropped(reason: DropReason): void {
    this.kind = INCOMING_DROPPED;
    this.drop = reason;
  }
}

/**
 * A GPIO protocol in the messages of one rpmsg channel. One object for each chip: it may keep state. Operations are
 * virtio-gpio's messages, with their numbers for directions and interrupt types (edges only).
 */
export interface RpmsgGpioDialect {
  /** As in the configuration. */
  readonly name: string;
  readonly lines: RpmsgLineMap;
  /** Whether replies carry what they answer. */
  readonly isKeyed: boolean;
  /** The message that was written last. Nothing is allocated for one. */
  readonly message: Uint8Array;
  /** What the dialect itself had to emulate or could not believe. */
  readonly counters: Readonly<Record<string, number>>;
  /**
   * Writes the request for an operation. May be called more than once for it.
   * @returns the key of the reply, or ANSWERED with the outcome filled
   */
  begin(operation: number, line: number, value: number, outcome: Outcome): number;
  /** It was answered, or given up (RESULT_TIMEOUT). May change the outcome. */
  finish(operation: number, line: number, value: number, outcome: Outcome): void;
  /** Number of different {@link question}s. */
  readonly questionCount: number;
  /** Writes a request that changes nothing and is answered. @returns its key */
  question(index: number): number;
  /** Writes a request that changes nothing and fails; only without keys. */
  refusedQuestion(): void;
  /** Fills `incoming`. */
  decode(payload: Uint8Array, incoming: Incoming): void;
}
