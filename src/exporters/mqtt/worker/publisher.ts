import { Buffer } from 'node:buffer';
import { INDEX_MASK } from '../line-ring.ts';
import type { SharedCounters } from '../shared-tables.ts';
import { eventPayload } from './event-payload.ts';
import type { EventQueue } from './event-queue.ts';
import { InFlight, SENT_EVENT, SENT_MESSAGE, SENT_STATE } from './in-flight.ts';
import { type EncodedTopic, PublishEncoder, pubrel, topicName } from './publish-encoder.ts';
import type { Message, PublishStream } from './publish-stream.ts';
import type { StateTopics } from './state-topics.ts';

export interface PublisherOptions {
  /** By index of {@link StateTopics}. */
  readonly stateTopics: readonly EncodedTopic[];
  /** What a state topic says now; null = nothing. */
  readonly statePayload: (topic: number) => string | null;
  readonly eventTopics: readonly EncodedTopic[];
  readonly states: StateTopics;
  readonly events: EventQueue;
  readonly counters: SharedCounters;
  /** The broker refused a message or it is too long for it: said once a connection. */
  readonly onRefused: (reason: string) => void;
}

/** Written at once, and at most so many not yet taken by the operating system: bounds the memory of a slow connection. */
const BATCH_BYTES = 32 * 1024;
const MAX_BATCHES = 2;
/** Answers that wait: 2048 commands may be under way, and as many refused. Further ones go, and are counted. */
const MAX_ANSWERS = 4096;
const MANY_ANSWERS = 256;
/** With events waiting, states have their turn so often: without a bound they would take half of a busy connection. */
const STATES_EVERY_MS = 10;
/** Reason codes from here on are refusals (MQTT 5.0, section 2.4). */
const REFUSAL = 0x80;

/** Parts of a batch that are confirmed by its being written: QoS 0. */
interface Batch {
  readonly states: number[];
  messages: number;
  /** Position of the first event; the others follow it. */
  event: number;
  events: number;
}

