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
import { EDGES_BOTH, EDGES_NONE, EventParity } from './event-parity.ts';
import { fanOut } from './fan-out.ts';
import type { LineHandle } from './line-handle.ts';
import { DEFAULT_LINE_SETTINGS, type LineSettings } from './line-settings.ts';
import type { LocalEdge } from './local-edge.ts';

/** A line that is being made an output: the value goes first, so for a while the chip knows nothing of it. */
export interface OutputMaking {
  /** What the direction is again if it comes to nothing before the chip was asked. */
  previousDirection: number;
  /** The chip was asked for the direction. */
  isAsked: boolean;
  /** The last level that the chip confirmed for it; -1 = none was set. */
  level: number;
}

/**
 * One line of a chip, as all its consumers share it: who owns it as an output, what level is known, and the one
 * subscription towards the chip.
 */
export class Line {
  readonly lines: ChipLines;
  readonly offset: number;
  readonly name: string;
  #settings: LineSettings = DEFAULT_LINE_SETTINGS;
  /** Level changes told of, since the start. */
  edges = 0;
  /** Everybody who has the line open. Replaced, never changed: consumers come and go while an edge is told of. */
  handles: readonly LineHandle[] = [];
  /** How many of them watch. */
  watchers = 0;
  /** Who may drive it: the consumer that made it an output; null while nobody does. */
  owner: LineHandle | null = null;
  /** As last set through us or read; -1 when never seen. */
  direction = -1;
  /** While it is being made an output. */
  making: OutputMaking | null = null;
  /** While it is an output: the last level that the chip confirmed; it survives the chip's absence. */
  confirmed = LEVEL_UNKNOWN;
  /** How its last owner left it, while nobody has decided otherwise. */
  left: { readonly direction: number; readonly level: number } | null = null;
  /** Counts decisions about owner and direction: what was under way for an earlier one is over. */
  decisions = 0;
  /** Last level heard of. */
  level = LEVEL_UNKNOWN;
  /**
   * Whether `level` is the level now: a subscribed line whose edges are all heard of, or an output whose level the chip has
   * confirmed.
   */
  fresh = false;
  /** Interrupt type as last sent to the chip. */
  subscribed = IRQ_NONE;
  /** The chip did not confirm the end of a subscription, so it may still have that. */
  isUnsure = false;
  /** When the end of the last subscription was answered. */
  unsubscribedAtMs = Number.NEGATIVE_INFINITY;
  /** Until then a streamed record may be of the subscription before: a read tells whether it is the level now. */
  suspectUntilMs = 0;
  /** Operations under way at the chip: a shadow must not answer before them (requests of a line are in order). */
  pending = 0;
  /** Of these: SET_IRQ_TYPE, SET_DIRECTION, and reads that learn the level. */
  irqTypesPending = 0;
  directionsPending = 0;
  learnsPending = 0;
  /** Of the SET_IRQ_TYPE and SET_DIRECTION those with none, which ends a subscription. */
  unsubscriptionsPending = 0;
  /** Edges heard of, subscriptions and directions made, modulo 2^32; tells whether one came while a read was under way. */
  edgeCount = 0;
  /** What events without a level stand for. */
  readonly parity = new EventParity();
  /** Level of the last edge that the chip told of in this subscription; reads do not change it. */
  #streamedLevel = LEVEL_UNKNOWN;
  /** Level that consumers were told last in this subscription. */
  #toldLevel = LEVEL_UNKNOWN;
  /** Direction and owner that consumers were last told of. */
  #toldDirection = -1;
  #toldOwner: LineHandle | null = null;

  constructor(lines: ChipLines, offset: number, name: string) {
    this.lines = lines;
    this.offset = offset;
    this.name = name;
  }

  /** Policy, for all consumers; a changed configuration assigns new ones. */
  get settings(): LineSettings {
    return this.#settings;
  }

  set settings(settings: LineSettings) {
    this.#settings = settings;
    for (const handle of this.handles) handle.applyDebounce();
  }

  /** Name of the consumer that owns it as an output; null while nobody does. */
  get ownerName(): string | null {
    return this.owner?.consumer.name ?? null;
  }

  /** `chip/line`, as in configuration and messages. */
  get path(): string {
    return `${this.lines.name}/${this.name === '' ? `#${this.offset}` : this.name}`;
  }

