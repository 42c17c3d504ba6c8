/** Co-processors that ring, tell and announce without pause, beside a guest on another chip: test/hostile/native/greedy_hub.c. */
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { compare, MOST_RATIO } from './greedy-attack.ts';
import { type Greed, hubAttack, hubConfiguration } from './greedy-hub.ts';
import { buildAttackers, GreedyService, until } from './greedy-service.ts';

let service: GreedyService;
beforeAll(() => buildAttackers());
afterEach(() => service.close());

/** Its rings are as large as before: nothing of what it does is kept. What is left is V8's heap, which grows before it is tidied up. */
const MEMORY_MIB = 64;
/** Socket, memory, kick and call of two rings, each with its poll. */
const VICTIM_DESCRIPTORS = 16;

/** Attacks the victim; then, that memory and descriptors are as before, and the service sleeps. */
async function attacked(greed: Greed) {
  service = await GreedyService.start(hubConfiguration(greed));
  const before = { descriptors: await service.descriptorsAtRest(), residentMiB: service.residentMiB };
  const { ratio, ratios, results, residentMiB, descriptors } = await compare(service, () =>
    hubAttack(service),
  );
  expect(ratio, ratios.join(' ')).toBeLessThanOrEqual(MOST_RATIO);
  expect(residentMiB).toBeLessThan(before.residentMiB + MEMORY_MIB);
  expect(descriptors).toBeLessThanOrEqual(before.descriptors + VICTIM_DESCRIPTORS);
  const status = await service.status();
  await until('descriptors as before', () => service.descriptors <= before.descriptors);
  expect(service.logLines.length).toBeLessThan(200);
  await service.idle();
  const hub = status.chips.find(({ name }) => name === 'hub')!;
  expect(hub.available).toBe(true);
  return { coprocessor: status.coprocessors[0]!, hub, attacks: results.length };
}

describe('a co-processor', () => {
  it('that rings its doorbell without pause is listened to now and then', async () => {
    const { coprocessor, attacks } = await attacked('doorbell');
    expect(coprocessor).toMatchObject({ state: 'running', restarts: 0 });
    // 256 in a row lead to the first pause, every further one to the next: each attack rings for longer than a pause is.
    expect(coprocessor.limits!.needlessCalls).toBeGreaterThanOrEqual(256);
    expect(coprocessor.limits!.callPauses).toBeGreaterThanOrEqual(attacks);
  });

  it('that tells of level changes without pause is told apart from what it could not tell', async () => {
    const { hub } = await attacked('events');
    expect(hub.edges).toBeGreaterThan(10_000);
    expect(hub.counters!.droppedEvents).toBeGreaterThan(0);
  });

  it('that announces rpmsg channels without end gets a bounded number', async () => {
    const { hub } = await attacked('names');
    expect(hub.counters!.tooManyChannels).toBeGreaterThan(1000);
  });
});
