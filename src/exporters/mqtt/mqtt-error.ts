/** Faults of the MQTT exporter that its caller hears of. */
export type MqttErrorCode =
  /** The embedded broker cannot listen. */
  | 'ERR_MQTT_LISTEN'
  /** The worker ended while it started. */
  | 'ERR_MQTT_WORKER'
  /** A file or variable with a secret or a certificate cannot be read. */
  | 'ERR_MQTT_SECRET';

export class MqttError extends Error {
  /** Stable across releases. */
  readonly code: MqttErrorCode;
  constructor(code: MqttErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'MqttError';
    this.code = code;
  }
}
