import { lstatSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Config, parseConfig } from '../config/config.ts';

/** The firmware example, built for this machine by `npm install`. */
export const HOST_FIRMWARE = fileURLToPath(new URL('../../build/Release/sensor-hub', import.meta.url));

/** Bits of a folder's mode: everybody may write in it; only to files of their own. */
const WRITABLE_BY_OTHERS = 0o002;
const STICKY = 0o1000;

export interface DemoConfig {
  readonly config: Config;
  /** Where the hub's lines are driven from outside (examples/sensor-hub/README.md). */
  readonly pinsSocket: string;
  readonly guestSocket: string;
}

/** Protocols that the firmware example speaks. */
export const DEMO_DIALECTS = [
  'virtio-gpio',
  'srtm',
  'rpmsg-io',
  'rpmsg-gpio',
  'rpmsg-gpio-kind0',
  'metux',
] as const;
export type DemoDialect = (typeof DEMO_DIALECTS)[number];

/** Lines of the firmware example, in the order of their offsets; the dialects over rpmsg have no names of their own. */
const LINE_NAMES = [
  'IMU_INT',
  'BARO_DRDY',
  'ALS_INT',
  'PROX_INT',
  'MAG_DRDY',
  'BUTTON',
  'LID_OPEN',
  'TAMPER',
  'LED_STATUS',
  'LED_ERROR',
  'SENSOR_RST',
  'SENSOR_PWR_EN',
  'BUZZER',
  '',
  'LOOP_OUT',
  'LOOP_IN',
] as const;
/** Its ports have so many lines. */
const LINES_A_PORT = 8;

/** What the demo's chip says of a dialect. */
function chipOf(dialect: DemoDialect): object {
  if (dialect === 'virtio-gpio' || dialect === 'metux') return { coprocessor: 'hub', dialect };
  const hasPorts = dialect === 'srtm' || dialect === 'rpmsg-io';
  const lines = LINE_NAMES.map((name, offset) => ({
    port: hasPorts ? Math.floor(offset / LINES_A_PORT) : 0,
    pin: hasPorts ? offset % LINES_A_PORT : offset,
    name,
  }));
  return { coprocessor: 'hub', dialect, lines };
}

export interface DemoOptions {
  /** Port of the embedded broker; 0 = a free one. */
  readonly mqttPort: number;
  /** What firmware and service speak. */
  readonly dialect?: DemoDialect;
  /** undefined: where the commands look by themselves. */
  readonly controlSocket: string | undefined;
}

/** Folder of the demo's sockets unless told otherwise. */
export function defaultDemoFolder(): string {
  const { XDG_RUNTIME_DIR } = process.env;
  if (XDG_RUNTIME_DIR) return join(XDG_RUNTIME_DIR, 'rproc-gpio-demo');
  return join(tmpdir(), `rproc-gpio-demo-${process.getuid?.() ?? 0}`);
}

/** Not with the folders above it: `recursive` of Node 20 never returns for a folder below /proc. */
function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    throw new Error(`${folder} cannot be made (${code}); name a folder for the sockets with --dir=PATH`);
  }
}

/**
 * What `rproc-gpio demo` serves: the firmware example as a process of this machine, its lines offered to one
 * guest, to MQTT and to the commands of the host.
 * @param folder for the sockets; made (mode 0700) if it is not there
 * @throws Error when the folder cannot be made, or others could replace the sockets in it
 */
export function demoConfig(
  folder: string,
  { mqttPort, controlSocket, dialect = 'virtio-gpio' }: DemoOptions,
): DemoConfig {
  makeFolder(folder);
  const status = lstatSync(folder);
  if (!status.isDirectory() || status.uid !== process.getuid?.()) {
    throw new Error(`${folder} is not a folder of this user; name another one with --dir=PATH`);
  }
  // The folder may be one that is used for other things, too: it is left as it is.
  if ((status.mode & WRITABLE_BY_OTHERS) !== 0 && (status.mode & STICKY) === 0) {
    throw new Error(`others may replace files in ${folder}; name another folder with --dir=PATH`);
  }
  const pinsSocket = join(folder, 'pins.sock');
  const guestSocket = join(folder, 'vm1.sock');
  const text = JSON.stringify({
    coprocessors: {
      hub: {
        memory: [{ type: 'memfd', sizeBytes: 0x40000, deviceAddress: 0x20000000 }],
        resourceTable: { deviceAddress: 0x20000000 },
        doorbell: { type: 'eventfd' },
        exec: { command: [HOST_FIRMWARE, `--pins=${pinsSocket}`, `--dialect=${dialect}`] },
      },
    },
    chips: { hub: chipOf(dialect) },
    // Nothing of a demonstration stays on the disk.
    exports: { vm1: { socket: guestSocket, lines: ['hub/*'], resume: false } },
    mqtt: {
      broker: 'embedded',
      port: mqttPort,
      gateway: 'demo',
      homeAssistant: {},
      lines: [
        { line: 'hub/LED_*', role: 'output' },
        { line: 'hub/SENSOR_*', role: 'output' },
        { line: 'hub/BUZZER', role: 'output' },
        { line: 'hub/LID_OPEN', deviceClass: 'opening' },
        { line: 'hub/TAMPER', deviceClass: 'tamper' },
        'hub/*',
      ],
    },
    ...(controlSocket === undefined ? {} : { control: { socket: controlSocket } }),
  });
  return { config: parseConfig(text, join(folder, 'demo.yaml')), pinsSocket, guestSocket };
}
