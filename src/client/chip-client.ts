import type { ChipInfo, LineInfo, LineOutcome } from '../wire/control.ts';
import type { Client } from './client.ts';
import { ControlError } from './control-error.ts';
import type { EdgeOptions, EdgeStream } from './edge-stream.ts';

/** The only outcome of a call for one line. @throws ControlError when it is not ok */
function only(outcomes: readonly LineOutcome[]): LineOutcome {
  const [outcome] = outcomes;
  if (outcome === undefined) throw new ControlError('ERR_PROTOCOL', 'the service told no outcome');
  if (outcome.ok) return outcome;
  throw new ControlError(outcome.code ?? 'ERR_FAILED', `${outcome.line}: ${outcome.reason ?? 'it failed'}`);
}

function levelOf({ line, level }: LineOutcome): 0 | 1 {
  if (level === null) throw new ControlError('ERR_FAILED', `${line}: the service told no level`);
  return level;
}

/** One line. Levels are logical: 1 is active. What is refused rejects with ControlError. */
export class LineClient {
  /** As the service is asked: `NAME`, `CHIP/NAME` or `CHIP/#OFFSET`. */
  readonly reference: string;
  readonly #client: Client;

  constructor(client: Client, reference: string) {
    this.#client = client;
    this.reference = reference;
  }

  async info(): Promise<LineInfo> {
    const [info] = await this.#client.lines([this.reference]);
    if (info === undefined) throw new ControlError('ERR_PROTOCOL', 'the service told of no line');
    return info;
  }

  async get(): Promise<0 | 1> {
    return levelOf(only(await this.#client.get([this.reference])));
  }

  /** Makes it an output if it is none; the service holds it until {@link release}. */
  async set(level: 0 | 1): Promise<void> {
    only(await this.#client.set([{ line: this.reference, level }]));
  }

  /** @returns the level that it has now */
  async toggle(): Promise<0 | 1> {
    return levelOf(only(await this.#client.toggle([this.reference])));
  }

  /** Sets the level and, `durationMs` later, the other one. Resolves when it has begun. */
  async pulse(level: 0 | 1, durationMs: number): Promise<void> {
    only(await this.#client.pulse([this.reference], level, durationMs));
  }

  async setDirection(direction: 'in' | 'out' | 'none'): Promise<void> {
    only(await this.#client.setDirection([this.reference], direction));
  }

  /** Gives an output up. */
  async release(): Promise<void> {
    only(await this.#client.release([this.reference]));
  }

  /** Its level changes. */
  edges(options?: EdgeOptions): EdgeStream {
    return this.#client.edges([this.reference], options);
  }
}

/** One chip. */
export class ChipClient {
  readonly name: string;
  readonly #client: Client;
  readonly #edges: (options?: EdgeOptions) => EdgeStream;

  constructor(client: Client, name: string, edges: (options?: EdgeOptions) => EdgeStream) {
    this.#client = client;
    this.name = name;
    this.#edges = edges;
  }

  async info(): Promise<ChipInfo> {
    const chips = await this.#client.chips();
    const info = chips.find(({ name }) => name === this.name);
    if (info !== undefined) return info;
    const names = chips.map(({ name }) => name).join(', ') || 'none';
    throw new ControlError('ERR_LINE', `there is no chip '${this.name}'; chips are ${names}`);
  }

  lines(): Promise<readonly LineInfo[]> {
    return this.#client.lines(this.name);
  }

  /** A line by name or by offset. Nothing is asked yet. */
  line(nameOrOffset: string | number): LineClient {
    const name = typeof nameOrOffset === 'number' ? `#${nameOrOffset}` : nameOrOffset;
    return new LineClient(this.#client, `${this.name}/${name}`);
  }

  /** Level changes of all its lines. */
  edges(options?: EdgeOptions): EdgeStream {
    return this.#edges(options);
  }
}
