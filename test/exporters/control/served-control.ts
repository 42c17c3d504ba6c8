import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished, vi } from 'vitest';
import { ControlServer, type ControlServerOptions } from '../../../src/exporters/control/control-server.ts';
import type { Chip } from '../../../src/gpio/chip.ts';
import { ChipLines } from '../../../src/gpio/chip-lines.ts';
import { SimulatedChip } from '../../../src/testing/simulated-chip.ts';
import { STATUS } from './status.ts';

export { STATUS };

/** Line 2k is wired to line 2k+1. */
export const NAMES = ['LED', 'LED_SENSE', 'BUTTON', 'BUTTON_DRIVE', 'RELAY', 'RELAY_SENSE', '', 'LOST'];

/** A folder of this test's own. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'rproc-gpio-control-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface Served {
  readonly path: string;
  readonly server: ControlServer;
  readonly chip: SimulatedChip;
  readonly lines: ChipLines;
  readonly log: string[];
}

/** Chips with their directions read, as a service has them. */
export function openLines(chip: Chip): ChipLines {
  const lines = new ChipLines(chip);
  lines.learnDirections();
  return lines;
}

/** A control server over a simulated chip `hub`, closed after the test. */
export async function serve(options: Partial<ControlServerOptions> = {}): Promise<Served> {
  const chip = new SimulatedChip('hub', NAMES.length, NAMES);
  const lines = openLines(chip);
  const log: string[] = [];
  const path = options.path ?? join(scratchFolder(), 'control.sock');
  const server = new ControlServer({
    path,
    access: 'write',
    version: '1.2.3',
    chips: () => [lines],
    status: () => STATUS,
    coprocessor: (name: string) => Promise.resolve({ name, state: 'running' as const, restarts: 1 }),
    reload: () => Promise.resolve({ changed: [], unchanged: true }),
    onLog: (level, message) => log.push(`${level}: ${message}`),
    ...options,
  });
  await server.listen();
  onTestFinished(() => server.close());
  return { path, server, chip, lines, log };
}

/** Waits for something that is not told of. */
export function eventually(check: () => void): Promise<void> {
  return vi.waitFor(check, { timeout: 10_000, interval: 5 });
}
