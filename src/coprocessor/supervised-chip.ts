import { type Chip, type ChipListener, type Completion, RESULT_UNAVAILABLE } from '../gpio/chip.ts';

/** A chip of a co-processor, as a dialect implements it. */
export interface CoprocessorChip extends Chip {
  /**
   * Of a chip that went away because nothing was answered: has the listener told, once, when something is after all, or when the
   * co-processor was found to have started anew.
   * @returns whether the chip went away for that
   */
  onAnswering?(listener: () => void): boolean;
  /** Looks whether the co-processor has started anew without a call. Cheap. */
  look?(): void;
}

/**
 * A chip that outlives the firmware behind it: one after the other, chips of the same lines take its place. While there is
 * none, everything is answered with RESULT_UNAVAILABLE. Number and names of lines are those of the first.
 */
export class SupervisedChip implements Chip {
  readonly name: string;
  readonly lineCount: number;
  readonly #names: readonly string[];
  #label: string;
  #streamsLevels: boolean;
  #inner: CoprocessorChip | null = null;
  #listener: ChipListener | null = null;
  #onLost: (reason: string, inner: CoprocessorChip) => void = () => {};
  #onClosed: () => void = () => {};
  #closed = false;

  constructor(first: CoprocessorChip) {
    this.name = first.name;
    this.lineCount = first.lineCount;
    this.#label = first.label;
    this.#streamsLevels = first.streamsLevels;
    this.#names = Array.from({ length: first.lineCount }, (_, offset) => first.lineName(offset));
    this.#take(first);
  }

  get label(): string {
    return this.#label;
  }

  get streamsLevels(): boolean {
    return this.#streamsLevels;
  }

  get available(): boolean {
    return this.#inner?.available ?? false;
  }

  get counters(): Readonly<Record<string, number>> {
    return this.#inner?.counters ?? {};
  }

  /** What is behind it now; null while nothing is. */
  get inner(): CoprocessorChip | null {
    return this.#inner;
  }

  /** The listener hears when the chip behind it is lost, after everybody else. It owns that chip then. */
  onLost(listener: (reason: string, inner: CoprocessorChip) => void): void {
    this.#onLost = listener;
  }

  /** The listener hears when nobody needs it any more. */
  onClosed(listener: () => void): void {
    this.#onClosed = listener;
  }

  #take(inner: CoprocessorChip): void {
    this.#inner = inner;
    this.#label = inner.label;
    this.#streamsLevels = inner.streamsLevels;
    inner.listen({
      edge: (edge) => {
        if (this.#inner === inner) this.#listener?.edge(edge);
      },
      availability: (_available, reason) => {
        if (this.#inner === inner) this.lose(reason);
      },
    });
  }

  /** Why a chip cannot take its place: it has other lines. Null when it can. */
  refusalOf(inner: Chip): string | null {
    if (inner.lineCount === this.lineCount) return null;
    return `chip ${this.name} came back with ${inner.lineCount} lines, expected ${this.lineCount} as before; restart the service to use it so`;
  }

  /** Lines that have other names than before, as `5: "BUTTON", was "KEY"`; those of before stay. */
  renamedBy(inner: Chip): string[] {
    return this.#names.flatMap((name, offset) => {
      const now = inner.lineName(offset);
      return now === name ? [] : [`${offset}: ${JSON.stringify(now)}, was ${JSON.stringify(name)}`];
    });
  }

  /** Puts a chip in the place of the one that was lost, and tells of its return. The caller has asked {@link refusalOf}. */
  replace(inner: CoprocessorChip, reason: string): void {
    if (this.#closed) return inner.close();
    this.#take(inner);
    // It may have gone before anybody listened to it.
    if (inner.available) this.#listener?.availability(true, reason);
    else this.lose('it went away while it was opened');
  }

  /** The chip behind it is gone: everything that is asked from now on is answered so. Without effect while there is none. */
  lose(reason: string): void {
    const inner = this.#inner;
    if (inner === null) return;
    this.#inner = null;
    this.#listener?.availability(false, reason);
    this.#onLost(reason, inner);
  }

  lineName(offset: number): string {
    return this.#names[offset] ?? '';
  }

  getDirection(offset: number, done: Completion, token: number): void {
    if (this.#inner === null) done.complete(token, RESULT_UNAVAILABLE, 0);
    else this.#inner.getDirection(offset, done, token);
  }

  setDirection(offset: number, direction: number, done: Completion, token: number): void {
    if (this.#inner === null) done.complete(token, RESULT_UNAVAILABLE, 0);
    else this.#inner.setDirection(offset, direction, done, token);
  }

  getValue(offset: number, done: Completion, token: number): void {
    if (this.#inner === null) done.complete(token, RESULT_UNAVAILABLE, 0);
    else this.#inner.getValue(offset, done, token);
  }

  setValue(offset: number, level: number, done: Completion, token: number): void {
    if (this.#inner === null) done.complete(token, RESULT_UNAVAILABLE, 0);
    else this.#inner.setValue(offset, level, done, token);
  }

  setIrqType(offset: number, type: number, done: Completion, token: number): void {
    if (this.#inner === null) done.complete(token, RESULT_UNAVAILABLE, 0);
    else this.#inner.setIrqType(offset, type, done, token);
  }

  flush(): void {
    this.#inner?.flush();
  }

  listen(listener: ChipListener): void {
    this.#listener = listener;
  }

  /** Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#listener = null;
    const inner = this.#inner;
    this.#inner = null;
    inner?.close();
    this.#onClosed();
  }
}
