import {
  DIRECTION_IN,
  DIRECTION_NONE,
  DIRECTION_OUT,
  type Edge,
  IRQ_BOTH,
  IRQ_NONE,
  LEVEL_UNKNOWN,
} from './chip.ts';
import type { ChipLines } from './chip-lines.ts';
import type { LineHandle } from './line-handle.ts';
import { DEFAULT_LINE_SETTINGS, type LineSettings } from './line-settings.ts';
import type { LocalEdge } from './local-edge.ts';

/** How long an event may be on its way: far more than a chip takes, far less than edges that a person could tell apart. */
const OWED_MS = 50;

/**
 * One line of a chip, as all its consumers share it: who owns it as an output, what level is known, and the one
 * subscription towards the chip.
 */
export class Line {
  readonly lines: ChipLines;
  readonly offset: number;
  readonly name: string;
  /** Policy, for all consumers; a changed configuration assigns new ones. */
  settings: LineSettings = DEFAULT_LINE_SETTINGS;
  /** Level changes told of, since the start. */
  edges = 0;
  /** Everybody who has the line open. Replaced, never changed: consumers come and go while an edge is told of. */
  handles: readonly LineHandle[] = [];
  /** Who may drive it: the consumer that made it an output; null while nobody does. */
  owner: LineHandle | null = null;
  /** As last set through us or read; -1 when never seen. */
  direction = -1;
  /** Last level heard of. */
  level = LEVEL_UNKNOWN;
  /** Whether `level` is the level now: a subscribed line of a chip whose edges carry levels. */
  fresh = false;
  /** Interrupt type as last sent to the chip. */
  subscribed = IRQ_NONE;
  /** Operations under way at the chip: a shadow must not answer before them (requests of a line are in order). */
  pending = 0;
  /** Of these: SET_IRQ_TYPE and SET_DIRECTION. */
  irqTypesPending = 0;
  directionsPending = 0;
  /** Of the SET_IRQ_TYPE those with none. */
  unsubscriptionsPending = 0;
  /** Edges heard of and subscriptions made, modulo 2^32; tells whether one came while a read was under way. */
  edgeCount = 0;
  /** Level of the last edge that the chip told of in this subscription; reads do not change it. */
  #toldLevel = LEVEL_UNKNOWN;
  /** The read that follows an event without a level, while it is under way: the operation's index; -1 = none. */
  settleOperation = -1;
  /** Another event came during it. */
  settleAgain = false;
  /** It failed once. */
  settleRetried = false;
  /** Until then an event may be for an edge that was accounted for already, see {@link settle}. */
  #owedUntilMs = 0;
  /** Until then an event may be for an edge that came before the first read of the level. */
  #learnedUntilMs = 0;

  constructor(lines: ChipLines, offset: number, name: string) {
    this.lines = lines;
    this.offset = offset;
    this.name = name;
  }

  /** Name of the consumer that owns it as an output; null while nobody does. */
  get ownerName(): string | null {
    return this.owner?.consumer.name ?? null;
  }

  /** `chip/line`, as in configuration and messages. */
  get path(): string {
    return `${this.lines.name}/${this.name === '' ? `#${this.offset}` : this.name}`;
  }

  /**
   * The interrupt type that the chip must be asked for, so that every consumer gets its own: both edges where levels are
   * known or the wishes differ, the wished one where all ask the same edge of a chip that does not stream levels. Levels
   * are always derived from both edges: a level interrupt of a chip would have to be re-armed by us again and again.
   */
  wantedSubscription(): number {
    let wanted = IRQ_NONE;
    for (let i = 0; i < this.handles.length; i++) {
      const handle = this.handles[i] as LineHandle;
      let type = handle.interrupt.type;
      if (handle.watching && this.direction !== DIRECTION_OUT) type = IRQ_BOTH;
      if (type === IRQ_NONE) continue;
      if (
        this.lines.chip.streamsLevels ||
        handle.interrupt.isLevel ||
        (wanted !== IRQ_NONE && wanted !== type)
      ) {
        return IRQ_BOTH;
      }
      wanted = type;
    }
    // Never back to one edge for those who stay: the change goes through none, and an edge at that time would be lost to them.
    return wanted !== IRQ_NONE && this.subscribed === IRQ_BOTH ? IRQ_BOTH : wanted;
  }

  /** Whether a consumer other than `except` uses the line as an input. */
  isInputOfOthers(except: LineHandle): boolean {
    for (const handle of this.handles) {
      if (handle !== except && handle.usesInput) return true;
    }
    return false;
  }

