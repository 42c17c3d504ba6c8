import { describe, expect, it } from 'vitest';
import { applySettings, unknownLine } from '../../src/daemon/apply-settings.ts';
import { ChipLines } from '../../src/gpio/chip-lines.ts';
import { DEFAULT_LINE_SETTINGS } from '../../src/gpio/line-settings.ts';
import { SimulatedChip } from '../../src/testing/simulated-chip.ts';

const linesOf = (...names: string[]): ChipLines =>
  new ChipLines(new SimulatedChip('hub', names.length, names));

describe('applySettings', () => {
  it('takes names, globs and offsets, later ones over earlier ones, setting by setting', () => {
    const lines = linesOf('LED_A', 'LED_B', '', 'KEY');
    const changed = applySettings(lines, {
      'LED_*': { onRelease: 'low', activeLow: true },
      LED_B: { onRelease: 'input' },
      '#2': { debounceMs: 7 },
    });
    expect(changed).toEqual(lines.lines.slice(0, 3));
    expect(lines.lines.map(({ settings }) => settings)).toEqual([
      { ...DEFAULT_LINE_SETTINGS, onRelease: 'low', activeLow: true },
      { ...DEFAULT_LINE_SETTINGS, onRelease: 'input', activeLow: true },
      { ...DEFAULT_LINE_SETTINGS, debounceMs: 7 },
      DEFAULT_LINE_SETTINGS,
    ]);
  });

  it('says only what has changed, also back to the defaults', () => {
    const lines = linesOf('A', 'B');
    applySettings(lines, { A: { debounceMs: 5 }, B: { debounceMs: 5 } });
    expect(applySettings(lines, { A: { debounceMs: 5 }, B: { debounceMs: 6 } })).toEqual([lines.lines[1]]);
    expect(applySettings(lines, {})).toEqual(lines.lines);
    expect(lines.lines[0]!.settings).toEqual(DEFAULT_LINE_SETTINGS);
  });
});

describe('unknownLine', () => {
  it('is the first key that means no line', () => {
    const lines = linesOf('A', '');
    expect(unknownLine(lines, { A: {}, '?': {}, '#1': {}, '*': {} })).toBeUndefined();
    expect(unknownLine(lines, { A: {}, B: {}, C: {} })).toBe('B');
    expect(unknownLine(lines, { '#2': {} })).toBe('#2');
  });
});
