/** Level changes on their way to an MQTT subscriber: one at a time, and as fast as they go. */
import type { BarePublisher } from './bare.ts';
import type { Broker } from './broker.ts';
import { EVENT_LINES, type HubMqttService } from './hub-service.ts';
import {
  BARE_TOPIC_PREFIX,
  type Count,
  countingOptions,
  driveOptions,
  echoOptions,
  latencyOptions,
} from './mqtt-probe.ts';
import { cpuSeconds } from './process-status.ts';
import {
  allowedCpus,
  type EchoResult,
  type EventLatencyResult,
  type EventsResult,
  type FloorResult,
  launchProgram,
  runProgram,
} from './programs.ts';
import { pinMainThread } from './service.ts';

export interface LatencyRound {
  readonly floor: FloorResult;
  readonly events: EventLatencyResult;
  /** The broker's share: a message of the same size, published and received by the probe. */
  readonly echo: EchoResult;
}

/** A run as fast as it goes. */
export interface EventsRun {
  readonly result: EventsResult;
  /** Of whoever published: the service with all its threads, or the bare publisher. */
  readonly publisherCpuSeconds: number;
  /** 0 where there is none. */
  readonly firmwareCpuSeconds: number;
  readonly brokerCpuSeconds: number;
}

export interface EventsRound {
  readonly service: EventsRun;
  readonly bare: EventsRun;
}

/** @param floorOptions of the floor that it is compared with */
export async function latencyRound(
  broker: Broker,
  service: HubMqttService,
  count: Count,
  floorOptions: readonly string[],
): Promise<LatencyRound> {
  const floor = await runProgram<FloorResult>('floor', floorOptions, null);
  const events = await runProgram<EventLatencyResult>(
    'mqttprobe',
    latencyOptions(broker, service, count),
    null,
  );
  const echo = await runProgram<EchoResult>('mqttprobe', echoOptions(broker, count), null);
  return { floor, events, echo };
}

/** The service, then the bare publisher. Everybody runs where the scheduler puts them. */
export async function eventsRound(
  broker: Broker,
  service: HubMqttService,
  bare: BarePublisher,
  count: Count,
): Promise<EventsRound> {
  pinMainThread(service.pid, allowedCpus());
  return {
    service: await serviceRun(broker, service, count),
    bare: await bareRun(broker, service.eventQos, bare, count),
  };
}

async function serviceRun(broker: Broker, service: HubMqttService, count: Count): Promise<EventsRun> {
  const pids = [service.pid, service.firmwarePid, broker.pid];
  const { result, spent } = await metered(pids, () =>
    runProgram<EventsResult>('mqttprobe', driveOptions(broker, service, count), null),
  );
  const [publisherCpuSeconds, firmwareCpuSeconds, brokerCpuSeconds] = spent as [number, number, number];
  return { result, publisherCpuSeconds, firmwareCpuSeconds, brokerCpuSeconds };
}

async function bareRun(broker: Broker, qos: 0 | 1, bare: BarePublisher, count: Count): Promise<EventsRun> {
  const { result, spent } = await metered([broker.pid], async () => {
    const counting = launchProgram<EventsResult>('mqttprobe', countingOptions(broker, qos, count), null);
    try {
      await counting.ready;
      const published = await bare.publish({
        port: broker.port,
        qos,
        topicPrefix: BARE_TOPIC_PREFIX,
        lines: EVENT_LINES,
        events: count.events + count.warmup,
      });
      return { counted: await counting.result, published };
    } finally {
      counting.end();
    }
  });
  return {
    result: result.counted,
    publisherCpuSeconds: result.published.cpuSeconds,
    firmwareCpuSeconds: 0,
    brokerCpuSeconds: spent[0]!,
  };
}

/** What some processes spent meanwhile, in seconds each. */
async function metered<T>(
  pids: readonly number[],
  body: () => Promise<T>,
): Promise<{ readonly result: T; readonly spent: readonly number[] }> {
  const before = pids.map(cpuSeconds);
  const result = await body();
  return { result, spent: pids.map((pid, i) => cpuSeconds(pid) - before[i]!) };
}
