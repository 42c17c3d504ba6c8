import { mutate } from './mutator.ts';
import { Random } from './random.ts';
import { DEFAULT_MAX_INPUT_BYTES, type FuzzTarget } from './target.ts';

/** Inputs kept; beyond that a new one takes the place of one that was found on the way. */
const MAX_POOL = 1500;
/** Executions that a find's input is made smaller with. */
const MINIMIZING_EXECUTIONS = 600;

export interface Find {
  readonly execution: number;
  readonly input: Uint8Array;
  readonly error: unknown;
}

export interface SessionOptions {
  readonly seed: number;
  /** Kept inputs, in a fixed order; they are executed first, behind the seeds. */
  readonly corpus: readonly Uint8Array[];
  /** Called before each execution, so that its input is known whatever becomes of the process. */
  readonly before?: (execution: number, input: Uint8Array) => void;
}

/**
 * Executions of one target, one after the other. Which inputs they get follows from the seed, the target's seeds, the corpus and
 * the outcomes alone: the same number of executions is the same inputs.
 */
export class FuzzSession {
  readonly target: FuzzTarget;
  executions = 0;
  readonly outcomes = new Set<string>();
  readonly #random: Random;
  readonly #initial: readonly Uint8Array[];
  readonly #pool: Uint8Array[];
  readonly #dictionary: readonly Uint8Array[];
  readonly #before: (execution: number, input: Uint8Array) => void;

  constructor(target: FuzzTarget, options: SessionOptions) {
    this.target = target;
    this.#random = new Random(`${options.seed}:${target.name}`);
    this.#initial = [...target.seeds(), ...options.corpus];
    this.#pool = this.#initial.length > 0 ? [...this.#initial] : [new Uint8Array(0)];
    this.#dictionary = target.dictionary?.() ?? [];
    this.#before = options.before ?? (() => {});
  }

  /** How many executions the seeds and the corpus take. */
  get initialExecutions(): number {
    return this.#initial.length;
  }

  #nextInput(): Uint8Array {
    const initial = this.#initial[this.executions];
    if (initial !== undefined) return initial;
    const random = this.#random;
    // Half of the time one of the newest: what was just found to be new is near to more that is.
    const newest = Math.min(this.#pool.length, 32);
    const at =
      random.below(2) === 0 ? this.#pool.length - 1 - random.below(newest) : random.below(this.#pool.length);
    return mutate(
      this.#pool[at] as Uint8Array,
      random.pick(this.#pool),
      this.#dictionary,
      this.target.maxInputBytes ?? DEFAULT_MAX_INPUT_BYTES,
      random,
    );
  }

  /** One execution. @returns the find, if it is one; nothing should be executed after one, as the target may be left in a bad state */
  async step(): Promise<Find | null> {
    const input = this.#nextInput();
    const execution = this.executions++;
    this.#before(execution, input);
    try {
      // A copy: a target that writes to its input must not change the pool.
      const outcome = this.target.run(input.slice());
      this.#note(input, typeof outcome === 'string' ? outcome : await outcome);
      return null;
    } catch (error) {
      return { execution, input, error };
    }
  }

  #note(input: Uint8Array, outcome: string): void {
    if (this.outcomes.has(outcome)) return;
    this.outcomes.add(outcome);
    if (this.executions <= this.#initial.length) return;
    if (this.#pool.length < MAX_POOL) this.#pool.push(input);
    else this.#pool[this.#initial.length + this.#random.below(MAX_POOL - this.#initial.length)] = input;
  }
}

/** What makes two errors the same find: class, code and the first line of the message without its numbers. */
export function findKey(error: unknown): string {
  if (!(error instanceof Error)) return String(error).slice(0, 80);
  const code = 'code' in error ? String(error.code) : '';
  const line = (error.message.split('\n')[0] ?? '').replace(/0x[0-9a-f]+|\d+/g, '#').slice(0, 80);
  return `${error.name}:${code}:${line}`;
}

/** A smaller input with the same find: blocks left out, then bytes zeroed. Bounded, deterministic. */
export async function minimize(target: FuzzTarget, find: Find): Promise<Uint8Array> {
  const wanted = findKey(find.error);
  let left = MINIMIZING_EXECUTIONS;
  const stillFinds = async (input: Uint8Array): Promise<boolean> => {
    if (left-- <= 0) return false;
    try {
      await target.run(input.slice());
      return false;
    } catch (error) {
      return findKey(error) === wanted;
    }
  };
  let best = find.input;
  // Not even the find itself comes again: nothing to go by.
  if (!(await stillFinds(best))) return best;
  for (let size = Math.max(1, best.length >> 1); size >= 1; size >>= 1) {
    for (let at = 0; at < best.length && left > 0; ) {
      const shorter = Uint8Array.from([...best.subarray(0, at), ...best.subarray(at + size)]);
      if (await stillFinds(shorter)) best = shorter;
      else at += size;
    }
  }
  for (let at = 0; at < best.length && left > 0; at++) {
    if (best[at] === 0) continue;
    const zeroed = best.slice();
    zeroed[at] = 0;
    if (await stillFinds(zeroed)) best = zeroed;
  }
  return best;
}
