/** Results of the control protocol's methods (docs/control.md), as a client checks them. */
import type { ControlMethod, ResultOf } from './control.ts';
import {
  anyCount,
  type Check,
  fields,
  flag,
  list,
  oneOf,
  orNull,
  record,
  sentence,
  text,
} from './control-fields.ts';
import { ControlFault } from './control-request.ts';

const level = orNull(oneOf(0, 1));

const CHIP = { name: text, label: text, lineCount: anyCount, available: flag };
const checkLines = list(
  fields({
    chip: text,
    offset: anyCount,
    name: text,
    direction: oneOf('in', 'out', 'none', 'unknown'),
    level,
    activeLow: flag,
    owner: orNull(text),
    users: list(text, 'names'),
    debounceMs: anyCount,
    edges: anyCount,
    available: flag,
  }),
  'lines',
);
const checkOutcomes = list(
  fields(
    { line: text, chip: text, offset: anyCount, name: text, ok: flag, level },
    { code: text, reason: text },
  ),
  'outcomes',
);

/** An object of counters with these names. */
function counters(...names: readonly string[]): Check {
  return fields(Object.fromEntries(names.map((name) => [name, anyCount])));
}

const checkMqtt = fields(
  {
    broker: text,
    connected: flag,
    counters: counters(
      'published',
      'eventsDropped',
      'commands',
      'refusedCommands',
      'badCommands',
      'ignoredRetained',
      'refusedPublications',
      'reconnects',
    ),
  },
  { reason: text, limits: record(anyCount) },
);
const checkControl = fields(
  {
    connections: anyCount,
    counters: counters('requests', 'errors', 'badRequests', 'refusedConnections', 'edges', 'droppedEdges'),
  },
  { limits: record(anyCount) },
);
const checkExport = fields(
  {
    name: text,
    socket: text,
    lines: anyCount,
    connected: flag,
    features: list(text, 'names'),
    counters: fields({
      requests: anyCount,
      errors: anyCount,
      interrupts: anyCount,
      invalidEvents: anyCount,
      badChains: record(anyCount),
    }),
  },
  { limits: record(anyCount) },
);
const checkCoprocessor = fields(
  { name: text, state: oneOf('running', 'restarting', 'stopped', 'failed'), restarts: anyCount },
  { reason: text, remoteproc: text, limits: record(anyCount) },
);
const STATUS = {
  version: text,
  pid: anyCount,
  startedAtMs: anyCount,
  configFile: orNull(text),
  coprocessors: list(checkCoprocessor, 'co-processors'),
  chips: list(
    fields(
      { ...CHIP, coprocessor: orNull(text), edges: anyCount, ambiguousEvents: anyCount },
      { counters: record(anyCount) },
    ),
    'chips',
  ),
  exports: list(checkExport, 'exports'),
  mqtt: orNull(checkMqtt),
  owners: list(fields({ line: text, owner: text }), 'owners'),
};

const RESULTS: Readonly<Record<ControlMethod, Check>> = {
  chips: list(fields(CHIP), 'chips'),
  lines: checkLines,
  get: checkOutcomes,
  set: checkOutcomes,
  toggle: checkOutcomes,
  pulse: checkOutcomes,
  release: checkOutcomes,
  direction: checkOutcomes,
  watch: fields({ subscription: anyCount, lines: checkLines }),
  unwatch: fields({}),
  status: fields(STATUS, { control: orNull(checkControl) }),
  reload: fields({ changed: list(text, 'changes'), unchanged: flag }),
  coprocessor: checkCoprocessor,
};

/** Checks a result. Never throws. Keys that a later version may add are let through. */
export function decodeResult<M extends ControlMethod>(
  id: number,
  method: M,
  result: unknown,
): ResultOf<M> | ControlFault {
  const fault = RESULTS[method](result);
  return fault === null
    ? (result as ResultOf<M>)
    : new ControlFault(id, 'ERR_PROTOCOL', `${method}: ${sentence('result', fault)}`);
}
