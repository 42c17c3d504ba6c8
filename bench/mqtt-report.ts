/** Turns the MQTT measurements into figures. */
import { type Figure, figure, type Target, unmeasured } from './figures.ts';
import type { EventsRound, EventsRun } from './mqtt-events.ts';
import type { GuestRound } from './mqtt-guests.ts';
import type { MqttRounds } from './mqtt-rounds.ts';
import type { LoadResult } from './programs.ts';
import { LEAST_OF_FLOOR, median, medianOfRatios } from './statistics.ts';

const MEGABYTE = 1e6;
const US = 1000;

/** What is asked, by figure. */
export const MQTT_TARGETS: Readonly<Record<string, Target>> = {
  mqttQos0OverBare: { relation: '>=', value: 0.6 },
  mqttQos1OverBare: { relation: '>=', value: 0.6 },
  mqttQos0Faults: { relation: '<=', value: 0 },
  mqttQos1Faults: { relation: '<=', value: 0 },
  mqttBareFaults: { relation: '<=', value: 0 },
  mqttTimestampsWrong: { relation: '<=', value: 0 },
  guestWithQos0OverUnloaded: { relation: '<=', value: 2 },
  guestWithQos1OverUnloaded: { relation: '<=', value: 2 },
  guestWithCommandsOverUnloaded: { relation: '<=', value: 2 },
  hubGuestWithQos0OverUnloaded: { relation: '<=', value: 2 },
  hubGuestWithQos1OverUnloaded: { relation: '<=', value: 2 },
  hubGuestWithCommandsOverUnloaded: { relation: '<=', value: 2 },
  guestWrongAnswers: { relation: '<=', value: 0 },
  commandsUnanswered: { relation: '<=', value: 0 },
  commandsResidentGrowth: { relation: '<=', value: 64 },
};

/** What there is to say without a broker: which targets nobody knows to be met. */
export function unmeasuredMqttFigures(fails: boolean): Figure[] {
  return Object.entries(MQTT_TARGETS).map(([name, target]) => unmeasured(name, '', target, fails));
}

/** All figures of MQTT, in the order in which they are printed. */
export function mqttFiguresOf(rounds: MqttRounds): Figure[] {
  const guests = [rounds.guestsWithQos0, rounds.guestsWithQos1, rounds.guestsWithCommands].flat();
  const leastNs = LEAST_OF_FLOOR * median(rounds.latency.map(({ floor }) => floor.medianNs));
  const bare = [...rounds.qos0, ...rounds.qos1].map((round) => round.bare);
  return [
    ...latencyFigures(rounds),
    ...rateFigures('mqttQos0', rounds.qos0),
    ...rateFigures('mqttQos1', rounds.qos1),
    judged('mqttBareFaults', 'count', sum(bare.map(faultsOf))),
    ...guestFigures('WithQos0', rounds.guestsWithQos0, leastNs),
    rate('mqttQos0RateWithGuests', rounds.guestsWithQos0),
    ...guestFigures('WithQos1', rounds.guestsWithQos1, leastNs),
    rate('mqttQos1RateWithGuests', rounds.guestsWithQos1),
    ...guestFigures('WithCommands', rounds.guestsWithCommands, leastNs),
    judged('guestWrongAnswers', 'count', sum(guests.map(wrongAnswersOf))),
    ...commandFigures(rounds),
  ];
}

