import type { Completion, Edge } from '../../src/gpio/chip.ts';
import type { ChipLines } from '../../src/gpio/chip-lines.ts';
import type { LineConsumer, LineHandle } from '../../src/gpio/line-handle.ts';
import type { OpenOptions } from '../../src/gpio/line-settings.ts';

/** Takes the outcomes of operations: `[result, value]`, in the order in which they came. */
export class Outcomes implements Completion {
  readonly list: [result: number, value: number][] = [];

  complete(_token: number, result: number, value: number): void {
    this.list.push([result, value]);
  }

  /** The only outcome since the last time; undefined when there is none yet. */
  take(): [result: number, value: number] | undefined {
    if (this.list.length > 1) throw new Error(`${this.list.length} outcomes, expected one`);
    return this.list.shift();
  }
}

/** A consumer with one line, that counts what it is told. */
export class TestConsumer implements LineConsumer {
  readonly name: string;
  readonly handle: LineHandle;
  readonly outcomes = new Outcomes();
  interrupts = 0;
  disarms = 0;
  readonly edges: { level: number; edge: Edge }[] = [];
  readonly observations: number[] = [];
  /** Levels told, by edges and otherwise, in order: `1` for an edge to 1, `=1` for a level 1 that was read. */
  readonly told: string[] = [];
  /** `direction owner`, as it was when told of a change. */
  readonly changes: string[] = [];
  /** Waits for the next interrupt at once, as a guest that handles it at once. */
  rearms = false;
  onInterrupt: () => void = () => {};
  onEdge: (level: number) => void = () => {};

  constructor(lines: ChipLines, offset: number, name = 'guest', options: OpenOptions = {}) {
    this.name = name;
    this.handle = lines.open(offset, this, 0, options);
  }

  interrupt(handle: LineHandle): void {
    if (handle.interrupt.armed) throw new Error('an interrupt was delivered that is still unmasked');
    this.interrupts++;
    this.onInterrupt();
    if (this.rearms && handle.interrupt.type !== 0) this.arm();
  }

  edge(_handle: LineHandle, level: number, edge: Edge): void {
    const { offset, seq, merged, timestampNs } = edge;
    this.edges.push({ level, edge: { offset, level: edge.level, seq, merged, timestampNs } });
    this.told.push(`${level}`);
    this.onEdge(level);
  }

  observed(_handle: LineHandle, level: number): void {
    this.observations.push(level);
    this.told.push(`=${level}`);
  }

  changed({ line }: LineHandle): void {
    this.changes.push(`${line.directionName} ${line.ownerName ?? '-'}`);
  }

  disarmed(): void {
    this.disarms++;
  }

  /** Unmasks; an interrupt that is due at once counts. */
  arm(): void {
    if (this.handle.arm()) this.interrupts++;
  }

  get levels(): number[] {
    return this.edges.map(({ level }) => level);
  }

  setValue(level: number): this {
    this.handle.setValue(level, this.outcomes, 0);
    return this;
  }
  getValue(): this {
    this.handle.getValue(this.outcomes, 0);
    return this;
  }
  setDirection(direction: number): this {
    this.handle.setDirection(direction, this.outcomes, 0);
    return this;
  }
  getDirection(): this {
    this.handle.getDirection(this.outcomes, 0);
    return this;
  }
  setIrqType(type: number): this {
    this.handle.setIrqType(type, this.outcomes, 0);
    return this;
  }
}
