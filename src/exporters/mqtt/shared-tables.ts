/**
 * What the worker publishes as states, in memory that both threads see: the main thread writes, the worker reads what is
 * there when it publishes, so that the last level wins. A record in the ring says when to look (line-ring.ts); its index
 * store orders these plain stores before it.
 *
 * Counts are float64 elements: one writer each, exact to 2^53, and an aligned one is stored at once by every processor that
 * Node runs on (a torn one would be a wrong number in a status for a moment).
 */

/** Directions in the tables: virtio-gpio's, and -1 for unknown. */
export type DirectionText = 'in' | 'out' | 'none' | 'unknown';
/** States of co-processors in the tables, by their numbers; 0 is a chip without one. */
export const COPROCESSOR_STATES = ['', 'running', 'restarting', 'stopped', 'failed'] as const;
export type CoprocessorState = Exclude<(typeof COPROCESSOR_STATES)[number], ''>;

const DIRECTION_TEXTS: readonly DirectionText[] = ['none', 'out', 'in'];

export class SharedTables {
  readonly memory: SharedArrayBuffer;
  /** Events that could not be told from others, by chip. */
  readonly ambiguousEvents: Float64Array;
  /** Level changes told, by line; also the sequence numbers of events. Modulo 2^32. */
  readonly edges: Uint32Array;
  /** Whether a chip is there, by chip. */
  readonly chipAvailable: Uint8Array;
  /** Of its co-processor, by chip: an index of {@link COPROCESSOR_STATES}. */
  readonly coprocessorStates: Uint8Array;
  /** Logical level by line; -1 = unknown. */
  readonly levels: Int8Array;
  readonly directions: Int8Array;

  constructor(lineCount: number, chipCount: number, memory?: SharedArrayBuffer) {
    const sizeBytes = chipCount * 10 + lineCount * 6;
    this.memory = memory ?? new SharedArrayBuffer(sizeBytes);
    let at = 0;
    const next = (bytes: number): number => {
      at += bytes;
      return at - bytes;
    };
    this.ambiguousEvents = new Float64Array(this.memory, next(chipCount * 8), chipCount);
    this.edges = new Uint32Array(this.memory, next(lineCount * 4), lineCount);
    this.chipAvailable = new Uint8Array(this.memory, next(chipCount), chipCount);
    this.coprocessorStates = new Uint8Array(this.memory, next(chipCount), chipCount);
    this.levels = new Int8Array(this.memory, next(lineCount), lineCount);
    this.directions = new Int8Array(this.memory, next(lineCount), lineCount);
    if (memory === undefined) {
      this.levels.fill(-1);
      this.directions.fill(-1);
    }
  }

  directionText(line: number): DirectionText {
    return DIRECTION_TEXTS[this.directions[line] as number] ?? 'unknown';
  }
}

/** What clients of the embedded broker had too much of: docs/limits.md. */
export const BROKER_LIMITS = [
  'refusedConnections',
  'displacedConnections',
  'silentConnections',
  'stalledConnections',
  'brokenConnections',
  'unreadConnections',
  'unsentMessages',
] as const;
export type BrokerLimit = (typeof BROKER_LIMITS)[number];

/** Counters of the worker, in the order of their elements. */
const COUNTERS = [
  'published',
  'eventsDropped',
  'commands',
  'refusedCommands',
  'badCommands',
  'ignoredRetained',
  'connections',
  /** The broker does not take them (MQTT 5 only: 3.1.1 has no such answer). */
  'refusedPublications',
  /** Events taken from the ring, and of these those that were published or dropped: a crash of the worker loses the difference. */
  'eventsTaken',
  'eventsSettled',
  ...BROKER_LIMITS,
] as const;
export type CounterName = (typeof COUNTERS)[number];

/** Counts that the worker makes and the main thread's status shows. They survive the worker. */
export class SharedCounters {
  readonly memory: SharedArrayBuffer;
  readonly #values: Float64Array;

  constructor(memory?: SharedArrayBuffer) {
    this.memory = memory ?? new SharedArrayBuffer(COUNTERS.length * 8);
    this.#values = new Float64Array(this.memory);
  }

  add(name: CounterName, count = 1): void {
    const at = COUNTERS.indexOf(name);
    this.#values[at] = (this.#values[at] as number) + count;
  }

  get(name: CounterName): number {
    return this.#values[COUNTERS.indexOf(name)] as number;
  }
}
