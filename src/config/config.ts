import { closeSync, openSync, readSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { ConfigError, type ConfigFault } from './config-error.ts';
import { crossCheck } from './cross-checks.ts';
import { faultsOfIssues } from './issue-faults.ts';
import {
  type Config,
  type CoprocessorConfig,
  configSchema,
  type MemorySource,
  type MqttConfig,
} from './schema.ts';
import { parseYaml } from './yaml-source.ts';

export { ConfigError } from './config-error.ts';
export type {
  ChipConfig,
  Config,
  ControlConfig,
  CoprocessorConfig,
  DoorbellConfig,
  ExecConfig,
  ExportConfig,
  ExportLineConfig,
  LogConfig,
  MemorySource,
  MqttConfig,
  ResourceTableSource,
} from './schema.ts';
export { configJsonSchema } from './schema.ts';

/** Largest configuration file in bytes; a mistyped path to a disk image should not be read to its end. */
export const MAX_CONFIG_SIZE_BYTES = 1 << 20;

/**
 * Reads and checks a configuration file. Files that it names are not looked at.
 *
 * @param path the file; a pipe will do
 * @throws ConfigError naming file, line, column, key, what is wrong and what would be right
 */
export function loadConfig(path: string): Config {
  return parseConfig(readText(path), path);
}

/**
 * Checks a configuration.
 *
 * @param text the YAML document
 * @param fileName names the file in errors; relative paths in it are resolved against this file's folder
 * @throws ConfigError naming file, line, column, key, what is wrong and what would be right
 */
export function parseConfig(text: string, fileName: string): Config {
  const source = parseYaml(text);
  throwIfAny(fileName, source.faults);
  if (source.value === null || source.value === undefined) {
    const right = 'expected at least the key chips; "rproc-gpio config schema" tells more';
    throw new ConfigError(fileName, { key: '', wrong: 'the file is empty', right, line: 1, column: 1 });
  }
  const parsed = configSchema.safeParse(source.value);
  if (!parsed.success) throwIfAny(fileName, faultsOfIssues(parsed.error.issues, source));
  const config = resolvePaths(parsed.data!, dirname(resolve(fileName)));
  throwIfAny(fileName, crossCheck(config, source));
  return config;
}

/** Throws the fault that comes first in the file. */
function throwIfAny(fileName: string, faults: readonly ConfigFault[]): void {
  const [first, ...others] = [...faults].sort((a, b) => a.line - b.line || a.column - b.column);
  if (first !== undefined) throw new ConfigError(fileName, first, others);
}

function resolvePaths(config: Config, folder: string): Config {
  const mapValues = <In, Out>(map: Readonly<Record<string, In>>, change: (value: In) => Out) =>
    Object.fromEntries(Object.entries(map).map(([name, value]) => [name, change(value)]));
  return {
    ...config,
    coprocessors: mapValues(config.coprocessors, (coprocessor) => resolveCoprocessor(coprocessor, folder)),
    chips: mapValues(config.chips, (chip) =>
      chip.type === 'gpiochip' ? { ...chip, path: resolveGpiochip(folder, chip.path) } : chip,
    ),
    exports: mapValues(config.exports, (device) => ({ ...device, socket: resolve(folder, device.socket) })),
    control: resolveKeys(config.control, ['socket'], folder),
    ...(config.mqtt === undefined ? {} : { mqtt: resolveMqtt(config.mqtt, folder) }),
  };
}

/** Resolves the paths at some keys of a map, where they are given. */
function resolveKeys<Section extends object>(
  section: Section,
  keys: readonly (keyof Section)[],
  folder: string,
): Section {
  const resolved = { ...section };
  for (const key of keys) {
    const path = section[key];
    if (typeof path === 'string') resolved[key] = resolve(folder, path) as Section[typeof key];
  }
  return resolved;
}

function resolveMqtt(mqtt: MqttConfig, folder: string): MqttConfig {
  const { username, password, tls } = mqtt;
  const resolved = { ...mqtt };
  if (typeof username === 'object' && 'file' in username)
    resolved.username = resolveKeys(username, ['file'], folder);
  if (password !== undefined && 'file' in password)
    resolved.password = resolveKeys(password, ['file'], folder);
  if (tls !== undefined) resolved.tls = resolveKeys(tls, ['ca', 'cert', 'key'], folder);
  return resolved;
}

function resolveCoprocessor(coprocessor: CoprocessorConfig, folder: string): CoprocessorConfig {
  const { memory, resourceTable, doorbell, exec } = coprocessor;
  const resolved: CoprocessorConfig = {
    ...coprocessor,
    memory: memory.map((source) => resolveMemory(source, folder)),
    resourceTable:
      'elf' in resourceTable ? { ...resourceTable, elf: resolve(folder, resourceTable.elf) } : resourceTable,
  };
  if (doorbell.type === 'socket') resolved.doorbell = { ...doorbell, path: resolve(folder, doorbell.path) };
  if (doorbell.type === 'uio')
    resolved.doorbell = { ...doorbell, device: resolveDevice(folder, doorbell.device) };
  if (exec !== undefined) {
    const [program, ...args] = exec.command;
    // Without a slash it is a program of PATH, as a shell takes it.
    const command = program!.includes('/') ? [resolve(folder, program!), ...args] : exec.command;
    resolved.exec = { ...exec, command };
    if (exec.cwd !== undefined) resolved.exec.cwd = resolve(folder, exec.cwd);
  }
  return resolved;
}

function resolveMemory(source: MemorySource, folder: string): MemorySource {
  if (source.type === 'file') return { ...source, path: resolve(folder, source.path) };
  if (source.type === 'uio') return { ...source, device: resolveDevice(folder, source.device) };
  return source;
}

/** `gpiochip0` is the name of a device, not of a file in the folder. */
function resolveGpiochip(folder: string, path: string): string {
  return path.includes('/') ? resolve(folder, path) : `/dev/${path}`;
}

/** `uio0` is the name of a device, not of a file in the folder. */
function resolveDevice(folder: string, device: string): string {
  return device.includes('/') ? resolve(folder, device) : device;
}

/** Reads a whole file of at most {@link MAX_CONFIG_SIZE_BYTES} as UTF-8. */
function readText(path: string): string {
  const unplaced = { key: '', line: 0, column: 0 };
  const bytes = Buffer.allocUnsafe(MAX_CONFIG_SIZE_BYTES + 1);
  let sizeBytes = 0;
  try {
    const descriptor = openSync(path, 'r');
    try {
      for (;;) {
        const count = readSync(descriptor, bytes, sizeBytes, bytes.length - sizeBytes, null);
        sizeBytes += count;
        if (count === 0 || sizeBytes === bytes.length) break;
      }
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? String(error);
    const right = reason === 'ENOENT' ? 'name the file with -c FILE' : 'expected a readable file';
    throw new ConfigError(path, { ...unplaced, wrong: `cannot be read (${reason})`, right });
  }
  if (sizeBytes > MAX_CONFIG_SIZE_BYTES) {
    const right = `expected at most ${MAX_CONFIG_SIZE_BYTES} bytes of YAML`;
    throw new ConfigError(path, { ...unplaced, wrong: 'the file is too large', right });
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, sizeBytes));
  } catch {
    throw new ConfigError(path, {
      ...unplaced,
      wrong: 'the file is no UTF-8 text',
      right: 'expected YAML, not a binary file',
    });
  }
}
