import { readFileSync } from 'node:fs';
import { ConfigError, type ConfigPath } from './config-error.ts';
import { faultAt, parseYaml } from './yaml-source.ts';

/**
 * A fault that shows only when the service runs (a line that the firmware does not have), at its place in the file.
 *
 * @param file the configuration file, as it was read
 * @param path of the value at fault
 */
export function configErrorAt(
  file: string,
  path: ConfigPath,
  wrong: string,
  right: string,
  at: 'key' | 'value' = 'value',
): ConfigError {
  return new ConfigError(file, faultAt(parseYaml(readFileSync(file, 'utf8')), path, at, wrong, right));
}
