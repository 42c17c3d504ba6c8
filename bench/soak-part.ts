/** Memory and descriptors of the service under everything at once, for ten minutes. */
import { BROKER_INSTALLATION, findMosquitto, startBroker } from './broker.ts';
import { type Figure, figure, type Target, unmeasured } from './figures.ts';
import { startHubMqttService } from './hub-service.ts';
import { STREAM_FIRMWARE } from './hub-stream.ts';
import type { Part, PartContext, PartResult } from './part.ts';
import { Started } from './part.ts';
import { measureSoak, type SoakResult, type SoakSample } from './soak.ts';
import { median, slope } from './statistics.ts';

const MEGABYTE = 1e6;
const GROWTH: Target = { relation: '<=', value: 5 };
/** Guests that come and go. */
const DESCRIPTORS: Target = { relation: '<=', value: 2 };
const NONE: Target = { relation: '<=', value: 0 };
/** Shorter than this, what the first requests need is still being taken: growth is printed, and not judged. */
const JUDGED_SECONDS = 120;

async function measure({ effort, json, progress }: PartContext): Promise<PartResult> {
  const program = findMosquitto();
  if (program === null) {
    process.stderr.write(`bench: ${BROKER_INSTALLATION}; nothing is soaked\n`);
    return { figures: unmeasuredSoakFigures(json), raw: { soak: null } };
  }
  const started = new Started();
  try {
    const broker = await started.add(startBroker(program));
    const further = { control: true, firmwareOptions: STREAM_FIRMWARE };
    const service = await started.add(startHubMqttService(broker.port, 'soak', 0, further));
    const soak = await measureSoak(service, effort.soakSeconds, progress);
    return { figures: soakFigures(soak), raw: { soak } };
  } finally {
    await started.close();
  }
}

export const soakPart: Part = { name: 'soak', measure };

/** Growth is that of the last quarter over the second one; the first one is for warming up. */
export function soakFigures(soak: SoakResult): Figure[] {
  const second = quarter(soak.samples, 1);
  const last = quarter(soak.samples, 3);
  const resident = (samples: readonly SoakSample[]): number =>
    median(samples.map((each) => each.residentBytes)) / MEGABYTE;
  const descriptors = (samples: readonly SoakSample[]): number =>
    median(samples.map((each) => each.descriptors));
  const isJudged = soak.seconds >= JUDGED_SECONDS;
  const settled = soak.samples.slice(Math.floor(soak.samples.length / 4));
  const bytesASecond = slope(
    settled.map((each) => each.second),
    settled.map((each) => each.residentBytes),
  );
  const rate = (name: string, unit: string, count: number): Figure =>
    figure(name, unit, Math.round(count / soak.seconds));
  return [
    figure('soakSeconds', 's', soak.seconds),
    figure('soakResident', 'MB', resident(last)),
    figure('soakGrowth', '%', (resident(last) / resident(second) - 1) * 100, isJudged ? GROWTH : null),
    figure('soakSlope', 'MB/h', (bytesASecond * 3600) / MEGABYTE),
    figure('soakDescriptorsGrowth', 'count', descriptors(last) - descriptors(second), DESCRIPTORS),
    figure('soakFaults', 'count', soak.faults, NONE),
    figure('soakRefusals', 'count', soak.refusals),
    rate('soakRequestRate', 'requests/s', soak.requests),
    rate('soakInterruptRate', 'events/s', soak.toggles),
    rate('soakChangeRate', 'changes/s', soak.changes),
    rate('soakControlRate', 'requests/s', soak.controlRequests),
    rate('soakControlEdgeRate', 'edges/s', soak.controlEdges),
  ];
}

function quarter(samples: readonly SoakSample[], number: 0 | 1 | 2 | 3): readonly SoakSample[] {
  const at = (index: number): number => Math.floor((index * samples.length) / 4);
  return samples.slice(at(number), at(number + 1));
}

/** Without a broker. @param fails whether the run fails for it */
export function unmeasuredSoakFigures(fails: boolean): Figure[] {
  return [
    unmeasured('soakGrowth', '%', GROWTH, fails),
    unmeasured('soakDescriptorsGrowth', 'count', DESCRIPTORS, fails),
    unmeasured('soakFaults', 'count', NONE, fails),
  ];
}
