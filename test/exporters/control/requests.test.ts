import { describe, expect, it, vi } from 'vitest';
import { SimulatedChip } from '../../../src/testing/simulated-chip.ts';
import type { LineInfo, LineOutcome, ServiceStatus } from '../../../src/wire/control.ts';
import { TestConsumer } from '../../gpio/consumer.ts';
import { RawClient } from './raw-client.ts';
import { eventually, openLines, STATUS, serve } from './served-control.ts';

describe('chips and lines', () => {
  it('greets, and tells of chips', async () => {
    const { path } = await serve();
    const client = await RawClient.open(path);
    expect(await client.next()).toEqual({ service: 'rproc-gpio', protocol: 1, version: '1.2.3' });
    expect(await client.result('chips')).toEqual([
      { name: 'hub', label: 'simulated', lineCount: 8, available: true },
    ]);
  });

  it('tells of all lines, of those of one chip, of named ones', async () => {
    const { path, lines } = await serve();
    const guest = new TestConsumer(lines, 4, 'guest vm1');
    guest.setDirection(1).setValue(1);
    const watcher = new TestConsumer(lines, 2, 'guest vm2');
    watcher.setIrqType(3);
    const client = await RawClient.greeted(path);
    const all = await client.result<LineInfo[]>('lines');
    expect(all.map(({ offset, name }) => [offset, name])).toEqual(
      lines.lines.map(({ offset, name }) => [offset, name]),
    );
    expect(await client.result('lines', { chip: 'hub' })).toEqual(all);
    expect(await client.result('lines', { lines: ['RELAY', 'hub/BUTTON', 'hub/#6'] })).toEqual([
      {
        chip: 'hub',
        offset: 4,
        name: 'RELAY',
        direction: 'out',
        level: 1,
        activeLow: false,
        owner: 'guest vm1',
        users: ['guest vm1'],
        debounceMs: 0,
        edges: lines.lines[4]?.edges,
        available: true,
      },
      expect.objectContaining({ offset: 2, direction: 'none', level: 0, owner: null, users: ['guest vm2'] }),
      expect.objectContaining({ offset: 6, name: '', direction: 'none', level: null, users: [] }),
    ]);
  });

  it('says what there is when there is no such chip or line', async () => {
    const { path } = await serve();
    const client = await RawClient.greeted(path);
    expect(await client.error('lines', { chip: 'hbu' })).toEqual({
      code: 'ERR_LINE',
      message: "there is no chip 'hbu'; chips are hub",
    });
    const message = async (line: string) => (await client.error('get', { lines: ['LED', line] })).message;
    const names = 'LED, LED_SENSE, BUTTON, BUTTON_DRIVE, RELAY, RELAY_SENSE, LOST';
    expect(await message('LEDD')).toBe(`there is no line 'LEDD'; lines are ${names}`);
    expect(await message('hub/LEDD')).toBe(`hub has no line 'LEDD'; it has ${names}`);
    expect(await message('hub/#8')).toBe('hub has 8 lines, #0 to #7, and no #8');
    expect(await message('soc/LED')).toBe("there is no chip 'soc'; chips are hub");
    expect(await message('hub/')).toBe(`hub has no line ''; it has ${names}`);
  });

  it('asks which when a name is of several lines', async () => {
    const a = openLines(new SimulatedChip('a', 4, ['X', 'Y', 'Z', 'Z']));
    const b = openLines(new SimulatedChip('b', 2, ['X', 'a/Y']));
    const { path } = await serve({ chips: () => [a, b] });
    const client = await RawClient.greeted(path);
    const message = async (line: string) => (await client.error('get', { lines: [line] })).message;
    expect(await message('X')).toBe("'X' names 2 lines; say which: a/X, b/X");
    expect(await message('Z')).toBe("'Z' names 2 lines; say which: a/#2, a/#3");
    expect(await message('a/Z')).toBe("'a/Z' names 2 lines; say which: a/#2, a/#3");
    const outcomes = await client.result<LineOutcome[]>('get', {
      lines: ['b/X', 'a/#3', 'Y', 'a/Y', 'b/a/Y'],
    });
    expect(outcomes.map(({ line, offset }) => [line, offset])).toEqual([
      ['b/X', 0],
      ['a/Z', 3],
      ['a/Y', 1],
      ['a/Y', 1],
      ['b/a/Y', 1],
    ]);
  });
});

