/** The control protocol's texts: nothing is thrown over them, whoever wrote them. */
import type { ControlMethod, ParamsOf } from '../../../src/wire/control.ts';
import * as reply from '../../../src/wire/control-reply.ts';
import {
  CONTROL_METHODS,
  ControlFault,
  decodeRequest,
  encodeRequest,
} from '../../../src/wire/control-request.ts';
import { decodeResult } from '../../../src/wire/control-result.ts';
import { type FuzzTarget, invariant } from '../target.ts';

/** What is told of a peer's text goes into logs and answers. */
const LONGEST_MESSAGE = 1000;

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** A short name for a fault: its words without what varies. */
function described({ code, message }: ControlFault): string {
  invariant(/^ERR_[A-Z]+$/.test(code), `code ${code}`);
  invariant(message.length <= LONGEST_MESSAGE, `a message of ${message.length} characters`);
  return `${code} ${message.replace(/"(?:[^"\\]|\\.)*"?|\d+/g, '#').slice(0, 60)}`;
}

const PARAMS: { readonly [M in ControlMethod]: ParamsOf<M> } = {
  chips: {},
  lines: { chip: 'hub' },
  get: { lines: ['hub/led', 'button'] },
  set: { values: [{ line: 'hub/#3', level: 1 }] },
  toggle: { lines: ['led'] },
  pulse: { lines: ['led'], level: 1, durationMs: 50 },
  release: { lines: ['led'] },
  direction: { lines: ['led'], direction: 'out' },
  watch: { lines: ['button'], edges: 'both' },
  unwatch: { subscription: 3 },
  status: {},
  reload: {},
  coprocessor: { name: 'hub', action: 'restart' },
};

const WORDS = [
  '"id":',
  '"method":',
  '"params":',
  '__proto__',
  'null',
  '1e999',
  '-0',
  '[[[[',
  '\\ud800',
  ',{}',
]
  .concat(['"lines":', '"chip":', '"level":', '"subscription":', '"edges":', '"error":', '"result":'])
  .concat(CONTROL_METHODS.map((method) => JSON.stringify(method)));

export const wireControlRequest: FuzzTarget = {
  name: 'wire-control-request',
  what: 'requests of the control socket: any text is a request or a fault, and never throws',
  seeds: () =>
    CONTROL_METHODS.map((method, index) => bytesOf(encodeRequest(index, method, PARAMS[method]).trimEnd())),
  dictionary: () => WORDS.map(bytesOf),
  run: (input) => {
    const request = decodeRequest(textOf(input));
    if (request instanceof ControlFault) return described(request);
    const { id, method, params } = request;
    invariant(CONTROL_METHODS.includes(method), `method ${method}`);
    invariant(Number.isSafeInteger(id) && id >= 0, `id ${id}`);
    const again = decodeRequest(encodeRequest(id, method, params).trimEnd());
    invariant(
      !(again instanceof ControlFault),
      () => `not the same again: ${(again as ControlFault).message}`,
    );
    invariant(JSON.stringify(again) === JSON.stringify(request), 'another request after encoding');
    return `${method} ${Object.keys(params).join(',')}`;
  },
};

