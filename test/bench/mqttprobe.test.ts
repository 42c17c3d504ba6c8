import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  buildPrograms,
  type CommandsResult,
  type EchoResult,
  type EventLatencyResult,
  type EventsResult,
  launchProgram,
  type RunningProgram,
} from '../../bench/programs.ts';
import { FakeHub } from './fake-hub.ts';

let folder: string;
let hub: FakeHub;

beforeAll(buildPrograms, 120_000);

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'rproc-gpio-bench-test-'));
  hub = await FakeHub.listen(join(folder, 'pins.sock'));
});

afterEach(async () => {
  await hub.close();
  rmSync(folder, { recursive: true, force: true });
});

function probe<T>(mode: string, ...options: string[]): RunningProgram<T> {
  const common = [`--mode=${mode}`, `--port=${hub.port}`, `--pins=${hub.pinsPath}`, '--lines=A,LONGER_A'];
  return launchProgram<T>('mqttprobe', [...common, ...options], null);
}

describe('mqttprobe --mode=count', () => {
  async function count(events: number, publish: () => void, ...options: string[]): Promise<EventsResult> {
    const counting = probe<EventsResult>('count', `--events=${events}`, ...options);
    await counting.ready;
    publish();
    return counting.result;
  }

  it.each([0, 1] as const)('counts events of several lines with QoS %i', async (qos) => {
    const result = await count(
      600,
      () => {
        hub.publishEvents('A', 400, qos);
        hub.publishEvents('LONGER_A', 300, qos);
      },
      '--warmup=100',
      `--qos=${qos}`,
    );
    expect(result).toMatchObject({ events: 600, received: 700, lost: 0, invented: 0, gaps: 0, malformed: 0 });
    expect(result.eventsPerSecond).toBeGreaterThan(0);
  });

  it('finds what is missing, merged and malformed', async () => {
    hub.spoil = ({ line, seq }) => {
      if (line === 'A' && (seq === 10 || seq === 20 || seq === 21)) return 'drop';
      if (line === 'A' && seq === 22) return 'merge';
      return line === 'LONGER_A' && seq === 5 ? 'garble' : null;
    };
    const publish = (): void => {
      hub.publishEvents('A', 40, 0);
      hub.publishEvents('LONGER_A', 40, 0);
    };
    const result = await count(80, publish, '--patience-ms=2000');
    // The garbled one is a gap of its line as well.
    expect(result).toMatchObject({ received: 76, lost: 4, gaps: 3, missing: 4, merged: 1, malformed: 1 });
  });

  it('counts a line that it does not know as malformed', async () => {
    const publish = (): void => {
      hub.publishEvents('B', 1, 0);
      hub.publishEvents('A', 2, 0);
    };
    expect(await count(2, publish)).toMatchObject({ received: 2, malformed: 1 });
  });
});

describe('mqttprobe --mode=drive', () => {
  it('drives the lines in turn, a chunk at a time, and gets every event', async () => {
    const driving = probe<EventsResult>('drive', '--events=500', '--qos=1', '--window=64', '--chunk=32');
    expect(await driving.result).toMatchObject({ received: 500, lost: 0, gaps: 0, malformed: 0 });
    expect(hub.bursts).toHaveLength(16);
    expect(hub.bursts.slice(0, 3)).toEqual(['burst A 32', 'burst LONGER_A 32', 'burst A 32']);
    expect(hub.bursts.at(-1)).toBe('burst LONGER_A 20');
  });

  it('reports a loss, and goes on after it', async () => {
    hub.spoil = ({ seq }) => (seq === 40 ? 'drop' : null);
    const driving = probe<EventsResult>(
      'drive',
      '--events=600',
      '--qos=1',
      '--window=64',
      '--chunk=32',
      '--patience-ms=2000',
    );
    expect(await driving.result).toMatchObject({ received: 598, lost: 2, gaps: 2 });
  });

  it('ends when it is told to, with what it has', async () => {
    const driving = probe<EventsResult>('drive', '--events=0', '--qos=1', '--window=64', '--chunk=32');
    await driving.ready;
    await expect.poll(() => hub.bursts.length).toBeGreaterThan(10);
    driving.end();
    const result = await driving.result;
    expect(result.received).toBeGreaterThan(200);
    expect(result).toMatchObject({ lost: 0, gaps: 0 });
  });

  it('takes no window smaller than a chunk', async () => {
    await expect(probe('drive', '--window=8', '--chunk=9').result).rejects.toThrow(
      '--chunk=9: more than the window of 8',
    );
  });
});

describe('mqttprobe --mode=latency', () => {
  it('measures from the command, and from the time in the message', async () => {
    const result = await probe<EventLatencyResult>('latency', '--events=100', '--pause-us=0', '--qos=1')
      .result;
    expect(result).toMatchObject({ lost: 0, gaps: 0, timestampsTooEarly: 0, timestampsTooLate: 0 });
    expect(result.medianNs).toBeGreaterThan(0);
    expect(result.p99Ns).toBeGreaterThanOrEqual(result.medianNs);
    // The command is sent before the change happens.
    expect(result.sinceTimestampMedianNs).toBeLessThan(result.medianNs);
  });

  it('finds times before the command', async () => {
    hub.spoil = ({ seq }) => (seq % 2 === 0 ? 'early' : null);
    const { result } = probe<EventLatencyResult>('latency', '--events=50', '--pause-us=0', '--qos=1');
    expect(await result).toMatchObject({ timestampsTooEarly: 25, timestampsTooLate: 0 });
  });
});

describe('mqttprobe --mode=echo', () => {
  it.each([0, 1])('measures the broker alone with QoS %i', async (qos) => {
    const { result } = probe<EchoResult>('echo', '--events=100', '--pause-us=0', `--qos=${qos}`);
    expect(await result).toMatchObject({ events: 100, lost: 0, malformed: 0 });
  });
});

describe('mqttprobe --mode=commands', () => {
  it('sends commands that change something each, and counts the answers', async () => {
    const result = await probe<CommandsResult>('commands', '--events=400', '--rate=4000').result;
    expect(result).toMatchObject({ commands: 400, succeeded: 400, refused: 0, unanswered: 0 });
    expect(hub.commands).toHaveLength(400);
    expect(hub.commands.slice(0, 5)).toEqual(['A ON', 'LONGER_A ON', 'A OFF', 'LONGER_A OFF', 'A ON']);
    // 400 commands at 4,000 a second take a tenth of a second, however late each of them is.
    expect(result.commandsPerSecond).toBeLessThanOrEqual(4_400);
  });

  it('tells refusals and silence apart', async () => {
    let count = 0;
    hub.answer = () => {
      count++;
      if (count % 10 === 0) return null;
      return { command: 'set', ok: count % 10 !== 1 };
    };
    const { result } = probe<CommandsResult>(
      'commands',
      '--events=100',
      '--rate=10000',
      '--patience-ms=2000',
    );
    expect(await result).toMatchObject({ commands: 100, succeeded: 80, refused: 10, unanswered: 10 });
  });
});

describe('mqttprobe', () => {
  it('says what it cannot do', async () => {
    await expect(launchProgram('mqttprobe', [], null).result).rejects.toThrow('--port=NUMBER is needed');
    await expect(probe('watch').result).rejects.toThrow('must be count, drive, latency, echo or commands');
    await expect(probe('drive', `--pins=${folder}/nothing`).result).rejects.toThrow('No such file');
  });
});
