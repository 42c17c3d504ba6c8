/**
 * Measures the control socket: `npx tsx test/exporters/control/rate.ts`.
 * 1. How many edges a second one watcher in another process gets without loss.
 * 2. What 10,000 `set` a second of one client cost a guest's requests.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect } from '../../../src/client/client.ts';
import { ControlServer } from '../../../src/exporters/control/control-server.ts';
import { VirtioGpioDevice } from '../../../src/exporters/virtio-gpio/device.ts';
import { VhostUserServer } from '../../../src/exporters/virtio-gpio/server.ts';
import { ChipLines } from '../../../src/gpio/chip-lines.ts';
import { selectLines } from '../../../src/gpio/line-selection.ts';
import { VhostUserFrontEnd } from '../../../src/testing/front-end.ts';
import { SimulatedChip } from '../../../src/testing/simulated-chip.ts';
import { Poller } from '../../../src/virtqueue/poller.ts';
import { MSG_GET_VALUE } from '../../../src/wire/virtio-gpio.ts';
import { STATUS } from './status.ts';

const EDGE_RATES = [25_000, 50_000, 100_000, 150_000, 200_000, 300_000];
const RUN_MS = 3000;
const SETS_A_SECOND = 10_000;
/** Lines of the simulated chip: one for edges, one for sets, one for the guest. */
const WATCHED = 0;
const SET = 2;
const READ = 5;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const median = (sorted: readonly number[], share: number): number =>
  sorted[Math.floor(sorted.length * share)] ?? Number.NaN;

/** Another process with a role, that tells when it is ready, and at the end what it found. */
async function child<T>(role: string, path: string, until: () => Promise<void>): Promise<T> {
  const process = fork(fileURLToPath(import.meta.url), [role, path]);
  const exit = once(process, 'exit');
  await once(process, 'message');
  await until();
  const found = once(process, 'message') as Promise<[T]>;
  process.send('end');
  const [result] = await found;
  await exit;
  return result;
}

function ending(): { ended: boolean } {
  const state = { ended: false };
  process.once('message', () => {
    state.ended = true;
  });
  return state;
}

async function tell(message: unknown): Promise<void> {
  await new Promise((resolve) => process.send?.(message, resolve));
}

/** Watches one line, and counts. */
async function watcher(path: string): Promise<void> {
  const client = await connect(path);
  const stream = client.edges([`sim/#${WATCHED}`]);
  const [info] = await stream.ready;
  let edges = 0;
  let gaps = 0;
  let last = info?.edges ?? 0;
  process.once('message', () => {
    // All that was told before this answer has come.
    void client.chips().then(() => stream.close());
  });
  await tell('ready');
  for await (const { seq } of stream) {
    edges++;
    gaps += seq - last - 1;
    last = seq;
  }
  client.close();
  await tell({ edges, gaps, dropped: stream.dropped, cpuMs: process.cpuUsage().user / 1000 });
  process.disconnect();
}

