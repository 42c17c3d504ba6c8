import { describe, expect, it } from 'vitest';
import { MAX_UNSENT_BYTES } from '../../../src/exporters/control/client-output.ts';
import { MAX_OUTSTANDING } from '../../../src/exporters/control/connection.ts';
import { SimulatedChip } from '../../../src/testing/simulated-chip.ts';
import type { LineEdge } from '../../../src/wire/control.ts';
import { DeferredChip } from '../virtio-gpio/deferred-chip.ts';
import { type Message, RawClient } from './raw-client.ts';
import { eventually, openLines, type Served, serve } from './served-control.ts';

const BUTTON = 2;

/** Makes edges on a line, so many a turn of the loop. */
async function drive({ chip }: Served, edges: number, aTurn = 500): Promise<void> {
  for (let i = 0; i < edges; i++) {
    chip.drive(BUTTON, (1 - chip.level(BUTTON)) as 0 | 1);
    if (i % aTurn === aTurn - 1) await new Promise<void>((resolve) => setImmediate(resolve));
  }
  await new Promise<void>((resolve) => setImmediate(resolve));
}

/** Checks that edges and drops of a subscription leave no gap, and counts both. */
function account(messages: readonly Message[], subscription = 1, expected = 1) {
  let next = expected;
  let edges = 0;
  let dropped = 0;
  let told = 0;
  for (const message of messages) {
    if (message.subscription !== subscription) continue;
    if (message.dropped !== undefined) {
      told++;
      dropped += message.dropped as number;
      next += message.dropped as number;
    }
    for (const { seq } of (message.edges ?? []) as LineEdge[]) {
      expect(seq).toBe(next);
      next++;
      edges++;
    }
  }
  return { edges, dropped, told };
}

function edgesIn(messages: readonly Message[]): number {
  return messages.reduce((sum, { edges }) => sum + ((edges as LineEdge[] | undefined)?.length ?? 0), 0);
}

describe('a client that reads', () => {
  it('gets every edge, in batches', async () => {
    const served = await serve();
    const client = await RawClient.greeted(served.path);
    await client.result('watch', { lines: ['BUTTON'] });
    await drive(served, 20_000, 200);
    await client.until(() => edgesIn(client.messages) === 20_000, 'all edges');
    expect(account(client.messages)).toEqual({ edges: 20_000, dropped: 0, told: 0 });
    expect(client.messages.length).toBeLessThan(2000);
    expect(served.server.status.counters).toMatchObject({ edges: 20_000, droppedEdges: 0 });
  });
});

describe('a client that does not read', () => {
  it('costs bounded memory, and is told exactly what it lost, where', async () => {
    const served = await serve();
    const { server, chip } = served;
    const client = await RawClient.greeted(served.path);
    const reader = await RawClient.greeted(served.path);
    await client.result('watch', { lines: ['BUTTON'] });
    await reader.result('watch', { lines: ['BUTTON'] });
    client.socket.pause();
    await drive(served, 60_000);
    const { droppedEdges } = server.status.counters;
    expect(droppedEdges).toBeGreaterThan(20_000);
    // The other client has lost nothing.
    await reader.until(() => edgesIn(reader.messages) === 60_000, 'all edges of the reader');
    expect(account(reader.messages)).toEqual({ edges: 60_000, dropped: 0, told: 0 });
    client.socket.resume();
    await client.until(() => client.messages.some(({ dropped }) => dropped !== undefined), 'the drop');
    // What happened before it is there, what was lost is told, and what happens now comes behind.
    const before = account(client.messages);
    expect(before).toEqual({ edges: 60_000 - droppedEdges, dropped: droppedEdges, told: 1 });
    expect(client.receivedBytes).toBeLessThan(MAX_UNSENT_BYTES + 1024 * 1024);
    chip.drive(BUTTON, 1);
    await client.until(() => edgesIn(client.messages) === before.edges + 1, 'the next edge');
    expect(account(client.messages)).toEqual({ ...before, edges: before.edges + 1 });
  });

  it('is told of each subscription what it lost, before it ends, and gets all answers', async () => {
    const served = await serve();
    const client = await RawClient.greeted(served.path);
    await client.result('watch', { lines: ['BUTTON'] });
    await client.result('watch', { lines: ['BUTTON'], edges: 'rising' });
    client.socket.pause();
    await drive(served, 60_000);
    client.ask(11, 'unwatch', { subscription: 2 }).ask(12, 'chips').ask(13, 'unwatch', { subscription: 1 });
    await drive(served, 2);
    client.socket.resume();
    await client.until(() => client.messages.some(({ id }) => id === 13), 'the last answer');
    const rising = client.messages.filter(({ subscription }) => subscription === 2);
    const lost = rising.reduce((sum, { dropped }) => sum + ((dropped as number | undefined) ?? 0), 0);
    expect(edgesIn(rising) + lost).toBeGreaterThanOrEqual(30_000);
    expect(edgesIn(rising) + lost).toBeLessThanOrEqual(30_001);
    const { edges, dropped } = account(client.messages);
    expect(edges + dropped).toBeGreaterThanOrEqual(60_000);
    expect(client.messages.flatMap(({ id }) => (id === undefined ? [] : [id]))).toEqual([11, 12, 13]);
  });

  it('is not read from while it does not read', async () => {
    const chip = new SimulatedChip('big', 2048);
    const big = openLines(chip);
    const { path, server } = await serve({ chips: () => [big] });
    const client = await RawClient.greeted(path);
    client.socket.pause();
    // Each answer has some 300 KB.
    for (let id = 0; id < 64; id++) client.ask(id, 'lines');
    await eventually(() => expect(server.status.counters.requests).toBeGreaterThan(3));
    // A second client is served meanwhile, often enough for the first one to get its turns.
    const other = await RawClient.greeted(path);
    for (let i = 0; i < 50; i++) await other.result('chips');
    expect(server.status.counters.requests).toBeLessThan(60 + 10);
    client.socket.resume();
    await client.until(() => client.messages.length === 64, 'all answers');
    expect(client.messages.map(({ id }) => id)).toEqual(Array.from({ length: 64 }, (_, id) => id));
  });
});

