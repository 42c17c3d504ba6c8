import type { CommandVerb } from './command-payload.ts';

/** The topics of one line. */
export interface LineTopics {
  /** `ON` or `OFF`, retained. */
  readonly state: string;
  /** One JSON message an edge. */
  readonly event: string;
  /** `in`, `out`, `none` or `unknown`, retained. */
  readonly direction: string;
  readonly set: string;
  readonly directionSet: string;
  readonly get: string;
  /** The answer to a command that named no response topic. */
  readonly result: string;
}

/** A command's topic, recognised. */
export interface TopicMatch {
  /** Index of the line. */
  readonly line: number;
  readonly verb: CommandVerb;
}

export interface TopicTreeOptions {
  /** One level or several: `rproc-gpio`, `plant/hall-3`. Checked with `topicFault` before. */
  readonly baseTopic: string;
  readonly gateway: string;
  readonly lines: readonly { readonly chip: string; readonly segment: string }[];
  readonly chips: readonly string[];
}

interface ChipTopics {
  readonly status: string;
  readonly diagnostics: string;
  readonly coprocessor: string;
}

/**
 * All topics of a gateway (design.md, MQTT), built once: publishing and receiving look texts up and make none.
 */
export class TopicTree {
  /** `online` or `offline`; also the will. */
  readonly status: string;
  /** Subscriptions that take every command of every line: as few as wildcards allow, and nothing that we publish ourselves. */
  readonly commandFilters: readonly string[];
  readonly #root: string;
  readonly #lines: readonly LineTopics[];
  readonly #commands: ReadonlyMap<string, TopicMatch>;
  readonly #chips: ReadonlyMap<string, ChipTopics>;

  constructor(options: TopicTreeOptions) {
    const root = `${options.baseTopic}/${options.gateway}`;
    this.#root = root;
    this.status = `${root}/status`;
    this.#chips = new Map(
      options.chips.map((chip) => [
        chip,
        {
          status: `${root}/${chip}/status`,
          diagnostics: `${root}/${chip}/diagnostics`,
          coprocessor: `${root}/${chip}/coprocessor`,
        },
      ]),
    );
    this.#lines = options.lines.map(({ chip, segment }) => lineTopics(`${root}/${chip}/${segment}`));
    const commands = new Map<string, TopicMatch>();
    this.#lines.forEach((topics, line) => {
      commands.set(topics.set, { line, verb: 'set' });
      commands.set(topics.directionSet, { line, verb: 'direction/set' });
      commands.set(topics.get, { line, verb: 'get' });
    });
    this.#commands = commands;
    this.commandFilters =
      options.lines.length === 0 ? [] : [`${root}/+/+/set`, `${root}/+/+/direction/set`, `${root}/+/+/get`];
  }

  /** `online` or `offline`, retained: whether the chip's co-processor runs. */
  chipStatus(chip: string): string {
    return this.#chip(chip).status;
  }

  /** Counters of the chip, as JSON, retained. */
  diagnostics(chip: string): string {
    return this.#chip(chip).diagnostics;
  }

  /** What has become of the chip's co-processor, retained: `running`, `restarting`, `stopped`, `failed`. */
  coprocessor(chip: string): string {
    return this.#chip(chip).coprocessor;
  }

  /** The topics of the line with that index. */
  line(index: number): LineTopics {
    const topics = this.#lines[index];
    if (topics === undefined) throw new RangeError(`line ${index} of ${this.#lines.length}`);
    return topics;
  }

  /** Which command of which line is sent to a topic; null when it is none that we know. */
  match(topic: string): TopicMatch | null {
    return this.#commands.get(topic) ?? null;
  }

  #chip(chip: string): ChipTopics {
    const topics = this.#chips.get(chip);
    if (topics === undefined) throw new RangeError(`${this.#root} has no chip ${chip}`);
    return topics;
  }
}

function lineTopics(line: string): LineTopics {
  return {
    state: `${line}/state`,
    event: `${line}/event`,
    direction: `${line}/direction`,
    set: `${line}/set`,
    directionSet: `${line}/direction/set`,
    get: `${line}/get`,
    result: `${line}/result`,
  };
}
