import { hostname } from 'node:os';
import type { MqttConfig } from '../config/config.ts';
import type { MqttOptions } from '../exporters/mqtt/mqtt-options.ts';
import { topicSegment } from '../exporters/mqtt/topic-names.ts';

/** The port that IANA gave MQTT. */
const MQTT_PORT = 1883;

/** The host's name without its domain. */
function hostLabel(): string {
  return hostname().split('.')[0] as string;
}

/** The options of the MQTT exporter: what the configuration leaves out depends on the machine, or on other keys. */
export function mqttOptions(config: MqttConfig): MqttOptions {
  const { broker, port = MQTT_PORT, bind = '127.0.0.1', gateway = topicSegment(hostLabel()) } = config;
  const { clientId, username, password, tls, homeAssistant } = config;
  // aedes does not speak MQTT 5.
  const protocolVersion = broker === 'embedded' ? '3.1.1' : config.protocolVersion;
  return {
    ...config,
    port,
    bind,
    gateway,
    clientId,
    protocolVersion,
    username,
    password,
    tls,
    homeAssistant,
  };
}
