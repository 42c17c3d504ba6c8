/** A change of a level at the firmware's wires, or one that may have been: the firmware died before it said so. */
export interface Change {
  readonly level: 0 | 1;
  /** CLOCK_MONOTONIC: not earlier than this. */
  readonly fromNs: number;
}

/** An edge that somebody was told of. */
export interface ToldEdge {
  readonly line: string;
  /** null: an interrupt for both edges, which says nothing of the level. */
  readonly level: 0 | 1 | null;
  /** CLOCK_MONOTONIC: when it was told. */
  readonly atNs: number;
  /** When the service says that it was; null: it does not say. */
  readonly edgeNs: number | null;
  readonly merged: boolean;
  /** null: edges of this consumer are not counted. */
  readonly seq: number | null;
  /** Changes with each start of the service or of its consumer: what comes after follows on nothing. */
  readonly session: string;
}

/**
 * Finds edges that did not happen: each has to stand for a change of its own, to its level, not later than it was told, in
 * the order of the changes. Some may be missing (merged, or nobody was there to be told).
 */
export function inventedEdges(changes: readonly Change[], told: readonly ToldEdge[]): ToldEdge[] {
  const invented: ToldEdge[] = [];
  let next = 0;
  for (const edge of told) {
    const toldNs = Math.min(edge.edgeNs ?? edge.atNs, edge.atNs);
    let at = next;
    while (at < changes.length && edge.level !== null && changes[at]?.level !== edge.level) at++;
    const change = changes[at];
    if (change === undefined || change.fromNs > toldNs) invented.push(edge);
    else next = at + 1;
  }
  return invented;
}

/**
 * Finds what contradicts itself in the edges of one line that one consumer was told in one session: numbers that do not grow, and
 * a level that follows on itself though none is missing in between.
 */
export function contradictions(told: readonly ToldEdge[]): string[] {
  const found: string[] = [];
  for (const [index, edge] of told.entries()) {
    const before = told[index - 1];
    if (before === undefined || before.session !== edge.session || edge.seq === null || before.seq === null)
      continue;
    if (edge.seq <= before.seq) found.push(`${edge.line}: seq ${edge.seq} after ${before.seq}`);
    else if (edge.seq === before.seq + 1 && edge.level === before.level)
      found.push(`${edge.line}: level ${edge.level} twice, seq ${before.seq} and ${edge.seq}`);
  }
  return found;
}

/** What became of the lines at the firmware's wires, as far as the test knows. */
export class Wires {
  readonly #initial: ReadonlyMap<string, 0 | 1>;
  readonly #levels: Map<string, 0 | 1>;
  #changes = new Map<string, Change[]>();

  /** @param initial the levels with which the firmware starts, of all lines that are driven from outside */
  constructor(initial: ReadonlyMap<string, 0 | 1>) {
    this.#initial = initial;
    this.#levels = new Map(initial);
  }

  level(line: string): 0 | 1 {
    const level = this.#levels.get(line);
    if (level === undefined) throw new RangeError(`no line ${line} is driven from outside`);
    return level;
  }

  /** A line is about to be set. */
  drive(line: string, level: 0 | 1, fromNs: number): void {
    if (this.level(line) === level) return;
    this.#levels.set(line, level);
    this.changesOf(line).push({ level, fromNs });
  }

  /** The firmware starts again, some time after `fromNs`. */
  restart(fromNs: number): void {
    for (const [line, level] of this.#initial) this.drive(line, level, fromNs);
  }

  changesOf(line: string): Change[] {
    let changes = this.#changes.get(line);
    if (changes === undefined) {
      changes = [];
      this.#changes.set(line, changes);
    }
    return changes;
  }

  /** All is told: what comes from now on stands for changes from now on. */
  forget(): void {
    this.#changes = new Map();
  }
}
