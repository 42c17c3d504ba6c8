import {
  type Completion,
  DIRECTION_IN,
  RESULT_FAILED,
  RESULT_OK,
  RESULT_TIMEOUT,
  RESULT_UNAVAILABLE,
} from '../../gpio/chip.ts';
import type { MemoryWindow } from '../../virtqueue/address-space.ts';
import type { DriverQueue } from '../../virtqueue/driver-queue.ts';
import {
  MSG_GET_DIRECTION,
  MSG_GET_VALUE,
  REQUEST_SIZE,
  RESPONSE_SIZE,
  STATUS_OK,
} from '../../wire/virtio-gpio.ts';
import type { AnswerWatch } from '../answer-watch.ts';
import type { BoundVdev } from '../vdev.ts';

/** Bytes of a slot: a request, then its response, aligned for 32-bit elements. */
const SLOT_SIZE = 16;
const RESPONSE_OFFSET = 8;
/** A status that no device writes: tells an answer that left it alone from an OK. */
const UNANSWERED = 0xff;
const MAX_SLOTS = 256;

interface Request {
  type: number;
  line: number;
  value: number;
  done: Completion | null;
  token: number;
  deadlineMs: number;
  next: Request | null;
}

/**
 * Requests on the co-processor's requestq: several outstanding over different lines, one at a time within a line (virtio 1.2,
 * section 5.18.6: messages of a line are processed in order), each with a deadline. A request that was given up keeps its
 * slot and its line until the co-processor returns the buffer, so a late answer is never taken for the next one's.
 */
export class VirtioGpioRequests {
  /** Requests answered too late or never. */
  timeouts = 0;
  /** Answers shorter than a response. */
  shortAnswers = 0;
  /** Answers whose value is no level, or no direction. */
  badValues = 0;
  readonly #queue: DriverQueue;
  readonly #window: MemoryWindow;
  readonly #base: number;
  readonly #address: number;
  readonly #timeoutMs: number;
  readonly #freeSlots: number[] = [];
  readonly #slotOfHead: Int32Array;
  readonly #requestOfSlot: (Request | null)[];
  /** First and last request of a line that wait, or are under way (the first). */
  readonly #first: (Request | null)[];
  readonly #last: (Request | null)[];
  readonly #underWay: Uint8Array;
  /** Lines that wait for a slot, each once. */
  readonly #starved: number[] = [];
  readonly #isStarved: Uint8Array;
  /** Requests were put into the queue since this was last set to false. */
  hasUnsent = false;
  readonly #watch: AnswerWatch;
  readonly #onSilent: () => void;
  #pool: Request | null = null;
  #open = 0;
  #timer: NodeJS.Timeout | null = null;
  readonly #onTimer = (): void => this.#expire();
  readonly #afterExpiry: () => void;

  constructor(
    vdev: BoundVdev,
    queue: DriverQueue,
    lineCount: number,
    timeoutMs: number,
    afterExpiry: () => void,
    watch: AnswerWatch,
    onSilent: () => void,
  ) {
    this.#queue = queue;
    this.#timeoutMs = timeoutMs;
    this.#afterExpiry = afterExpiry;
    this.#watch = watch;
    this.#onSilent = onSilent;
    const slots = Math.max(1, Math.min(queue.size >> 1, MAX_SLOTS));
    this.#address = vdev.buffers.allocate(slots * SLOT_SIZE, SLOT_SIZE, 'request buffers');
    this.#window = vdev.memory.require('request buffers', this.#address, slots * SLOT_SIZE, 8);
    this.#base = vdev.memory.offset;
    for (let slot = slots - 1; slot >= 0; slot--) this.#freeSlots.push(slot);
    this.#slotOfHead = new Int32Array(queue.size).fill(-1);
    this.#requestOfSlot = new Array(slots).fill(null);
    this.#first = new Array(lineCount).fill(null);
    this.#last = new Array(lineCount).fill(null);
    this.#underWay = new Uint8Array(lineCount);
    this.#isStarved = new Uint8Array(lineCount);
  }

  /** Whether anything waits for an answer. */
  get waiting(): boolean {
    return this.#open > 0;
  }

  submit(type: number, line: number, value: number, done: Completion, token: number): void {
    const request = this.#take();
    request.type = type;
    request.line = line;
    request.value = value;
    request.done = done;
    request.token = token;
    request.deadlineMs = performance.now() + this.#timeoutMs;
    request.next = null;
    const last = this.#last[line];
    this.#last[line] = request;
    this.#open++;
    if (last) {
      last.next = request;
    } else {
      this.#first[line] = request;
      this.#start(line);
    }
    this.#timer ??= setTimeout(this.#onTimer, this.#timeoutMs);
  }

