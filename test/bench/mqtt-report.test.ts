import { describe, expect, it } from 'vitest';
import { exitStatus, type Figure } from '../../bench/figures.ts';
import type { EventsRound, EventsRun, LatencyRound } from '../../bench/mqtt-events.ts';
import type { GuestLatency, GuestRound } from '../../bench/mqtt-guests.ts';
import { MQTT_TARGETS, mqttFiguresOf, unmeasuredMqttFigures } from '../../bench/mqtt-report.ts';
import type { MqttRounds } from '../../bench/mqtt-rounds.ts';
import type { CommandsResult, EventsResult, LoadResult } from '../../bench/programs.ts';
import { tableOf } from '../../bench/report.ts';

const EVENTS: EventsResult = {
  events: 50_000,
  eventsPerSecond: 50_000,
  received: 60_000,
  lost: 0,
  invented: 0,
  gaps: 0,
  merged: 0,
  malformed: 0,
  cpuSeconds: 0.06,
};
const COMMANDS: CommandsResult = {
  commands: 10_000,
  commandsPerSecond: 10_000,
  succeeded: 9_000,
  refused: 1_000,
  unanswered: 0,
  cpuSeconds: 0.1,
};

function run(result: Partial<EventsResult> = {}): EventsRun {
  return {
    result: { ...EVENTS, ...result },
    publisherCpuSeconds: 0.3,
    firmwareCpuSeconds: 0.03,
    brokerCpuSeconds: 0.6,
  };
}

function events(service: number, bare: number): EventsRound {
  return { service: run({ eventsPerSecond: service }), bare: run({ eventsPerSecond: bare }) };
}

function load(medianNs: number, errors = 0): LoadResult {
  return {
    medianNs,
    p99Ns: medianNs * 3,
    requestsPerSecond: 1e9 / medianNs,
    errors,
    cpuSeconds: 1,
    requests: 1,
    kicks: 1,
  };
}

function guests<T>(unloaded: number, loaded: number, of: T, errors = 0): GuestRound<T> {
  const both = (us: number): GuestLatency => ({ sim: load(us * 1000, errors), hub: load(us * 2000) });
  return { unloaded: both(unloaded), loaded: both(loaded), load: of };
}

const LATENCY: LatencyRound = {
  floor: { medianNs: 40_000, p99Ns: 60_000, roundTripsPerSecond: 25_000 },
  events: {
    medianNs: 160_000,
    p99Ns: 900_000,
    sinceTimestampMedianNs: 140_000,
    sinceTimestampP99Ns: 880_000,
    lost: 0,
    gaps: 0,
    malformed: 0,
    timestampsTooEarly: 0,
    timestampsTooLate: 0,
  },
  echo: { medianNs: 30_000, p99Ns: 70_000, lost: 0, malformed: 0 },
};

function rounds(changes: Partial<MqttRounds> = {}): MqttRounds {
  return {
    latency: [LATENCY],
    qos0: [events(80, 100), events(90, 300), events(70, 100)],
    qos1: [events(40, 40)],
    guestsWithQos0: [guests(30, 45, EVENTS), guests(30, 90, EVENTS), guests(60, 60, EVENTS)],
    guestsWithQos1: [guests(10, 10, EVENTS)],
    guestsWithCommands: [guests(10, 10, COMMANDS)],
    flood: { result: COMMANDS, residentBefore: 100e6, residentMost: 112e6, residentAfter: 110e6 },
    residentAtStart: 90e6,
    ...changes,
  };
}

function named(name: string, all: MqttRounds): Figure | undefined {
  return mqttFiguresOf(all).find((each) => each.name === name);
}

describe('mqttFiguresOf', () => {
  it('compares rates and latencies within their rounds', () => {
    expect(named('mqttQos0OverBare', rounds())).toMatchObject({ value: 0.7, met: true });
    expect(named('guestWithQos0OverUnloaded', rounds())).toMatchObject({ value: 1.5, met: true });
    expect(named('hubGuestWithQos0Median', rounds())?.value).toBe(120);
    // Half the floor.
    const fast = rounds({ guestsWithQos1: [guests(4, 15, EVENTS)] });
    expect(named('guestWithQos1OverUnloaded', fast)).toMatchObject({ value: 0.75, met: true });
    expect(named('guestWithQos1P99OverUnloaded', fast)).toMatchObject({ value: 3.75, target: null });
    expect(named('mqttLatencyMedianOverFloor', rounds())?.value).toBe(4);
  });

  it('gives processor time for a million received events', () => {
    expect(named('mqttQos0ServiceCpu', rounds())?.value).toBe(5);
    expect(named('mqttQos0BrokerCpu', rounds())?.value).toBe(10);
    expect(named('mqttQos0SubscriberCpu', rounds())?.value).toBe(1);
  });

  it('sees how far memory grew, and how many commands were refused', () => {
    expect(named('commandsResidentGrowth', rounds())).toMatchObject({ value: 12, unit: 'MB', met: true });
    expect(named('commandsRefused', rounds())?.value).toBe(10);
  });

  it.each(['lost', 'invented', 'gaps', 'merged', 'malformed'] as const)('fails a run for one %s', (kind) => {
    const round = { service: run({ [kind]: 1 }), bare: run() };
    const figures = mqttFiguresOf(rounds({ qos1: [events(40, 40), round] }));
    expect(figures.find(({ name }) => name === 'mqttQos1Faults')?.value).toBe(1);
    expect(exitStatus(figures)).toBe(1);
  });

  it('does not compare with a yardstick that lost something', () => {
    const round = { service: run(), bare: run({ lost: 3 }) };
    expect(named('mqttBareFaults', rounds({ qos0: [round] }))).toMatchObject({ value: 3, failed: true });
  });

  it('fails a run for a wrong answer, an unanswered command, a wrong time', () => {
    const wrong = [
      rounds({ guestsWithQos1: [guests(10, 10, EVENTS, 1)] }),
      rounds({ guestsWithCommands: [guests(10, 10, { ...COMMANDS, unanswered: 1 })] }),
      rounds({ latency: [{ ...LATENCY, events: { ...LATENCY.events, timestampsTooEarly: 1 } }] }),
    ];
    expect(wrong.map((each) => exitStatus(mqttFiguresOf(each)))).toEqual([1, 1, 1]);
    expect(exitStatus(mqttFiguresOf(rounds()))).toBe(0);
  });

  it('has a figure for every target', () => {
    const judged = mqttFiguresOf(rounds()).filter((each) => each.target !== null);
    expect(judged.map((each) => each.name).sort()).toEqual(Object.keys(MQTT_TARGETS).sort());
  });
});

describe('unmeasuredMqttFigures', () => {
  it('does not look like something that was measured', () => {
    const figures = unmeasuredMqttFigures(false);
    expect(figures.map((each) => each.name)).toEqual(Object.keys(MQTT_TARGETS));
    expect(figures.every((each) => each.value === null && each.met === false)).toBe(true);
    expect(exitStatus(figures)).toBe(0);
    expect(tableOf(figures)).toMatch(/^mqttQos0OverBare +not measured +>= 0.6$/m);
  });

  it('fails a run that has to be complete', () => {
    const figures = unmeasuredMqttFigures(true);
    expect(exitStatus(figures)).toBe(1);
    expect(tableOf(figures)).toMatch(/^mqttQos0OverBare +not measured +>= 0.6 +FAILED$/m);
  });
});