/** Sets a line, so many times a second. */
async function setter(path: string): Promise<void> {
  const client = await connect(path);
  const state = ending();
  await tell('ready');
  const startMs = performance.now();
  let sent = 0;
  let done = 0;
  let refused = 0;
  while (!state.ended) {
    const due = Math.floor(((performance.now() - startMs) * SETS_A_SECOND) / 1000);
    const calls: Promise<void>[] = [];
    for (; sent < due; sent++) {
      calls.push(
        client.set([{ line: `sim/#${SET}`, level: (sent & 1) as 0 | 1 }]).then(([outcome]) => {
          if (outcome?.ok) done++;
          else refused++;
        }),
      );
    }
    await Promise.all(calls);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const aSecond = (done * 1000) / (performance.now() - startMs);
  client.close();
  await tell({ aSecond: Math.round(aSecond), refused });
  process.disconnect();
}

/** A guest that reads a line, one request after the other. */
async function guest(path: string): Promise<void> {
  const frontEnd = await VhostUserFrontEnd.connect({ socketPath: path });
  const state = ending();
  const tookUs: number[] = [];
  await tell('ready');
  while (!state.ended) {
    const startMs = performance.now();
    await frontEnd.request(MSG_GET_VALUE, READ);
    tookUs.push((performance.now() - startMs) * 1000);
  }
  frontEnd.close();
  tookUs.sort((a, b) => a - b);
  await tell({ requests: tookUs.length, medianUs: median(tookUs, 0.5), p99Us: median(tookUs, 0.99) });
  process.disconnect();
}

const after = (ms: number) => (): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'rproc-gpio-rate-'));
  const path = join(folder, 'control.sock');
  const chip = new SimulatedChip('sim', 8);
  const lines = new ChipLines(chip);
  lines.learnDirections();
  const server = new ControlServer({
    path,
    access: 'write',
    version: '0',
    chips: () => [lines],
    status: () => STATUS,
    coprocessor: (name: string) => Promise.resolve({ name, state: 'running' as const, restarts: 1 }),
    reload: () => Promise.reject(new Error('no configuration')),
    onLog: (level, message) => process.stderr.write(`${level}: ${message}\n`),
  });
  await server.listen();
  const poller = new Poller();
  const device = new VirtioGpioDevice({
    name: 'vm1',
    lines: selectLines([lines], ['*']),
    poller,
    pollUs: 30,
    onLog: () => {},
  });
  const vhostUser = new VhostUserServer({ device, onLog: () => {} });
  const guestPath = join(folder, 'guest.sock');
  vhostUser.listen(guestPath);

  process.stdout.write('edges to one watcher in another process\n');
  for (const rate of EDGE_RATES) {
    const drive = async (): Promise<void> => {
      const startMs = performance.now();
      let made = 0;
      for (let nowMs = 0; nowMs < RUN_MS; nowMs = performance.now() - startMs) {
        for (const due = Math.floor((nowMs * rate) / 1000); made < due; made++)
          chip.drive(WATCHED, (1 - chip.level(WATCHED)) as 0 | 1);
        await turn();
      }
      process.stdout.write(`  ${made} edges in ${RUN_MS} ms: `);
    };
    const found = await child<{ edges: number; gaps: number; dropped: number }>('watcher', path, drive);
    process.stdout.write(`${found.edges} came, ${found.dropped} dropped (gaps ${found.gaps})\n`);
  }

  process.stdout.write(`a guest's requests, without and with ${SETS_A_SECOND} set a second of a client\n`);
  const show = (what: string, found: { requests: number; medianUs: number; p99Us: number }): void => {
    const { requests, medianUs, p99Us } = found;
    process.stdout.write(
      `  ${what}: ${requests} requests, median ${medianUs.toFixed(0)} us, p99 ${p99Us.toFixed(0)} us\n`,
    );
  };
  type Latency = Parameters<typeof show>[1];
  for (let round = 0; round < 3; round++) {
    const alone = await child<Latency>('guest', guestPath, after(RUN_MS));
    show('alone', alone);
    let loaded = alone;
    const sets = await child<{ aSecond: number; refused: number }>('setter', path, async () => {
      loaded = await child<Latency>('guest', guestPath, after(RUN_MS));
    });
    show(`with ${sets.aSecond} set a second (${sets.refused} refused)`, loaded);
    process.stdout.write(`  ratio of the medians ${(loaded.medianUs / alone.medianUs).toFixed(2)}\n`);
  }
  const { rss } = process.memoryUsage();
  process.stdout.write(`memory of the service ${Math.round(rss / 1024 / 1024)} MiB\n`);
  vhostUser.close();
  poller.close();
  await server.close();
  rmSync(folder, { recursive: true });
}

const [role, path] = process.argv.slice(2);
if (role === undefined || path === undefined) await main();
else if (role === 'watcher') await watcher(path);
else if (role === 'setter') await setter(path);
else await guest(path);
