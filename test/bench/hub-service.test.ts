import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EVENT_LINES, type HubService, startHubService } from '../../bench/hub-service.ts';
import { buildPrograms, type ChangeResult, type LoadResult, runProgram } from '../../bench/programs.ts';

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