  /** A new subscription was asked for: what was known by the edges of the old one has gone stale. */
  resubscribed(type: number): void {
    this.subscribed = type;
    this.fresh = false;
    this.#toldLevel = LEVEL_UNKNOWN;
    this.#owedUntilMs = 0;
    this.#learnedUntilMs = 0;
    this.settleOperation = -1;
    this.settleRetried = false;
    this.edgeCount = (this.edgeCount + 1) >>> 0;
    // Where only events tell of changes, there may have been some meanwhile of which none told.
    if (!this.lines.chip.streamsLevels) this.level = LEVEL_UNKNOWN;
  }

  /** An event without a level came: it has to be read. */
  unread(): void {
    this.edgeCount = (this.edgeCount + 1) >>> 0;
    this.fresh = false;
  }

  /** An edge whose level is told by the chip. */
  streamed(edge: Edge): void {
    this.edgeCount = (this.edgeCount + 1) >>> 0;
    // Merged changes that lead back to the level last told were two at least: both directions are owed. A level that was read
    // does not count, as a read may be ahead of the edges that are on their way.
    if (edge.merged && edge.level === this.#toldLevel) this.#deliver(1 - edge.level, edge);
    this.#toldLevel = edge.level;
    this.fresh = true;
    this.#deliver(edge.level, edge);
  }

  /** A level that was read while no event was under way, on a chip whose events carry none. */
  learn(level: number): void {
    // Only events change a known level, see {@link settle}; one that is on its way will.
    this.fresh = this.level === LEVEL_UNKNOWN || this.level === level;
    if (!this.fresh) return;
    if (this.level === LEVEL_UNKNOWN) this.#learnedUntilMs = performance.now() + OWED_MS;
    this.observe(level);
  }

  /**
   * A level read after an event that carried none (the event stands for one or more edges, merged by the chip's latch).
   * The parity tells: a changed level means one edge, an unchanged one two. After an unchanged level the chip mostly reports
   * the second edge once more; an event with an unchanged level soon after is taken for that, and counted as ambiguous, so that
   * no edge is delivered which did not happen. The first event after the level was first read may likewise be for an edge before
   * that read: then only the edge is certain that leads to the level now.
   */
  settle(level: number, edge: Edge): void {
    const nowMs = performance.now();
    const isOwed = nowMs < this.#owedUntilMs;
    const isFirst = this.level === LEVEL_UNKNOWN || nowMs < this.#learnedUntilMs;
    const unchanged = this.level === level;
    this.fresh = true;
    this.#learnedUntilMs = 0;
    if (isFirst) {
      if (unchanged) this.lines.ambiguousEvents++;
    } else if (unchanged) {
      if (isOwed) {
        this.#owedUntilMs = 0;
        this.lines.ambiguousEvents++;
        this.observe(level);
        return;
      }
      this.#deliver(1 - level, edge);
    }
    if (isFirst || unchanged || isOwed) this.#owedUntilMs = nowMs + OWED_MS;
    this.#deliver(level, edge);
  }

  /** An event of a line that is subscribed for one edge type only: the edge is known, the level now is not. */
  edgeOnly(level: number, edge: Edge): void {
    this.fresh = false;
    this.#deliver(level, edge);
  }

  /** The level was read (or confirmed by a write), no edge told: level interrupts look at it. */
  observe(level: number): void {
    this.level = level;
    const handles = this.handles;
    for (let i = 0; i < handles.length; i++) {
      const handle = handles[i] as LineHandle;
      if (handle.interrupt.isLevel && handle.interrupt.level(level)) handle.consumer.interrupt(handle);
    }
  }

  /** An output was set: watchers hear of a change, interrupts do not exist on outputs. `edge` is filled when one watches. */
  driven(level: number, edge: LocalEdge): void {
    const changed = this.level !== level;
    this.level = level;
    if (!changed) return;
    this.edges++;
    const handles = this.handles;
    for (let i = 0; i < handles.length; i++) {
      const handle = handles[i] as LineHandle;
      if (handle.watching) handle.consumer.edge?.(handle, level, edge.at(this.offset, level));
    }
  }

  /** The chip did not take a direction: what it has now is unknown, and nobody became owner by it. */
  directionRefused(direction: number): void {
    this.direction = -1;
    if (direction !== DIRECTION_OUT || this.owner === null) return;
    this.owner.direction = DIRECTION_NONE;
    this.owner = null;
  }

  #deliver(level: number, edge: Edge): void {
    this.edges++;
    this.level = level;
    const handles = this.handles;
    for (let i = 0; i < handles.length; i++) {
      const handle = handles[i] as LineHandle;
      if (handle.watching) handle.consumer.edge?.(handle, level, edge);
      if (handle.interrupt.edge(level)) handle.consumer.interrupt(handle);
    }
  }

  /** Direction for people: `none`, `out`, `in` or `unknown`. */
  get directionName(): string {
    if (this.direction === DIRECTION_NONE) return 'none';
    if (this.direction === DIRECTION_OUT) return 'out';
    return this.direction === DIRECTION_IN ? 'in' : 'unknown';
  }
}
