import type { Completion } from '../../gpio/chip.ts';

/** A request of a guest's to one line. */
export interface LineRequest {
  readonly line: number;
}

/** Has the requests of one line done one after the other, those of different lines side by side. */
export class LineTurns<R extends LineRequest> implements Completion {
  readonly #start: (request: R, token: number) => void;
  readonly #done: (request: R, result: number, value: number) => void;
  /** What waits for each line on which something is under way. */
  readonly #waiting = new Map<number, R[]>();
  readonly #open = new Map<number, R>();
  readonly #busy = new Set<number>();
  readonly #advancing = new Set<number>();
  #next = 0;

  /**
   * @param start begins a request, which is completed here with the token
   * @param done hears of the outcome of each
   */
  constructor(
    start: (request: R, token: number) => void,
    done: (request: R, result: number, value: number) => void,
  ) {
    this.#start = start;
    this.#done = done;
  }

  add(request: R): void {
    const waiting = this.#waiting.get(request.line);
    if (waiting !== undefined) {
      waiting.push(request);
      return;
    }
    this.#waiting.set(request.line, []);
    this.#begin(request);
    this.#advance(request.line);
  }

  #begin(request: R): void {
    const token = this.#next++;
    this.#open.set(token, request);
    this.#busy.add(request.line);
    this.#start(request, token);
  }

  complete(token: number, result: number, value: number): void {
    const request = this.#open.get(token);
    if (request === undefined) return;
    this.#open.delete(token);
    this.#busy.delete(request.line);
    this.#done(request, result, value);
    this.#advance(request.line);
  }

  /** A loop: as calls from one completion to the next, many requests that are answered at once would fill the stack. */
  #advance(line: number): void {
    if (this.#advancing.has(line)) return;
    this.#advancing.add(line);
    while (!this.#busy.has(line)) {
      const request = this.#waiting.get(line)?.shift();
      if (request === undefined) {
        this.#waiting.delete(line);
        break;
      }
      this.#begin(request);
    }
    this.#advancing.delete(line);
  }

  /** Forgets everything; completions that come yet are dropped. */
  clear(): void {
    this.#waiting.clear();
    this.#open.clear();
    this.#busy.clear();
  }
}