/**
 * Decides what is published next: states (after a connect all of them, before anything else), answers, announcements, events.
 * Nothing is given to a connection that it cannot take now, so that what waits stays where it is bounded.
 */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #inFlight = new InFlight();
  readonly #answers: Message[] = [];
  #announcements: Message[] = [];
  /** Of those in flight, by packet identifier. */
  readonly #messages = new Map<number, Message>();
  #stream: PublishStream | null = null;
  #encoder = new PublishEncoder(true);
  #batches = 0;
  #statesAtMs = 0;
  /** The last batch began with states and had no room for anything else. */
  #onlyStates = false;
  #isScheduled = false;
  #hasRefused = false;
  /** Only states are published: the end is near. */
  isEnding = false;
  /** Somebody waits for what is under way. */
  #wait: { readonly isDone: () => boolean; readonly resolve: () => void } | null = null;

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  /** A connection is there: everything that is known is published on it. */
  connected(stream: PublishStream): void {
    this.#stream = stream;
    this.#encoder = new PublishEncoder(stream.isVersion5, stream.limits.retainAvailable);
    this.#inFlight.clear(stream.limits.receiveMaximum);
    this.#batches = 0;
    this.#hasRefused = false;
    this.#options.states.restart();
    this.pump();
  }

  /** @returns when the condition holds, nobody can be published to any more, or the time is over */
  async until(isDone: () => boolean, limitMs: number): Promise<void> {
    if (this.#stream === null || isDone()) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, limitMs);
      this.#wait = {
        isDone,
        resolve: () => {
          clearTimeout(timer);
          resolve();
        },
      };
    });
    this.#wait = null;
  }

  #progress(): void {
    if (this.#wait !== null && (this.#stream === null || this.#wait.isDone())) this.#wait.resolve();
  }

  /** It has ended. What was not confirmed is kept to be sent again. */
  disconnected(): void {
    this.#stream = null;
    this.#progress();
    this.#options.states.clear();
    this.#options.events.sendAgain();
    const unconfirmed = [...this.#messages.values()].filter(({ kind }) => kind === 'answer');
    this.#messages.clear();
    this.#answers.unshift(...unconfirmed);
    this.#announcements = [];
  }

  /** When too many wait it goes: whoever sends commands faster than the connection takes answers does without. */
  answer(message: Message): void {
    if (this.#answers.length >= MAX_ANSWERS) {
      this.#refused(`answers to commands are lost: ${MAX_ANSWERS} wait, as the connection takes no more`);
      return;
    }
    this.#answers.push(message);
    // A flood of commands is read in larger pieces than this: what the connection takes now need not wait for its end.
    if (this.#answers.length >= MANY_ANSWERS) this.pump();
    else this.schedule();
  }

  /** Replaces announcements that were not sent yet. */
  announce(messages: readonly Message[]): void {
    this.#announcements = [...messages];
  }

  /** Everything that there was has been given to the connection and confirmed. */
  get isIdle(): boolean {
    const { states, events } = this.#options;
    const isEmpty = states.isEmpty && events.isEmpty && this.#answers.length === 0;
    return isEmpty && this.#batches === 0 && this.#inFlight.isEmpty;
  }

  /** Publishes soon: once for all that happens in this turn. */
  schedule(): void {
    if (this.#isScheduled || this.#stream === null) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.pump();
    });
  }

  /** Publishes what the connection can take. */
  pump(): void {
    while (this.#stream !== null && this.#batches < MAX_BATCHES) {
      if (!this.#writeBatch(this.#stream)) return;
    }
  }

  #writeBatch(stream: PublishStream): boolean {
    const batch: Batch = { states: [], messages: 0, event: 0, events: 0 };
    this.#fill(batch, stream);
    if (this.#encoder.length === 0) return false;
    this.#batches++;
    stream.write(this.#encoder.take(), () => {
      if (this.#stream !== stream) return;
      this.#batches--;
      this.#written(batch);
    });
    return true;
  }

  #fill(batch: Batch, stream: PublishStream): void {
    const { states, events } = this.#options;
    const nowMs = performance.now();
    const isFirst = states.isFirstRound || this.isEnding;
    const isDue = events.isEmpty || nowMs - this.#statesAtMs >= STATES_EVERY_MS;
    const isStatesTurn = isFirst || (isDue && !this.#onlyStates);
    this.#onlyStates = false;
    if (isStatesTurn) {
      const areAll = this.#fillStates(batch, stream, nowMs);
      this.#onlyStates = this.#isBatchFull;
      // Where only those wait that are to be confirmed, what is not goes on.
      if (this.#onlyStates || (isFirst && !areAll)) return;
    }
    if (this.isEnding) return;
    if (!this.#fillMessages(this.#answers, batch, stream)) return;
    if (!this.#fillMessages(this.#announcements, batch, stream)) return;
    if (!this.#fillEvents(batch, stream)) return;
    if (!isStatesTurn) this.#fillStates(batch, stream, nowMs);
  }

  get #isBatchFull(): boolean {
    return this.#encoder.length >= BATCH_BYTES;
  }

  /** @returns false when the connection can take no more */
  #fillStates(batch: Batch, stream: PublishStream, nowMs: number): boolean {
    const { states, statePayload, stateTopics } = this.#options;
    this.#statesAtMs = nowMs;
    while (!states.isEmpty) {
      // Asked before it is taken from its queue: the topic's QoS decides, and most have QoS 1.
      if (this.#isBatchFull || this.#inFlight.isFull) return false;
      const topic = states.next();
      const encoded = stateTopics[topic] as EncodedTopic;
      const payload = statePayload(topic);
      if (payload === null || !states.isNews(topic, payload)) continue;
      const bytes = Buffer.byteLength(payload);
      if (!this.#fits(encoded, bytes, stream, 'a state')) continue;
      const qos = Math.min(encoded.qos, stream.limits.maximumQos);
      states.sent(topic, payload);
      if (qos === 0) batch.states.push(topic);
      const id = qos === 0 ? 0 : this.#inFlight.add(SENT_STATE, topic);
      this.#encoder.append(encoded, qos, id, payload, bytes);
    }
    return true;
  }

  #fillMessages(messages: Message[], batch: Batch, stream: PublishStream): boolean {
    let taken = 0;
    let isOpen = true;
    for (const message of messages) {
      const { topic, payload, payloadBytes, properties } = message;
      const qos = Math.min(topic.qos, stream.limits.maximumQos);
      isOpen = !this.#isBatchFull && (qos === 0 || !this.#inFlight.isFull);
      if (!isOpen) break;
      taken++;
      if (!this.#fits(topic, payloadBytes, stream, message.topicName, properties)) continue;
      let id = 0;
      if (qos === 0) batch.messages++;
      else {
        id = this.#inFlight.add(SENT_MESSAGE, 0);
        this.#messages.set(id, message);
      }
      this.#encoder.append(topic, qos, id, payload, payloadBytes, properties);
    }
    messages.splice(0, taken);
    return isOpen;
  }

  #fillEvents(batch: Batch, stream: PublishStream): boolean {
    const { events, eventTopics } = this.#options;
    while (!events.isEmpty) {
      const qos = Math.min((eventTopics[0] as EncodedTopic).qos, stream.limits.maximumQos);
      if (this.#isBatchFull || (qos > 0 && this.#inFlight.isFull)) return false;
      const position = events.next();
      if (position < 0) return false;
      const what = events.whatAt(position);
      const topic = eventTopics[what & INDEX_MASK] as EncodedTopic;
      const payload = eventPayload(what, events.seqAt(position), events.timeNsAt(position));
      if (qos === 0 && batch.events++ === 0) batch.event = position;
      const id = qos === 0 ? 0 : this.#inFlight.add(SENT_EVENT, position);
      this.#encoder.append(topic, qos, id, payload);
    }
    return true;
  }

  #fits(
    topic: EncodedTopic,
    payloadBytes: number,
    stream: PublishStream,
    what: string,
    properties?: Uint8Array,
  ): boolean {
    const sizeBytes = this.#encoder.sizeOf(topic, payloadBytes, properties);
    const maximum = stream.limits.maximumPacketBytes;
    if (sizeBytes <= maximum) return true;
    this.#refused(`${what} takes ${sizeBytes} bytes, and the broker takes packets of ${maximum}`);
    return false;
  }

  #refused(reason: string): void {
    if (this.#hasRefused) return;
    this.#hasRefused = true;
    this.#options.onRefused(reason);
  }

  #written(batch: Batch): void {
    const { states, events, counters } = this.#options;
    for (const topic of batch.states) states.arrived(topic);
    for (let i = 0; i < batch.events; i++) events.confirm(batch.event + i);
    counters.add('eventsSettled', batch.events);
    counters.add('published', batch.states.length + batch.events + batch.messages);
    this.pump();
    this.#progress();
  }

  /** PUBREC, first half of QoS 2 (MQTT 5.0, section 4.3.3). */
  received(packetId: number, reasonCode: number): void {
    if (this.#inFlight.kindOf(packetId) === 0) return;
    if (reasonCode >= REFUSAL) return this.confirmed(packetId, reasonCode);
    this.#stream?.write(pubrel(packetId), null);
  }

  /** For people: the topic of a message under way. */
  #topicName(packetId: number, kind: number, reference: number): string {
    const { stateTopics, eventTopics, events } = this.#options;
    if (kind === SENT_MESSAGE) return this.#messages.get(packetId)?.topicName ?? 'a topic';
    const topic =
      kind === SENT_STATE ? stateTopics[reference] : eventTopics[events.whatAt(reference) & INDEX_MASK];
    return topic === undefined ? 'a topic' : topicName(topic);
  }

  /** PUBACK or PUBCOMP. */
  confirmed(packetId: number, reasonCode: number): void {
    const kind = this.#inFlight.kindOf(packetId);
    if (kind === 0) return;
    const { states, events, counters } = this.#options;
    const reference = this.#inFlight.referenceOf(packetId);
    const isRefused = reasonCode >= REFUSAL;
    if (isRefused) {
      const code = `0x${reasonCode.toString(16)}`;
      const meaning = reasonCode === 0x87 ? 'not authorized' : `reason code ${code} of MQTT 5`;
      const topic = this.#topicName(packetId, kind, reference);
      this.#refused(`the broker refuses what we publish on ${topic}: ${meaning}; see its access rules`);
      counters.add('refusedPublications');
    } else counters.add('published');
    this.#inFlight.remove(packetId);
    if (kind === SENT_STATE) states.arrived(reference);
    else if (kind === SENT_EVENT) {
      events.confirm(reference);
      counters.add('eventsSettled');
      if (isRefused) counters.add('eventsDropped');
    } else this.#messages.delete(packetId);
    this.schedule();
    this.#progress();
  }
}
