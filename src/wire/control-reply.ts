/** What a service says in the control protocol (docs/control.md): greeting, replies, edges. ASCII only, so that bytes are characters. */
import {
  CONTROL_PROTOCOL,
  CONTROL_SERVICE,
  type ControlFailure,
  type Greeting,
  type LineEdge,
} from './control.ts';
import {
  anyCount,
  type Check,
  fields,
  flag,
  isObject,
  list,
  oneOf,
  orNull,
  sentence,
  shown,
  text,
  wrong,
} from './control-fields.ts';
import { ControlFault } from './control-request.ts';

/** One message of a service, told apart by its `kind`. */
export type ControlReply =
  | ({ readonly kind: 'greeting' } & Greeting)
  /** The result is as it came: {@link decodeResult} checks it. */
  | { readonly kind: 'result'; readonly id: number; readonly result: unknown }
  /** Without an id it is about the connection, which ends. */
  | { readonly kind: 'error'; readonly id: number | null; readonly error: ControlFailure }
  | { readonly kind: 'edges'; readonly subscription: number; readonly edges: readonly LineEdge[] }
  | { readonly kind: 'dropped'; readonly subscription: number; readonly dropped: number }
  /** The subscription is over: its lines are gone. */
  | { readonly kind: 'ended'; readonly subscription: number; readonly ended: string };

/** Beyond ASCII: escaped, as JSON allows everywhere where these can stand. */
const NOT_ASCII = /[\u007f-\uffff]/g;

function ascii(json: string): string {
  return json.replace(NOT_ASCII, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

export function encodeGreeting(version: string): string {
  return `${ascii(JSON.stringify({ service: CONTROL_SERVICE, protocol: CONTROL_PROTOCOL, version }))}\n`;
}

export function encodeResult(id: number, result: unknown): string {
  return encodeResultText(id, encodeValue(result));
}

/** A value as it stands in messages. */
export function encodeValue(value: unknown): string {
  return ascii(JSON.stringify(value));
}

/** @param text as {@link encodeValue} makes it, maybe of many values one after the other */
export function encodeResultText(id: number, text: string): string {
  return `{"id":${id},"result":${text}}\n`;
}

export function encodeError(id: number | null, { code, message }: ControlFailure): string {
  return `${ascii(JSON.stringify({ id, error: { code, message } }))}\n`;
}

export function encodeDropped(subscription: number, dropped: number): string {
  return `{"subscription":${subscription},"dropped":${dropped}}\n`;
}

export function encodeEnded(subscription: number, reason: string): string {
  return `{"subscription":${subscription},"ended":${ascii(JSON.stringify(reason))}}\n`;
}

/** Before the edges of a batch, which are separated by commas, and behind them. */
export function edgesBegin(subscription: number): string {
  return `{"subscription":${subscription},"edges":[`;
}
export const EDGES_END = ']}\n';

/**
 * Writes the edges of one line. What is the same for all of them is made once, as there may be hundreds of thousands of edges a
 * second.
 */
export class EdgeText {
  readonly #rising: string;
  readonly #falling: string;

  constructor(chip: string, offset: number, name: string) {
    const line = ascii(JSON.stringify({ chip, offset, name })).slice(0, -1);
    this.#rising = `${line},"edge":"rising","level":1,"seq":`;
    this.#falling = `${line},"edge":"falling","level":0,"seq":`;
  }

  /** @param level the logical one, after the edge */
  encode(level: number, seq: number, timestampNs: bigint, merged: boolean, isOutput: boolean): string {
    const begin = (level === 1 ? this.#rising : this.#falling) + seq;
    const end = isOutput ? '"direction":"out"}' : '"direction":"in"}';
    return `${begin},"timestampNs":"${timestampNs}",${merged ? '"merged":true,' : ''}${end}`;
  }
}

const DECIMAL = /^\d{1,20}$/;
const decimal: Check = (value) =>
  typeof value === 'string' && DECIMAL.test(value) ? null : wrong(value, 'up to 20 digits');
const code: Check = (value) =>
  typeof value === 'string' && value.startsWith('ERR_') ? null : wrong(value, 'a code like "ERR_LINE"');

const slowEdge = fields(
  {
    chip: text,
    offset: anyCount,
    name: text,
    edge: oneOf('rising', 'falling'),
    level: oneOf(0, 1),
    seq: anyCount,
    timestampNs: decimal,
    direction: oneOf('in', 'out'),
  },
  { merged: flag },
);
/** The same as {@link slowEdge}, which then says what is wrong: of hundreds of thousands a second nothing is. */
function isEdge(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { chip, offset, name, edge: kind, level, seq, timestampNs, merged, direction } = value as LineEdge;
  return (
    typeof chip === 'string' &&
    Number.isSafeInteger(offset) &&
    offset >= 0 &&
    typeof name === 'string' &&
    (kind === 'rising' || kind === 'falling') &&
    (level === 0 || level === 1) &&
    Number.isSafeInteger(seq) &&
    seq >= 0 &&
    typeof timestampNs === 'string' &&
    DECIMAL.test(timestampNs) &&
    (merged === undefined || typeof merged === 'boolean') &&
    (direction === 'in' || direction === 'out')
  );
}
const edge: Check = (value) => (isEdge(value) ? null : slowEdge(value));
const checkGreeting = fields({ service: oneOf(CONTROL_SERVICE), protocol: anyCount, version: text });
const checkError = fields({ id: orNull(anyCount), error: fields({ code, message: text }) });
const checkResult = fields({ id: anyCount });
/** The keys that tell the messages of a subscription apart. */
const OF_SUBSCRIPTION = {
  edges: fields({ subscription: anyCount, edges: list(edge, 'edges') }),
  dropped: fields({ subscription: anyCount, dropped: anyCount }),
  ended: fields({ subscription: anyCount, ended: text }),
} as const;
const KINDS = ['edges', 'dropped', 'ended'] as const;

type Message = Readonly<Record<string, unknown>>;

function checked(message: Message, check: Check, kind: ControlReply['kind']): ControlReply | ControlFault {
  const fault = check(message);
  if (fault !== null)
    return new ControlFault(null, 'ERR_PROTOCOL', sentence(kind === 'greeting' ? kind : 'message', fault));
  return { ...message, kind } as unknown as ControlReply;
}

function decodeMessage(message: Message): ControlReply | ControlFault {
  if (Object.hasOwn(message, 'subscription')) {
    const kind = KINDS.find((key) => Object.hasOwn(message, key));
    if (kind !== undefined) return checked(message, OF_SUBSCRIPTION[kind], kind);
    return new ControlFault(
      null,
      'ERR_PROTOCOL',
      `a subscription tells of ${KINDS.join(', ')}: there is none`,
    );
  }
  if (Object.hasOwn(message, 'error')) return checked(message, checkError, 'error');
  if (Object.hasOwn(message, 'result')) return checked(message, checkResult, 'result');
  return checked(message, checkGreeting, 'greeting');
}

/** Decodes one line of a service. Never throws, whatever the text. Keys that a later version may add are let through. */
export function decodeReply(line: string): ControlReply | ControlFault {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return new ControlFault(null, 'ERR_PROTOCOL', `${shown(line)} is not JSON`);
  }
  if (!isObject(value)) return new ControlFault(null, 'ERR_PROTOCOL', `${shown(value)} is no message`);
  return decodeMessage(value);
}
