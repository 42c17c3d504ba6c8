/**
 * Payloads of commands: `.../set`, `.../direction/set` and `.../get` of a line (design.md, MQTT).
 * Whatever the bytes, the answer is a command or what is wrong with them.
 */

/** What somebody wants a line to do. Levels are logical, as people mean them. */
export type LineCommand =
  | { readonly kind: 'set'; readonly level: 0 | 1 }
  | { readonly kind: 'toggle' }
  | { readonly kind: 'pulse'; readonly level: 0 | 1; readonly durationMs: number }
  | { readonly kind: 'direction'; readonly direction: 'in' | 'out' | 'none' }
  | { readonly kind: 'release' }
  | { readonly kind: 'get' };

/** The end of a command's topic. */
export type CommandVerb = 'set' | 'direction/set' | 'get';

/** What is wrong with a payload, and what would be right. */
export interface PayloadFault {
  readonly fault: string;
}

/** A longer payload is no command. */
export const MAX_COMMAND_BYTES = 1024;
/** The longest pulse: an hour. */
export const MAX_PULSE_MS = 3_600_000;

const SET_FORMS = 'ON, OFF, 1, 0, true, false, toggle or {"value": …, "durationMs": …}';
const DIRECTION_FORMS = 'in, out, none, release or {"direction": …}';
const VALUE_FORMS = 'true, false, 1, 0, "ON", "OFF" or "toggle"';
const DURATION_FORM = `a whole number of ms from 1 to ${MAX_PULSE_MS}`;

const WORDS: ReadonlyMap<string, 0 | 1 | 'toggle'> = new Map<string, 0 | 1 | 'toggle'>([
  ['on', 1],
  ['1', 1],
  ['true', 1],
  ['off', 0],
  ['0', 0],
  ['false', 0],
  ['toggle', 'toggle'],
]);
const DIRECTIONS: ReadonlyMap<string, LineCommand> = new Map<string, LineCommand>([
  ['in', { kind: 'direction', direction: 'in' }],
  ['out', { kind: 'direction', direction: 'out' }],
  ['none', { kind: 'direction', direction: 'none' }],
  ['release', { kind: 'release' }],
]);
const GET: LineCommand = { kind: 'get' };
const SET_KEYS = ['value', 'durationMs'];
const DIRECTION_KEYS = ['direction'];

/**
 * The command in a payload. Words are taken in upper and lower case, with white space around them.
 * Never throws: bytes that are no command are a fault, which says what is wrong, what would be right, and quotes at most 40
 * printable characters of them.
 */
export function parseCommand(verb: CommandVerb, payload: Uint8Array): LineCommand | PayloadFault {
  if (payload.length > MAX_COMMAND_BYTES) {
    return fault(`the payload is ${payload.length} bytes long; at most ${MAX_COMMAND_BYTES} are taken`);
  }
  if (verb === 'get') return GET;
  const forms = verb === 'set' ? SET_FORMS : DIRECTION_FORMS;
  const text = decodeUtf8(payload)?.trim();
  if (text === undefined) return fault(`the payload is no UTF-8 text; ${verb} takes ${forms}`);
  if (text === '') return fault(`the payload is empty; ${verb} takes ${forms}`);
  if (text.startsWith('{')) {
    const object = parseObject(text);
    if (object === null) return fault(`${quote(text)} is no JSON object; ${verb} takes ${forms}`);
    return verb === 'set' ? setCommand(object) : directionCommand(object);
  }
  const word = text.toLowerCase();
  if (verb === 'set') {
    const value = WORDS.get(word);
    if (value !== undefined) return value === 'toggle' ? { kind: 'toggle' } : { kind: 'set', level: value };
    return fault(`${quote(text)} is no level; ${verb} takes ${forms}`);
  }
  return DIRECTIONS.get(word) ?? fault(`${quote(text)} is no direction; ${verb} takes ${forms}`);
}

function setCommand(object: ReadonlyMap<string, unknown>): LineCommand | PayloadFault {
  const unknown = unknownKey(object, SET_KEYS);
  if (unknown !== null) return unknown;
  if (!object.has('value')) return fault(`the key value is missing; it is ${VALUE_FORMS}`);
  const value = levelOf(object.get('value'));
  if (value === null) return fault(`value is ${quote(object.get('value'))}; it has to be ${VALUE_FORMS}`);
  if (!object.has('durationMs')) {
    return value === 'toggle' ? { kind: 'toggle' } : { kind: 'set', level: value };
  }
  if (value === 'toggle') {
    return fault('a toggle has no durationMs; a pulse needs the level to set as its value, such as "ON"');
  }
  const durationMs = object.get('durationMs');
  if (
    typeof durationMs !== 'number' ||
    !Number.isInteger(durationMs) ||
    durationMs < 1 ||
    durationMs > MAX_PULSE_MS
  ) {
    return fault(`durationMs is ${quote(durationMs)}; it has to be ${DURATION_FORM}`);
  }
  return { kind: 'pulse', level: value, durationMs };
}

function directionCommand(object: ReadonlyMap<string, unknown>): LineCommand | PayloadFault {
  const unknown = unknownKey(object, DIRECTION_KEYS);
  if (unknown !== null) return unknown;
  if (!object.has('direction'))
    return fault('the key direction is missing; it is "in", "out", "none" or "release"');
  const direction = object.get('direction');
  const command = typeof direction === 'string' ? DIRECTIONS.get(direction.trim().toLowerCase()) : undefined;
  return command ?? fault(`direction is ${quote(direction)}; it has to be "in", "out", "none" or "release"`);
}

function levelOf(value: unknown): 0 | 1 | 'toggle' | null {
  switch (typeof value) {
    case 'boolean':
      return value ? 1 : 0;
    case 'number':
      if (value === 1) return 1;
      // Of -0, too.
      return value === 0 ? 0 : null;
    case 'string':
      return WORDS.get(value.trim().toLowerCase()) ?? null;
    default:
      return null;
  }
}

/** A map, so that no key of the payload meets a property that objects have anyway. */
function parseObject(text: string): ReadonlyMap<string, unknown> | null {
  try {
    return new Map(Object.entries(JSON.parse(text) as object));
  } catch {
    return null;
  }
}

function unknownKey(object: ReadonlyMap<string, unknown>, known: readonly string[]): PayloadFault | null {
  for (const key of object.keys()) {
    if (!known.includes(key)) return fault(`the key ${quote(key)} is not known; known: ${known.join(', ')}`);
  }
  return null;
}

function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function fault(text: string): PayloadFault {
  return { fault: text };
}

const MAX_QUOTED_CHARACTERS = 40;
/** Bidirectional marks and the like are format characters: what an answer quotes cannot disguise the rest of it. */
const UNPRINTABLE = /[^\p{L}\p{N}\p{P}\p{S} ]/gu;

/** At most 40 printable characters of what was sent. */
function quote(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const characters = [...text.slice(0, 2 * MAX_QUOTED_CHARACTERS + 2)];
  const shown = characters.slice(0, MAX_QUOTED_CHARACTERS).join('').replace(UNPRINTABLE, '.');
  const rest = characters.length > MAX_QUOTED_CHARACTERS ? '…' : '';
  return typeof value === 'string' ? `"${shown}${rest}"` : `${shown}${rest}`;
}
