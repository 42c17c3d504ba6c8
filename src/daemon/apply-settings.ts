import type { ChipConfig } from '../config/config.ts';
import type { ChipLines } from '../gpio/chip-lines.ts';
import type { Line } from '../gpio/line.ts';
import { matchesGlob } from '../gpio/line-selection.ts';
import { DEFAULT_LINE_SETTINGS, type LineSettings } from '../gpio/line-settings.ts';

type Configured = ChipConfig['lineSettings'];

/** Whether a key of `lineSettings` (a name, a glob, `#13`) means a line. */
function means(key: string, line: Line): boolean {
  if (/^#\d+$/.test(key)) return line.offset === Number(key.slice(1));
  return matchesGlob(key, line.name);
}

function settingsOf(line: Line, configured: Configured): LineSettings {
  const merged: { -readonly [Key in keyof LineSettings]: LineSettings[Key] } = { ...DEFAULT_LINE_SETTINGS };
  for (const [key, { activeLow, debounceMs, initial, onRelease }] of Object.entries(configured)) {
    if (!means(key, line)) continue;
    // Later entries override earlier ones, setting by setting.
    if (activeLow !== undefined) merged.activeLow = activeLow;
    if (debounceMs !== undefined) merged.debounceMs = debounceMs;
    if (initial !== undefined) merged.initial = initial;
    if (onRelease !== undefined) merged.onRelease = onRelease;
  }
  return merged;
}

/** The first key of `lineSettings` that means no line of the chip; undefined when all mean one. */
export function unknownLine(lines: ChipLines, configured: Configured): string | undefined {
  return Object.keys(configured).find((key) => !lines.lines.some((line) => means(key, line)));
}

/** Gives the lines of a chip their settings. @returns the lines whose settings changed */
export function applySettings(lines: ChipLines, configured: Configured): Line[] {
  const changed: Line[] = [];
  for (const line of lines.lines) {
    const settings = settingsOf(line, configured);
    const keys = Object.keys(settings) as (keyof LineSettings)[];
    if (keys.every((key) => settings[key] === line.settings[key])) continue;
    line.settings = settings;
    changed.push(line);
  }
  return changed;
}