  /** Direction for people: `none`, `out`, `in` or `unknown`. */
  get directionName(): string {
    if (this.direction === DIRECTION_NONE) return 'none';
    if (this.direction === DIRECTION_OUT) return 'out';
    return this.direction === DIRECTION_IN ? 'in' : 'unknown';
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
      // A debounced level needs both edges, too.
      const needsLevels = handle.interrupt.isLevel || handle.debounce !== null || handle.absence.isAwaited;
      const watches = handle.watching && !handle.isRefused && this.direction !== DIRECTION_OUT;
      if (watches) type = IRQ_BOTH;
      if (type === IRQ_NONE) continue;
      if (this.lines.chip.streamsLevels || needsLevels || (wanted !== IRQ_NONE && wanted !== type)) {
        return IRQ_BOTH;
      }
      wanted = type;
    }
    // Never back to one edge for those who stay: the change goes through none, and an edge at that time would be lost to them.
    return wanted !== IRQ_NONE && this.subscribed === IRQ_BOTH ? IRQ_BOTH : wanted;
  }

  /** Whether it is an output, as far as the chip was asked. */
  get isOutput(): boolean {
    return this.direction === DIRECTION_OUT && this.making?.isAsked !== false;
  }

  /** Whether a consumer other than `except` uses the line as an input. */
  isInputOfOthers(except: LineHandle): boolean {
    for (const handle of this.handles) {
      if (handle !== except && handle.usesInput) return true;
    }
    return false;
  }

  /** Whether a consumer other than `except` is the only one that may own the line. */
  isReservedForOthers(except: LineHandle): boolean {
    for (const handle of this.handles) {
      if (handle !== except && handle.access === 'owner') return true;
    }
    return false;
  }

  /** What is decided now ends what was under way: a value that was to become an output's does not any more. */
  decide(): void {
    this.decisions = (this.decisions + 1) >>> 0;
    const { making } = this;
    this.making = null;
    this.left = null;
    if (making !== null && !making.isAsked) this.direction = making.previousDirection;
  }

  /** A new subscription was asked for: what was known by the edges of the old one has gone stale. */
  resubscribed(type: number): void {
    this.subscribed = type;
    this.fresh = false;
    this.#streamedLevel = LEVEL_UNKNOWN;
    this.#toldLevel = LEVEL_UNKNOWN;
    for (const { absence } of this.handles) absence.resubscribed();
    this.parity.reset();
    this.edgeCount = (this.edgeCount + 1) >>> 0;
    // Where only events tell of changes, there may have been some meanwhile of which none told.
    if (!this.lines.chip.streamsLevels) this.level = LEVEL_UNKNOWN;
  }

  /** The chip is asked for a direction. Reads from before tell nothing of the level of what becomes, or was, an output. */
  redirect(direction: number): void {
    const isChange = (direction === DIRECTION_OUT) !== (this.direction === DIRECTION_OUT);
    this.direction = direction;
    if (!isChange) return;
    this.edgeCount = (this.edgeCount + 1) >>> 0;
    this.fresh = false;
    this.confirmed = LEVEL_UNKNOWN;
    for (const { debounce } of this.handles) debounce?.reset(LEVEL_UNKNOWN);
  }

  /** Whether a level that nobody knows is to be read: somebody goes by it, and nothing on its way will tell it. */
  get needsRead(): boolean {
    if (this.fresh || this.making !== null) return false;
    if (this.learnsPending > 0 || this.parity.reading !== null) return false;
    if (this.direction !== DIRECTION_OUT && this.subscribed !== IRQ_BOTH) return false;
    if (this.watchers > 0) return true;
    for (const { interrupt, absence } of this.handles) {
      if (interrupt.isLevel || absence.isAwaited) return true;
    }
    return false;
  }

  /** The chip went away: nobody knows what the level is, and what bounces is not to be waited for. */
  lost(): void {
    // Of what nobody was told, nothing is owed; nor of an output, which has its level from its owner.
    const isTold = this.subscribed === IRQ_BOTH && this.direction !== DIRECTION_OUT;
    for (const handle of this.handles) handle.lost(isTold ? this.#toldLevel : LEVEL_UNKNOWN);
    this.resubscribed(IRQ_NONE);
    this.isUnsure = false;
    this.suspectUntilMs = 0;
  }

  /** An event without a level came: it has to be read. */
  unread(): void {
    this.edgeCount = (this.edgeCount + 1) >>> 0;
    this.fresh = false;
    this.parity.event();
  }

  /** An edge whose level is told by the chip. */
  streamed(edge: Edge): void {
    this.edgeCount = (this.edgeCount + 1) >>> 0;
    const { level } = edge;
    // Merged changes that lead back to the level last told were two at least: both directions are owed. A level that was read
    // does not count, as a read may be ahead of the edges that are on their way.
    const isBoth = edge.merged && level === this.#streamedLevel;
    this.#streamedLevel = level;
    this.fresh = true;
    this.level = level;
    if (isBoth) this.#changed(1 - level, edge);
    this.#changed(level, edge);
  }

  /** A level that was read while no event was under way, on a chip whose events carry none. */
  learn(level: number): void {
    this.fresh = this.parity.learn(this.level, level);
    if (this.fresh) this.observe(level);
  }

  /** A level read after an event that carried none. */
  settle(level: number, edge: Edge): void {
    const edges = this.parity.settle(this.level, level);
    this.fresh = true;
    if (this.parity.wasAmbiguous) this.lines.ambiguousEvents++;
    if (edges === EDGES_NONE) return this.observe(level);
    this.level = level;
    if (edges === EDGES_BOTH) this.#changed(1 - level, edge);
    this.#changed(level, edge);
  }

  /** An event of a line that is subscribed for one edge type only: the edge is known, the level now is not. */
  edgeOnly(level: number, edge: Edge): void {
    this.fresh = false;
    this.level = level;
    this.#changed(level, edge);
  }

  #changed(level: number, edge: Edge): void {
    this.edges++;
    this.#toldLevel = level;
    fanOut.edge(this, level, edge);
  }

  /** The level was read, no edge told: level interrupts look at it, and watchers for whom it is another. */
  observe(level: number): void {
    this.level = level;
    this.#toldLevel = level;
    if (this.handles.length > 0) fanOut.observed(this, level);
  }

  /** An output was set: watchers hear of a change, interrupts do not exist on outputs. `edge` is filled when one watches. */
  driven(level: number, edge: LocalEdge): void {
    const before = this.level;
    this.level = level;
    this.confirmed = level;
    this.fresh = true;
    if (before !== level && before !== LEVEL_UNKNOWN) this.edges++;
    if (this.watchers === 0) return;
    // Without a change there may still be somebody who never heard of the level: it bounced until now.
    if (before === level || before === LEVEL_UNKNOWN) fanOut.observed(this, level);
    else fanOut.driven(this, level, edge);
  }

  /** The chip did not take a direction: what it has now is unknown, and nobody became owner by it. */
  directionRefused(direction: number): void {
    this.direction = -1;
    this.fresh = false;
    if (direction === DIRECTION_OUT) this.disown();
  }

  /** Nobody owns it any more. */
  disown(): void {
    if (this.owner === null) return;
    this.owner.direction = DIRECTION_NONE;
    this.owner = null;
  }

  /** Tells consumers when direction or owner are others than they were told; not while the chip is being asked. */
  announce(): void {
    if (this.directionsPending > 0 || this.making !== null) return;
    if (this.direction === this.#toldDirection && this.owner === this.#toldOwner) return;
    this.#toldDirection = this.direction;
    this.#toldOwner = this.owner;
    if (this.handles.length > 0) fanOut.changed(this);
  }

  // What follows is for FanOut, which says when.

  tellEdge(level: number, edge: Edge): void {
    const { handles } = this;
    for (let i = 0; i < handles.length; i++) {
      const handle = handles[i] as LineHandle;
      if (handle.absence.isOpen) handle.tellFirstEdge(level, edge);
      else if (handle.debounce === null) handle.tellEdge(level, edge);
      else handle.debounceEdge(level, edge);
    }
  }

  tellDriven(level: number, edge: Edge): void {
    const { handles } = this;
    for (let i = 0; i < handles.length; i++) (handles[i] as LineHandle).tellDriven(level, edge);
  }

  tellObserved(level: number): void {
    const { handles } = this;
    let isEdge = false;
    for (let i = 0; i < handles.length; i++) {
      const handle = handles[i] as LineHandle;
      if (!handle.absence.isAwaited) handle.tellObserved(level);
      else if (handle.tellReturn(level)) isEdge = true;
    }
    if (isEdge) this.edges++;
  }

  tellChanged(): void {
    for (const handle of this.handles) handle.consumer.changed?.(handle);
  }
}
