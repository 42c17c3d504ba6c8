import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { watchQuiet } from '../../bench/idle.ts';
import { idleFigures, memoryFigures, startFigures } from '../../bench/idle-part.ts';

it('counts what threads of several processes do', async () => {
  const quiet = spawn('sleep', ['60']);
  const busy = spawn('sh', ['-c', 'echo; while :; do sleep 0.02; done'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  try {
    await once(busy.stdout!, 'data');
    const [first, second] = await watchQuiet([quiet.pid!, busy.pid!], 0.5);
    expect(first).toMatchObject({ switches: 0, byThread: {} });
    expect(second!.switches).toBeGreaterThan(2);
    expect(Object.values(second!.byThread)).toEqual([second!.switches]);
    expect(second!.seconds).toBeGreaterThanOrEqual(0.5);
  } finally {
    quiet.kill();
    busy.kill('SIGKILL');
  }
});

it('tells our own part of a start from that of node', () => {
  const start = { readyMs: 400, nodeMs: 50, modulesMs: 250, configMs: 30 };
  const figures = startFigures([
    start,
    { ...start, readyMs: 410 },
    { ...start, readyMs: 1500, nodeMs: 1150 },
  ]);
  expect(figures.map(({ name, value, met }) => [name, value, met])).toEqual([
    ['startReady', 410, true],
    ['startNode', 50, null],
    ['startOwn', 350, null],
    ['startOwnModules', 250, null],
    ['startOwnConfig', 30, null],
    ['startOwnRest', 70, null],
  ]);
});

it('asks for 90 MB with a guest, and for ten wake-ups while nothing happens', () => {
  expect(memoryFigures({ attachedBytes: 80e6, loadedBytes: 95e6 }).map(({ met }) => met)).toEqual([
    true,
    false,
  ]);
  const quiet = { switches: 11, byThread: {}, cpuSeconds: 0, seconds: 10 };
  const figures = idleFigures({ service: quiet, firmware: quiet, residentBytes: 100e6 });
  expect(figures.map(({ name, met }) => [name, met])).toContainEqual(['idleAttachedSwitches', false]);
  expect(figures.map(({ name, met }) => [name, met])).toContainEqual(['idleAttachedCpu', true]);
});
