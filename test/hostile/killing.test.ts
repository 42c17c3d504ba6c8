import { describe, expect, it } from 'vitest';
import { Violation } from './killing-journal.ts';
import { type PartyName, planRound } from './killing-plan.ts';
import { SeededRandom } from './killing-random.ts';
import { KillingRun } from './killing-run.ts';
import type { Holdings } from './killing-service.ts';

const SECONDS = Number(process.env.HOSTILE_SECONDS ?? 300);
const SEED = Number(process.env.HOSTILE_SEED ?? Math.floor(Math.random() * 0x1_0000_0000));

/** V8 lets the heaps of a new process grow before it collects what is in them: some two minutes of this traffic. */
const FILLING_ROUNDS = 25;
const MIN_SAMPLES = 12;
/** While they do, growth says nothing; only how far it goes. */
const MAX_FILLING_KIB = 200 * 1024;

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** First and last third. */
function ends(samples: readonly Holdings[], field: keyof Holdings): [number, number] {
  const third = Math.max(1, Math.floor(samples.length / 3));
  const values = samples.map((sample) => sample[field]);
  return [median(values.slice(0, third)), median(values.slice(-third))];
}

async function roundsUntil(
  run: KillingRun,
  random: SeededRandom,
  parties: readonly PartyName[],
  endMs: number,
  after: () => void,
): Promise<void> {
  do {
    await run.round(planRound(random, parties));
    after();
  } while (performance.now() < endMs);
}

describe(`killed and frozen parties, HOSTILE_SEED=${SEED}`, () => {
  it.each([
    { what: 'firmware that streams levels', firmware: [], share: 0.6 },
    { what: 'firmware of the plain standard', firmware: ['--plain'], share: 0.2 },
    { what: 'firmware that speaks metux', firmware: ['--dialect=metux'], share: 0.2 },
  ])('leave nothing wrong behind, with $what', async ({ what, firmware, share }) => {
    await killFor(SECONDS * share, what, firmware);
  });
});

async function killFor(seconds: number, what: string, firmware: readonly string[]): Promise<void> {
  print(`${what}: HOSTILE_SEED=${SEED}, ${Math.round(seconds)} s`);
  const random = new SeededRandom(SEED);
  const run = await KillingRun.start(SEED, firmware);
  const samples: Holdings[] = [];
  try {
    await run.agree();
    const startedMs = performance.now();
    const others: PartyName[] = ['firmware', 'vm1', 'vm2', 'broker'];
    await roundsUntil(run, random, [...others, 'service'], startedMs + seconds * 500, () => {});
    // From here on the service lives: whatever it keeps of those who died shows.
    await roundsUntil(run, random, others, startedMs + seconds * 1000, () => samples.push(run.holdings()));
    await run.stop();
  } catch (error) {
    const evidence = run.keepEvidence();
    print(`${evidence}\nHOSTILE_SEED=${SEED}, round ${run.rounds}; all of it: ${run.folder}/journal.txt`);
    throw error instanceof Violation ? error : new Error('the run failed', { cause: error });
  } finally {
    await run.close();
  }
  print(`${run.rounds} rounds; ${[...run.kills].map(([what, count]) => `${count} ${what}`).join(', ')}`);
  for (const guest of run.guests) {
    const { name, requests, answers, refusals, events, reconnects, lives, slowestMs } = guest;
    print(
      `${name}: ${requests} requests, ${answers} answers (${refusals} refused), slowest ${slowestMs.toFixed(0)} ms, ${events} events, ${lives} lives, ${reconnects} reconnects`,
    );
  }
  print(
    `${run.pins.changes} level changes in ${run.pins.lives} lives of the firmware; edges: control ${run.control.count}, MQTT ${run.mqtt.count}; ${run.service.starts} starts of the service`,
  );
  print(
    `healed after: median ${median(run.healsMs).toFixed(0)} ms, most ${Math.max(...run.healsMs).toFixed(0)} ms`,
  );
  for (const field of ['descriptors', 'sharedMappings', 'threads', 'residentKib'] as const) {
    const [first, last] = ends(samples, field);
    print(`${field}: ${first} -> ${last} over ${samples.length} rounds`);
    if (field === 'residentKib') print(samples.map((sample) => Math.round(sample[field] / 1024)).join(' '));
  }
  const [firstDescriptors, lastDescriptors] = ends(samples, 'descriptors');
  const [firstMappings, lastMappings] = ends(samples, 'sharedMappings');
  expect(lastDescriptors).toBeLessThanOrEqual(firstDescriptors + 1);
  expect(lastMappings).toBeLessThanOrEqual(firstMappings);
  const filled = samples.slice(FILLING_ROUNDS);
  if (filled.length < MIN_SAMPLES)
    expect(median(samples.map(({ residentKib }) => residentKib))).toBeLessThan(MAX_FILLING_KIB);
  else {
    const [firstKib, lastKib] = ends(filled, 'residentKib');
    expect(lastKib).toBeLessThanOrEqual(firstKib * 1.1);
  }
}
