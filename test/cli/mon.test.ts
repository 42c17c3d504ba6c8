import { describe, expect, it } from 'vitest';
import type { LineEdge, LineInfo } from '../../src/wire/control.ts';
import { PROGRAM } from './command-process.ts';
import { ControlService } from './control-service.ts';
import { type Answers, type FakeClient, FakeService } from './fake-service.ts';

const LINE: LineInfo = {
  chip: 'hub',
  offset: 2,
  name: 'IMU_INT',
  direction: 'in',
  level: 0,
  activeLow: false,
  owner: null,
  users: [],
  debounceMs: 0,
  edges: 0,
  available: true,
};

function edge(seq: number, timestampNs = String(12_000_000_000 + seq)): LineEdge {
  const level = seq % 2 === 1 ? 1 : 0;
  const direction = 'in';
  return {
    chip: 'hub',
    offset: 2,
    name: 'IMU_INT',
    edge: level === 1 ? 'rising' : 'falling',
    level,
    seq,
    timestampNs,
    direction,
  };
}

/** Answers a subscription, and then has `begin` send edges to it. */
function watching(begin: (client: FakeClient) => void): Answers {
  return {
    watch: (_params, client) => {
      setImmediate(() => begin(client));
      return { subscription: 7, lines: [LINE] };
    },
    unwatch: () => ({}),
  };
}

