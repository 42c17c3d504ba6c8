import type {
  ChipStatus,
  ControlStatus,
  CoprocessorStatus,
  ExportStatus,
  Limits,
  MqttStatus,
  ServiceStatus,
} from '../wire/control.ts';
import { visible } from './visible-text.ts';

const WIDTH = 80;

/** The state of the service for people: 80 columns, unless a path, name or reason is longer. */
export function formatStatus(status: ServiceStatus, nowMs: number): string {
  const { version, pid, startedAtMs, configFile, coprocessors, chips, exports, mqtt, control, owners } =
    status;
  const blocks = [
    [
      `rproc-gpio ${version}, process ${pid}, up ${formatUptime(nowMs - startedAtMs)}`,
      `configuration: ${configFile === null ? 'built in' : visible(configFile)}`,
    ],
    formatCoprocessors(coprocessors),
    formatChips(chips),
    formatGuests(exports),
    formatMqtt(mqtt),
    formatOwners(owners),
    formatControl(control ?? null),
  ];
  return blocks
    .filter((block) => block.length > 0)
    .map((block) => `${block.join('\n')}\n`)
    .join('\n');
}

/** `45 s`, `12 min`, `3 h 20 min`, `5 d 3 h` */
export function formatUptime(durationMs: number): string {
  const seconds = Math.max(0, Math.floor(durationMs / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 24 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

function formatCoprocessors(coprocessors: readonly CoprocessorStatus[]): string[] {
  if (coprocessors.length === 0) return [];
  const rows = coprocessors.map(({ name, state, restarts }) => [name, state, String(restarts)]);
  return table(['CO-PROCESSOR', 'STATE', 'RETURNS'], rows, [2], (index) => {
    const { reason, remoteproc, limits } = coprocessors[index] as CoprocessorStatus;
    return [
      ...(remoteproc === undefined ? [] : wrap(`remoteproc: ${visible(remoteproc)}`)),
      ...(reason === undefined ? [] : wrap(`reason: ${visible(reason)}`)),
      ...formatLimits(limits),
    ];
  });
}

function formatChips(chips: readonly ChipStatus[]): string[] {
  const rows = chips.map(({ name, lineCount, available, edges }) => [
    name,
    String(lineCount),
    available ? 'available' : 'unavailable',
    String(edges),
  ]);
  return table(['CHIP', 'LINES', 'STATE', 'EDGES'], rows, [1, 3], (index) => {
    const { label, coprocessor, ambiguousEvents, counters = {} } = chips[index] as ChipStatus;
    const counted = Object.entries(counters).filter(([, count]) => count > 0);
    return [
      ...wrap(`label: ${visible(label)}`),
      ...(coprocessor === null ? [] : wrap(`co-processor: ${coprocessor}`)),
      ...(ambiguousEvents === 0 ? [] : wrap(`ambiguous events: ${ambiguousEvents}`)),
      ...counted.flatMap(([name, count]) => wrap(`${visible(name)}: ${count}`)),
    ];
  });
}

function formatGuests(exports: readonly ExportStatus[]): string[] {
  const rows = exports.map(({ name, socket, lines, connected }) => [
    name,
    String(lines),
    connected ? 'connected' : 'away',
    socket,
  ]);
  return table(['GUEST', 'LINES', 'FRONT-END', 'SOCKET'], rows, [1], (index) => {
    const { features, counters, limits } = exports[index] as ExportStatus;
    const { requests, errors, interrupts, invalidEvents, badChains } = counters;
    const counts = [
      `requests ${requests}`,
      `errors ${errors}`,
      `interrupts ${interrupts}`,
      `invalid events ${invalidEvents}`,
    ];
    const bad = Object.entries(badChains).map(([reason, count]) => `${reason} ${count}`);
    return [
      ...wrap(`features: ${features.length === 0 ? 'none yet' : features.join(' ')}`),
      ...wrapItems(counts, ', '),
      ...(bad.length === 0 ? [] : wrapItems([`bad chains: ${bad[0]}`, ...bad.slice(1)], ', ')),
      ...formatLimits(limits),
    ];
  });
}

function formatMqtt(mqtt: MqttStatus | null): string[] {
  if (mqtt === null) return [];
  const { broker, connected, reason, counters, limits } = mqtt;
  const state = connected
    ? 'connected'
    : `not connected${reason === undefined ? '' : `: ${visible(reason)}`}`;
  const counts = [
    `published ${counters.published}`,
    `refused by the broker ${counters.refusedPublications}`,
    `events dropped ${counters.eventsDropped}`,
    `commands ${counters.commands}`,
    `refused ${counters.refusedCommands}`,
    `malformed ${counters.badCommands}`,
    `retained ignored ${counters.ignoredRetained}`,
    `reconnects ${counters.reconnects}`,
  ];
  return [
    `MQTT`,
    `  broker: ${visible(broker)}`,
    ...wrap(state),
    ...wrapItems(counts, ', '),
    ...formatLimits(limits),
  ];
}

function formatOwners(owners: ServiceStatus['owners']): string[] {
  if (owners.length === 0) return [];
  return table(
    ['OUTPUT', 'OWNER'],
    owners.map(({ line, owner }) => [line, owner]),
    [],
  );
}

function formatControl(control: ControlStatus | null): string[] {
  if (control === null) return [];
  const { connections, counters, limits } = control;
  const counts = [
    `connections ${connections}`,
    `requests ${counters.requests}`,
    `errors ${counters.errors}`,
    `malformed ${counters.badRequests}`,
    `turned away ${counters.refusedConnections}`,
    `edges ${counters.edges}`,
    `dropped ${counters.droppedEdges}`,
  ];
  return ['CONTROL SOCKET', ...wrapItems(counts, ', '), ...formatLimits(limits)];
}

/** What was too much, as far as anything was. */
function formatLimits(limits: Limits = {}): string[] {
  const reached = Object.entries(limits).filter(([name, count]) => count > 0 && name !== 'connections');
  const [first, ...others] = reached.map(([name, count]) => `${visible(name)} ${count}`);
  return first === undefined ? [] : wrapItems([`limits: ${first}`, ...others], ', ');
}

/** A table with what `details` has for each row below it. Columns of `numeric` are aligned to the right. */
function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  numeric: readonly number[],
  details: (index: number) => readonly string[] = () => [],
): string[] {
  if (rows.length === 0) return [];
  const shown = rows.map((row) => row.map(visible));
  const widths = head.map((title, column) =>
    Math.max(title.length, ...shown.map((row) => (row[column] ?? '').length)),
  );
  const format = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => {
        const width = widths[column] as number;
        return numeric.includes(column) ? cell.padStart(width) : cell.padEnd(width);
      })
      .join('  ')
      .trimEnd();
  return [format(head), ...shown.flatMap((row, index) => [format(row), ...details(index)])];
}

/** Indented lines of whole words. */
function wrap(text: string): string[] {
  return wrapItems(text.split(' '), ' ');
}

/** Indented lines of whole items. */
function wrapItems(items: readonly string[], separator: string): string[] {
  const lines: string[] = [];
  let line = '  ';
  for (const [index, item] of items.entries()) {
    const isLast = index === items.length - 1;
    const text = isLast ? item : item + separator;
    if (line.length + text.trimEnd().length > WIDTH && line.trim() !== '') {
      lines.push(line.trimEnd());
      line = '    ';
    }
    line += text;
  }
  return [...lines, line];
}
