/** The MQTT rounds: in each, latency, rates and guests, each beside what it is compared with. */
import type { BarePublisher } from './bare.ts';
import type { Broker } from './broker.ts';
import type { HubMqttService } from './hub-service.ts';
import { type EventsRound, eventsRound, type LatencyRound, latencyRound } from './mqtt-events.ts';
import { type CommandFlood, commandFlood, type GuestRound, guestRound } from './mqtt-guests.ts';
import { commandOptions, driveOptions } from './mqtt-probe.ts';
import { residentBytes } from './process-status.ts';
import { type CommandsResult, type EventsResult, launchProgram } from './programs.ts';
import type { Effort, Placement } from './rounds.ts';

export interface MqttSubjects {
  readonly broker: Broker;
  /** Publishes events with QoS 0. */
  readonly qos0: HubMqttService;
  /** Publishes events with QoS 1. */
  readonly qos1: HubMqttService;
  readonly bare: BarePublisher;
}

export interface MqttRounds {
  readonly latency: LatencyRound[];
  readonly qos0: EventsRound[];
  readonly qos1: EventsRound[];
  readonly guestsWithQos0: GuestRound<EventsResult>[];
  readonly guestsWithQos1: GuestRound<EventsResult>[];
  readonly guestsWithCommands: GuestRound<CommandsResult>[];
  readonly flood: CommandFlood;
  /** Of the service that publishes with QoS 0, before anything was asked of it, in bytes. */
  readonly residentAtStart: number;
}

/** Level changes one at a time that are not measured, a run. */
const LATENCY_WARMUP = 50;

/** Runs all rounds; `progress` is told of each finished run. */
export async function measureMqtt(
  { broker, qos0, qos1, bare }: MqttSubjects,
  effort: Effort,
  placement: Placement,
  progress: (line: string) => void,
): Promise<MqttRounds> {
  const rounds: Omit<MqttRounds, 'flood' | 'residentAtStart'> = {
    latency: [],
    qos0: [],
    qos1: [],
    guestsWithQos0: [],
    guestsWithQos1: [],
    guestsWithCommands: [],
  };
  const floorOptions = [`--rounds=${effort.floorRounds}`, `--placement=${placement.name}`];
  const one = { events: effort.latencyEvents, warmup: LATENCY_WARMUP };
  const many = { events: effort.mqttEvents, warmup: effort.mqttWarmup };
  const driving = (service: HubMqttService) => () =>
    launchProgram<EventsResult>('mqttprobe', driveOptions(broker, service, null), null);
  const commanding = () =>
    launchProgram<CommandsResult>('mqttprobe', commandOptions(broker, qos0, null), null);
  const residentAtStart = residentBytes(qos0.pid);
  progress('mqtt: warming up');
  for (const service of [qos0, qos1]) await eventsRound(broker, service, bare, many);
  for (let round = 1; round <= effort.rounds; round++) {
    const tell = (text: string): void => progress(`round ${round}/${effort.rounds} mqtt ${text}`);
    const latency = await latencyRound(broker, qos0, one, floorOptions);
    rounds.latency.push(latency);
    tell(`latency: median ${latency.events.medianNs} ns, broker alone ${latency.echo.medianNs} ns`);
    for (const [name, service] of [['qos0', qos0] as const, ['qos1', qos1] as const]) {
      const each = await eventsRound(broker, service, bare, many);
      rounds[name].push(each);
      const { service: ours, bare: theirs } = each;
      tell(`${name}: ${ours.result.eventsPerSecond} events/s, bare ${theirs.result.eventsPerSecond}`);
    }
    const { guestRequests } = effort;
    const guests = [
      await guestRound(qos0, guestRequests, placement, driving(qos0)),
      await guestRound(qos1, guestRequests, placement, driving(qos1)),
    ] as const;
    rounds.guestsWithQos0.push(guests[0]);
    rounds.guestsWithQos1.push(guests[1]);
    const withCommands = await guestRound(qos0, guestRequests, placement, commanding);
    rounds.guestsWithCommands.push(withCommands);
    const medians = [...guests, withCommands].map(
      ({ unloaded, loaded }) => `${unloaded.sim.medianNs} to ${loaded.sim.medianNs} ns`,
    );
    tell(`guests: ${medians.join(', ')}`);
  }
  progress(`mqtt: commands for ${effort.floodSeconds} s`);
  return { ...rounds, residentAtStart, flood: await commandFlood(broker, qos0, effort.floodSeconds) };
}