function judged(name: string, unit: string, value: number): Figure {
  return figure(name, unit, value, MQTT_TARGETS[name] ?? null);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function latencyFigures({ latency }: MqttRounds): Figure[] {
  const us = (name: string, of: (round: MqttRounds['latency'][number]) => number): Figure =>
    figure(name, 'us', median(latency.map(of)) / US);
  return [
    us('mqttLatencyMedian', ({ events }) => events.medianNs),
    us('mqttLatencyP99', ({ events }) => events.p99Ns),
    us('mqttLatencySinceTimestampMedian', ({ events }) => events.sinceTimestampMedianNs),
    us('mqttLatencySinceTimestampP99', ({ events }) => events.sinceTimestampP99Ns),
    us('mqttBrokerMedian', ({ echo }) => echo.medianNs),
    us('mqttBrokerP99', ({ echo }) => echo.p99Ns),
    figure(
      'mqttLatencyMedianOverFloor',
      'x floor',
      medianOfRatios(
        latency.map(({ events }) => events.medianNs),
        latency.map(({ floor }) => floor.medianNs),
      ),
    ),
    judged(
      'mqttTimestampsWrong',
      'count',
      sum(latency.map(({ events }) => events.timestampsTooEarly + events.timestampsTooLate)),
    ),
  ];
}

function faultsOf({ result }: EventsRun): number {
  return result.lost + result.invented + result.gaps + result.merged + result.malformed;
}

/** The rates, their ratio, and what a million events cost everybody. */
function rateFigures(name: string, rounds: readonly EventsRound[]): Figure[] {
  const service = rounds.map((round) => round.service);
  const bare = rounds.map((round) => round.bare);
  const ratesOf = (runs: readonly EventsRun[]): number[] => runs.map(({ result }) => result.eventsPerSecond);
  const cpu = (of: string, runs: readonly EventsRun[], spent: (run: EventsRun) => number): Figure =>
    figure(
      `${name}${of}Cpu`,
      's/million',
      median(runs.map((run) => (spent(run) / run.result.received) * 1e6)),
    );
  return [
    figure(`${name}Rate`, 'events/s', Math.round(median(ratesOf(service)))),
    figure(`${name}BareRate`, 'events/s', Math.round(median(ratesOf(bare)))),
    judged(`${name}OverBare`, 'x bare', medianOfRatios(ratesOf(service), ratesOf(bare))),
    judged(`${name}Faults`, 'count', sum(service.map(faultsOf))),
    cpu('Service', service, (run) => run.publisherCpuSeconds),
    cpu('Firmware', service, (run) => run.firmwareCpuSeconds),
    cpu('Broker', service, (run) => run.brokerCpuSeconds),
    cpu('Subscriber', service, (run) => run.result.cpuSeconds),
    cpu('Bare', bare, (run) => run.publisherCpuSeconds),
    cpu('BareBroker', bare, (run) => run.brokerCpuSeconds),
  ];
}

/** @param leastNs what the median without the load counts as at the least */
function guestFigures(load: string, rounds: readonly GuestRound<unknown>[], leastNs: number): Figure[] {
  return (['sim', 'hub'] as const).flatMap((device) => {
    const name = device === 'sim' ? 'guest' : 'hubGuest';
    const ratio = (key: 'medianNs' | 'p99Ns', least: number): number =>
      medianOfRatios(
        rounds.map(({ loaded }) => loaded[device][key]),
        rounds.map(({ unloaded }) => Math.max(unloaded[device][key], least)),
      );
    const us = (of: (round: GuestRound<unknown>) => LoadResult): number =>
      median(rounds.map((round) => of(round).medianNs)) / US;
    return [
      judged(`${name}${load}OverUnloaded`, 'x unloaded', ratio('medianNs', leastNs)),
      figure(`${name}${load}P99OverUnloaded`, 'x unloaded', ratio('p99Ns', 0)),
      figure(
        `${name}${load}Median`,
        'us',
        us(({ loaded }) => loaded[device]),
      ),
      figure(
        `${name}${load}UnloadedMedian`,
        'us',
        us(({ unloaded }) => unloaded[device]),
      ),
    ];
  });
}

function rate(name: string, rounds: MqttRounds['guestsWithQos0']): Figure {
  return figure(name, 'events/s', Math.round(median(rounds.map(({ load }) => load.eventsPerSecond))));
}

function wrongAnswersOf({ unloaded, loaded }: GuestRound<unknown>): number {
  return sum([unloaded, loaded].flatMap(({ sim, hub }) => [sim.errors, hub.errors]));
}

function commandFigures({ guestsWithCommands, flood, residentAtStart }: MqttRounds): Figure[] {
  const all = [...guestsWithCommands.map(({ load }) => load), flood.result];
  const { result, residentBefore, residentMost, residentAfter } = flood;
  return [
    figure('commandsRate', 'commands/s', Math.round(result.commandsPerSecond)),
    judged('commandsUnanswered', 'count', sum(all.map(({ unanswered }) => unanswered))),
    figure('commandsRefused', '%', (result.refused / result.commands) * 100),
    figure('mqttResidentAtStart', 'MB', residentAtStart / MEGABYTE),
    figure('commandsResidentBefore', 'MB', residentBefore / MEGABYTE),
    judged('commandsResidentGrowth', 'MB', (residentMost - residentBefore) / MEGABYTE),
    figure('commandsResidentAfter', 'MB', residentAfter / MEGABYTE),
  ];
}
