import type { Access, Role } from '../../gpio/line-settings.ts';

/** Quality of service (MQTT 5.0, section 4.3): at most once, at least once, exactly once. */
export type Qos = 0 | 1 | 2;

/** How messages of one kind of topic are published. */
export interface TopicPolicy {
  readonly qos: Qos;
  readonly retain: boolean;
}

/** Where a secret is kept: it is in no configuration, and in no log. */
export type Secret = { readonly file: string } | { readonly env: string };

/** Certificates for `mqtts://` and `wss://`: files in PEM. */
export interface MqttTls {
  /** Authorities that may vouch for the broker; the system's when absent. */
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** Name that the broker's certificate must have; that of the URL when absent. */
  readonly serverName?: string | undefined;
}

/** Policies by kind of topic (design.md, MQTT). */
export interface MqttTopicPolicies {
  readonly status: TopicPolicy;
  readonly state: TopicPolicy;
  readonly direction: TopicPolicy;
  readonly event: TopicPolicy;
  readonly result: TopicPolicy;
  readonly diagnostics: TopicPolicy;
  /** Quality of service of the subscriptions to commands. */
  readonly commandQos: Qos;
}

/** A selector of lines, and how MQTT uses them. */
export interface MqttLineSelector {
  /** `CHIP/NAME`, `CHIP/#OFFSET`, with `*` and `?`; or `*`. */
  readonly line: string;
  readonly name?: string | undefined;
  readonly access: Access;
  readonly role: Role;
  readonly debounceMs?: number | undefined;
  /** Home Assistant's device class. */
  readonly deviceClass?: string | undefined;
}

/** What the MQTT exporter is told; the configuration's `mqtt` section with its defaults filled in. */
export interface MqttOptions {
  /** `embedded`, or an mqtt:, mqtts:, ws: or wss: URL without user info. */
  readonly broker: string;
  /** Of the embedded broker; 0 = a free one. */
  readonly port: number;
  /** Address on which the embedded broker listens. */
  readonly bind: string;
  /** First part of all topics, one level or several. */
  readonly baseTopic: string;
  /** Second part of all topics, one level. */
  readonly gateway: string;
  /** `rproc-gpio-<gateway>` when undefined. */
  readonly clientId: string | undefined;
  readonly protocolVersion: 5 | '3.1.1';
  readonly username: string | Secret | undefined;
  readonly password: Secret | undefined;
  readonly tls: MqttTls | undefined;
  readonly keepaliveSeconds: number;
  /** How long the broker may take to accept the connection. */
  readonly connectTimeoutMs: number;
  /** Pauses between attempts to connect grow from `minMs` to `maxMs`. */
  readonly retry: { readonly minMs: number; readonly maxMs: number };
  readonly topics: MqttTopicPolicies;
  /** Events that are kept while the broker is away or slow; then the oldest go. */
  readonly eventQueueLimit: number;
  readonly lines: readonly MqttLineSelector[];
  readonly homeAssistant: { readonly discoveryPrefix: string } | undefined;
}

/** Identifier towards the broker. */
export function clientIdOf(options: MqttOptions): string {
  return options.clientId ?? `rproc-gpio-${options.gateway}`;
}
