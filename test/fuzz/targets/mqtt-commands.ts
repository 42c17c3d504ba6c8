import { MAX_COMMAND_BYTES, MAX_PULSE_MS } from '../../../src/exporters/mqtt/command-payload.ts';
import { CommandRunner } from '../../../src/exporters/mqtt/command-runner.ts';
import { SharedCounters } from '../../../src/exporters/mqtt/shared-tables.ts';
import { assignSegments, topicFault } from '../../../src/exporters/mqtt/topic-names.ts';
import { TopicTree } from '../../../src/exporters/mqtt/topic-tree.ts';
import { CommandIntake } from '../../../src/exporters/mqtt/worker/command-intake.ts';
import { topicName } from '../../../src/exporters/mqtt/worker/publish-encoder.ts';
import type { Message } from '../../../src/exporters/mqtt/worker/publish-stream.ts';
import type { CommandAnswer } from '../../../src/exporters/mqtt/worker-messages.ts';
import { ChipLines } from '../../../src/gpio/chip-lines.ts';
import { SimulatedChip } from '../../../src/testing/simulated-chip.ts';
import { ByteSource } from '../byte-source.ts';
import { SimulatedClock } from '../simulated-clock.ts';
import { type FuzzTarget, invariant } from '../target.ts';

const BASE = 'rproc-gpio';
const GATEWAY = 'gw';
const ROOT = `${BASE}/${GATEWAY}/`;
const CHIP = 'hub';
/** Lines 0 and 1 are wired to each other, as 2 and 3 are. */
const NAMES = ['LED', 'BUTTON', '__proto__', 'a/b'];
const VERBS = ['set', 'direction/set', 'get'] as const;
const MAX_MESSAGES = 24;

const PAYLOADS = [
  'ON',
  'OFF',
  'toggle',
  '1',
  ' true ',
  '{"value":"ON","durationMs":20}',
  '{"value":0}',
  '{"direction":"in"}',
  'out',
  'none',
  'release',
  '{"__proto__":{"value":1}}',
  '{"value":{"value":1}}',
  '{"constructor":1,"value":1}',
  '{"value":1,"durationMs":1e400}',
] as const;

/** As docs and design say it, written once more and differently: the only payloads that may change a line. */
const LEVEL_WORD = /^(on|off|1|0|true|false|toggle)$/i;
const DIRECTION_WORD = /^(in|out|none|release)$/i;

function isDocumented(verb: string, payload: Uint8Array): boolean {
  if (verb === 'get' || payload.length > MAX_COMMAND_BYTES) return false;
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(payload).trim();
  } catch {
    return false;
  }
  const word = verb === 'set' ? LEVEL_WORD : DIRECTION_WORD;
  if (word.test(text)) return true;
  let object: unknown;
  try {
    object = JSON.parse(text);
  } catch {
    return false;
  }
  if (typeof object !== 'object' || object === null || Array.isArray(object)) return false;
  return isDocumentedObject(verb, object as Record<string, unknown>, word);
}

function isDocumentedObject(verb: string, object: Record<string, unknown>, word: RegExp): boolean {
  const keys = Object.keys(object);
  const main = verb === 'set' ? 'value' : 'direction';
  const allowed = verb === 'set' ? ['value', 'durationMs'] : ['direction'];
  if (!keys.includes(main) || keys.some((key) => !allowed.includes(key))) return false;
  const { [main]: value, durationMs } = object;
  const isTimed = keys.includes('durationMs');
  if (
    isTimed &&
    !(Number.isInteger(durationMs) && Number(durationMs) > 0 && Number(durationMs) <= MAX_PULSE_MS)
  )
    return false;
  const isWord = typeof value === 'string' && word.test(value.trim());
  return isWord || (verb === 'set' && (value === 0 || value === 1 || typeof value === 'boolean'));
}

/** The exporter's way of a command, both threads' parts in one. */
class Gateway {
  readonly chip = new SimulatedChip(CHIP, NAMES.length, NAMES);
  readonly lines = new ChipLines(this.chip);
  readonly counters = new SharedCounters();
  readonly answers: Message[] = [];
  readonly tree: TopicTree;
  readonly intake: CommandIntake;
  readonly runner: CommandRunner;
  readonly commandTopics: readonly string[];

