import { expect, it } from 'vitest';
import { Violation } from './killing-journal.ts';
import { type PartyName, planRound } from './killing-plan.ts';
import { SeededRandom } from './killing-random.ts';
import { KillingRun } from './killing-run.ts';
import type { Holdings } from './killing-service.ts';

const SECONDS = Number(process.env.HOSTILE_SECONDS ?? 300);
const SEED = Number(process.env.HOSTILE_SEED ?? Math.floor(Math.random() * 0x1_0000_0000));

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

it(`killed and frozen parties leave nothing wrong behind, for ${SECONDS} s, HOSTILE_SEED=${SEED}`, async () => {
  print(`HOSTILE_SEED=${SEED} HOSTILE_SECONDS=${SECONDS}`);
  const random = new SeededRandom(SEED);
  const run = await KillingRun.start(SEED);
  const samples: Holdings[] = [];
  try {
    await run.agree();
    const startedMs = performance.now();
    const others: PartyName[] = ['firmware', 'vm1', 'vm2', 'broker'];
    await roundsUntil(run, random, [...others, 'service'], startedMs + SECONDS * 500, () => {});
    // From here on the service lives: whatever it keeps of those who died shows.
    await roundsUntil(run, random, others, startedMs + SECONDS * 1000, () => samples.push(run.holdings()));
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
  const [firstKib, lastKib] = ends(samples, 'residentKib');
  expect(lastDescriptors).toBeLessThanOrEqual(firstDescriptors + 1);
  expect(lastMappings).toBeLessThanOrEqual(firstMappings);
  expect(lastKib).toBeLessThanOrEqual(firstKib * 1.1 + 8192);
});
