import { describe, expect, it } from 'vitest';
import type { ChipLines } from '../../../src/gpio/chip-lines.ts';
import { SimulatedChip } from '../../../src/testing/simulated-chip.ts';
import type { LineEdge, LineInfo } from '../../../src/wire/control.ts';
import { DeferredChip } from '../virtio-gpio/deferred-chip.ts';
import { type Message, RawClient } from './raw-client.ts';
import { eventually, openLines, serve } from './served-control.ts';

/** What a client heard of one subscription, in order: edges as [name, level, seq], other messages as they are. */
async function heard(client: RawClient, count: number): Promise<unknown[]> {
  const all: unknown[] = [];
  while (all.length < count) {
    const { edges, subscription: _, ...rest } = await client.next();
    if (edges === undefined) all.push(rest);
    else all.push(...(edges as LineEdge[]).map(({ name, level, seq }) => [name, level, seq]));
  }
  return all;
}

interface Watch {
  readonly subscription: number;
  readonly lines: LineInfo[];
}

const BUTTON = 2;

describe('watch', () => {
  it('tells of edges, from its answer on', async () => {
    const { path, chip, lines } = await serve();
    const client = await RawClient.greeted(path);
    const watch = await client.result<Watch>('watch', { lines: ['hub/BUTTON'] });
    expect(watch).toMatchObject({
      subscription: 1,
      lines: [{ name: 'BUTTON', level: 0, users: ['command line'] }],
    });
    const beforeNs = process.hrtime.bigint();
    chip.drive(BUTTON, 1);
    const { edges, ...rest } = await client.next();
    expect(rest).toEqual({ subscription: 1 });
    const [edge] = edges as LineEdge[];
    expect(edge).toEqual({
      chip: 'hub',
      offset: BUTTON,
      name: 'BUTTON',
      edge: 'rising',
      level: 1,
      seq: 1,
      timestampNs: expect.stringMatching(/^\d+$/),
      direction: 'in',
    });
    expect(BigInt(edge!.timestampNs) - beforeNs).toBeLessThan(10_000_000_000n);
    expect(lines.lines[BUTTON]?.edges).toBe(1);
  });

  it('answers with all lines as they are when it answers, however long the list took', async () => {
    const chip = new SimulatedChip('big', 2048);
    const big = openLines(chip);
    const { path } = await serve({ chips: () => [big] });
    const client = await RawClient.greeted(path);
    client.ask(1, 'watch');
    const told = new Map<number, { level: number; edges: number }>();
    // Edges at all lines from the moment on in which the first one is subscribed, in every turn until the answer is here.
    let at = 0;
    while (client.messages.length === 0) {
      for (let i = 0; i < 50; i++, at = (at + 7) % 1024)
        chip.drive(2 * at, (1 - chip.level(2 * at)) as 0 | 1);
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    const { result } = await client.next();
    for (const { offset, level, edges } of (result as Watch).lines)
      told.set(offset, { level: level as number, edges });
    expect(told.size).toBe(2048);
    expect([...told.values()].filter(({ edges }) => edges > 0).length).toBeGreaterThan(100);
    // The last one of these is the last message.
    chip.drive(2, (1 - chip.level(2)) as 0 | 1);
    await new Promise<void>((resolve) => setImmediate(resolve));
    const last = big.lines[2]?.edges;
    while (told.get(2)?.edges !== last) {
      for (const edge of (await client.next()).edges as LineEdge[]) {
        const before = told.get(edge.offset);
        expect([edge.offset, edge.seq, edge.level]).toEqual([
          edge.offset,
          (before?.edges as number) + 1,
          1 - (before?.level as number),
        ]);
        told.set(edge.offset, { level: edge.level, edges: edge.seq });
      }
    }
    for (const [offset, { level, edges }] of told)
      expect([level, edges]).toEqual([chip.level(offset), big.lines[offset]?.edges]);
  });

  it('answers only when the chip has taken the subscriptions', async () => {
    const chip = new DeferredChip(2);
    const lines = openLines(chip);
    chip.answerAll();
    const { path } = await serve({ chips: () => [lines] });
    const client = await RawClient.greeted(path);
    client.ask(1, 'watch');
    await eventually(() => expect(chip.waiting).toContain('irq 1 3'));
    expect(chip.waiting.filter((what) => what.startsWith('irq'))).toEqual(['irq 0 3', 'irq 1 3']);
    expect(await client.result('chips')).toHaveLength(1);
    chip.answerAll();
    expect(await client.next()).toMatchObject({ id: 1, result: { subscription: 1 } });
    chip.inner.drive(1, 1);
    chip.answerAll();
    expect(await heard(client, 1)).toEqual([['sim1', 1, 1]]);
  });

  it('subscribes a line once, however many watch, and lets it go with the last', async () => {
    const { path, chip, lines, server } = await serve();
    const [a, b] = [await RawClient.greeted(path), await RawClient.greeted(path)];
    await a.result('watch', { lines: ['BUTTON'] });
    await a.result('watch', { lines: ['BUTTON', 'LED', 'hub/#2'] });
    await b.result('watch', {});
    expect(server.openLines).toBe(8);
    expect(lines.lines[BUTTON]?.handles).toHaveLength(1);
    chip.drive(BUTTON, 1);
    expect(await heard(a, 2)).toEqual([
      ['BUTTON', 1, 1],
      ['BUTTON', 1, 1],
    ]);
    expect(await heard(b, 1)).toEqual([['BUTTON', 1, 1]]);
    await b.result('unwatch', { subscription: 1 });
    expect(server.openLines).toBe(2);
    await a.result('unwatch', { subscription: 1 });
    expect(server.openLines).toBe(2);
    a.socket.destroy();
    await eventually(() => expect(server.openLines).toBe(0));
    expect(lines.lines[BUTTON]?.handles).toEqual([]);
    expect(lines.lines[BUTTON]?.subscribed).toBe(0);
    expect(await b.error('unwatch', { subscription: 1 })).toEqual({
      code: 'ERR_REQUEST',
      message: 'there is no subscription 1; there are none',
    });
  });

  it('tells edges of all lines in the order in which they happened, wanted ones only', async () => {
    const { path, chip } = await serve();
    const client = await RawClient.greeted(path);
    const choices = ['both', 'rising', 'falling'];
    for (const edges of choices) await client.result('watch', { chip: 'hub', edges });
    for (const [offset, level] of [
      [BUTTON, 1],
      [4, 1],
      [BUTTON, 0],
      [4, 0],
      [7, 1],
    ] as const)
      chip.drive(offset, level);
    const told: Record<string, unknown[]> = { both: [], rising: [], falling: [] };
    const count = () => Object.values(told).reduce((sum, { length }) => sum + length, 0);
    while (count() < 10) {
      const { subscription, edges } = await client.next();
      for (const { name, edge, seq } of edges as LineEdge[])
        told[choices[(subscription as number) - 1] as string]?.push([name, edge, seq]);
    }
    const all = [
      ['BUTTON', 'rising', 1],
      ['RELAY', 'rising', 1],
      ['BUTTON', 'falling', 2],
      ['RELAY', 'falling', 2],
      ['LOST', 'rising', 1],
    ];
    expect(told).toEqual({
      both: all,
      rising: all.filter(([, edge]) => edge === 'rising'),
      falling: all.filter(([, edge]) => edge === 'falling'),
    });
  });

  it('keeps the order of edges and answers, and tells of outputs, too', async () => {
    const { path } = await serve();
    const client = await RawClient.greeted(path);
    await client.result('watch', { lines: ['LED'] });
    client
      .ask(11, 'set', { values: [{ line: 'LED', level: 1 }] })
      .ask(12, 'set', { values: [{ line: 'LED', level: 0 }] });
    const messages: Message[] = [];
    while (!messages.some(({ id }) => id === 12)) messages.push(await client.next());
    const order = messages.flatMap(({ id, edges }) =>
      id === undefined ? (edges as LineEdge[]).map(({ name, edge }) => `${name} ${edge}`) : [`answer ${id}`],
    );
    expect(order).toEqual(['LED rising', 'answer 11', 'LED falling', 'answer 12']);
  });

  it('tells logical levels of an active-low line', async () => {
    const { path, chip, lines } = await serve();
    const button = lines.lines[BUTTON]!;
    button.settings = { ...button.settings, activeLow: true };
    const client = await RawClient.greeted(path);
    const watch = await client.result<Watch>('watch', { lines: ['BUTTON'], edges: 'falling' });
    expect(watch.lines).toMatchObject([{ level: 1, activeLow: true }]);
    chip.drive(BUTTON, 1);
    expect((await client.next()).edges).toMatchObject([{ edge: 'falling', level: 0 }]);
  });

  it('counts edges from the start of the service', async () => {
    const { path, chip, lines } = await serve();
    const [a, b] = [await RawClient.greeted(path), await RawClient.greeted(path)];
    await a.result('watch', { lines: ['BUTTON'] });
    for (let i = 1; i <= 5; i++) chip.drive(BUTTON, (i & 1) as 0 | 1);
    expect(await heard(a, 5)).toHaveLength(5);
    await a.result('unwatch', { subscription: 1 });
    expect(lines.lines[BUTTON]?.handles).toEqual([]);
    const watch = await b.result<Watch>('watch', { lines: ['BUTTON'] });
    expect(watch.lines).toMatchObject([{ edges: 5, level: 1 }]);
    chip.drive(BUTTON, 0);
    expect(await heard(b, 1)).toEqual([['BUTTON', 0, 6]]);
  });

  it('takes 64 subscriptions of a connection, not more', async () => {
    const { path } = await serve();
    const client = await RawClient.greeted(path);
    for (let i = 1; i <= 64; i++)
      expect(await client.result('watch', { lines: ['LED'] })).toMatchObject({ subscription: i });
    expect(await client.error('watch', {})).toEqual({
      code: 'ERR_LIMIT',
      message: 'a connection has at most 64 subscriptions',
    });
    await client.result('unwatch', { subscription: 9 });
    expect(await client.result('watch', { lines: ['LED'] })).toMatchObject({ subscription: 65 });
  });

  it('says so when there is nothing to watch', async () => {
    const { path } = await serve({ chips: () => [] });
    const client = await RawClient.greeted(path);
    expect(await client.error('watch')).toEqual({ code: 'ERR_LINE', message: 'there are no lines to watch' });
  });
});

describe('a reload that takes a chip away', () => {
  it('closes its lines, and ends subscriptions that have no others', async () => {
    const a = openLines(new SimulatedChip('a', 2));
    const chipB = new SimulatedChip('b', 2);
    const b = openLines(chipB);
    let chips: readonly ChipLines[] = [a, b];
    const { path, server } = await serve({ chips: () => chips });
    const client = await RawClient.greeted(path);
    await client.result('watch', { chip: 'a' });
    await client.result('watch', {});
    await client.result('set', { values: [{ line: 'a/sim0', level: 1 }] });
    expect(a.lines[0]?.ownerName).toBe('command line');
    chips = [b];
    server.chipsChanged();
    expect(a.lines.map(({ handles, owner }) => [handles, owner])).toEqual([
      [[], null],
      [[], null],
    ]);
    const messages = [await client.next()];
    while (messages.at(-1)?.ended === undefined) messages.push(await client.next());
    expect(messages.at(-1)).toEqual({ subscription: 1, ended: 'chip a is gone' });
    expect((await client.error('get', { lines: ['a/sim0'] })).message).toBe(
      "there is no chip 'a'; chips are b",
    );
    chipB.drive(1, 1);
    expect(await client.next()).toMatchObject({ subscription: 2, edges: [{ chip: 'b', name: 'sim1' }] });
    expect(await client.error('unwatch', { subscription: 1 })).toMatchObject({ code: 'ERR_REQUEST' });
  });

  it('answers what was under way', async () => {
    const chip = new DeferredChip(2);
    const slow = openLines(chip);
    chip.answerAll();
    let chips: readonly ChipLines[] = [slow];
    const { path, server } = await serve({ chips: () => chips });
    const client = await RawClient.greeted(path);
    client.ask(1, 'get', { lines: ['sim0'] }).ask(2, 'watch', { lines: ['sim1'] });
    await eventually(() => expect(chip.waiting).toContain('irq 1 3'));
    chips = [];
    server.chipsChanged();
    expect(await client.next()).toMatchObject({ id: 1, result: [{ ok: false, code: 'ERR_UNAVAILABLE' }] });
    expect(await client.next()).toMatchObject({ id: 2, result: { subscription: 1 } });
    expect(await client.next()).toEqual({ subscription: 1, ended: 'chip slow is gone' });
    expect(server.openLines).toBe(0);
  });
});
