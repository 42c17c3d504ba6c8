import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Remoteproc, type RemoteprocState } from '../../src/coprocessor/remoteproc.ts';
import { RemoteprocLifecycle, type RemoteprocOptions } from '../../src/coprocessor/remoteproc-lifecycle.ts';
import { FakeRemoteproc } from './fake-remoteproc.ts';

let fake: FakeRemoteproc;
let log: string[];
let opened: RemoteprocLifecycle[];
beforeEach(() => {
  fake = new FakeRemoteproc();
  fake.add('remoteproc0', 'hub', 'offline');
  log = [];
  opened = [];
});
afterEach(async () => {
  vi.useRealTimers();
  for (const lifecycle of opened) await lifecycle.close();
  fake.close();
});

function open(options: Partial<RemoteprocOptions> = {}): RemoteprocLifecycle {
  const all = { name: 'hub', ...options };
  const lifecycle = RemoteprocLifecycle.open(
    all,
    (level, message) => log.push(`${level}: ${message}`),
    Remoteproc.find(all.name, fake.system),
  );
  opened.push(lifecycle);
  return lifecycle;
}

const state = (): string => fake.get('remoteproc0', 'state');

describe('bringing a co-processor up', () => {
  it('sets recovery and firmware, then starts it', async () => {
    const lifecycle = open({ start: true, firmware: 'other.elf', recovery: false });
    expect(lifecycle.isUp).toBe(false);
    await lifecycle.up();
    expect(fake.writes).toEqual(['recovery=disabled', 'firmware=other.elf', 'state=start']);
    expect([lifecycle.isUp, lifecycle.state]).toEqual([true, 'running']);
    expect(log).toEqual(['info: remoteproc0 (hub) is running, was offline']);
  });

  it('uses one that runs as it is, and says when its firmware is another one', async () => {
    fake.set('remoteproc0', 'state', 'running');
    await open({ start: true, firmware: 'other.elf' }).up();
    expect(fake.writes).toEqual([]);
    expect(log).toEqual([
      expect.stringContaining('is running already with the firmware "hub.elf", not "other.elf"'),
    ]);
  });

  it('waits for one that somebody else starts', async () => {
    const lifecycle = open();
    const up = lifecycle.up();
    await Promise.resolve();
    fake.set('remoteproc0', 'state', 'running');
    fake.log('remoteproc0', 'remoteproc remoteproc0: remote processor hub is now up');
    await up;
    expect(fake.writes).toEqual([]);
  });

  it.each([
    ['offline', 'enabled', 'is offline after 50 ms; set start: true'],
    ['crashed', 'disabled', 'is crashed after 50 ms; its recovery is disabled: set recovery: true'],
    ['crashed', 'enabled', "is crashed after 50 ms; the kernel's recovery has not brought it back"],
  ])('gives up one that stays %s with recovery %s', async (from, recovery, text) => {
    fake.set('remoteproc0', 'state', from);
    fake.set('remoteproc0', 'recovery', recovery);
    await expect(open({ startTimeoutMs: 50 }).up()).rejects.toMatchObject({
      code: 'ERR_START_TIMEOUT',
      message: expect.stringContaining(text),
    });
  });

  it('takes one that runs without the kernel as it is, unless it is to be started', async () => {
    fake.set('remoteproc0', 'state', 'detached');
    const lifecycle = open();
    await lifecycle.up();
    expect([lifecycle.isUp, state()]).toEqual([true, 'detached']);
    const starting = open({ start: true });
    expect(starting.isUp).toBe(false);
    await starting.up();
    expect(state()).toBe('attached');
  });

  it('tells its states', async () => {
    const lifecycle = open({ start: true });
    const states: RemoteprocState[] = [];
    lifecycle.onState((to) => states.push(to));
    await lifecycle.up();
    fake.set('remoteproc0', 'state', 'crashed');
    lifecycle.look();
    expect(states).toEqual(['running', 'crashed']);
    expect(log.at(-1)).toBe('warn: remoteproc0 (hub) is crashed, was running');
  });

  it('says once when crashes cannot be seen at once', () => {
    fake.close();
    fake = new FakeRemoteproc(false);
    fake.add('remoteproc0', '', 'offline');
    open({ name: 'remoteproc0' });
    expect(log).toEqual([
      expect.stringMatching(/^info: remoteproc0: the kernel's log cannot be followed .*CAP_SYSLOG/),
    ]);
  });
});

describe('commands', () => {
  it('start, stop and restart, one after the other', async () => {
    const lifecycle = open({ firmware: 'other.elf' });
    await Promise.all([lifecycle.start(), lifecycle.restart(), lifecycle.stop(), lifecycle.start()]);
    expect(fake.writes).toEqual([
      'firmware=other.elf',
      'state=start',
      'state=stop',
      'state=start',
      'state=stop',
      'state=start',
    ]);
  });

  it('go on after one that failed', async () => {
    fake.refused.set('state=start', 'EIO');
    const lifecycle = open();
    await expect(lifecycle.start()).rejects.toMatchObject({ code: 'ERR_REMOTEPROC' });
    fake.refused.clear();
    await lifecycle.start();
    expect(state()).toBe('running');
  });
});

describe('the end of the service', () => {
  it('leaves it running unless told otherwise', async () => {
    const lifecycle = open({ start: true });
    await lifecycle.up();
    await lifecycle.close();
    await lifecycle.close();
    expect(state()).toBe('running');
    await expect(lifecycle.up()).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });

  it('stops it when told so', async () => {
    const lifecycle = open({ start: true, stopOnExit: true });
    await lifecycle.up();
    await lifecycle.close();
    expect(state()).toBe('offline');
  });

  it('detaches from one that it attached to, and stops one that was attached before', async () => {
    fake.set('remoteproc0', 'state', 'detached');
    const attaching = open({ start: true, stopOnExit: true });
    await attaching.up();
    await attaching.close();
    expect(state()).toBe('detached');
    fake.set('remoteproc0', 'state', 'attached');
    const other = open({ start: true, stopOnExit: true });
    await other.up();
    await other.close();
    expect(state()).toBe('offline');
  });

  it('ends a wait, and logs what fails', async () => {
    fake.refused.set('state=stop', 'EIO');
    const waiting = open({ stopOnExit: true });
    const up = expect(waiting.up()).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    fake.set('remoteproc0', 'state', 'crashed');
    await waiting.close();
    await up;
    expect(log.at(-1)).toMatch(/^error: .*writing "stop" failed/);
  });
});