const EDGE = new reply.EdgeText('hub', 3, 'button').encode(1, 7, 123n, true, false);
const CHIP = { name: 'hub', label: 'simulated', lineCount: 8, available: true };
const LINE = {
  ...{ chip: 'hub', offset: 3, name: 'led', direction: 'out', level: 1, activeLow: false, owner: null },
  ...{ users: ['me'], debounceMs: 0, edges: 7, available: true },
};
const OUTCOME = { line: 'hub/led', chip: 'hub', offset: 3, name: 'led', ok: true, level: 1 };
const COPROCESSOR = { name: 'hub', state: 'running', restarts: 0 };
const COUNTERS = { requests: 1, errors: 0, interrupts: 2, invalidEvents: 0, badChains: { loop: 1 } };
const STATUS = {
  ...{ version: '1', pid: 1, startedAtMs: 1, configFile: null, coprocessors: [COPROCESSOR], mqtt: null },
  chips: [{ ...CHIP, coprocessor: 'hub', edges: 1, ambiguousEvents: 0 }],
  exports: [{ name: 'vm1', socket: '/s', lines: 8, connected: true, features: [], counters: COUNTERS }],
  owners: [{ line: 'hub/led', owner: 'guest vm1' }],
};
const RESULTS: { readonly [M in ControlMethod]: unknown } = {
  chips: [CHIP],
  lines: [LINE],
  get: [OUTCOME],
  set: [OUTCOME],
  toggle: [OUTCOME],
  pulse: [OUTCOME],
  release: [OUTCOME],
  direction: [OUTCOME],
  watch: { subscription: 1, lines: [LINE] },
  unwatch: {},
  status: STATUS,
  reload: { changed: ['x'], unchanged: false },
  coprocessor: COPROCESSOR,
};

function encodeAgain(decoded: reply.ControlReply): string {
  switch (decoded.kind) {
    case 'greeting':
      return reply.encodeGreeting(decoded.version);
    case 'result':
      return reply.encodeResult(decoded.id, decoded.result);
    case 'error':
      return reply.encodeError(decoded.id, decoded.error);
    case 'dropped':
      return reply.encodeDropped(decoded.subscription, decoded.dropped);
    case 'ended':
      return reply.encodeEnded(decoded.subscription, decoded.ended);
    case 'edges': {
      const edges = decoded.edges.map(({ chip, offset, name, level, seq, timestampNs, merged, direction }) =>
        new reply.EdgeText(chip, offset, name).encode(
          level,
          seq,
          BigInt(timestampNs),
          merged === true,
          direction === 'out',
        ),
      );
      return `${reply.edgesBegin(decoded.subscription)}${edges.join(',')}${reply.EDGES_END}`;
    }
  }
}

export const wireControlReply: FuzzTarget = {
  name: 'wire-control-reply',
  what: 'replies on the control socket, as a client reads them: a reply, a result or a fault, never an exception',
  seeds: () =>
    [
      reply.encodeGreeting('1.2.3'),
      reply.encodeError(3, { code: 'ERR_LINE', message: 'no such line' }),
      reply.encodeDropped(1, 17),
      reply.encodeEnded(1, 'gone'),
      `${reply.edgesBegin(1)}${EDGE},${EDGE}${reply.EDGES_END}`,
      ...CONTROL_METHODS.map((method, index) => reply.encodeResult(index, RESULTS[method])),
      // What a peer names as it likes.
      reply.encodeResult(1, {
        ...STATUS,
        exports: [{ ...STATUS.exports[0], counters: { ...COUNTERS, badChains: { ['x'.repeat(2000)]: -1 } } }],
      }),
    ].map((text) => bytesOf(text.trimEnd())),
  dictionary: () => WORDS.map(bytesOf),
  run: (input) => {
    const decoded = reply.decodeReply(textOf(input));
    if (decoded instanceof ControlFault) return described(decoded);
    if (decoded.kind === 'result') {
      // As the answer to each method: what one asked for is known only to who asked.
      const taken = CONTROL_METHODS.map((method) => {
        const result = decodeResult(decoded.id, method, decoded.result);
        return result instanceof ControlFault ? described(result).length > 0 && '0' : '1';
      });
      // JSON.stringify recurses: a result is only ever encoded by who made it.
      return `result ${taken.join('')}`;
    }
    const text = encodeAgain(decoded);
    invariant(/^[\x20-\x7e]*\n$/.test(text), 'not one line of ASCII');
    const again = reply.decodeReply(text.trimEnd());
    invariant(
      !(again instanceof ControlFault),
      () => `not the same again: ${(again as ControlFault).message}`,
    );
    invariant(
      encodeAgain(again as reply.ControlReply) === text,
      () => `another reply after encoding: ${text}`,
    );
    return decoded.kind;
  },
};
