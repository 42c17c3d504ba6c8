import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EVENT_LINES, type HubService, startHubService } from '../../bench/hub-service.ts';
import { Pins } from '../../bench/pins.ts';
import {
  buildPrograms,
  type ChangeResult,
  type LoadResult,
  launchProgram,
  runProgram,
} from '../../bench/programs.ts';

let service: HubService;

beforeAll(async () => {
  buildPrograms();
  service = await startHubService();
}, 120_000);

afterAll(() => service?.close());

describe('loadgen and the service with its firmware', () => {
  it('times level changes from when the firmware says that it made them', async () => {
    const options = [
      '--mode=change',
      `--socket-path=${service.eventSocketPath}`,
      `--pins=${service.pinsPath}`,
      `--pins-line=${EVENT_LINES[1]}`,
      '--line=1',
      '--requests=201',
      '--warmup=10',
    ];
    const result = await runProgram<ChangeResult>('loadgen', options, null);
    expect(result).toMatchObject({ changes: 201, errors: 0, invented: 0 });
    expect(result.medianNs).toBeGreaterThan(0);
    expect(result.p99Ns).toBeGreaterThanOrEqual(result.medianNs);
  });

  it('names a line that the firmware does not have', async () => {
    const options = [
      '--mode=change',
      `--socket-path=${service.eventSocketPath}`,
      `--pins=${service.pinsPath}`,
    ];
    await expect(
      runProgram('loadgen', [...options, '--pins-line=NOWHERE', '--line=1'], null),
    ).rejects.toThrow('error: no line NOWHERE');
  });

  it('watches inputs until it is told to end, and reads their levels then', async () => {
    const pins = await Pins.connect(service.pinsPath);
    const options = ['--mode=watch', `--socket-path=${service.eventSocketPath}`, '--lines=3'];
    const guest = launchProgram<{ events: number; errors: number; levels: number[] }>(
      'loadgen',
      options,
      null,
    );
    try {
      await guest.ready;
      expect(await pins.ask(`burst ${EVENT_LINES[0]} 2001 100 20`)).toBe('ok');
      expect(await pins.ask(`burst ${EVENT_LINES[2]} 2002 100 20`)).toBe('ok');
      expect(await pins.ask(`burst ${EVENT_LINES[2]} 1 100 0`)).toMatch(/^error: .*AT_ONCE of 1 to 1024/);
      const levels = await Promise.all(EVENT_LINES.slice(0, 3).map((line) => pins.ask(`get ${line}`)));
      expect(levels[0]).toBe('1');
      guest.end();
      const result = await guest.result;
      expect(result).toMatchObject({ errors: 0, levels: levels.map(Number) });
      // Bursts are merged by the latch, but each ends in an event.
      expect(result.events).toBeGreaterThan(1);
      expect(result.events).toBeLessThanOrEqual(4003);
    } finally {
      guest.end();
      pins.close();
    }
  });

  it('reads a subscribed input', async () => {
    const options = ['--mode=get', '--subscribed', `--socket-path=${service.loopSocketPath}`, '--lines=2'];
    const result = await runProgram<LoadResult>(
      'loadgen',
      [...options, '--requests=200', '--warmup=0'],
      null,
    );
    expect(result).toMatchObject({ requests: 200, errors: 0 });
  });
});
