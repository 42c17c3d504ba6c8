import type { Line } from '../../gpio/line.ts';
import type { LineConsumer, LineHandle } from '../../gpio/line-handle.ts';
import { LineOperator } from '../../gpio/line-operator.ts';
import type { EdgeChoice } from '../../wire/control.ts';
import { EdgeText } from '../../wire/control-reply.ts';

/** Takes the edges of a subscription, as text. */
export interface EdgeSink {
  edge(subscription: Subscription, text: string): void;
  ended(subscription: Subscription, reason: string): void;
}

/** One `watch` of one connection. */
export class Subscription {
  readonly id: number;
  readonly sink: EdgeSink;
  readonly lines = new Set<ControlLine>();
  /** The client knows of it: edges may be told. */
  active = false;
  /** Why it ends, once its lines are gone. */
  endReason = 'the lines are gone';
  /** Edges that were not told, and of which it was not told yet. */
  dropped = 0;
  /** The logical level that a wanted edge leads to; -1 = both. */
  readonly #level: number;

  constructor(id: number, sink: EdgeSink, edges: EdgeChoice) {
    this.id = id;
    this.sink = sink;
    this.#level = { both: -1, rising: 1, falling: 0 }[edges];
  }

  wants(level: number): boolean {
    return this.active && (this.#level < 0 || this.#level === level);
  }
}

/** A line that the command line has open: because it owns it, watches it, or asks for something. */
export class ControlLine {
  readonly line: Line;
  readonly handle: LineHandle;
  readonly operator: LineOperator;
  readonly text: EdgeText;
  /** Replaced, never changed: an edge may end one. */
  subscriptions: readonly Subscription[] = [];
  /** Operations under way. */
  operations = 0;
  /** Of the last edge told; goes on from the line's own count, so that a gap is a drop whatever was debounced. */
  seq: number;

  constructor(line: Line, handle: LineHandle) {
    this.line = line;
    this.handle = handle;
    this.operator = new LineOperator(handle);
    this.text = new EdgeText(line.lines.name, line.offset, line.name);
    this.seq = line.edges;
  }

  get isIdle(): boolean {
    return this.operations === 0 && this.subscriptions.length === 0 && this.line.owner !== this.handle;
  }
}

/**
 * The lines that the command line has open: each while it is needed and no longer, as a watched line costs power, and an open
 * one counts as used.
 */
export class ControlLines {
  readonly #consumer: LineConsumer;
  readonly #access: 'read' | 'write';
  readonly #byLine = new Map<Line, ControlLine>();
  /** By the number that their handles carry. */
  readonly #slots: (ControlLine | null)[] = [];
  readonly #free: number[] = [];

  constructor(consumer: LineConsumer, access: 'read' | 'write') {
    this.#consumer = consumer;
    this.#access = access;
  }

  /** How many are open. */
  get size(): number {
    return this.#byLine.size;
  }

  /** The line of a handle; null when it was closed. */
  of(handle: LineHandle): ControlLine | null {
    const line = this.#slots[handle.index];
    return line?.handle === handle ? line : null;
  }

  #open(line: Line): ControlLine {
    const there = this.#byLine.get(line);
    if (there !== undefined) return there;
    const index = this.#free.pop() ?? this.#slots.length;
    const handle = line.lines.open(line.offset, this.#consumer, index, { access: this.#access });
    const opened = new ControlLine(line, handle);
    this.#byLine.set(line, opened);
    this.#slots[index] = opened;
    return opened;
  }

  /** Opens a line for an operation; {@link end} closes it if nothing else needs it. */
  begin(line: Line): ControlLine {
    const opened = this.#open(line);
    opened.operations++;
    return opened;
  }

  end(line: ControlLine): void {
    line.operations--;
    this.tidy(line);
  }

  subscribe(subscription: Subscription, line: Line): void {
    const opened = this.#open(line);
    if (subscription.lines.has(opened)) return;
    subscription.lines.add(opened);
    opened.subscriptions = [...opened.subscriptions, subscription];
    opened.handle.watch(true);
  }

  unsubscribe(subscription: Subscription): void {
    subscription.active = false;
    for (const line of subscription.lines) this.#unsubscribe(subscription, line);
  }

  #unsubscribe(subscription: Subscription, line: ControlLine): void {
    subscription.lines.delete(line);
    line.subscriptions = line.subscriptions.filter((other) => other !== subscription);
    if (line.subscriptions.length === 0) line.handle.watch(false);
    this.tidy(line);
  }

  /** Closes a line that nothing needs any more. */
  tidy(line: ControlLine): void {
    if (line.isIdle) this.#close(line);
  }

  #close(line: ControlLine): void {
    const { index } = line.handle;
    if (this.#slots[index] !== line) return;
    this.#slots[index] = null;
    this.#free.push(index);
    this.#byLine.delete(line.line);
    // In this order: what ends a pulse needs the handle.
    line.operator.close();
    line.handle.close();
  }

  /** Closes lines whatever they are needed for; their subscriptions end with the last of them. */
  drop(isGone: (line: Line) => boolean, reason: (line: Line) => string): void {
    for (const line of [...this.#byLine.values()]) {
      if (!isGone(line.line)) continue;
      const { subscriptions } = line;
      line.subscriptions = [];
      this.#close(line);
      for (const subscription of subscriptions) {
        subscription.lines.delete(line);
        if (subscription.lines.size === 0) subscription.sink.ended(subscription, reason(line.line));
      }
    }
  }
}
