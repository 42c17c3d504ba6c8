import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { REPOSITORY, requireFile } from './prerequisites.ts';

/** What examples/sensor-hub/Makefile builds: the target and the file that comes of it. */
const TARGETS = {
  /** A Linux process that shares a memfd with the service. */
  host: 'sensor-hub',
  /** For the Cortex-M3 board that QemuMcu is. */
  lm3s6965evb: 'sensor-hub-lm3s6965evb.elf',
  /** A vhost-user back-end: the firmware's library talks to the guest itself. */
  'vhost-user': 'vhost-user-sensor-hub',
} as const;

export type FirmwareTarget = keyof typeof TARGETS;

/** The lines of examples/sensor-hub, by offset; line 13 has no name on purpose. */
export const LINE_NAMES = [
  ...['IMU_INT', 'BARO_DRDY', 'ALS_INT', 'PROX_INT', 'MAG_DRDY', 'BUTTON', 'LID_OPEN', 'TAMPER'],
  ...['LED_STATUS', 'LED_ERROR', 'SENSOR_RST', 'SENSOR_PWR_EN', 'BUZZER', '', 'LOOP_OUT', 'LOOP_IN'],
] as const;

/** @throws RangeError when no line has that name */
export function offsetOf(name: (typeof LINE_NAMES)[number]): number {
  const offset = LINE_NAMES.indexOf(name);
  if (offset < 0) throw new RangeError(`no line is named ${name}`);
  return offset;
}

/** What a Cortex-M3 image speaks instead of virtio-gpio: an image a dialect. */
export type McuDialect = 'srtm' | 'rpmsg-io' | 'rpmsg-gpio' | 'rpmsg-gpio-kind0' | 'metux';

/** Builds the firmware and gives the path of the result. @throws Error with the compiler's words */
export function buildFirmware(target: FirmwareTarget): string {
  return make([target], TARGETS[target]);
}

/** Builds the image for QemuMcu that speaks `dialect`, gives its path. @throws Error with the compiler's words */
export function buildMcuFirmware(dialect: McuDialect): string {
  return make(['lm3s6965evb', `DIALECT=${dialect}`], `hub-${dialect}.elf`);
}

function make(what: readonly string[], result: string): string {
  // A folder of our own: somebody else's make may be at work in the usual one.
  const out = join(REPOSITORY, 'build/e2e');
  const words = ['-C', join(REPOSITORY, 'examples/sensor-hub'), `OUT=${out}`, ...what];
  execFileSync('make', words, { stdio: 'pipe' });
  return requireFile(join(out, result), `make ${words.join(' ')}`);
}
