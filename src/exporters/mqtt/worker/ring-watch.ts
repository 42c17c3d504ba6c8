import { KIND_MASK, KIND_SHIFT, RECORD_EDGE, type RecordListener, type RingReader } from '../line-ring.ts';

/** With more wake-ups than this in the window, being woken costs the main thread more than it is worth. */
const WINDOW_MS = 10;
const MANY_WAKE_UPS = 50;
/** Then the ring is looked at so often, until there is nothing in it. */
const LOOK_EVERY_MS = 1;

/** Looks at the ring when there is something in it: woken by the main thread, or by itself while much is going on. */
export class RingWatch {
  readonly #reader: RingReader;
  readonly #take: RecordListener;
  readonly #taken: (edges: number, isLapped: boolean) => void;
  #records = 0;
  #edges = 0;
  #windowStartMs = 0;
  #wakeUps = 0;
  #isBusy = false;
  #timer: NodeJS.Timeout | null = null;
  #isClosed = false;

  /**
   * @param take hears of each record
   * @param taken hears when all were taken: how many level changes there were, and whether records before them were lost
   */
  constructor(reader: RingReader, take: RecordListener, taken: (edges: number, isLapped: boolean) => void) {
    this.#reader = reader;
    this.#taken = taken;
    this.#take = (what, seq, timeNs) => {
      this.#records++;
      if (((what >>> KIND_SHIFT) & KIND_MASK) === RECORD_EDGE) this.#edges++;
      take(what, seq, timeNs);
    };
  }

  /** The main thread says that there is something. */
  wake(): void {
    const nowMs = performance.now();
    if (nowMs - this.#windowStartMs > WINDOW_MS) {
      this.#windowStartMs = nowMs;
      this.#wakeUps = 0;
    }
    this.#wakeUps++;
    if (this.#wakeUps > MANY_WAKE_UPS) this.#isBusy = true;
    this.look();
  }

  /** Takes what there is, and sleeps when that was all. */
  look(): void {
    if (this.#isClosed) return;
    this.#records = 0;
    this.#edges = 0;
    const isLapped = this.#reader.read(this.#take);
    this.#taken(this.#edges, isLapped);
    if (this.#records === 0) this.#isBusy = false;
    if (this.#isBusy) {
      // The timer object is used again: there is one look a millisecond.
      if (this.#timer === null) this.#timer = setTimeout(() => this.look(), LOOK_EVERY_MS);
      else this.#timer.refresh();
      return;
    }
    if (!this.#reader.sleep()) setImmediate(() => this.look());
  }

  /** Idempotent. */
  close(): void {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }
}
