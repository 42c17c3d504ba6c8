import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { buildPrograms, runProgram } from '../../bench/programs.ts';
import type { CrowdResult, NamesResult } from '../../bench/scale-part.ts';
import { type CrowdService, interruptsOf, startCrowdService } from '../../bench/scale-service.ts';

const LINES = 8;

async function service(guests: number, isShared = true): Promise<CrowdService> {
  const started = await startCrowdService(guests, LINES, isShared, null);
  onTestFinished(() => started.close());
  return started;
}

function crowd<T = CrowdResult>(of: CrowdService, ...options: string[]): Promise<T> {
  const which = [`--socket-prefix=${of.socketPrefix}`, `--guests=${of.guests}`, `--service-pid=${of.pid}`];
  return runProgram<T>('crowd', [...which, `--lines=${LINES}`, ...options], null);
}

beforeAll(buildPrograms, 120_000);

describe('crowd', () => {
  it('gets every answer right, in turns and all at once, and tells what that cost the service', async () => {
    const three = await service(3);
    const turns = await crowd(three, '--mode=turns', '--requests=300', '--warmup=10');
    expect(turns).toMatchObject({ errors: 0, count: 300 });
    expect(turns.serviceSeconds).toBeGreaterThan(0);
    const flood = await crowd(three, '--mode=flood', '--outstanding=16', '--requests=3000', '--warmup=0');
    expect(flood.errors).toBe(0);
    expect(flood.count).toBeGreaterThanOrEqual(3000);
    expect(flood.most).toBeGreaterThanOrEqual(flood.fewest!);
    const one = await crowd(three, '--mode=flood', '--active=1', '--requests=300', '--warmup=0');
    expect(one.fewest).toBe(one.most);
  });

  it('gets one event for each toggle and each guest, as the service counts them', async () => {
    const three = await service(3);
    const own = await crowd(three, '--mode=edges', '--pairs=4', '--requests=600', '--warmup=60');
    expect(own).toMatchObject({ errors: 0, lost: 0, invented: 0, count: 600, eventsInAll: 660 });
    const shared = await crowd(three, '--mode=share', '--requests=100', '--warmup=10');
    expect(shared).toMatchObject({ errors: 0, lost: 0, invented: 0, count: 300, eventsInAll: 330 });
    expect(await interruptsOf(three)).toBe(990);
  });

  it('reads the names of all lines', async () => {
    const one = await service(1, false);
    expect(await crowd<NamesResult>(one, '--mode=names')).toMatchObject({ names: LINES, errors: 0 });
  });

  it('names a wrong option and ends with 2 or 1', async () => {
    const options = ['--socket-prefix=/nowhere/', '--connect-timeout-ms=0'];
    await expect(runProgram('crowd', [...options, '--guests=0'], null)).rejects.toThrow(
      /ended with 2: .*--guests=0/,
    );
    await expect(runProgram('crowd', options, null)).rejects.toThrow(
      /ended with 1: .*connect to \/nowhere\/0/,
    );
  });
});
