/** A part of the bench: what one `--only` name measures. `parts.ts` lists them all. */
import type { Figure } from './figures.ts';
import type { Effort, Placement } from './rounds.ts';

export type Progress = (line: string) => void;

/** What a part is told. */
export interface PartContext {
  readonly effort: Effort;
  readonly placement: Placement;
  /** The report is for machines: what cannot be measured fails it. */
  readonly json: boolean;
  /** Told of each finished step, a line each. */
  readonly progress: Progress;
}

/** What a part measured: its figures, and the raw results they were made of, which the JSON report carries by these names. */
export interface PartResult {
  readonly figures: readonly Figure[];
  readonly raw: Readonly<Record<string, unknown>>;
}

export interface Part {
  /** What `--only` calls it. */
  readonly name: string;
  measure(context: PartContext): Promise<PartResult>;
}

/** What has to be closed, the last one first. */
export class Started {
  readonly #all: { close(): Promise<void> }[] = [];

  async add<T extends { close(): Promise<void> }>(starting: T | Promise<T>): Promise<T> {
    const each = await starting;
    this.#all.push(each);
    return each;
  }

  async close(): Promise<void> {
    for (const each of this.#all.splice(0).reverse()) await each.close();
  }
}