describe('get, set, toggle, release', () => {
  it('reads and drives logical levels', async () => {
    const { path, chip, lines, server } = await serve();
    const [, sense] = lines.lines;
    sense!.settings = { ...sense!.settings, activeLow: true };
    const client = await RawClient.greeted(path);
    expect(await client.result('get', { lines: ['LED', 'LED_SENSE'] })).toEqual([
      { line: 'hub/LED', chip: 'hub', offset: 0, name: 'LED', ok: true, level: 0 },
      { line: 'hub/LED_SENSE', chip: 'hub', offset: 1, name: 'LED_SENSE', ok: true, level: 1 },
    ]);
    expect(server.openLines).toBe(0);
    expect(await client.result('set', { values: [{ line: 'LED', level: 1 }] })).toEqual([
      { line: 'hub/LED', chip: 'hub', offset: 0, name: 'LED', ok: true, level: 1 },
    ]);
    expect(chip.level(1)).toBe(1);
    expect(await client.result('get', { lines: ['LED_SENSE'] })).toMatchObject([{ level: 0 }]);
    expect(await client.result('toggle', { lines: ['LED'] })).toMatchObject([{ ok: true, level: 0 }]);
    expect(chip.level(0)).toBe(0);
    expect(await client.result('lines', { lines: ['LED_SENSE'] })).toMatchObject([{ activeLow: true }]);
  });

  it('holds an output until it is released, also when the client has gone', async () => {
    const { path, lines, server, chip } = await serve();
    const client = await RawClient.greeted(path);
    await client.result('set', { values: [{ line: 'LED', level: 1 }] });
    client.socket.destroy();
    await eventually(() => expect(server.status.connections).toBe(0));
    expect(lines.lines[0]?.ownerName).toBe('command line');
    expect(server.openLines).toBe(1);
    const guest = new TestConsumer(lines, 0, 'guest vm1');
    expect(guest.setDirection(1).outcomes.take()?.[0]).toBe(4);
    const other = await RawClient.greeted(path);
    expect(await other.result('release', { lines: ['LED'] })).toMatchObject([{ ok: true }]);
    expect(lines.lines[0]?.owner).toBeNull();
    expect(server.openLines).toBe(0);
    expect(chip.level(0)).toBe(1);
    expect(guest.setDirection(1).outcomes.take()?.[0]).toBe(0);
    // What is not ours is not given up.
    expect(await other.result('release', { lines: ['LED'] })).toMatchObject([{ ok: true }]);
    expect(lines.lines[0]?.ownerName).toBe('guest vm1');
  });

  it('says who owns a line that it may not drive', async () => {
    const { path, lines, server } = await serve();
    new TestConsumer(lines, 0, 'guest vm1').setDirection(1);
    const client = await RawClient.greeted(path);
    const values = [
      { line: 'RELAY', level: 1 },
      { line: 'LED', level: 1 },
    ];
    expect(await client.result('set', { values })).toEqual([
      expect.objectContaining({ line: 'hub/RELAY', ok: true, level: 1 }),
      {
        line: 'hub/LED',
        chip: 'hub',
        offset: 0,
        name: 'LED',
        ok: false,
        level: null,
        code: 'ERR_BUSY',
        reason: 'busy: owned by guest vm1',
      },
    ]);
    expect(await client.result('direction', { lines: ['LED'], direction: 'in' })).toMatchObject([
      { ok: false, code: 'ERR_BUSY' },
    ]);
    expect(server.openLines).toBe(1);
  });

  it('does nothing of a request that names a line twice, or one that is not there', async () => {
    const { path, lines } = await serve();
    const client = await RawClient.greeted(path);
    const values = (...names: string[]) => ({ values: names.map((line) => ({ line, level: 1 })) });
    expect((await client.error('set', values('LED', 'hub/#0'))).message).toBe('hub/LED is named twice');
    expect((await client.error('set', values('LED', 'NO'))).code).toBe('ERR_LINE');
    expect(lines.lines[0]?.direction).toBe(0);
    expect(await client.result('get', { lines: ['LED', 'LED'] })).toHaveLength(2);
  });

  it('sets directions', async () => {
    const { path, lines, server } = await serve();
    const client = await RawClient.greeted(path);
    const set = (direction: string) => client.result('direction', { lines: ['LED'], direction });
    expect(await set('out')).toMatchObject([{ ok: true }]);
    expect(lines.lines[0]?.directionName).toBe('out');
    expect(server.openLines).toBe(1);
    expect(await set('in')).toMatchObject([{ ok: true }]);
    expect(lines.lines[0]?.directionName).toBe('in');
    expect(server.openLines).toBe(0);
    await set('out');
    await set('none');
    expect(lines.lines[0]?.directionName).toBe('none');
    expect(server.openLines).toBe(0);
  });

  it('drives nothing with access read', async () => {
    const { path, lines } = await serve({ access: 'read' });
    const client = await RawClient.greeted(path);
    for (const [method, params] of [
      ['set', { values: [{ line: 'LED', level: 1 }] }],
      ['toggle', { lines: ['LED'] }],
      ['pulse', { lines: ['LED'], level: 1, durationMs: 1 }],
      ['release', { lines: ['LED'] }],
      ['direction', { lines: ['LED'], direction: 'out' }],
    ] as const) {
      expect(await client.error(method, params)).toEqual({
        code: 'ERR_REFUSED',
        message: 'refused: the command line may only read lines here (control.access is read)',
      });
    }
    expect(await client.result('get', { lines: ['LED'] })).toMatchObject([{ ok: true }]);
    expect(lines.lines[0]?.direction).toBe(0);
  });

  it('answers 4,096 lines in one request, a few in a turn', async () => {
    const chip = new SimulatedChip('big', 4096);
    const big = openLines(chip);
    const { path, server } = await serve({ chips: () => [big] });
    const client = await RawClient.greeted(path);
    const values = big.lines.map(({ offset }) => ({ line: `big/#${offset}`, level: offset & 1 }));
    const outcomes: LineOutcome[] = [];
    // A request has 64 KiB: these take three.
    for (let from = 0; from < values.length; from += 1500)
      outcomes.push(
        ...(await client.result<LineOutcome[]>('set', { values: values.slice(from, from + 1500) })),
      );
    expect(outcomes.map(({ offset, ok, level }) => [offset, ok, level])).toEqual(
      big.lines.map(({ offset }) => [offset, true, offset & 1]),
    );
    expect(server.openLines).toBe(4096);
    const names = big.lines.map(({ offset }) => `sim${offset}`);
    for (let from = 0; from < names.length; from += 2048)
      expect(await client.result('release', { lines: names.slice(from, from + 2048) })).toHaveLength(2048);
    expect(server.openLines).toBe(0);
  });
});

