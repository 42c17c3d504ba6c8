/**
 * Guests that take what they can get of their own device, beside a guest that only wants its answers. Attackers: test/hostile/native.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compare, launch, MOST_RATIO } from './greedy-attack.ts';
import { buildAttackers, GreedyService, until } from './greedy-service.ts';

let service: GreedyService;
/** At rest. */
let descriptors = 0;
let residentMiB = 0;
beforeAll(async () => {
  buildAttackers();
  service = await GreedyService.start();
  descriptors = await service.descriptorsAtRest();
  residentMiB = service.residentMiB;
});
afterAll(() => service.close());

/**
 * What queues of 32,768 may cost in all: an object for each chain, the guest's memory itself (5 MiB), and V8's heap, which grows
 * before it is tidied up. Against the memory before the first attack: what one attack leaves behind adds to the next.
 */
const MEMORY_MIB = 200;
/** Of the victim and of the attacker: socket, memory, kick and call of two rings, each with its poll; and a client that asks. */
const GUEST_DESCRIPTORS = 16;

describe('a guest', () => {
  it.each([
    ['that kicks without pause, with nothing in its rings', 'kicks'],
    ['that offers malformed chains without pause', 'malformed'],
    ['whose 32,768 descriptors are one endless chain', 'endless'],
    ['whose every request is an indirect table as long as can be', 'indirect'],
    ['that queues 32,768 buffers for requests', 'buffers'],
    ['that keeps its request queue full', 'requests'],
    ['that fills its request queue all at once, again and again', 'bursts'],
    ['that keeps its event queue full', 'events'],
  ])('%s: the other one gets its answers in less than twice the time', async (_what, kind) => {
    const before = { counters: await service.guest('greedy'), limits: await service.limits('greedy') };
    const tooLong = before.counters.badChains['too-long'] ?? 0;
    const options = [`--path=${service.socket('greedy')}`, `--guest=${kind}`];
    const attacked = await compare(service, () => launch(options));
    const { ratio, ratios, results } = attacked;
    expect(ratio, ratios.join(' ')).toBeLessThanOrEqual(MOST_RATIO);
    expect(attacked.residentMiB).toBeLessThan(residentMiB + MEMORY_MIB);
    expect(attacked.descriptors).toBeLessThanOrEqual(descriptors + 2 * GUEST_DESCRIPTORS);
    await until('descriptors as before', () => service.descriptors <= descriptors);

    // It was served all the while, and what it did is counted.
    const { requests, badChains, invalidEvents } = await service.guest('greedy');
    const limits = await service.limits('greedy');
    const needlessKicks = limits.needlessKicks! - before.limits.needlessKicks!;
    const kickPauses = limits.kickPauses! - before.limits.kickPauses!;
    const chains = results.reduce((sum, result) => sum + result.chains, 0);
    if (kind === 'kicks') {
      // Each attacker has two rings. Of each, 256 needless kicks go by until the first pause, 4 until each further one.
      const rings = 2 * results.length;
      expect(results.every(({ kicks }) => kicks >= 2 * 256)).toBe(true);
      expect(kickPauses).toBeGreaterThanOrEqual(rings);
      expect(needlessKicks).toBeLessThanOrEqual(256 * rings + 4 * kickPauses);
    } else if (kind === 'events') {
      expect(invalidEvents - before.counters.invalidEvents).toBeGreaterThanOrEqual(chains);
      expect(chains).toBeGreaterThan(10_000);
    } else {
      expect(requests - before.counters.requests).toBeGreaterThanOrEqual(chains);
      expect(chains).toBeGreaterThan(1000);
    }
    // What came back was counted; an endless chain is 'too-long', whether or not it lies in an indirect table.
    if (kind === 'endless' || kind === 'indirect')
      expect(badChains['too-long']! - tooLong).toBeGreaterThanOrEqual(chains);
    // Every eighth head is such a one, and most others end at it.
    if (kind === 'malformed')
      expect(badChains['address-outside-memory']).toBeGreaterThanOrEqual(Math.floor(chains / 8));
  });

  it('that has had all this costs nothing when it is gone', async () => {
    await service.idle();
    // A line for each kind of bad chain, two for each connection; what is too much of these is only counted.
    expect(service.logLines.length).toBeLessThan(400);
  });
});
