/** Connections to each socket that are opened and closed without pause, and peers that read nothing of what they are sent. */
import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Limits } from '../../src/wire/control.ts';
import { type AttackResult, compare, hex, launch } from './greedy-attack.ts';
import { buildAttackers, GreedyService, until } from './greedy-service.ts';

let service: GreedyService;
let port = 0;

/** A port of the loopback interface that nobody has. */
function freePort(): Promise<number> {
  return new Promise((settle) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => settle(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

beforeAll(async () => {
  buildAttackers();
  port = await freePort();
  service = await GreedyService.start({ mqtt: { broker: 'embedded', port, gateway: 'greedy' } });
});
afterAll(() => service.close());

const VHOST_HEADER = '0100000001000000';
const GET_FEATURES = `${VHOST_HEADER}00000000`;
const WATCH = hex('{"id":1,"method":"watch"}\n');
const LINES = hex('{"id":2,"method":"lines"}\n'.repeat(40));

type Target = 'greedy' | 'control' | 'mqtt';

function address(target: Target): string {
  return target === 'mqtt' ? `--port=${port}` : `--path=${service.socket(target)}`;
}

/** Attacks one socket, and asserts what holds for every such attack. @returns what it did, and which limits it reached */
async function attack(
  target: Target,
  options: readonly string[],
): Promise<{ results: readonly AttackResult[]; reached: Limits }> {
  const descriptors = service.descriptors;
  const memory = service.residentMiB;
  const before = await service.limits(target);
  const attacked = await compare(service, () => launch([address(target), ...options]));
  expect(attacked.ratio, attacked.ratios.join(' ')).toBeLessThanOrEqual(2);
  expect(attacked.residentMiB).toBeLessThan(memory + 128);
  const after = await service.limits(target);
  await until('descriptors as before', () => service.descriptors <= descriptors);
  const reached = Object.entries(after).map(([name, count]) => [name, count - (before[name] ?? 0)] as const);
  return { results: attacked.results, reached: Object.fromEntries(reached) };
}

function sum(results: readonly AttackResult[], what: keyof AttackResult): number {
  return results.reduce((total, result) => total + result[what], 0);
}

describe.each<[Target]>([['greedy'], ['control'], ['mqtt']])('connections to the socket of %s', (target) => {
  it('again and again hold nobody up', async () => {
    const { results } = await attack(target, ['--count=100', '--storms', '--pause-us=200']);
    expect(sum(results, 'opened')).toBeGreaterThan(500);
  });
});

describe('a peer that never reads', () => {
  it('a front-end that floods its socket with questions is put out', async () => {
    const flood = ['--returns', `--hello=${GET_FEATURES}`, `--repeat=${GET_FEATURES}`];
    const { reached } = await attack('greedy', flood);
    expect(reached.unreadConnections).toBeGreaterThan(0);
  });

  it('one that reads, and asks without end, holds nobody up', async () => {
    const { results } = await attack('greedy', ['--reads', `--repeat=${GET_FEATURES}`, '--pause-us=0']);
    expect(sum(results, 'bytesRead')).toBeGreaterThan(20_000);
  });

  it('a client of the control socket that asks at full speed is not read from', async () => {
    const { results, reached } = await attack('control', [`--hello=${WATCH}`, `--repeat=${LINES}`]);
    expect(reached.unreadPauses).toBeGreaterThan(0);
    expect(results.every(({ open }) => open === 1)).toBe(true);
  });

  it('64 watchers of lines that are toggled get no more than fits', async () => {
    const watch = hex('{"id":1,"method":"watch","params":{"chip":"sim"}}\n');
    await attack('control', ['--count=60', `--hello=${watch}`]);
    expect((await service.status()).control!.counters.droppedEdges).toBeGreaterThanOrEqual(0);
    expect((await service.status()).control!.counters.edges).toBeGreaterThan(1000);
  });
});

it('after all of it the service sleeps, and has written no more than a bounded log', async () => {
  await service.idle();
  expect(service.logLines.length).toBeLessThan(1500);
});