  #take(): Request {
    const request = this.#pool;
    if (request === null)
      return { type: 0, line: 0, value: 0, done: null, token: 0, deadlineMs: 0, next: null };
    this.#pool = request.next;
    return request;
  }

  #recycle(request: Request): void {
    request.done = null;
    request.next = this.#pool;
    this.#pool = request;
  }

  /** Sends the first request of a line, behind the lines that wait for a slot already. */
  #start(line: number): void {
    if ((this.#starved.length === 0 && this.#send(line)) || this.#isStarved[line] === 1) return;
    this.#isStarved[line] = 1;
    this.#starved.push(line);
  }

  #startStarved(): void {
    while (this.#starved.length > 0) {
      const line = this.#starved[0] as number;
      // What it waited with may have been given up meanwhile.
      if (this.#first[line] && this.#underWay[line] === 0 && !this.#send(line)) return;
      this.#starved.shift();
      this.#isStarved[line] = 0;
    }
  }

  /** Sends the first request of a line. @returns false when there is no room */
  #send(line: number): boolean {
    const request = this.#first[line] as Request;
    const slot = this.#freeSlots.pop();
    if (slot === undefined) return false;
    const at = this.#base + slot * SLOT_SIZE;
    this.#window.u32[at >>> 2] = request.type | (request.line << 16);
    this.#window.u32[(at >>> 2) + 1] = request.value;
    this.#window.u8[at + RESPONSE_OFFSET] = UNANSWERED;
    const address = this.#address + slot * SLOT_SIZE;
    const head = this.#queue.add(address, REQUEST_SIZE, address + RESPONSE_OFFSET, RESPONSE_SIZE);
    if (head < 0) {
      this.#freeSlots.push(slot);
      return false;
    }
    this.#slotOfHead[head] = slot;
    this.#requestOfSlot[slot] = request;
    this.#underWay[line] = 1;
    this.hasUnsent = true;
    return true;
  }

  /** Takes at most `budget` answers; returns how many there were. */
  poll(budget: number): number {
    let count = 0;
    while (count < budget) {
      const head = this.#queue.popUsed();
      if (head < 0) break;
      count++;
      const slot = this.#slotOfHead[head] as number;
      if (slot < 0) continue;
      this.#slotOfHead[head] = -1;
      const at = this.#base + slot * SLOT_SIZE + RESPONSE_OFFSET;
      const answered = this.#queue.usedBytes >= RESPONSE_SIZE;
      if (!answered) this.shortAnswers++;
      const value = this.#window.u8[at + 1] as number;
      const ok = answered && this.#window.u8[at] === STATUS_OK && this.#isPossible(slot, value);
      this.#returned(slot, ok ? RESULT_OK : RESULT_FAILED, ok ? value : 0);
    }
    return count;
  }

  /** Whether a read can have that answer: what is none must not reach those who take it for a level or a direction. */
  #isPossible(slot: number, value: number): boolean {
    const { type } = this.#requestOfSlot[slot] as Request;
    const isPossible =
      type === MSG_GET_VALUE ? value <= 1 : type !== MSG_GET_DIRECTION || value <= DIRECTION_IN;
    if (!isPossible) this.badValues++;
    return isPossible;
  }

  #returned(slot: number, result: number, value: number): void {
    const request = this.#requestOfSlot[slot] as Request;
    const { line, done, token } = request;
    this.#watch.answered();
    this.#requestOfSlot[slot] = null;
    this.#freeSlots.push(slot);
    this.#underWay[line] = 0;
    const next = request.next;
    this.#first[line] = next;
    if (next === null) this.#last[line] = null;
    // Given up on before: it has been answered, and is not counted as open any more.
    if (done !== null) this.#open--;
    this.#recycle(request);
    if (next !== null) this.#start(line);
    this.#startStarved();
    done?.complete(token, result, value);
  }

  #expire(): void {
    this.#timer = null;
    const now = performance.now();
    let earliest = Number.POSITIVE_INFINITY;
    const expired: { done: Completion; token: number }[] = [];
    for (let line = 0; line < this.#first.length; line++) {
      let previous: Request | null = null;
      let next: Request | null;
      for (let request = this.#first[line] ?? null; request !== null; request = next) {
        next = request.next;
        if (request.done === null || request.deadlineMs > now) {
          if (request.done !== null) earliest = Math.min(earliest, request.deadlineMs);
          previous = request;
          continue;
        }
        expired.push({ done: request.done, token: request.token });
        request.done = null;
        this.#open--;
        if (previous === null && this.#underWay[line] === 1) {
          previous = request;
          continue;
        }
        // Not sent yet, and never will be: who asked has been told that it was not done.
        if (previous === null) this.#first[line] = next;
        else previous.next = next;
        if (next === null) this.#last[line] = previous;
        this.#recycle(request);
      }
    }
    if (earliest < Number.POSITIVE_INFINITY)
      this.#timer = setTimeout(this.#onTimer, Math.ceil(earliest - now));
    this.timeouts += expired.length;
    for (const { done, token } of expired) done.complete(token, RESULT_TIMEOUT, 0);
    if (expired.length === 0) return;
    this.#afterExpiry();
    if (this.#watch.timedOut(expired.length, now)) this.#onSilent();
  }

  /** Answers everything that waits with RESULT_UNAVAILABLE; the queue is not used any more. */
  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const open: { done: Completion; token: number }[] = [];
    for (const [line, first] of this.#first.entries()) {
      for (let request = first; request; request = request.next) {
        if (request.done !== null) open.push({ done: request.done, token: request.token });
        request.done = null;
      }
      this.#first[line] = null;
      this.#last[line] = null;
    }
    this.#open = 0;
    this.#starved.length = 0;
    this.#isStarved.fill(0);
    for (const { done, token } of open) done.complete(token, RESULT_UNAVAILABLE, 0);
  }
}
