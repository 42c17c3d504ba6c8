/** Requests of the control protocol (docs/control.md): what a client writes, and what the service makes of any line of text. */
import {
  type ControlCode,
  type ControlMethod,
  type ControlRequest,
  MAX_PULSE_MS,
  MAX_REFERENCE_LENGTH,
  MAX_REQUEST_LINES,
  type ParamsOf,
} from './control.ts';
import {
  anyCount,
  type Check,
  count,
  fields,
  isObject,
  list,
  oneOf,
  own,
  sentence,
  shown,
  wrong,
} from './control-fields.ts';

/** What is wrong with a message. Not an error: nothing is thrown over a peer's text. */
export class ControlFault {
  /** Of the request; null when none could be read. */
  readonly id: number | null;
  readonly code: ControlCode;
  /** What is wrong, where, and what would be right. */
  readonly message: string;

  constructor(id: number | null, code: ControlCode, message: string) {
    this.id = id;
    this.code = code;
    this.message = message;
  }
}

function isName(value: unknown): boolean {
  return typeof value === 'string' && value.length > 0 && value.length <= MAX_REFERENCE_LENGTH;
}

const reference: Check = (value) =>
  isName(value) ? null : wrong(value, 'a line: NAME, CHIP/NAME or CHIP/#OFFSET');
const chipName: Check = (value) => (isName(value) ? null : wrong(value, 'the name of a chip'));
const coprocessorName: Check = (value) => (isName(value) ? null : wrong(value, 'the name of a co-processor'));
const references = list(reference, 'lines', 1, MAX_REQUEST_LINES);
const level = oneOf(0, 1);

/** Closed: an unknown parameter is refused. */
function params(
  required: Readonly<Record<string, Check>>,
  optional: Readonly<Record<string, Check>> = {},
): Check {
  return fields(required, optional, true);
}

/** All lines, those of one chip, or the named ones. */
function chipOrLines(optional: Readonly<Record<string, Check>> = {}): Check {
  const check = params({}, { chip: chipName, lines: references, ...optional });
  return (value) => {
    const fault = check(value);
    if (fault !== null || !isObject(value)) return fault;
    if (!Object.hasOwn(value, 'chip') || !Object.hasOwn(value, 'lines')) return null;
    return { path: '', text: 'has both chip and lines, should have one of them' };
  };
}

const PARAMS: Readonly<Record<ControlMethod, Check>> = {
  chips: params({}),
  lines: chipOrLines(),
  get: params({ lines: references }),
  set: params({
    values: list(params({ line: reference, level }), 'values', 1, MAX_REQUEST_LINES),
  }),
  toggle: params({ lines: references }),
  pulse: params({ lines: references, level, durationMs: count(1, MAX_PULSE_MS) }),
  release: params({ lines: references }),
  direction: params({ lines: references, direction: oneOf('in', 'out', 'none') }),
  watch: chipOrLines({ edges: oneOf('both', 'rising', 'falling') }),
  unwatch: params({ subscription: anyCount }),
  status: params({}),
  reload: params({}),
  coprocessor: params({ name: coprocessorName, action: oneOf('start', 'stop', 'restart') }),
};

/** All methods, in the order of the documentation. */
export const CONTROL_METHODS = Object.keys(PARAMS) as readonly ControlMethod[];

const EXAMPLE = '{"id":1,"method":"chips"}';
const KEYS = ['id', 'method', 'params'];

/** Decodes one line of text, without its newline. Never throws, whatever the text. */
export function decodeRequest(line: string): ControlRequest | ControlFault {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    const message = `${shown(line)} is not JSON; a request is one line like ${EXAMPLE}`;
    return new ControlFault(null, 'ERR_REQUEST', message);
  }
  if (!isObject(value)) {
    return new ControlFault(null, 'ERR_REQUEST', `${shown(value)} is no request; one is like ${EXAMPLE}`);
  }
  const id = own(value, 'id');
  const badId = anyCount(id);
  if (badId !== null) return new ControlFault(null, 'ERR_REQUEST', sentence('id', badId));
  const fault = (message: string): ControlFault => new ControlFault(id as number, 'ERR_REQUEST', message);
  const extra = Object.keys(value).find((key) => !KEYS.includes(key));
  if (extra !== undefined) {
    return fault(`the request has an unknown key ${shown(extra)}, should have ${KEYS.join(', ')}`);
  }
  const method = own(value, 'method');
  if (typeof method !== 'string' || !Object.hasOwn(PARAMS, method)) {
    const what =
      typeof method === 'string' ? `there is no method ${shown(method)}` : `method is ${shown(method)}`;
    return fault(`${what}; methods are ${CONTROL_METHODS.join(', ')}`);
  }
  const given = Object.hasOwn(value, 'params') ? value.params : {};
  const badParams = PARAMS[method as ControlMethod](given);
  if (badParams !== null) return fault(sentence('params', badParams));
  return { id, method, params: given } as unknown as ControlRequest;
}

/** One line of text, with its newline. */
export function encodeRequest<M extends ControlMethod>(id: number, method: M, given: ParamsOf<M>): string {
  return `${JSON.stringify({ id, method, params: given })}\n`;
}
