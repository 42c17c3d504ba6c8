import type { Line } from '../../gpio/line.ts';
import type { LineOperator, OutcomeListener } from '../../gpio/line-operator.ts';
import type {
  ControlCode,
  ControlFailure,
  ControlMethod,
  ControlRequest,
  CoprocessorAction,
  CoprocessorStatus,
  LineOutcome,
  ReloadReport,
  ServiceStatus,
} from '../../wire/control.ts';
import type { ControlLines } from './control-line.ts';
import type { LineIndex } from './line-index.ts';
import { LineListing, LineWork, type Work } from './line-work.ts';

/** What requests are carried out with. */
export interface RequestContext {
  readonly access: 'read' | 'write';
  readonly lines: ControlLines;
  readonly index: () => LineIndex;
  readonly status: () => ServiceStatus;
  readonly reload: () => Promise<ReloadReport>;
  readonly coprocessor: (name: string, action: CoprocessorAction) => Promise<CoprocessorStatus>;
}

/** Takes the answer, which may come at once. */
export interface Answer {
  result(result: unknown): void;
  /** @param text of the result, as `encodeValue` makes it */
  resultText(text: string): void;
  failure(failure: ControlFailure): void;
}

/** Methods that drive lines, or give them up. */
const DRIVING: ReadonlySet<ControlMethod> = new Set([
  'set',
  'toggle',
  'pulse',
  'release',
  'direction',
  'coprocessor',
]);

export type WatchRequest = Extract<ControlRequest, { method: 'watch' }>;
/** Those of a connection's own, `watch` and `unwatch`, are its. */
export type CommonRequest = Exclude<ControlRequest, { method: 'watch' | 'unwatch' }>;

export function failure(code: ControlCode, message: string): ControlFailure {
  return { code, message };
}

/** Why something failed, for the client. */
function failureOf(error: unknown): ControlFailure {
  if (!(error instanceof Error)) return failure('ERR_FAILED', String(error));
  const code = 'code' in error ? String(error.code) : '';
  return failure(code.startsWith('ERR_') ? (code as ControlCode) : 'ERR_FAILED', error.message);
}

/** The lines of these references, each once or as often as it is named. @returns why not, if one is none */
function find(
  index: LineIndex,
  references: readonly string[],
  once: boolean,
): readonly Line[] | ControlFailure {
  const found = new Set<Line>();
  const lines: Line[] = [];
  for (const reference of references) {
    const line = index.find(reference);
    if (typeof line === 'string') return failure('ERR_LINE', line);
    if (once && found.has(line)) return failure('ERR_LINE', `${line.path} is named twice`);
    found.add(line);
    lines.push(line);
  }
  return lines;
}

/** The lines that `lines` and `watch` are about. */
export function chosenLines(
  index: LineIndex,
  { chip, lines }: { readonly chip?: string; readonly lines?: readonly string[] },
): readonly Line[] | ControlFailure {
  if (lines !== undefined) return find(index, lines, false);
  if (chip === undefined) return index.all;
  const found = index.chip(chip);
  return typeof found === 'string' ? failure('ERR_LINE', found) : found.lines;
}

export function isFailure(value: object): value is ControlFailure {
  return 'code' in value && 'message' in value;
}

/** How an operation on one line of the request begins. */
function starter(
  request: Exclude<CommonRequest, { method: 'chips' | 'lines' | 'status' | 'reload' | 'coprocessor' }>,
): (operator: LineOperator, at: number, done: OutcomeListener) => void {
  switch (request.method) {
    case 'get':
      return (operator, _at, done) => operator.get(done);
    case 'set': {
      const { values } = request.params;
      return (operator, at, done) => operator.set(values[at]?.level ?? 0, done);
    }
    case 'toggle':
      return (operator, _at, done) => operator.toggle(done);
    case 'pulse': {
      const { level, durationMs } = request.params;
      return (operator, _at, done) => operator.pulse(level, durationMs, done);
    }
    case 'release':
      return (operator, _at, done) => operator.release(done);
    case 'direction': {
      const { direction } = request.params;
      return (operator, _at, done) => operator.setDirection(direction, done);
    }
  }
}

/**
 * Carries out a request.
 * @returns what is still to be begun; null when there is nothing
 */
export function carryOut(context: RequestContext, request: CommonRequest, answer: Answer): Work | null {
  if (context.access === 'read' && DRIVING.has(request.method)) {
    const message = `refused: the command line may only read lines here (control.access is read)`;
    answer.failure(failure('ERR_REFUSED', message));
    return null;
  }
  switch (request.method) {
    case 'chips':
      answer.result(
        context.index().chips.map(({ name, chip }) => {
          const { label, lineCount, available } = chip;
          return { name, label, lineCount, available };
        }),
      );
      return null;
    case 'lines': {
      const lines = chosenLines(context.index(), request.params);
      if (!isFailure(lines)) return new LineListing(lines, (text) => answer.resultText(text));
      answer.failure(lines);
      return null;
    }
    case 'status':
      answer.result(context.status());
      return null;
    case 'reload':
      context.reload().then(
        (report) => answer.result(report),
        (error: unknown) => answer.failure(failureOf(error)),
      );
      return null;
    case 'coprocessor':
      context.coprocessor(request.params.name, request.params.action).then(
        (status) => answer.result(status),
        (error: unknown) => answer.failure(failureOf(error)),
      );
      return null;
    default: {
      const references =
        request.method === 'set' ? request.params.values.map(({ line }) => line) : request.params.lines;
      // To drive a line twice in one request has no order that one could rely on.
      const lines = find(context.index(), references, request.method !== 'get');
      if (isFailure(lines)) {
        answer.failure(lines);
        return null;
      }
      const onDone = (outcomes: readonly LineOutcome[]): void => answer.result(outcomes);
      return new LineWork(context.lines, lines, starter(request), onDone);
    }
  }
}
