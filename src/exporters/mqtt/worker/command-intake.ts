import { Buffer } from 'node:buffer';
import { MAX_COMMAND_BYTES, parseCommand } from '../command-payload.ts';
import type { TopicPolicy } from '../mqtt-options.ts';
import type { SharedCounters } from '../shared-tables.ts';
import { topicFault } from '../topic-names.ts';
import type { TopicTree } from '../topic-tree.ts';
import type { CommandAnswer, CommandRequest } from '../worker-messages.ts';
import type { Incoming } from './connection.ts';
import { correlationProperty, type EncodedTopic, encodeTopic } from './publish-encoder.ts';
import type { Message } from './publish-stream.ts';

/** Commands that are under way at the lines at a time: in all, and of one line. */
export const MAX_COMMANDS = 2048;
export const MAX_COMMANDS_PER_LINE = 512;
/** Response topic and correlation data together: they are kept while the command is under way. */
const MAX_RESPONSE_BYTES = 1024;

/** A command that waits for its outcome. */
interface Outstanding {
  readonly line: number;
  readonly verb: string;
  readonly responseTopic: string | undefined;
  readonly correlationData: Uint8Array | undefined;
}

export interface CommandIntakeOptions {
  readonly topics: TopicTree;
  readonly lineCount: number;
  /** `<base>/<gateway>/`: where an answer must not go. */
  readonly root: string;
  readonly policy: TopicPolicy;
  readonly counters: SharedCounters;
  /** To the main thread, once a turn of the loop. */
  readonly onCommands: (commands: readonly CommandRequest[]) => void;
  readonly onAnswer: (message: Message) => void;
}

/** Turns messages into commands, within bounds, and outcomes into answers. Each command gets one answer. */
export class CommandIntake {
  readonly #options: CommandIntakeOptions;
  readonly #outstanding = new Map<number, Outstanding>();
  readonly #perLine: Uint16Array;
  readonly #resultTopics: EncodedTopic[] = [];
  #batch: CommandRequest[] = [];
  #nextId = 1;

  constructor(options: CommandIntakeOptions) {
    this.#options = options;
    this.#perLine = new Uint16Array(options.lineCount);
    for (let line = 0; line < options.lineCount; line++) {
      const { qos, retain } = options.policy;
      this.#resultTopics.push(encodeTopic(options.topics.line(line).result, qos, retain));
    }
  }

  /** A message to one of our command topics. Others are none of ours. */
  take(message: Incoming): void {
    const { topics, counters } = this.#options;
    const match = topics.match(message.topic);
    if (match === null) return;
    // What somebody wanted at some time before we connected: to do it now would surprise everybody.
    if (message.isRetained) return counters.add('ignoredRetained');
    counters.add('commands');
    const { line, verb } = match;
    const responseFault = this.#responseFault(message);
    const origin: Outstanding = {
      line,
      verb,
      responseTopic: responseFault === null ? message.responseTopic : undefined,
      // A copy: the original is a part of a far larger buffer, which would be kept with it.
      correlationData:
        responseFault === null && message.correlationData !== undefined
          ? Uint8Array.from(message.correlationData)
          : undefined,
    };
    if (responseFault !== null) return this.#bad(origin, responseFault);
    if (message.payload.length > MAX_COMMAND_BYTES) {
      const { length } = message.payload;
      return this.#bad(origin, `the payload is ${length} bytes long; at most ${MAX_COMMAND_BYTES} are taken`);
    }
    const command = parseCommand(verb, message.payload);
    if ('fault' in command) return this.#bad(origin, command.fault);
    const ofLine = this.#perLine[line] as number;
    if (this.#outstanding.size >= MAX_COMMANDS || ofLine >= MAX_COMMANDS_PER_LINE) {
      counters.add('refusedCommands');
      return this.#answer(origin, false, -1, 'too many commands at once');
    }
    const id = this.#nextId++;
    this.#perLine[line] = ofLine + 1;
    this.#outstanding.set(id, origin);
    if (this.#batch.length === 0) setImmediate(() => this.#flush());
    this.#batch.push({ id, line, command });
  }

  #flush(): void {
    const commands = this.#batch;
    this.#batch = [];
    this.#options.onCommands(commands);
  }

  #responseFault({ responseTopic, correlationData }: Incoming): string | null {
    if (responseTopic === undefined) return null;
    const sizeBytes = Buffer.byteLength(responseTopic) + (correlationData?.length ?? 0);
    if (sizeBytes > MAX_RESPONSE_BYTES) {
      return `response topic and correlation data are ${sizeBytes} bytes long; at most ${MAX_RESPONSE_BYTES} are taken`;
    }
    const fault = topicFault(responseTopic);
    if (fault !== null) return `the response topic ${fault}`;
    // Who may command a line need not be one who may say that the gateway is offline.
    if (responseTopic.startsWith(this.#options.root))
      return `the response topic lies in ${this.#options.root}, whose topics are ours`;
    return null;
  }

  #bad(origin: Outstanding, fault: string): void {
    this.#options.counters.add('badCommands');
    this.#answer(origin, false, -1, fault);
  }

  /** Outcomes of commands, from the main thread. */
  done(answers: readonly CommandAnswer[]): void {
    for (const { id, isOk, level, reason } of answers) {
      const origin = this.#outstanding.get(id);
      if (origin === undefined) continue;
      this.#outstanding.delete(id);
      this.#perLine[origin.line] = (this.#perLine[origin.line] as number) - 1;
      if (!isOk) this.#options.counters.add('refusedCommands');
      this.#answer(origin, isOk, level, reason);
    }
  }

  #answer(origin: Outstanding, isOk: boolean, level: number, reason: string): void {
    const { line, verb, responseTopic, correlationData } = origin;
    const outcome = isOk ? (level < 0 ? {} : { level }) : { reason };
    const payload = JSON.stringify({ command: verb, ok: isOk, ...outcome });
    const isResponse = responseTopic !== undefined;
    const { qos } = this.#options.policy;
    this.#options.onAnswer({
      topic: isResponse ? encodeTopic(responseTopic, qos, false) : (this.#resultTopics[line] as EncodedTopic),
      topicName: responseTopic ?? this.#options.topics.line(line).result,
      payload,
      payloadBytes: Buffer.byteLength(payload),
      properties:
        isResponse && correlationData !== undefined ? correlationProperty(correlationData) : undefined,
      kind: 'answer',
    });
  }
}