  constructor() {
    const segments = assignSegments(NAMES.map((name, offset) => ({ chip: CHIP, offset, name })));
    this.tree = new TopicTree({
      baseTopic: BASE,
      gateway: GATEWAY,
      chips: [CHIP],
      lines: segments.map((segment) => ({ chip: CHIP, segment })),
    });
    this.commandTopics = segments.flatMap((segment) =>
      VERBS.map((verb) => `${ROOT}${CHIP}/${segment}/${verb}`),
    );
    const consumer = { name: 'MQTT', interrupt: () => {} };
    const handles = NAMES.map((_, offset) => this.lines.open(offset, consumer, offset, {}));
    this.runner = new CommandRunner(handles, (answers: readonly CommandAnswer[]) =>
      this.intake.done(answers),
    );
    this.intake = new CommandIntake({
      topics: this.tree,
      lineCount: NAMES.length,
      root: ROOT,
      policy: { qos: 0, retain: false },
      counters: this.counters,
      onCommands: (commands) => this.runner.run(commands),
      onAnswer: (message) => this.answers.push(message),
    });
  }

  get levels(): string {
    return NAMES.map((_, offset) => this.chip.level(offset)).join('');
  }
}

function counted(counters: SharedCounters) {
  return {
    commands: counters.get('commands'),
    badCommands: counters.get('badCommands'),
    refusedCommands: counters.get('refusedCommands'),
  };
}

interface Sent {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly isRetained: boolean;
  readonly responseTopic: string | undefined;
  readonly correlationData: Uint8Array | undefined;
}

function text(source: ByteSource, limit: number): string {
  // Lone surrogates, too: what a decoder lets through.
  const length = source.below(limit);
  let result = '';
  for (let i = 0; i < length; i++)
    result += String.fromCharCode(source.below(4) === 3 ? source.u16() : source.u8());
  return result;
}

function message(source: ByteSource, gateway: Gateway, isTopics: boolean): Sent {
  let topic = source.pick(gateway.commandTopics);
  if (isTopics) {
    const shape = source.below(8);
    const at = source.below(topic.length + 1);
    if (shape === 1) topic = topic.slice(0, at) + text(source, 4) + topic.slice(at + source.below(3));
    else if (shape === 2) topic = text(source, 60);
    else if (shape === 3)
      topic = `${ROOT}${CHIP}/${source.pick(['__proto__', 'constructor', 'line0', '#', '+'])}/set`;
  }
  const kind = source.below(4);
  const proper: Uint8Array = new TextEncoder().encode(source.pick(PAYLOADS));
  let payload: Uint8Array = proper;
  if (kind === 1) payload = source.bytes(source.below(60));
  else if (kind === 2) {
    payload = Uint8Array.from(proper);
    payload[source.below(payload.length)] = source.u8();
  } else if (kind === 3 && !isTopics) {
    const open = source.pick(['[', '{"value":', '{"a":[', ' ', '\u0000', '{"value":1,"value":']);
    payload = new TextEncoder().encode(open.repeat(source.below(1200)) + source.pick(['', '1', '1}', 'ON']));
  }
  const responds = source.below(4);
  return {
    topic,
    payload,
    isRetained: source.below(16) === 15,
    responseTopic:
      responds === 0
        ? undefined
        : responds === 1
          ? 'answers/here'
          : isTopics
            ? source.pick(['', ROOT, '$SYS/x', 'x/'.repeat(700), 'a/#', '']) + text(source, 12)
            : text(source, 12),
    correlationData: source.below(3) === 0 ? source.bytes(source.below(40)) : undefined,
  };
}

