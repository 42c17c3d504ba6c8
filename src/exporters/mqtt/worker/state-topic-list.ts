import { diagnosticsPayload } from '../home-assistant.ts';
import type { MqttTopicPolicies } from '../mqtt-options.ts';
import { COPROCESSOR_STATES, type SharedTables } from '../shared-tables.ts';
import type { TopicTree } from '../topic-tree.ts';
import type { WorkerChip, WorkerLine } from '../worker-messages.ts';
import { type EncodedTopic, encodeTopic } from './publish-encoder.ts';

/**
 * All topics of which only the last message counts, by number, in the order in which they are published after a connect:
 * the gateway's status, the chips', levels, directions, diagnostics, co-processors.
 */
export class StateTopicList {
  readonly topics: readonly EncodedTopic[];
  readonly #lines: readonly WorkerLine[];
  readonly #chips: readonly WorkerChip[];
  readonly #tables: SharedTables;
  /** A clean stop: what is there now says goodbye. */
  isEnding = false;

  constructor(
    tree: TopicTree,
    policies: MqttTopicPolicies,
    lines: readonly WorkerLine[],
    chips: readonly WorkerChip[],
    tables: SharedTables,
  ) {
    this.#lines = lines;
    this.#chips = chips;
    this.#tables = tables;
    const { status, state, direction, diagnostics } = policies;
    this.topics = [
      encodeTopic(tree.status, status.qos, status.retain),
      ...chips.map(({ name }) => encodeTopic(tree.chipStatus(name), status.qos, status.retain)),
      ...lines.map((_, line) => encodeTopic(tree.line(line).state, state.qos, state.retain)),
      ...lines.map((_, line) => encodeTopic(tree.line(line).direction, direction.qos, direction.retain)),
      ...chips.map(({ name }) => encodeTopic(tree.diagnostics(name), diagnostics.qos, diagnostics.retain)),
      ...chips.map(({ name }) => encodeTopic(tree.coprocessor(name), status.qos, status.retain)),
    ];
  }

  /** The gateway's, and behind it the chips'. */
  get statusCount(): number {
    return 1 + this.#chips.length;
  }

  chipStatus(chip: number): number {
    return 1 + chip;
  }

  state(line: number): number {
    return this.statusCount + line;
  }

  direction(line: number): number {
    return this.statusCount + this.#lines.length + line;
  }

  diagnostics(chip: number): number {
    return this.statusCount + 2 * this.#lines.length + chip;
  }

  coprocessor(chip: number): number {
    return this.diagnostics(chip) + this.#chips.length;
  }

  /** What the topic says now; null = nothing, as it is not known. */
  payload(topic: number): string | null {
    if (topic < this.statusCount) {
      const isThere = topic === 0 || this.#tables.chipAvailable[topic - 1] === 1;
      return isThere && !this.isEnding ? 'online' : 'offline';
    }
    const line = topic - this.statusCount;
    const count = this.#lines.length;
    if (line < count) {
      const level = this.#tables.levels[line] as number;
      return level < 0 ? null : level === 1 ? 'ON' : 'OFF';
    }
    if (line < 2 * count) return this.#tables.directionText(line - count);
    const chip = line - 2 * count;
    if (chip < this.#chips.length) return this.#diagnostics(chip);
    const state = this.#tables.coprocessorStates[chip - this.#chips.length] as number;
    return COPROCESSOR_STATES[state] || null;
  }

  #diagnostics(chip: number): string {
    const edges = this.#lines.flatMap((line, index) =>
      line.chip === chip ? [{ segment: line.segment, count: this.#tables.edges[index] as number }] : [],
    );
    return diagnosticsPayload({ edges, ambiguousEvents: this.#tables.ambiguousEvents[chip] as number });
  }
}
