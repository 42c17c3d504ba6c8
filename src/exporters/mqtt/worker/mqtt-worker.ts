import { Buffer } from 'node:buffer';
import { type DiscoveryMessage, discoveryMessages } from '../home-assistant.ts';
import { INDEX_MASK, KIND_MASK, KIND_SHIFT, RECORD_CHIP, RECORD_EDGE, RingReader } from '../line-ring.ts';
import { SharedCounters, SharedTables } from '../shared-tables.ts';
import { TopicTree } from '../topic-tree.ts';
import type { CommandAnswer, FromWorker, Log, WorkerData } from '../worker-messages.ts';
import { BrokerLink } from './broker-link.ts';
import { CommandIntake } from './command-intake.ts';
import type { Connection, Incoming } from './connection.ts';
import { DiagnosticsPace } from './diagnostics-pace.ts';
import { EventQueue } from './event-queue.ts';
import { encodeTopic } from './publish-encoder.ts';
import type { Message } from './publish-stream.ts';
import { Publisher } from './publisher.ts';
import { RingWatch } from './ring-watch.ts';
import { StateTopicList } from './state-topic-list.ts';
import { StateTopics } from './state-topics.ts';

/** A stop takes two seconds at most: so long for what waits, and so long for saying that we are offline. */
const FLUSH_MS = 800;
const GOODBYE_MS = 600;
/** Discovery payloads are read by Home Assistant when it starts: kept by the broker, and not lost. */
const ANNOUNCEMENT_QOS = 1;

/** Everything of the exporter that speaks MQTT. Runs in a thread of its own, so that guests do not wait for it. */
export class MqttWorker {
  readonly #data: WorkerData;
  readonly #log: Log;
  readonly #counters: SharedCounters;
  readonly #tree: TopicTree;
  readonly #list: StateTopicList;
  readonly #states: StateTopics;
  readonly #events: EventQueue;
  readonly #publisher: Publisher;
  readonly #commands: CommandIntake;
  readonly #pace: DiagnosticsPace;
  readonly #watch: RingWatch;
  readonly #link: BrokerLink;
  readonly #discovery: readonly Message[];
  /** Home Assistant's own status; null without it. */
  readonly #birthTopic: string | null;

