import { DIRECTION_OUT, type Edge } from '../gpio/chip.ts';
import type { ChipLines } from '../gpio/chip-lines.ts';
import type { Line } from '../gpio/line.ts';
import type { LineConsumer, LineHandle } from '../gpio/line-handle.ts';
import { selectLines } from '../gpio/line-selection.ts';

/** Lines a second that are written before the rest of the second is only counted: a log is for people. */
const MAX_LINES_PER_SECOND = 100;

/** Writes the level changes of lines as gpiomon does: `seconds.nanoseconds<TAB>rising|falling<TAB>"chip/line"`. */
export class LineLog implements LineConsumer {
  readonly name = 'log';
  readonly #write: (text: string) => void;
  readonly #handles: LineHandle[] = [];
  #second = -1;
  #written = 0;
  #dropped = 0;
  /** Runs while there are dropped ones to tell of. */
  #timer: NodeJS.Timeout | null = null;

  /** @param selectors lines to watch; nothing that matches nothing is a fault here */
  constructor(chips: readonly ChipLines[], selectors: readonly string[], write: (text: string) => void) {
    this.#write = write;
    const watched = new Set<Line>();
    for (const selector of selectors) {
      // A chip at a time: names are unique in a chip only.
      for (const { line } of chips.flatMap((chip) => selectLines([chip], [selector], { mayBeEmpty: true }))) {
        if (watched.has(line)) continue;
        watched.add(line);
        this.#handles.push(line.lines.open(line.offset, this, this.#handles.length, { access: 'read' }));
      }
    }
    for (const handle of this.#handles) handle.watch(true);
  }

  interrupt(): void {
    // Watches edges; has no interrupt.
  }

  edge(handle: LineHandle, level: number, edge: Edge): void {
    const { timestampNs } = edge;
    const second = Number(timestampNs / 1_000_000_000n);
    if (second !== this.#second) {
      this.#tellDropped();
      this.#second = second;
      this.#written = 0;
    }
    if (this.#written >= MAX_LINES_PER_SECOND) {
      this.#dropped++;
      // After a burst there may be no further change to tell it with.
      this.#timer ??= setTimeout(() => this.#tellDropped(), 1000);
      return;
    }
    this.#written++;
    const fraction = String(timestampNs % 1_000_000_000n).padStart(9, '0');
    const what = level === 1 ? 'rising' : 'falling';
    const output = handle.line.direction === DIRECTION_OUT ? '\toutput' : '';
    this.#write(`${second}.${fraction}\t${what}\t"${handle.line.path}"${output}\n`);
  }

  #tellDropped(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#dropped === 0) return;
    const changes = this.#dropped === 1 ? 'change was' : 'changes were';
    this.#write(`${this.#dropped} more level ${changes} not logged\n`);
    this.#dropped = 0;
  }

  /** Idempotent. */
  close(): void {
    this.#tellDropped();
    for (const handle of this.#handles.splice(0)) handle.close();
  }
}
