import { deviceClassFault } from '../exporters/mqtt/home-assistant-classes.ts';
import { topicFault } from '../exporters/mqtt/topic-names.ts';
import type { Report } from './report.ts';
import type { MqttConfig } from './schema.ts';

const PROTOCOLS = new Set(['mqtt:', 'mqtts:', 'ws:', 'wss:']);
const ENCRYPTED = new Set(['mqtts:', 'wss:']);

/** Rules of the MQTT section that concern several keys, or texts that have a syntax of their own. */
export function checkMqtt(mqtt: MqttConfig, report: Report): void {
  checkBroker(mqtt, report);
  checkTopics(mqtt, report);
  const { username, password, retry, lines, homeAssistant } = mqtt;
  if (password !== undefined && username === undefined) {
    report(['mqtt', 'password'], 'is given without a user name', 'add username', 'key');
  }
  if (retry.maxMs < retry.minMs) {
    report(['mqtt', 'retry', 'maxMs'], `is ${retry.maxMs}`, `expected at least minMs, ${retry.minMs}`);
  }
  lines.forEach(({ deviceClass, role, access }, index) => {
    if (deviceClass === undefined) return;
    const path = ['mqtt', 'lines', index, 'deviceClass'];
    if (homeAssistant === undefined) {
      report(path, 'is given without homeAssistant', 'add homeAssistant: {} or leave it out', 'key');
      return;
    }
    const fault = deviceClassFault(
      role === 'output' && access !== 'read' ? 'switch' : 'binary_sensor',
      deviceClass,
    );
    if (fault !== null) report(path, `is "${deviceClass}"`, fault);
  });
}

function checkBroker({ broker, port, bind, tls }: MqttConfig, report: Report): void {
  const path = ['mqtt', 'broker'];
  if (broker === 'embedded') {
    if (tls !== undefined) {
      report(
        ['mqtt', 'tls'],
        'is given, but the embedded broker has no TLS',
        'leave it out, or name a broker',
        'key',
      );
    }
    return;
  }
  for (const [key, value] of Object.entries({ port, bind })) {
    if (value === undefined) continue;
    report(
      ['mqtt', key],
      'is for the embedded broker',
      'leave it out, and put it into the URL of the broker',
      'key',
    );
  }
  const url = URL.canParse(broker) ? new URL(broker) : null;
  if (url === null || !PROTOCOLS.has(url.protocol) || url.hostname === '') {
    const right = 'expected embedded, or a URL such as mqtt://127.0.0.1:1883, mqtts://, ws:// or wss://';
    report(path, `is ${JSON.stringify(withoutSecrets(broker))}`, right);
    return;
  }
  if (url.username !== '' || url.password !== '') {
    report(
      path,
      'holds a user name or password',
      'use username and password: { file: PATH } or { env: NAME }',
    );
  }
  if (tls !== undefined && !ENCRYPTED.has(url.protocol)) {
    report(
      ['mqtt', 'tls'],
      `is given, but the broker's URL is ${url.protocol}//`,
      'use mqtts:// or wss://',
      'key',
    );
  }
  if (tls !== undefined && (tls.cert === undefined) !== (tls.key === undefined)) {
    const [there, missing] = tls.cert === undefined ? ['key', 'cert'] : ['cert', 'key'];
    report(['mqtt', 'tls', there!], `is given without ${missing}`, 'a client certificate needs both', 'key');
  }
}

/** What stands before an @ may be a password: it is not repeated in a message. */
function withoutSecrets(text: string): string {
  return text.replace(/[^/]*@/, '…@');
}

function checkTopics({ baseTopic, gateway, homeAssistant, clientId }: MqttConfig, report: Report): void {
  const check = (path: readonly string[], value: string | undefined, isLevel: boolean): void => {
    if (value === undefined) return;
    const fault =
      topicFault(value) ?? (isLevel && value.includes('/') ? 'holds "/", and is one level only' : null);
    if (fault === null) return;
    report(
      [...path],
      `is ${JSON.stringify(value)}, no topic: it ${fault}`,
      'expected text such as "rproc-gpio"',
    );
  };
  check(['mqtt', 'baseTopic'], baseTopic, false);
  check(['mqtt', 'gateway'], gateway, true);
  check(['mqtt', 'homeAssistant', 'discoveryPrefix'], homeAssistant?.discoveryPrefix, false);
  if (clientId !== undefined && Buffer.byteLength(clientId) > 65535)
    report(['mqtt', 'clientId'], 'is too long', 'expected at most 65535 bytes');
}