  constructor(data: WorkerData, brokerUrl: URL, post: (message: FromWorker) => void) {
    this.#data = data;
    this.#log = (level, message) => post({ kind: 'log', level, message });
    const { options, lines, chips } = data;
    const { baseTopic, gateway, topics, homeAssistant } = options;
    const tables = new SharedTables(lines.length, chips.length, data.tables);
    this.#counters = new SharedCounters(data.counters);
    this.#tree = new TopicTree({
      baseTopic,
      gateway,
      chips: chips.map(({ name }) => name),
      lines: lines.map(({ chip, segment }) => ({ chip: chips[chip]?.name ?? '', segment })),
    });
    this.#list = new StateTopicList(this.#tree, topics, lines, chips, tables);
    this.#states = new StateTopics(this.#list.topics.length);
    this.#events = new EventQueue(options.eventQueueLimit);
    this.#publisher = new Publisher({
      stateTopics: this.#list.topics,
      statePayload: (topic) => this.#list.payload(topic),
      eventTopics: lines.map((_, line) =>
        encodeTopic(this.#tree.line(line).event, topics.event.qos, topics.event.retain),
      ),
      states: this.#states,
      events: this.#events,
      counters: this.#counters,
      onRefused: (reason) => this.#log('warn', reason),
    });
    this.#commands = new CommandIntake({
      topics: this.#tree,
      lineCount: lines.length,
      root: `${baseTopic}/${gateway}/`,
      policy: topics.result,
      counters: this.#counters,
      onCommands: (commands) => post({ kind: 'commands', commands }),
      onAnswer: (message) => this.#publisher.answer(message),
    });
    this.#pace = new DiagnosticsPace(chips.length, (chip) => {
      this.#states.mark(this.#list.diagnostics(chip));
      this.#publisher.schedule();
    });
    this.#watch = new RingWatch(
      new RingReader(data.ring),
      (what, seq, timeNs) => this.#record(what, seq, timeNs),
      (edges, isLapped) => this.#recorded(edges, isLapped),
    );
    this.#birthTopic = homeAssistant === undefined ? null : `${homeAssistant.discoveryPrefix}/status`;
    this.#discovery = this.#discoveryMessages().map(announcement);
    this.#link = new BrokerLink(
      options,
      brokerUrl,
      this.#tree.status,
      {
        connected: (connection) => this.#connected(connection),
        disconnected: () => this.#publisher.disconnected(),
        message: (message) => this.#message(message),
        received: (packetId, reasonCode) => this.#publisher.received(packetId, reasonCode),
        confirmed: (packetId, reasonCode) => this.#publisher.confirmed(packetId, reasonCode),
        state: (connected, reason) => post({ kind: 'connection', connected, reason }),
      },
      this.#log,
    );
  }

  start(): void {
    this.#watch.look();
    this.#link.start();
  }

  /** There is something in the ring. */
  wake(): void {
    this.#watch.wake();
  }

  answers(answers: readonly CommandAnswer[]): void {
    this.#commands.done(answers);
  }

  #discoveryMessages(): DiscoveryMessage[] {
    const { options, version, lines, chips } = this.#data;
    if (options.homeAssistant === undefined) return [];
    return discoveryMessages({
      prefix: options.homeAssistant.discoveryPrefix,
      gateway: options.gateway,
      version,
      topics: this.#tree,
      chips,
      lines: lines.map((line) => ({ ...line, chip: chips[line.chip]?.name ?? '' })),
    });
  }

  #record(what: number, seq: number, timeNs: number): void {
    const index = what & INDEX_MASK;
    const kind = (what >>> KIND_SHIFT) & KIND_MASK;
    if (kind === RECORD_CHIP) {
      this.#states.mark(this.#list.coprocessor(index));
      return this.#states.mark(this.#list.chipStatus(index));
    }
    this.#states.mark(this.#list.state(index));
    if (kind === RECORD_EDGE) {
      this.#pace.changed(this.#data.lines[index]?.chip ?? 0);
      if (this.#events.push(what, seq, timeNs)) return;
      this.#counters.add('eventsDropped');
      this.#counters.add('eventsSettled');
    } else this.#states.mark(this.#list.direction(index));
  }

  #recorded(edges: number, isLapped: boolean): void {
    this.#counters.add('eventsTaken', edges);
    // Whatever the lost records said is in the tables.
    if (isLapped) for (let topic = 1; topic < this.#states.count; topic++) this.#states.mark(topic);
    this.#publisher.pump();
  }

  #connected(connection: Connection): void {
    this.#counters.add('connections');
    const { commandQos } = this.#data.options.topics;
    const filters = [...this.#tree.commandFilters];
    if (this.#birthTopic !== null) filters.push(this.#birthTopic);
    connection.subscribe(filters, commandQos, (filter) => {
      this.#log('warn', `the broker refuses the subscription to ${filter}: see its access rules`);
    });
    this.#pace.told();
    this.#publisher.connected(connection);
    this.#announce();
  }

  #announce(): void {
    this.#publisher.announce(this.#discovery);
    this.#publisher.schedule();
  }

  #message(message: Incoming): void {
    if (message.topic !== this.#birthTopic) return this.#commands.take(message);
    // A retained one is older than our connection, and so than what we have just announced.
    if (message.isRetained || Buffer.from(message.payload).toString('latin1') !== 'online') return;
    this.#states.repeat();
    this.#announce();
  }

  /** Publishes what there is, says goodbye, disconnects. */
  async close(): Promise<void> {
    this.#watch.look();
    this.#watch.close();
    this.#pace.close();
    this.#link.stop();
    await this.#publisher.until(() => this.#publisher.isIdle, FLUSH_MS);
    this.#states.clear();
    this.#list.isEnding = true;
    this.#publisher.isEnding = true;
    for (let topic = 0; topic < this.#list.statusCount; topic++) this.#states.mark(topic);
    this.#publisher.pump();
    await this.#publisher.until(() => this.#isGoodbyeSaid(), GOODBYE_MS);
    await new Promise<void>((resolve) => this.#link.close(resolve));
  }

  #isGoodbyeSaid(): boolean {
    for (let topic = 0; topic < this.#list.statusCount; topic++) {
      if (this.#states.isPending(topic)) return false;
    }
    return true;
  }
}

function announcement({ topic, payload }: DiscoveryMessage): Message {
  return {
    topic: encodeTopic(topic, ANNOUNCEMENT_QOS, true),
    topicName: topic,
    payload,
    payloadBytes: Buffer.byteLength(payload),
    kind: 'announcement',
  };
}