describe('a client that asks for everything', () => {
  it('is answered in many turns of the loop', async () => {
    const chip = new SimulatedChip('big', 4096);
    const big = openLines(chip);
    const { path, server } = await serve({ chips: () => [big] });
    const client = await RawClient.greeted(path);
    for (const method of ['lines', 'watch']) {
      const { requests } = server.status.counters;
      client.ask(1, method);
      const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
      // Not eventually(): the turns that it sleeps for could not be counted.
      while (server.status.counters.requests === requests) await turn();
      let turns = 0;
      while (client.receivedBytes < 300_000 && client.messages.length === 0) {
        await turn();
        turns++;
      }
      expect(turns).toBeGreaterThan(4);
      await client.until(() => client.messages.length === 1, method);
      client.messages.length = 0;
      client.receivedBytes = 0;
    }
  });
});

describe('a client that asks more than is answered', () => {
  it('has at most 256 requests under way, and is answered all', async () => {
    const chip = new DeferredChip(1);
    const slow = openLines(chip);
    chip.answerAll();
    const { path, server } = await serve({ chips: () => [slow] });
    const client = await RawClient.greeted(path);
    for (let id = 0; id < 1000; id++) client.ask(id, 'get', { lines: ['sim0'] });
    await eventually(() => expect(server.status.counters.requests).toBe(MAX_OUTSTANDING));
    const other = await RawClient.greeted(path);
    for (let i = 0; i < 50; i++) await other.result('chips');
    expect(server.status.counters.requests).toBe(MAX_OUTSTANDING + 50);
    const answering = setInterval(() => chip.answerAll(), 1);
    await client.until(() => client.messages.length === 1000, 'all answers');
    clearInterval(answering);
    expect(client.messages.map(({ id }) => id)).toEqual(Array.from({ length: 1000 }, (_, id) => id));
    expect(server.openLines).toBe(0);
  });

  it('does not hold up others', async () => {
    const { path, server } = await serve();
    const flooder = await RawClient.greeted(path);
    const set = `${JSON.stringify({ id: 1, method: 'set', params: { values: [{ line: 'LED', level: 1 }] } })}\n`;
    flooder.send(set.repeat(20_000));
    const other = await RawClient.greeted(path);
    await other.result('chips');
    // It was answered long before the 20,000 were.
    expect(server.status.counters.requests).toBeLessThan(20_000);
    await flooder.until(() => flooder.messages.length === 20_000, 'all answers');
    expect(flooder.messages.every(({ result }) => result !== undefined)).toBe(true);
  });
});