describe('pulse', () => {
  it('goes on when the client has gone, and ends by itself', async () => {
    const { path, chip, lines, server } = await serve();
    const client = await RawClient.greeted(path);
    const watcher = await RawClient.greeted(path);
    await watcher.result('watch', { lines: ['LED'] });
    const outcome = await client.result('pulse', { lines: ['LED'], level: 1, durationMs: 60 });
    expect(outcome).toMatchObject([{ ok: true, level: 1 }]);
    client.socket.destroy();
    const edges: unknown[] = [];
    await watcher.until(() => {
      edges.push(...watcher.messages.splice(0).flatMap(({ edges: some }) => some as unknown[]));
      return edges.length >= 2;
    }, 'both edges of the pulse');
    expect(edges).toMatchObject([
      { name: 'LED', edge: 'rising', direction: 'out' },
      { name: 'LED', edge: 'falling', direction: 'out' },
    ]);
    expect(chip.level(0)).toBe(0);
    expect(lines.lines[0]?.ownerName).toBe('command line');
    expect(server.openLines).toBe(1);
  });

  it('ends at once when the service ends', async () => {
    const { path, chip, server } = await serve();
    const client = await RawClient.greeted(path);
    await client.result('pulse', { lines: ['LED'], level: 1, durationMs: 3_600_000 });
    expect(chip.level(0)).toBe(1);
    await server.close();
    expect(chip.level(0)).toBe(0);
  });
});

describe('status and reload', () => {
  it('adds the status of the control socket', async () => {
    const { path } = await serve();
    const client = await RawClient.greeted(path);
    await client.error('get', { lines: ['NO'] });
    client.send('garbage\n');
    await client.next();
    const status = await client.result<ServiceStatus>('status');
    expect(status).toEqual({
      ...STATUS,
      control: {
        connections: 1,
        counters: {
          requests: 2,
          errors: 2,
          badRequests: 1,
          refusedConnections: 0,
          edges: 0,
          droppedEdges: 0,
        },
        limits: { displacedConnections: 0, stalledConnections: 0, unreadPauses: 0 },
      },
    });
  });

  it('answers a reload, one at a time', async () => {
    let finish = (_report: { changed: string[]; unchanged: boolean }): void => {};
    const reload = vi.fn(
      () =>
        new Promise<{ changed: string[]; unchanged: boolean }>((resolve) => {
          finish = resolve;
        }),
    );
    const { path } = await serve({ reload });
    const client = await RawClient.greeted(path);
    client.ask(1, 'reload').ask(2, 'reload');
    expect(await client.next()).toEqual({
      id: 2,
      error: { code: 'ERR_BUSY', message: 'busy: a reload is under way' },
    });
    finish({ changed: ['export vm1 was added'], unchanged: false });
    expect(await client.next()).toEqual({
      id: 1,
      result: { changed: ['export vm1 was added'], unchanged: false },
    });
    expect(reload).toHaveBeenCalledTimes(1);
  });

  it('tells why a reload failed', async () => {
    const failures = [
      Object.assign(new Error('rproc-gpio.yaml:3:5: exports.vm1.lines: …'), { code: 'ERR_CONFIG' }),
      Object.assign(new Error('open: no such file'), { code: 'ENOENT' }),
      'just a text',
    ];
    const { path } = await serve({ reload: () => Promise.reject(failures.shift()) });
    const client = await RawClient.greeted(path);
    expect(await client.error('reload')).toEqual({
      code: 'ERR_CONFIG',
      message: 'rproc-gpio.yaml:3:5: exports.vm1.lines: …',
    });
    expect(await client.error('reload')).toEqual({ code: 'ERR_FAILED', message: 'open: no such file' });
    expect(await client.error('reload')).toEqual({ code: 'ERR_FAILED', message: 'just a text' });
  });

  it('answers when the status cannot be told', async () => {
    const { path, log } = await serve({
      status: () => {
        throw new Error('no status');
      },
    });
    const client = await RawClient.greeted(path);
    expect(await client.error('status')).toEqual({
      code: 'ERR_FAILED',
      message: 'internal error: Error: no status',
    });
    expect(log.join()).toMatch(/^error: control socket: Error: no status\n/);
    expect(await client.result('chips')).toHaveLength(1);
  });
});
