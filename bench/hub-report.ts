/** Turns measurements of the way through the co-processor into figures. */
import { type Figure, figure, type Target, unmeasured } from './figures.ts';
import type { FirmwarePlace, HubRounds } from './hub-latency.ts';
import { BRIDGED_MS, type StreamResult } from './hub-stream.ts';
import type { Sample } from './rounds.ts';
import { median, medianOfRatios } from './statistics.ts';

type Timed = Sample<{ readonly medianNs: number; readonly p99Ns: number }>;

/** Names of figures end with it where the firmware shares the service's processor. */
const BESIDE_SERVICE = 'BesideService';

/** What is asked of the firmware that shares the guest's processor; the other is printed for comparison. */
const TARGETS = { set: 2, change: 1.5, changeAfterPause: 1.5, get: 0.65 } as const;

export function hubLatencyFigures(places: Readonly<Record<FirmwarePlace, HubRounds>>): Figure[] {
  const all = [places.guest, places.service].flatMap((rounds): Sample<{ readonly errors: number }>[] =>
    Object.values(rounds).flat(),
  );
  const unheardOf = [places.guest, places.service].flatMap((rounds) => [
    ...rounds.loop.map(({ result }) => result.lost + result.invented),
    ...[...rounds.change, ...rounds.changeAfterPause].map(({ result }) => result.invented),
  ]);
  return [
    ...placeFigures(places.guest, '', true),
    ...placeFigures(places.service, BESIDE_SERVICE, false),
    figure('hubWrongAnswers', 'count', sum(all.map(({ result }) => result.errors)), none),
    figure('hubEventFaults', 'count', sum(unheardOf), none),
  ];
}

const STREAM_TARGET: Target = { relation: '>=', value: 200_000 };

export function streamFigures(stream: StreamResult): Figure[] {
  const perMillion = (seconds: number): number => (seconds / stream.changes) * 1e6;
  const cpu = stream.cpuSeconds;
  return [
    figure('streamRate', 'changes/s', Math.round(stream.edges / stream.seconds), STREAM_TARGET),
    {
      ...figure('streamGaps', 'count', stream.gaps, none),
      failed: !(stream.gaps <= stream.changes * (stream.longestWaitMs > BRIDGED_MS ? 0.5 : 0.05)),
    },
    figure('streamLongestWait', 'ms', stream.longestWaitMs),
    figure(
      'streamFaults',
      'count',
      // What is missing must be known to both sides.
      Math.abs(stream.changes - stream.edges - stream.gaps) +
        Math.abs(stream.firmwareDropped - stream.gaps) +
        stream.malformed +
        stream.guest.errors,
      none,
    ),
    figure('streamWrongLevels', 'count', stream.wrongLevels.length, none),
    figure('streamServiceCpu', 's/million', perMillion(cpu.service)),
    figure('streamFirmwareCpu', 's/million', perMillion(cpu.firmware)),
    figure('streamBrokerCpu', 's/million', perMillion(cpu.broker)),
    figure('streamGuestCpu', 's/million', perMillion(stream.guest.cpuSeconds)),
    figure('streamGuestRate', 'events/s', Math.round(stream.guest.events / stream.seconds)),
    figure('streamMqttRate', 'messages/s', Math.round(stream.mqttPublished / stream.seconds)),
    figure('streamMqttDropped', 'count', stream.mqttDropped),
  ];
}

/** Without a broker. @param fails whether the run fails for it */
export function unmeasuredStreamFigures(fails: boolean): Figure[] {
  return [
    unmeasured('streamRate', 'changes/s', STREAM_TARGET, fails),
    unmeasured('streamGaps', 'count', none, fails),
    unmeasured('streamFaults', 'count', none, fails),
    unmeasured('streamWrongLevels', 'count', none, fails),
  ];
}

const none: Target = { relation: '<=', value: 0 };

function placeFigures(rounds: HubRounds, suffix: string, isJudged: boolean): Figure[] {
  const target = (value: number): Target | null => (isJudged ? { relation: '<=', value } : null);
  return [
    ...timedFigures(`hubSet${suffix}`, rounds.set, target(TARGETS.set)),
    figure(
      `hubSet${suffix}ServiceCpu`,
      's/million',
      median(rounds.set.map((each) => (each.serviceCpuSeconds / each.result.requests) * 1e6)),
    ),
    ...timedFigures(`hubChange${suffix}`, rounds.change, target(TARGETS.change)),
    ...timedFigures(
      `hubChangeAfterPause${suffix}`,
      rounds.changeAfterPause,
      target(TARGETS.changeAfterPause),
    ),
    ...timedFigures(`hubGet${suffix}`, rounds.get, target(TARGETS.get)),
    ...timedFigures(`hubLoop${suffix}`, rounds.loop, null),
  ];
}

/** Median and p99, each over that of the run's own floor, and in us. */
function timedFigures(name: string, samples: readonly Timed[], target: Target | null): Figure[] {
  const of = (key: 'medianNs' | 'p99Ns'): readonly [number[], number[]] => [
    samples.map((each) => each.result[key]),
    samples.map((each) => each.floor[key]),
  ];
  const [medians, floors] = of('medianNs');
  const [p99s, floorP99s] = of('p99Ns');
  return [
    figure(`${name}MedianOverFloor`, 'x floor', medianOfRatios(medians, floors), target),
    figure(`${name}P99OverFloorP99`, 'x floor', medianOfRatios(p99s, floorP99s)),
    figure(`${name}Median`, 'us', median(medians) / 1000),
    figure(`${name}P99`, 'us', median(p99s) / 1000),
  ];
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
