import type { Config } from '../config/config.ts';
import type { ConfigPath } from '../config/config-error.ts';
import { configErrorAt } from '../config/line-fault.ts';
import type { ChipLines } from '../gpio/chip-lines.ts';
import type { Line } from '../gpio/line.ts';
import {
  LineSelectionError,
  matchesGlob,
  type SelectedLine,
  type SelectionOptions,
  selectLines,
} from '../gpio/line-selection.ts';

/** The lines of each consumer that a configuration names. */
export interface Selections {
  /** By export; without the exports whose chips could not be opened. */
  readonly exports: ReadonlyMap<string, readonly SelectedLine[]>;
  /** Chips that an export needs and that are not open, by export. */
  readonly missing: ReadonlyMap<string, readonly string[]>;
  readonly mqtt: readonly SelectedLine[];
}

/** Whether a selector (`*` or `CHIP/LINE`) may mean lines of a chip. */
function isOfChip(selector: string, chip: string): boolean {
  return selector === '*' || matchesGlob(selector.slice(0, selector.indexOf('/')), chip);
}

/**
 * Finds the lines that a configuration means, now that it is known which there are.
 * @param configFile for the places of faults in it; null for a configuration that was made up
 * @throws ConfigError (LineSelectionError without a file) for lines that do not exist, or that have an owner besides others
 * who want to drive them
 */
export function selectAll(
  config: Config,
  chips: readonly ChipLines[],
  configFile: string | null,
): Selections {
  const absent = Object.keys(config.chips).filter((name) => !chips.some((chip) => chip.name === name));
  const exports = new Map<string, readonly SelectedLine[]>();
  const missing = new Map<string, readonly string[]>();
  const select = (path: ConfigPath, lines: Config['exports'][string]['lines'], options: SelectionOptions) =>
    placed(configFile, path, () => selectLines(chips, lines, options));
  for (const [name, { lines }] of Object.entries(config.exports)) {
    const needed = absent.filter((chip) => lines.some(({ line }) => isOfChip(line, chip)));
    if (needed.length > 0) missing.set(name, needed);
    else exports.set(name, select(['exports', name, 'lines'], lines, {}));
  }
  const mqtt =
    config.mqtt === undefined
      ? []
      : // A chip that is absent now is no reason to keep the others from the broker.
        select(['mqtt', 'lines'], config.mqtt.lines, { uniqueNames: 'chip', mayBeEmpty: absent.length > 0 });
  const owners = new Map<Line, string>();
  const all: [string, ConfigPath, readonly SelectedLine[]][] = [...exports].map(([name, lines]) => [
    `export ${name}`,
    ['exports', name, 'lines'],
    lines,
  ]);
  all.push(['mqtt', ['mqtt', 'lines'], mqtt]);
  for (const [consumer, , lines] of all) {
    for (const { line, access } of lines) if (access === 'owner') owners.set(line, consumer);
  }
  for (const [consumer, path, lines] of all) {
    placed(configFile, path, () => refuseSecondDriver(consumer, lines, owners));
  }
  return { exports, missing, mqtt };
}

/** What `config check` can tell only of lines that are named, is found here for all of them. */
function refuseSecondDriver(
  consumer: string,
  lines: readonly SelectedLine[],
  owners: ReadonlyMap<Line, string>,
): void {
  for (const { line, access, selector } of lines) {
    const owner = owners.get(line);
    if (owner === undefined || owner === consumer || access === 'read') continue;
    throw new LineSelectionError(
      selector,
      `${line.path} is owned by ${owner}, and may only be read here`,
      `put { line: ${line.path}, access: read } before it`,
    );
  }
}

/** Gives faults of a selection their place in the file. */
function placed<Result>(configFile: string | null, path: ConfigPath, select: () => Result): Result {
  try {
    return select();
  } catch (error) {
    if (!(error instanceof LineSelectionError) || configFile === null) throw error;
    throw configErrorAt(configFile, [...path, error.selector], error.message, error.remedy);
  }
}
