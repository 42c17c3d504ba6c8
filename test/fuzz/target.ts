/** One thing that is fuzzed: what test/fuzz/run.ts, its child processes and test/fuzz/corpus.test.ts know of it. */
export interface FuzzTarget {
  /** Lower case, words joined by hyphens: names its folder in test/fuzz/corpus. */
  readonly name: string;
  /** One line for people: what is attacked, and what must hold. */
  readonly what: string;
  /** Inputs to begin with: valid examples. Always the same ones, in the same order. */
  seeds(): readonly Uint8Array[];
  /**
   * One execution; the input is its only source of chance. Throws or rejects for a find.
   * @returns a short signature of the outcome, for instance the error's code and the counters: an input with a new one is kept
   * in the pool
   */
  run(input: Uint8Array): string | Promise<string>;
  /** What one execution may take before it counts as a hang, in milliseconds of CPU (ten times as much asleep). Default 2000. */
  readonly timeoutMs?: number;
  /** Longest input that the mutator makes, in bytes. Default 4096. */
  readonly maxInputBytes?: number;
  /** Pieces that the mutator likes to insert: magic numbers, names, field values. */
  dictionary?(): readonly Uint8Array[];
  /** After the last execution. */
  close?(): void | Promise<void>;
}

export const DEFAULT_TIMEOUT_MS = 2000;
export const DEFAULT_MAX_INPUT_BYTES = 4096;

/** What a target throws when something that must hold does not. */
export class InvariantError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'InvariantError';
  }
}

/** @throws InvariantError unless it holds */
export function invariant(holds: boolean, message: string | (() => string)): asserts holds {
  if (!holds) throw new InvariantError(typeof message === 'string' ? message : message());
}
