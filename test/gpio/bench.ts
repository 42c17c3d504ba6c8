import type { Chip } from '../../src/gpio/chip.ts';
import { ChipLines } from '../../src/gpio/chip-lines.ts';
import { SimulatedChip } from '../../src/testing/simulated-chip.ts';
import { ScriptedChip } from './scripted-chip.ts';

/** A chip with its lines, and what tests do from outside. */
export interface Bench {
  readonly lines: ChipLines;
  readonly chip: Chip;
  drive(offset: number, level: 0 | 1): void;
  level(offset: number): number;
  /** Until nothing is under way. */
  settle(): void;
}

export interface ScriptedBench extends Bench {
  readonly chip: ScriptedChip;
}

export function scripted(streams: boolean, lineCount = 4): ScriptedBench {
  const chip = new ScriptedChip(lineCount, { streams });
  const lines = new ChipLines(chip);
  return {
    lines,
    chip,
    drive: (offset, level) => chip.drive(offset, level),
    level: (offset) => chip.level(offset),
    settle: () => chip.settle(),
  };
}

export function simulated(lineCount = 4): Bench {
  const chip = new SimulatedChip('sim', lineCount);
  return {
    lines: new ChipLines(chip),
    chip,
    drive: (offset, level) => chip.drive(offset, level),
    level: (offset) => chip.level(offset),
    settle: () => {},
  };
}

/** Every kind of chip: synchronous, asynchronous with levels in its events, asynchronous by the standard. */
export const BENCHES: readonly (readonly [name: string, make: () => Bench])[] = [
  ['a simulated chip', simulated],
  ['an asynchronous chip that streams levels', () => scripted(true)],
  ['an asynchronous chip with plain events', () => scripted(false)],
];
