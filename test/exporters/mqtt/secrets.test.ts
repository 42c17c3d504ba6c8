import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readSecret, secretsForAll } from '../../../src/exporters/mqtt/secrets.ts';
import { scratchFolder } from '../../cli/command-process.ts';
import { mqttOptions } from './mqtt-fixture.ts';

function fileOf(mode: number): string {
  const file = join(scratchFolder(), 'secret');
  writeFileSync(file, 'sesame\r\n');
  chmodSync(file, mode);
  return file;
}

const options = (password: string, key: string) =>
  mqttOptions('mqtts://broker.example', { username: 'u', password: { file: password }, tls: { key } });

describe('files of secrets', () => {
  it('are warned about when everybody can read them', () => {
    const [password, key] = [fileOf(0o644), fileOf(0o604)];
    expect(secretsForAll(options(password, key))).toEqual([
      `the file of mqtt.password, ${password}, can be read by every user (mode 0644): chmod o-r it`,
      `the file of mqtt.tls.key, ${key}, can be read by every user (mode 0604): chmod o-r it`,
    ]);
  });

  it('are not when they are for the user or a group, missing, or no files', () => {
    expect(secretsForAll(options(fileOf(0o600), fileOf(0o640)))).toEqual([]);
    expect(secretsForAll(options('/no/such/file', '/no/such/key'))).toEqual([]);
    expect(secretsForAll(mqttOptions('mqtt://broker.example', { password: { env: 'PASSWORD' } }))).toEqual(
      [],
    );
  });

  it('are read without the line end', () => {
    expect(readSecret({ file: fileOf(0o600) }, 'password')).toBe('sesame');
  });
});
