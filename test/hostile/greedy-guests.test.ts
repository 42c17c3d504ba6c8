/**
 * Guests that take what they can get of their own device, beside a guest that only wants its answers. Attackers: test/hostile/native.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compare, launch } from './greedy-attack.ts';
import { buildAttackers, GreedyService, until } from './greedy-service.ts';

let service: GreedyService;
/** At rest; a command that asks for the status has one more for a moment. */
let descriptors = 0;
beforeAll(async () => {
  buildAttackers();
  service = await GreedyService.start();
  descriptors = service.descriptors;
});
afterAll(() => service.close());

/** What a queue of 32,768 costs: an object for each chain, and V8's heap, which grows before it is tidied up. */
const MEMORY_MIB = 200;

describe('a guest', () => {
  it.each([
    ['that kicks without pause, with nothing in its rings', 'kicks'],
    ['that offers malformed chains without pause', 'malformed'],
    ['whose 32,768 descriptors are one endless chain', 'endless'],
    ['that queues 32,768 buffers for requests', 'buffers'],
    ['that keeps its request queue full', 'requests'],
    ['that fills its request queue all at once, again and again', 'bursts'],
    ['that keeps its event queue full', 'events'],
  ])('%s: the other one gets its answers in less than twice the time', async (_what, kind) => {
    const before = { counters: await service.guest('greedy') };
    const options = [`--path=${service.socket('greedy')}`, `--guest=${kind}`];
    const { ratio, ratios, results, residentMiB } = await compare(service, () => launch(options));
    expect(ratio, ratios.join(' ')).toBeLessThanOrEqual(2);
    expect(residentMiB).toBeLessThan(before.counters.requests === 0 ? 70 + MEMORY_MIB : 90 + MEMORY_MIB);
    await until('descriptors as before', () => service.descriptors <= descriptors);

    // It was served all the while, and what it did is counted.
    const { requests, badChains, invalidEvents } = await service.guest('greedy');
    const { needlessKicks = 0, kickPauses = 0 } = await service.limits('greedy');
    const chains = results.reduce((sum, result) => sum + result.chains, 0);
    if (kind === 'kicks') {
      expect(results.every(({ kicks }) => kicks > 500)).toBe(true);
      expect(needlessKicks).toBeGreaterThan(500);
      expect(kickPauses).toBeGreaterThan(results.length);
    } else if (kind === 'events') {
      expect(invalidEvents - before.counters.invalidEvents).toBeGreaterThanOrEqual(chains);
      expect(chains).toBeGreaterThan(10_000);
    } else {
      expect(requests - before.counters.requests).toBeGreaterThanOrEqual(chains);
      expect(chains).toBeGreaterThan(1000);
    }
    if (kind === 'endless') expect(badChains['too-long']).toBeGreaterThan(1000);
    if (kind === 'malformed') expect(badChains['address-outside-memory']).toBeGreaterThan(1000);
  });

  it('that has had all this costs nothing when it is gone', async () => {
    await service.idle();
    // A line for each kind of bad chain, two for each connection; what is too much of these is only counted.
    expect(service.logLines.length).toBeLessThan(400);
  });
});
