import { isDeepStrictEqual } from 'node:util';
import type { ChipConfig, Config } from '../config/config.ts';
import type { ChipSet } from './chip-set.ts';
import type { GuestExports } from './guest-exports.ts';
import { selectAll } from './select-lines.ts';

/** A running service cannot make these changes; nothing was changed. */
export class ReloadError extends Error {
  readonly code = 'ERR_RELOAD';
  /** One sentence a change. */
  readonly reasons: readonly string[];

  constructor(reasons: readonly string[]) {
    super(`not reloaded: ${reasons.join('; ')}`);
    this.name = 'ReloadError';
    this.reasons = reasons;
  }
}

/** What a reload does. */
export interface ReloadPlan {
  /** Sentences for people. */
  readonly changed: readonly string[];
  readonly guestsToClose: readonly string[];
  readonly chipsToClose: readonly string[];
  readonly chipsToOpen: readonly string[];
  readonly coprocessorsToStop: readonly string[];
  readonly coprocessorsToStart: readonly string[];
  readonly restartsMqtt: boolean;
  readonly restartsLog: boolean;
}

interface Differences {
  readonly added: string[];
  readonly removed: string[];
  readonly changed: string[];
}

function differences<Value>(
  before: Readonly<Record<string, Value>>,
  after: Readonly<Record<string, Value>>,
  isSame: (a: Value, b: Value) => boolean,
): Differences {
  const names = Object.keys(before);
  return {
    added: Object.keys(after).filter((name) => !Object.hasOwn(before, name)),
    removed: names.filter((name) => !Object.hasOwn(after, name)),
    changed: names.filter((name) => Object.hasOwn(after, name) && !isSame(before[name]!, after[name]!)),
  };
}

/** Whether two configurations of a chip mean the same chip: its lines' settings can change while it is open. */
function isSameChip(a: ChipConfig, b: ChipConfig): boolean {
  return isDeepStrictEqual({ ...a, lineSettings: {} }, { ...b, lineSettings: {} });
}

/**
 * Finds what a changed configuration means for a running service.
 * @throws ReloadError with everything that cannot be done, ConfigError for lines that do not exist
 */
export function planReload(
  before: Config,
  after: Config,
  chipSet: ChipSet,
  guests: GuestExports,
  configFile: string | null,
): ReloadPlan {
  const refusals: string[] = [];
  const changed: string[] = [];
  const coprocessors = differences(before.coprocessors, after.coprocessors, isDeepStrictEqual);
  for (const name of coprocessors.changed)
    refusals.push(`co-processor ${name} has changed while it runs; restart the service`);
  const chips = differences(before.chips, after.chips, isSameChip);
  const chipsToClose = [...chips.removed, ...chips.changed];
  for (const name of chipsToClose) {
    const user = guests.connectedUserOf(name);
    if (user !== undefined)
      refusals.push(`chip ${name} has changed while a guest of export ${user} uses it; disconnect it first`);
  }
  for (const name of coprocessors.removed) changed.push(`co-processor ${name} is stopped`);
  for (const name of coprocessors.added) changed.push(`co-processor ${name} is started`);
  for (const name of chips.removed) changed.push(`chip ${name} is closed`);
  for (const name of chips.added) changed.push(`chip ${name} is opened`);
  for (const name of chips.changed) changed.push(`chip ${name} is opened anew`);
  const settings = Object.keys(after.chips).filter(
    (name) =>
      Object.hasOwn(before.chips, name) &&
      !isDeepStrictEqual(before.chips[name]!.lineSettings, after.chips[name]!.lineSettings),
  );
  for (const name of settings) changed.push(`chip ${name} has other line settings`);
  const chipsChange = chipsToClose.length > 0 || chips.added.length > 0;
  const guestsToClose = planGuests(after, chipsToClose, chipSet, guests, configFile, refusals, changed);
  const mqttChanged = !isDeepStrictEqual(before.mqtt, after.mqtt);
  if (mqttChanged) changed.push(`mqtt ${mqttVerb(before, after)}`);
  const logChanged = !isDeepStrictEqual(before.log.lines, after.log.lines);
  if (logChanged) changed.push('the line log has other lines');
  if (before.log.level !== after.log.level) changed.push(`the log's level is ${after.log.level}`);
  if (!isDeepStrictEqual(before.control, after.control))
    refusals.push('control has changed while the service runs; restart the service');
  if (refusals.length > 0) throw new ReloadError(refusals);
  return {
    changed,
    guestsToClose,
    chipsToClose,
    chipsToOpen: [...chips.changed, ...chips.added],
    coprocessorsToStop: coprocessors.removed,
    coprocessorsToStart: coprocessors.added,
    // What MQTT says of a line depends on its settings (activeLow).
    restartsMqtt: mqttChanged || chipsChange || settings.length > 0,
    restartsLog: logChanged || chipsChange,
  };
}

function mqttVerb(before: Config, after: Config): string {
  if (before.mqtt === undefined) return 'is started';
  return after.mqtt === undefined ? 'is stopped' : 'is started anew';
}

/** @returns exports whose devices are closed, some of them in favour of others */
function planGuests(
  after: Config,
  chipsToClose: readonly string[],
  chipSet: ChipSet,
  guests: GuestExports,
  configFile: string | null,
  refusals: string[],
  changed: string[],
): string[] {
  // Chips that are opened anew are known only then; the exports that use them are closed and made again.
  const staying = chipSet.all.filter(({ name }) => !chipsToClose.includes(name));
  const selections = selectAll(after, staying, configFile);
  const closing: string[] = [];
  for (const name of new Set([...guests.names, ...Object.keys(after.exports)])) {
    const config = after.exports[name];
    const waits = selections.missing.has(name);
    const change = guests.changeOf(name, config, waits ? undefined : selections.exports.get(name));
    if (change === null) {
      if (waits && config !== undefined) changed.push(`export ${name} is added`);
      continue;
    }
    if (change.refused) refusals.push(change.text);
    else changed.push(waits && config !== undefined ? `export ${name} is made anew` : change.text);
    if (change.closes) closing.push(name);
  }
  return closing;
}