function attack(source: ByteSource, clock: SimulatedClock, isTopics: boolean): string {
  const gateway = new Gateway();
  const { intake, answers, counters, tree } = gateway;
  const outcomes = new Set<string>();
  for (let i = 0; i < MAX_MESSAGES && source.remaining > 0; i++) {
    // Whatever earlier commands left to do is done.
    clock.advance(100);
    const sent = message(source, gateway, isTopics);
    const before = { ...counted(counters), levels: gateway.levels, answers: answers.length };
    intake.take(sent);
    clock.advance(0);
    const after = counted(counters);
    const match = tree.match(sent.topic);
    const verb = VERBS.find((one) => sent.topic.endsWith(`/${one}`)) ?? '';
    const isCommand = gateway.commandTopics.includes(sent.topic) && !sent.isRetained;
    invariant(
      (match !== null) === gateway.commandTopics.includes(sent.topic),
      'a topic that is no command was taken for one',
    );
    const isNew = after.commands - before.commands;
    invariant(isNew === (isCommand ? 1 : 0), () => `counted ${isNew} commands`);
    const given = answers.slice(before.answers);
    invariant(given.length === isNew, () => `${given.length} answers to a command`);
    const isPossible = isCommand && isDocumented(match?.verb ?? '', sent.payload);
    invariant(
      isPossible || gateway.levels === before.levels,
      () => `${verb} with an undocumented payload changed a level`,
    );
    for (const answer of given)
      outcomes.add(judge(answer, sent, gateway, isPossible || match?.verb === 'get'));
    const bad = after.badCommands - before.badCommands;
    invariant(bad === 0 || bad === 1, 'a bad command counted more than once');
    const isOk = given.length > 0 && (JSON.parse(given[0]!.payload) as { ok: boolean }).ok;
    invariant(!isOk || bad === 0, 'a command that was executed is counted as bad');
    const isRefused = after.refusedCommands > before.refusedCommands;
    invariant(given.length === 0 || isOk || bad === 1 || isRefused, 'a refusal is not counted');
  }
  gateway.runner.close();
  clock.advance(MAX_PULSE_MS);
  invariant(clock.pending === 0, 'a timer is left');
  return [...outcomes].sort().slice(0, 3).join(' ');
}

/** @returns what kind of answer it is */
function judge(answer: Message, sent: Sent, gateway: Gateway, isPossible: boolean): string {
  const parsed = JSON.parse(answer.payload) as { ok: boolean; reason?: string; level?: number };
  invariant(
    Buffer.byteLength(answer.payload) === answer.payloadBytes,
    'an answer of another length than it says',
  );
  invariant(answer.payloadBytes < 1024, () => `an answer of ${answer.payloadBytes} bytes`);
  invariant(!/\p{Cc}/u.test(answer.payload), 'an answer with a control character');
  invariant(
    parsed.ok === (parsed.reason === undefined),
    'a refusal without a reason, or a reason without one',
  );
  invariant(!/\p{Cc}|\p{Cf}/u.test(parsed.reason ?? ''), () => `the reason ${JSON.stringify(parsed.reason)}`);
  invariant(!parsed.ok || isPossible, 'an undocumented payload was executed');
  const name = answer.topicName;
  invariant(topicFault(name) === null, () => `answered to the topic ${JSON.stringify(name)}`);
  invariant(topicName(answer.topic) === name, 'answered to another topic than it is said');
  const isResult = gateway.commandTopics.some(
    (topic) => name === topic.replace(/\/(direction\/set|set|get)$/, '/result'),
  );
  invariant(isResult || name === sent.responseTopic, () => `answered to ${name}`);
  invariant(isResult || !name.startsWith(ROOT), () => `answered to ${name}, which is ours`);
  return `${parsed.ok} ${(parsed.reason ?? `level ${parsed.level}`).replaceAll(/"[^"]*"|\d+/g, 'N').slice(0, 40)}`;
}

function target(name: string, what: string, isTopics: boolean): FuzzTarget {
  return {
    name,
    what,
    seeds: () => [
      Uint8Array.from([0, 0, 0, 0, 1, 0, 0, 0, 0, 4, 0, 0, 0, 0, 5, 1, 1, 0, 3, 1, 2, 3]),
      Uint8Array.from([1, 0, 7, 0, 1, 1, 1, 8, 0, 0, 0, 2, 0, 0, 1, 1, 6, 1, 5, 10, 20, 30, 40, 50, 0, 1]),
      Uint8Array.from([0, 3, 0, 0, 200, 3, 2, 9, 65, 66, 67, 0, 1, 0, 0, 1]),
      Uint8Array.from([3, 1, 20, 2, 47, 65, 1, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ],
    run: (input) => {
      const clock = new SimulatedClock();
      const uninstall = clock.install();
      try {
        return attack(new ByteSource(input), clock, isTopics);
      } finally {
        uninstall();
      }
    },
  };
}

export const mqttTopics = target(
  'mqtt-topics',
  'topics, response topics and correlation data of any bytes: one answer a command, none where it must not go',
  true,
);
export const mqttPayloads = target(
  'mqtt-payloads',
  'payloads of any bytes: one answer a command, nothing changes a line but the documented forms',
  false,
);
