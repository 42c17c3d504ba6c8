import { type Edge, LEVEL_UNKNOWN } from './chip.ts';
import type { Line } from './line.ts';
import type { LineHandle } from './line-handle.ts';
import { LocalEdge } from './local-edge.ts';

const EDGE = 0;
const DRIVEN = 1;
const OBSERVED = 2;
const CHANGED = 3;

/** Notices that are kept for the next time; a burst may have needed more. */
const KEPT_NOTICES = 256;

/** Something to tell that came while something else was being told. */
interface Notice {
  kind: number;
  line: Line;
  level: number;
  readonly edge: LocalEdge;
}

/**
 * Tells consumers of levels, edges and changes, one after the other: a consumer that sets a line (of any chip) while it is told
 * of an edge causes further ones, and these are told when everybody has heard of the first. So all consumers hear the same in
 * the same order, and an edge's object is not filled anew while it is being shown around.
 */
class FanOut {
  #isBusy = false;
  readonly #notices: Notice[] = [];
  #first = 0;
  #end = 0;

  /** A level change of an input. */
  edge(line: Line, level: number, edge: Edge): void {
    if (this.#isBusy) {
      this.#keep(EDGE, line, level).edge.copy(edge);
      return;
    }
    this.#isBusy = true;
    try {
      line.tellEdge(level, edge);
      if (this.#first !== this.#end) this.#drain();
    } finally {
      this.#isBusy = false;
    }
  }

  /** A level change of an output, by whom it is driven. */
  driven(line: Line, level: number, edge: LocalEdge): void {
    if (this.#isBusy) {
      this.#keep(DRIVEN, line, level).edge.at(line.offset, level);
      return;
    }
    this.#isBusy = true;
    try {
      line.tellDriven(level, edge.at(line.offset, level));
      if (this.#first !== this.#end) this.#drain();
    } finally {
      this.#isBusy = false;
    }
  }

  /** A level that was read. */
  observed(line: Line, level: number): void {
    if (this.#isBusy) {
      this.#keep(OBSERVED, line, level);
      return;
    }
    this.#isBusy = true;
    try {
      line.tellObserved(level);
      if (this.#first !== this.#end) this.#drain();
    } finally {
      this.#isBusy = false;
    }
  }

  /** A change of direction or owner. */
  changed(line: Line): void {
    if (this.#isBusy) {
      this.#keep(CHANGED, line, LEVEL_UNKNOWN);
      return;
    }
    this.#isBusy = true;
    try {
      line.tellChanged();
      if (this.#first !== this.#end) this.#drain();
    } finally {
      this.#isBusy = false;
    }
  }

  /** A level that was stable for the debounce period of one consumer; `edge` is null when no edge led to it. */
  debounced(handle: LineHandle, level: number, edge: Edge | null): void {
    // While something is told, it is what made the level stable: this consumer's turn in telling it.
    if (this.#isBusy) return tell(handle, level, edge);
    this.#isBusy = true;
    try {
      tell(handle, level, edge);
      if (this.#first !== this.#end) this.#drain();
    } finally {
      this.#isBusy = false;
    }
  }

  #keep(kind: number, line: Line, level: number): Notice {
    let notice = this.#notices[this.#end];
    if (notice === undefined) {
      notice = { kind, line, level, edge: new LocalEdge() };
      this.#notices.push(notice);
    } else {
      notice.kind = kind;
      notice.line = line;
      notice.level = level;
    }
    this.#end++;
    return notice;
  }

  #drain(): void {
    while (this.#first < this.#end) {
      const { kind, line, level, edge } = this.#notices[this.#first++] as Notice;
      if (kind === EDGE) line.tellEdge(level, edge);
      else if (kind === DRIVEN) line.tellDriven(level, edge);
      else if (kind === OBSERVED) line.tellObserved(level);
      else line.tellChanged();
    }
    this.#first = 0;
    this.#end = 0;
    if (this.#notices.length > KEPT_NOTICES) this.#notices.length = KEPT_NOTICES;
  }
}

function tell(handle: LineHandle, level: number, edge: Edge | null): void {
  if (edge === null) handle.tellLevel(level);
  else handle.tellEdge(level, edge);
}

/** One for all chips: a consumer may have lines of several, and JavaScript has one thread. */
export const fanOut = new FanOut();
