import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SimBank, SimChip } from './kernel-agent-protocol.ts';

/** Chips of the kernel's gpio-sim (Documentation/admin-guide/gpio/gpio-sim.rst). Runs in the kernel that has them. */
const CONFIGFS = '/sys/kernel/config/gpio-sim';

/** Makes chips; the kernel names them. */
export function createSim(name: string, banks: readonly SimBank[]): SimChip[] {
  const device = join(CONFIGFS, name);
  mkdirSync(device);
  const folders = banks.map((bank, index) => {
    const folder = join(device, `bank${index}`);
    mkdirSync(folder);
    writeFileSync(join(folder, 'label'), bank.label);
    writeFileSync(join(folder, 'num_lines'), String(bank.lineCount));
    for (const [offset, lineName] of Object.entries(bank.lineNames)) {
      const line = join(folder, `line${offset}`);
      mkdirSync(line);
      writeFileSync(join(line, 'name'), lineName);
    }
    return folder;
  });
  writeFileSync(join(device, 'live'), '1');
  const deviceName = readFileSync(join(device, 'dev_name'), 'utf8').trim();
  return folders.map((folder) => {
    const chipName = readFileSync(join(folder, 'chip_name'), 'utf8').trim();
    return { path: `/dev/${chipName}`, sysfs: `/sys/devices/platform/${deviceName}/${chipName}` };
  });
}

/** Removes the chips, as if they were unplugged. */
export function removeSim(name: string): void {
  writeFileSync(join(CONFIGFS, name, 'live'), '0');
}

export function pull(chip: SimChip, offset: number, level: number): void {
  writeFileSync(join(chip.sysfs, `sim_gpio${offset}`, 'pull'), level === 0 ? 'pull-down' : 'pull-up');
}

export function levelOf(chip: SimChip, offset: number): number {
  return Number(readFileSync(join(chip.sysfs, `sim_gpio${offset}`, 'value'), 'utf8'));
}

/** Interrupts that the kernel has handled for us, all lines together. */
function interruptCount(): number {
  let count = 0;
  // `  17:        123   gpio-sim  3 Edge      rproc-gpio`
  for (const line of readFileSync('/proc/interrupts', 'utf8').split('\n')) {
    if (line.includes('rproc-gpio')) count += Number(/^\s*\d+:\s+(\d+)/.exec(line)?.[1] ?? 0);
  }
  return count;
}

/**
 * Changes a line's level `count` times. The simulator raises its interrupts with the next tick of the clock, and two
 * changes within one would be one interrupt: wait for each.
 */
export function burst(chip: SimChip, offset: number, count: number): void {
  let level = levelOf(chip, offset);
  for (let i = 0; i < count; i++) {
    const before = interruptCount();
    level = 1 - level;
    pull(chip, offset, level);
    const limitMs = performance.now() + 30_000;
    while (interruptCount() === before) {
      if (performance.now() > limitMs) throw new Error(`change ${i} of ${chip.path} made no interrupt`);
    }
  }
}
