import {
  type Chip,
  type ChipListener,
  type Completion,
  DIRECTION_IN,
  DIRECTION_NONE,
  DIRECTION_OUT,
  type Edge,
  IRQ_BOTH,
  IRQ_NONE,
  RESULT_BUSY,
  RESULT_INVALID,
  RESULT_OK,
  RESULT_UNAVAILABLE,
} from '../gpio/chip.ts';
import { type ChipInfo, LINE_FLAG_OUTPUT } from '../wire/gpio-uapi.ts';
import { type GpioKernel, RUNNING_KERNEL } from './gpio-kernel.ts';
import { HeldLine } from './held-line.ts';
import { chipInfo, codeOf, introduce, lineInfo } from './introduction.ts';
import { LineEvents } from './line-events.ts';
import { refusalOf } from './refusal.ts';

/** Where messages go; what to do with them is the caller's choice. */
export type GpiochipLog = (level: 'debug' | 'info' | 'warn' | 'error', message: string) => void;

export interface GpiochipOptions {
  /** The chip's name in the configuration. */
  readonly name: string;
  /** The character device: `/dev/gpiochip0`. */
  readonly path: string;
  /** Hears why the kernel refused something, and who uses a line that is busy. */
  readonly onLog?: GpiochipLog;
  /** For tests. */
  readonly kernel?: GpioKernel;
}

/** What a line cannot do as it is now; nobody's fault, so nothing to log. */
class InvalidUse extends Error {}

/** No level kept. */
const NONE_KEPT = -1;

/**
 * A chip of this host's own, by the GPIO character device (wire/gpio-uapi.ts; docs/gpiochip.md). Everything but edges is an
 * ioctl, answered in the same turn. A line is taken from the kernel when somebody uses it and given back when nobody does.
 */
