import { readFileSync, statSync } from 'node:fs';
import { MqttError } from './mqtt-error.ts';
import type { MqttOptions, Secret } from './mqtt-options.ts';

/**
 * A secret, read when it is needed: one that was renewed is used at the next attempt to connect. A line end behind it is
 * not part of it.
 * @throws MqttError ERR_MQTT_SECRET, which names the file or variable and nothing of what is in it
 */
export function readSecret(secret: Secret, what: string): string {
  if ('env' in secret) {
    const value = process.env[secret.env];
    if (value !== undefined) return withoutLineEnd(value);
    throw new MqttError('ERR_MQTT_SECRET', `the ${what} is missing: $${secret.env} is not set`);
  }
  return withoutLineEnd(readText(secret.file, what));
}

function withoutLineEnd(text: string): string {
  return text.replace(/\r?\n$/, '');
}

/** A file that the connection needs. @throws MqttError ERR_MQTT_SECRET, which names it */
export function readText(file: string, what: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    throw new MqttError('ERR_MQTT_SECRET', `the ${what} ${file} cannot be read: ${reason}`, error);
  }
}

/** Bit of a file's mode: everybody may read it. */
const READABLE_BY_OTHERS = 0o004;

/** Files of secrets that every user of this machine can read, as far as they can be looked at: a warning for each. */
export function secretsForAll({ password, tls }: MqttOptions): string[] {
  const files: (readonly [string, string])[] = [];
  if (password !== undefined && 'file' in password) files.push(['password', password.file]);
  if (tls?.key !== undefined) files.push(['tls.key', tls.key]);
  return files.flatMap(([key, file]) => {
    const mode = statSync(file, { throwIfNoEntry: false })?.mode ?? 0;
    if ((mode & READABLE_BY_OTHERS) === 0) return [];
    const digits = (mode & 0o777).toString(8).padStart(4, '0');
    return [`the file of mqtt.${key}, ${file}, can be read by every user (mode ${digits}): chmod o-r it`];
  });
}

/** Takes user names and passwords out of URLs in a text: they are not ours to tell. */
export function redact(text: string): string {
  return text.replace(/([a-z][a-z0-9+.-]*:\/\/)[^/?#@\s]*@/gi, '$1');
}