describe('mon', () => {
  it('prints edges as gpiomon does, until there were enough', async () => {
    const service = await ControlService.start();
    const monitor = service.start(['mon', '--banner', '-n', '3', 'IMU_INT', 'RELAY']);
    await monitor.until(/^Monitoring lines 'IMU_INT', and 'RELAY'\.\.\.\n/);
    const before = process.hrtime.bigint();
    service.hub.drive(2, 1);
    service.aux.drive(1, 1);
    service.hub.drive(3, 1);
    service.hub.drive(2, 0);
    service.hub.drive(2, 1);
    const after = process.hrtime.bigint();
    expect(await monitor.exit()).toBe(0);
    const lines = monitor.stdout.trimEnd().split('\n').slice(1);
    expect(lines.map((line) => line.replace(/^\d+\.\d{9}\t/, ''))).toEqual([
      'rising\t"IMU_INT"',
      'rising\t"RELAY"',
      'falling\t"IMU_INT"',
    ]);
    for (const line of lines) {
      const timestampNs = BigInt((/^[\d.]+/.exec(line)?.[0] ?? '').replace('.', ''));
      expect(timestampNs).toBeGreaterThanOrEqual(before);
      expect(timestampNs).toBeLessThanOrEqual(after);
    }
  });

  it('of all lines without one, or of a chip with the chip before each', async () => {
    const service = await ControlService.start();
    const all = service.start(['mon', '--banner', '-n1']);
    await all.until(/^Monitoring all 10 lines\.\.\.\n/);
    const ofChip = service.start(['mon', '--banner', '-n1', '-c', 'hub', '--unquoted']);
    await ofChip.until(/^Monitoring all 8 lines\.\.\.\n/);
    service.hub.drive(5, 1);
    expect([await all.exit(), await ofChip.exit()]).toEqual([0, 0]);
    expect(all.stdout).toMatch(/\trising\thub 5\n$/);
    expect(ofChip.stdout).toMatch(/\trising\thub 5\n$/);
  });

  it('--edges, with --active-low the other ones', async () => {
    const service = await ControlService.start();
    const rising = service.start(['mon', '--banner', '-e', 'rising', '-n1', '-F%E %l', 'IMU_INT']);
    const inverse = service.start(['mon', '--banner', '-l', '-e', 'rising', '-n1', '-F%E %l', 'IMU_INT']);
    await rising.until(/Monitoring/);
    await inverse.until(/Monitoring/);
    service.hub.drive(2, 1);
    expect(await rising.exit()).toBe(0);
    service.hub.drive(2, 0);
    expect(await inverse.exit()).toBe(0);
    expect(rising.stdout).toMatch(/\nrising IMU_INT\n$/);
    expect(inverse.stdout).toMatch(/\nrising IMU_INT\n$/);
  });

  it('--initial-state prints the levels first', async () => {
    const service = await ControlService.start();
    service.hub.drive(2, 1);
    const monitor = service.start(['mon', '-I', '-n1', '-q', 'IMU_INT', '-c', 'hub', '#3']);
    await monitor.until(/^"IMU_INT"=active "#3"=inactive\n/);
    const numeric = service.start(['mon', '-IN', '-n1', '-q', 'hub/IMU_INT', 'BUTTON']);
    await numeric.until(/^1 0\n/);
    service.hub.drive(2, 0);
    expect([await monitor.exit(), await numeric.exit()]).toEqual([0, 0]);
  });

  it('--json prints one object a line', async () => {
    const service = await ControlService.start();
    const monitor = service.start(['mon', '--json', '--banner', '--utc', '-n1', 'IMU_INT']);
    await monitor.until(/monitoring/);
    service.hub.drive(2, 1);
    expect(await monitor.exit()).toBe(0);
    const [banner, event] = monitor.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(banner).toEqual({ monitoring: [{ chip: 'hub', offset: 2, name: 'IMU_INT' }] });
    expect(event).toEqual({
      chip: 'hub',
      offset: 2,
      name: 'IMU_INT',
      edge: 'rising',
      level: 1,
      seq: 1,
      timestampNs: expect.stringMatching(/^\d+$/),
      direction: 'in',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/),
    });
    expect(Math.abs(Date.parse(event.time) - Date.now())).toBeLessThan(60_000);
  });

  it('--idle-timeout ends it', async () => {
    const service = await ControlService.start();
    expect(await service.run(['mon', '--idle-timeout=50ms', 'IMU_INT'])).toEqual({
      code: 0,
      stdout: '',
      stderr: '',
    });
  });

  it('a line that there is not', async () => {
    const service = await ControlService.start();
    expect(await service.run(['mon', 'IMU_IN'])).toEqual({
      code: 1,
      stdout: '',
      stderr: "rproc-gpio: no line is named 'IMU_IN'; did you mean IMU_INT?\n",
    });
    const { code, stderr } = await service.run(['mon', '-c', 'hbu']);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: "rproc-gpio: there is no chip 'hbu'; did you mean hub?\n",
    });
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('%s ends it as a shell expects', async (signal) => {
    const service = await FakeService.start(
      watching((client) => client.send({ subscription: 7, edges: [edge(1)] })),
    );
    const monitor = service.start(['mon']);
    await monitor.until(/rising/);
    expect(await monitor.terminate(signal)).toBe(signal);
    expect(monitor.stdout).toBe('12.000000001\trising\t"IMU_INT"\n');
    expect(monitor.stderr).toBe('');
  });

  it('a reader that goes away ends it, by SIGPIPE', async () => {
    const service = await FakeService.start(
      watching((client) => {
        let seq = 0;
        const more = (): void => {
          client.send({ subscription: 7, edges: [edge(++seq)] });
          if (seq < 100_000) setImmediate(more);
        };
        more();
      }),
    );
    const shell = service.start(
      ['-c', `set -o pipefail; "${PROGRAM}" mon | head -n 1; echo "\${PIPESTATUS[0]}"`],
      {
        program: 'bash',
      },
    );
    expect(await shell.exit()).toBe(0);
    expect(shell.stdout).toBe('12.000000001\trising\t"IMU_INT"\n141\n');
    expect(shell.stderr).toBe('');
  });

  it('a signal ends it also when nobody reads what it prints', async () => {
    const batch = Array.from({ length: 1000 }, (_, index) => edge(index + 1));
    const service = await FakeService.start(
      watching((client) => {
        for (let count = 0; count < 50; count++) client.send({ subscription: 7, edges: batch });
      }),
    );
    const shell = service.start(
      [
        '-c',
        `mkfifo "$0"; exec 3<>"$0"; "${PROGRAM}" mon >"$0" & pid=$!
         read -r first <"$0"; echo "$first"; kill -TERM $pid; wait $pid; echo $?`,
        `${service.socket}.fifo`,
      ],
      { program: 'bash' },
    );
    expect(await shell.exit()).toBe(0);
    expect(shell.stdout).toBe('12.000000001\trising\t"IMU_INT"\n143\n');
  });

  it('says what was dropped where it is missing, on standard error or in the JSON', async () => {
    const answers = watching((client) =>
      client.send(
        { subscription: 7, edges: [edge(1)] },
        { subscription: 7, dropped: 17 },
        { subscription: 7, edges: [edge(19), edge(20)] },
      ),
    );
    const service = await FakeService.start(answers);
    expect(await service.run(['mon', '-n3', '-F', '%S'])).toEqual({
      code: 0,
      stdout: '12.000000001\n12.000000019\n12.000000020\n',
      stderr: 'dropped 17\n',
    });
    const json = await service.run(['mon', '-n3', '--json']);
    expect(
      json.stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual([edge(1), { dropped: 17 }, edge(19), edge(20)]);
    expect(json.stderr).toBe('');
  });

  it('prints every edge of a burst of 60,000, in order', async () => {
    const count = 60_000;
    const service = await FakeService.start(
      watching((client) => {
        for (let seq = 1; seq <= count; seq += 1000) {
          client.send({
            subscription: 7,
            edges: Array.from({ length: 1000 }, (_, index) => edge(seq + index)),
          });
        }
      }),
    );
    const { code, stdout, stderr } = await service.run(['mon', `-n${count}`, '-F%S']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const lines = stdout.trimEnd().split('\n');
    expect(lines.length).toBe(count);
    expect(lines.every((line, index) => line === `12.${String(index + 1).padStart(9, '0')}`)).toBe(true);
  });

  it('prints or counts every edge of a flood, and leaves no gap that it does not tell of', async () => {
    const service = await ControlService.start();
    const monitor = service.start(['mon', '--json', '--banner', '--idle-timeout=1s', 'IMU_INT']);
    await monitor.until(/monitoring/);
    const count = 200_000;
    for (let seq = 1; seq <= count; seq++) {
      service.hub.drive(2, seq % 2 === 1 ? 1 : 0);
      if (seq % 2000 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await monitor.exit()).toBe(0);
    let next = 1;
    for (const line of monitor.stdout.trimEnd().split('\n').slice(1)) {
      const { seq, dropped } = JSON.parse(line) as { seq?: number; dropped?: number };
      if (dropped !== undefined) next += dropped;
      else if (seq !== next++) expect.fail(`${line} came where seq should be ${next - 1}`);
    }
    expect(next - 1).toBe(count);
  });

  it('a service that ends: what came is printed, then an error', async () => {
    const service = await FakeService.start(
      watching((client) => {
        client.send({ subscription: 7, edges: [edge(1)] });
        setImmediate(() => client.hangUp());
      }),
    );
    const { code, stdout, stderr } = await service.run(['mon']);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '12.000000001\trising\t"IMU_INT"\n' });
    expect(stderr).toMatch(/^rproc-gpio: the service on .* has closed the connection\n$/);
  });

  it.each([
    [['--edges=up'], /--edges=up: expected rising, falling or both/],
    [['-n', '0'], /--num-events=0: a whole number from 1 to/],
    [['-n', 'x'], /--num-events=x: a whole number from 1 to/],
    [['--idle-timeout', '0'], /--idle-timeout=0: expected more than 0/],
    [['--idle-timeout', 'soon'], /--idle-timeout=soon: expected a period such as/],
    [['--event-clock=hte'], /--event-clock=hte: expected monotonic or realtime/],
    [['--utc', '--localtime'], /exclude each other/],
    [['--json', '-F', '%S'], /--format and --json exclude each other/],
    [
      ['--debounce-period', '10ms', 'A'],
      /--debounce-period: set debounceMs of the line in the configuration/,
    ],
    [['-b', 'pull-up', 'A'], /--bias: the bias of a line is its chip's own matter/],
  ])('%j: a usage error', async (args, message) => {
    const service = await FakeService.start({});
    const { code, stdout, stderr } = await service.run(['mon', ...args]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/\nTry 'rproc-gpio mon --help'\.\n$/);
  });
});