export class GpiochipChip implements Chip {
  readonly name: string;
  readonly blocks = true;
  readonly label: string;
  readonly lineCount: number;
  readonly streamsLevels = true;
  available = true;
  readonly #path: string;
  readonly #fd: number;
  readonly #kernel: GpioKernel;
  readonly #onLog: GpiochipLog;
  readonly #names: readonly string[];
  /** By offset; undefined while the kernel has the line. */
  readonly #held: (HeldLine | undefined)[];
  /** Levels that were set before the line was an output, for when it becomes one; {@link NONE_KEPT} otherwise. */
  readonly #kept: Int8Array;
  readonly #events: LineEvents;
  /** The last complaint about each line: a guest that tries again and again fills no log. */
  readonly #complaints = new Map<number, string>();
  readonly #watches: { close(): void }[] = [];
  #listener: ChipListener | null = null;
  readonly #sink = (edge: Edge): void => this.#listener?.edge(edge);
  readonly #readable = (line: HeldLine, status: number): void => {
    const end = status < 0 ? status : this.#events.read(line, this.#sink);
    if (end < 0)
      this.#lost(`the kernel has ended the edges of line ${line.offset} of ${this.#path} (errno ${-end})`);
  };

  /**
   * Opens a chip; no line is taken by that.
   * @throws GpiochipError
   */
  static open(options: GpiochipOptions): GpiochipChip {
    const kernel = options.kernel ?? RUNNING_KERNEL;
    const fd = kernel.open(options.path);
    try {
      const { info, names } = introduce(kernel, fd, options.path);
      return new GpiochipChip(options, kernel, fd, info, names);
    } catch (error) {
      kernel.close(fd);
      throw error;
    }
  }

  private constructor(
    options: GpiochipOptions,
    kernel: GpioKernel,
    fd: number,
    info: ChipInfo,
    names: readonly string[],
  ) {
    this.name = options.name;
    this.#path = options.path;
    this.#kernel = kernel;
    this.#onLog = options.onLog ?? (() => {});
    this.#fd = fd;
    this.label = `${info.label === '' ? info.name : info.label} on ${options.path}`;
    this.lineCount = names.length;
    this.#names = names;
    this.#held = new Array(names.length).fill(undefined);
    this.#kept = new Int8Array(names.length).fill(NONE_KEPT);
    this.#events = new LineEvents(kernel);
    this.#watchForRemoval();
  }

  /** Counters for people and tests. */
  get counters(): Readonly<Record<string, number>> {
    return {
      droppedEvents: this.#events.dropped,
      malformedEvents: this.#events.malformed,
      heldLines: this.#held.reduce((count, line) => count + (line === undefined ? 0 : 1), 0),
    };
  }

  lineName(offset: number): string {
    return this.#names[offset] ?? '';
  }

  listen(listener: ChipListener): void {
    this.#listener = listener;
  }

  /** As the kernel sees it: it knows no line without a direction. */
  getDirection(offset: number, done: Completion, token: number): void {
    this.#run(offset, done, token, () => {
      const { flags } = lineInfo(this.#kernel, this.#fd, offset);
      return (flags & LINE_FLAG_OUTPUT) === 0n ? DIRECTION_IN : DIRECTION_OUT;
    });
  }

  setDirection(offset: number, direction: number, done: Completion, token: number): void {
    const kept = this.#kept[offset] as number;
    this.#kept[offset] = NONE_KEPT;
    this.#run(offset, done, token, () => {
      if (direction === DIRECTION_NONE) this.#release(offset);
      else if (direction === DIRECTION_OUT) this.#makeOutput(offset, kept);
      else this.#makeInput(offset);
      return 0;
    });
  }

  #makeInput(offset: number): void {
    let line = this.#held[offset];
    if (line === undefined) line = this.#hold(HeldLine.input(this.#kernel, this.#fd, offset));
    else if (line.direction !== DIRECTION_IN) line.makeInput();
    line.claimed = true;
  }

  /** The uAPI takes direction and level at once. Without a level the line goes on with the one that it has. */
  #makeOutput(offset: number, kept: number): void {
    let line = this.#held[offset];
    if (line?.direction === DIRECTION_OUT) {
      if (kept !== NONE_KEPT) line.setLevel(kept);
      return;
    }
    const level = kept === NONE_KEPT ? this.#level(offset) : kept;
    if (line === undefined) line = this.#hold(HeldLine.output(this.#kernel, this.#fd, offset, level));
    else line.makeOutput(level);
    line.claimed = true;
  }

  getValue(offset: number, done: Completion, token: number): void {
    this.#run(offset, done, token, () => this.#level(offset));
  }

  /** A line that nobody uses is taken for this one read, as it is: it stays free for others. */
  #level(offset: number): number {
    const held = this.#held[offset];
    if (held !== undefined) return held.getLevel();
    const line = HeldLine.asIs(this.#kernel, this.#fd, offset);
    this.#complaints.delete(offset);
    try {
      return line.getLevel();
    } finally {
      line.close();
    }
  }

  /** Of an output; for any other line the level is kept until it becomes one, in the same step with that. */
  setValue(offset: number, level: number, done: Completion, token: number): void {
    this.#run(offset, done, token, () => {
      const line = this.#held[offset];
      if (line?.direction === DIRECTION_OUT) line.setLevel(level);
      else if (line === undefined && this.#isForeignOutput(offset)) this.#makeOutput(offset, level);
      else this.#kept[offset] = level;
      return 0;
    });
  }

  /** An output of which nobody has hold: left so by the boot loader, or by a consumer that has gone. */
  #isForeignOutput(offset: number): boolean {
    const { flags } = lineInfo(this.#kernel, this.#fd, offset);
    return (flags & LINE_FLAG_OUTPUT) !== 0n;
  }

  /** Edges only: level interrupts are derived from them (gpio/line.ts). A subscription holds the line, as an input. */
  setIrqType(offset: number, type: number, done: Completion, token: number): void {
    if (type > IRQ_BOTH) return done.complete(token, RESULT_INVALID, 0);
    const line = this.#held[offset];
    // To subscribe makes no input of an output, whoever drives it.
    if (type !== IRQ_NONE && line?.direction === DIRECTION_OUT)
      return done.complete(token, RESULT_INVALID, 0);
    this.#run(offset, done, token, () => {
      if (type === IRQ_NONE) this.#unsubscribe(offset);
      else this.#subscribe(offset, type);
      return 0;
    });
  }

  #subscribe(offset: number, type: number): void {
    const held = this.#held[offset];
    if (held !== undefined) {
      held.subscribe(type, this.#readable);
      return;
    }
    if (this.#isForeignOutput(offset)) throw new InvalidUse('the line is an output');
    const line = this.#hold(HeldLine.input(this.#kernel, this.#fd, offset));
    try {
      line.subscribe(type, this.#readable);
    } catch (error) {
      this.#release(offset);
      throw error;
    }
  }

  #unsubscribe(offset: number): void {
    const line = this.#held[offset];
    if (line?.claimed) line.endSubscription();
    else this.#release(offset);
  }

  flush(): void {
    // Nothing is on its way: every operation was answered in its own call.
  }

  #hold(line: HeldLine): HeldLine {
    this.#held[line.offset] = line;
    return line;
  }

  #release(offset: number): void {
    this.#held[offset]?.close();
    this.#held[offset] = undefined;
  }

  /** Runs an operation and completes it with the value that it returns, or with what its Error means. */
  #run(offset: number, done: Completion, token: number, operation: () => number): void {
    if (!this.available) return done.complete(token, RESULT_UNAVAILABLE, 0);
    let value: number;
    try {
      value = operation();
    } catch (error) {
      const result = this.#refused(offset, error);
      done.complete(token, result, 0);
      if (result === RESULT_UNAVAILABLE) this.#lost(`the kernel has removed ${this.#path}`);
      return;
    }
    // Not for a line that the kernel has: to keep a level for it, or to ask for its direction, is no use of it.
    if (this.#held[offset] !== undefined) this.#complaints.delete(offset);
    done.complete(token, RESULT_OK, value);
  }

  /** Says why, once; returns the result. */
  #refused(offset: number, error: unknown): number {
    if (error instanceof InvalidUse) return RESULT_INVALID;
    const { result, remedy } = refusalOf(codeOf(error), this.#path, () => this.#userOf(offset));
    const line = this.lineName(offset) === '' ? `#${offset}` : this.lineName(offset);
    const message = `${this.name}/${line} (line ${offset} of ${this.#path}): ${(error as Error).message}: ${remedy}`;
    if (this.#complaints.get(offset) !== message)
      this.#onLog(result === RESULT_BUSY ? 'warn' : 'error', message);
    this.#complaints.set(offset, message);
    return result;
  }

  /** Who has the line, '' when that cannot be told. */
  #userOf(offset: number): string {
    try {
      return lineInfo(this.#kernel, this.#fd, offset).consumer;
    } catch {
      return '';
    }
  }

  /**
   * Kernels since 6.6 wake those who poll a chip that goes away. Older ones do not, but the device file goes with the chip,
   * and who watches the file is told of that.
   */
  #watchForRemoval(): void {
    try {
      const poll = this.#kernel.poll(this.#fd, () => {
        // There is nothing to read from a chip: once is enough.
        poll.close();
        this.#look();
      });
      this.#watches.push(poll);
      this.#watches.push(this.#kernel.watch(this.#path, () => this.#look()));
    } catch (error) {
      this.#onLog(
        'warn',
        `chip ${this.name}: ${this.#path} cannot be watched (${(error as Error).message}): should the chip be removed, that may be noticed with the next operation only`,
      );
    }
  }

  /** Is the chip still there? */
  #look(): void {
    if (!this.available) return;
    try {
      chipInfo(this.#kernel, this.#fd);
    } catch (error) {
      if (codeOf(error) === 'ENODEV') this.#lost(`the kernel has removed ${this.#path}`);
    }
  }

  #lost(reason: string): void {
    if (!this.available) return;
    this.#end();
    this.#listener?.availability(false, reason);
  }

  /** Gives all lines and descriptors back. */
  #end(): void {
    this.available = false;
    for (const watch of this.#watches) watch.close();
    for (let offset = 0; offset < this.lineCount; offset++) this.#release(offset);
    this.#kernel.close(this.#fd);
  }

  /** Gives the lines back to the kernel: what an output does then is the driver's choice. Idempotent. */
  close(): void {
    this.#listener = null;
    if (this.available) this.#end();
  }
}
