/** Co-processors that ring, tell and announce without pause, beside a guest on another chip: test/hostile/native/greedy_hub.c. */
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { compare } from './greedy-attack.ts';
import { type Greed, hubAttack, hubConfiguration } from './greedy-hub.ts';
import { buildAttackers, GreedyService } from './greedy-service.ts';

let service: GreedyService;
beforeAll(() => buildAttackers());
afterEach(() => service.close());

/** Attacks the victim; then, that memory and descriptors are as before, and the service sleeps. */
async function attacked(greed: Greed) {
  service = await GreedyService.start(hubConfiguration(greed));
  const before = { descriptors: service.descriptors, residentMiB: service.residentMiB };
  const { ratio, ratios, residentMiB } = await compare(service, () => hubAttack(service));
  expect(ratio, ratios.join(' ')).toBeLessThanOrEqual(2);
  expect(residentMiB).toBeLessThan(before.residentMiB + 64);
  const status = await service.status();
  expect(service.descriptors).toBe(before.descriptors);
  expect(service.logLines.length).toBeLessThan(200);
  await service.idle();
  const hub = status.chips.find(({ name }) => name === 'hub')!;
  expect(hub.available).toBe(true);
  return { coprocessor: status.coprocessors[0]!, hub };
}

describe('a co-processor', () => {
  it('that rings its doorbell without pause is listened to now and then', async () => {
    const { coprocessor } = await attacked('doorbell');
    expect(coprocessor).toMatchObject({ state: 'running', restarts: 0 });
    expect(coprocessor.limits!.needlessCalls).toBeGreaterThan(256);
    expect(coprocessor.limits!.callPauses).toBeGreaterThan(5);
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
