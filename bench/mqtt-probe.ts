/** How the MQTT probe is called for what is measured. */
import type { Broker } from './broker.ts';
import { COMMAND_LINES, EVENT_LINES, type HubMqttService } from './hub-service.ts';

/** Commands a second of one client. */
export const COMMAND_RATE = 10_000;
/**
 * Level changes under way, at most: half of the firmware's 256 event buffers. The service gives them back a batch at a time, and
 * with more under way some are dropped when it has to wait for a processor: no rate that can be kept up.
 */
const WINDOW = 192;
const CHUNK = 32;
/** Between two looks of the subscriber: it would be woken for each message otherwise, and take a third of a processor. */
const NAP_US = 50;
/** In the way of the topics of a service that it stands beside. */
export const BARE_TOPIC_PREFIX = 'rproc-gpio/mqtt-bare/hub';
const ECHO_TOPIC_PREFIX = 'rproc-gpio/mqtt-echo/hub';

function probeOptions(mode: string, broker: Broker, topicPrefix: string, lines: readonly string[]): string[] {
  return [`--mode=${mode}`, `--port=${broker.port}`, `--prefix=${topicPrefix}`, `--lines=${lines.join(',')}`];
}

/** How many, and how many before them that are not measured. */
export interface Count {
  readonly events: number;
  readonly warmup: number;
}

function countOptions({ events, warmup }: Count): string[] {
  return [`--events=${events}`, `--warmup=${warmup}`];
}

/** Drives the firmware's inputs as fast as their events arrive. @param count null: until told to end */
export function driveOptions(broker: Broker, service: HubMqttService, count: Count | null): string[] {
  return [
    ...probeOptions('drive', broker, service.topicPrefix, EVENT_LINES),
    ...countOptions(count ?? { events: 0, warmup: 0 }),
    `--pins=${service.pinsPath}`,
    `--qos=${service.eventQos}`,
    `--window=${WINDOW}`,
    `--chunk=${CHUNK}`,
    `--nap-us=${NAP_US}`,
  ];
}

/** Counts what the bare publisher publishes. */
export function countingOptions(broker: Broker, qos: 0 | 1, count: Count): string[] {
  return [
    ...probeOptions('count', broker, BARE_TOPIC_PREFIX, EVENT_LINES),
    ...countOptions(count),
    `--qos=${qos}`,
    `--nap-us=${NAP_US}`,
  ];
}

/** One level change at a time. */
export function latencyOptions(broker: Broker, service: HubMqttService, count: Count): string[] {
  return [
    ...probeOptions('latency', broker, service.topicPrefix, EVENT_LINES),
    ...countOptions(count),
    `--pins=${service.pinsPath}`,
    `--qos=${service.eventQos}`,
  ];
}

/** One message of the probe's own at a time. */
export function echoOptions(broker: Broker, count: Count): string[] {
  return [...probeOptions('echo', broker, ECHO_TOPIC_PREFIX, EVENT_LINES), ...countOptions(count)];
}

/** `set` commands at {@link COMMAND_RATE}. @param commands null: until told to end */
export function commandOptions(broker: Broker, service: HubMqttService, commands: number | null): string[] {
  return [
    ...probeOptions('commands', broker, service.topicPrefix, COMMAND_LINES),
    `--rate=${COMMAND_RATE}`,
    `--events=${commands ?? 0}`,
  ];
}
