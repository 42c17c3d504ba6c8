import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CoprocessorError } from '../../src/coprocessor/coprocessor-error.ts';
import type { CoprocessorChip } from '../../src/coprocessor/supervised-chip.ts';
import {
  CoprocessorSupervisor,
  type Incarnation,
  type SupervisorOptions,
} from '../../src/coprocessor/supervisor.ts';
import { DIRECTION_OUT, RESULT_OK, RESULT_UNAVAILABLE } from '../../src/gpio/chip.ts';
import { ChipLines } from '../../src/gpio/chip-lines.ts';
import { SimulatedChip } from '../../src/testing/simulated-chip.ts';
import { TestConsumer } from '../gpio/consumer.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A chip that can be lost. */
class LosableChip extends SimulatedChip implements CoprocessorChip {
  override available = true;
  closes = 0;
  looks = 0;
  isSilent = false;
  answers: () => void = () => {};
  readonly life: Life;
  #tell: (reason: string) => void = () => {};

  constructor(life: Life, lineCount: number) {
    super('hub', lineCount);
    this.life = life;
  }

  override listen(listener: Parameters<SimulatedChip['listen']>[0]): void {
    super.listen(listener);
    this.#tell = (reason) => listener.availability(false, reason);
  }

  lose(reason: string): void {
    this.available = false;
    this.#tell(reason);
  }

  onAnswering(listener: () => void): boolean {
    this.answers = listener;
    return this.isSilent;
  }

  look(): void {
    this.looks++;
  }

  override close(): void {
    super.close();
    this.closes++;
    expect(this.life.isClosed).toBe(false);
  }
}

/** One life of a played co-processor. */
class Life implements Incarnation {
  readonly plan: Plan;
  isClosed = false;
  kills = 0;
  chips: LosableChip[] = [];
  exit: (reason: string, isFailure: boolean) => void = () => {};

  constructor(plan: Plan) {
    this.plan = plan;
  }

  start(): Promise<void> {
    const fault = this.plan.startFaults.shift();
    if (fault === undefined) return Promise.resolve();
    return Promise.reject(typeof fault === 'string' ? new Error(fault) : fault);
  }

  onExit(listener: (reason: string, isFailure: boolean) => void): void {
    this.exit = (reason, isFailure) => {
      for (const chip of this.chips) if (chip.available) chip.lose(reason);
      listener(reason, isFailure);
    };
  }

  kill(): boolean {
    this.kills++;
    if (this.plan.hasProcess) this.exit('was ended by SIGKILL (9)', true);
    return this.plan.hasProcess;
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}

interface Plan {
  readonly hasProcess: boolean;
  readonly startFaults: (string | Error)[];
  readonly openFaults: string[];
  lineCount: number;
}

async function supervised(options: Partial<SupervisorOptions<Life>> = {}) {
  const plan: Plan = {
    hasProcess: options.hasProcess ?? true,
    startFaults: [],
    openFaults: [],
    lineCount: 4,
  };
  const lives: Life[] = [];
  const log: string[] = [];
  const supervisor = new CoprocessorSupervisor<Life>({
    name: 'hub',
    create: () => {
      const life = new Life(plan);
      lives.push(life);
      return life;
    },
    hasProcess: true,
    restart: 'on-failure',
    onLog: (level, message) => log.push(`${level} ${message}`),
    ...options,
  });
  await supervisor.start();
  const chip = await supervisor.open('hub', async (life, isReturn) => {
    expect(isReturn).toBe(lives.length > 1 || life.chips.length > 0);
    const fault = plan.openFaults.shift();
    if (fault !== undefined) throw new Error(fault);
    const opened = new LosableChip(life, plan.lineCount);
    life.chips.push(opened);
    return opened;
  });
  const lines = new ChipLines(chip);
  const owner = new TestConsumer(lines, 0).setValue(1).setDirection(DIRECTION_OUT);
  owner.outcomes.list.length = 0;
  const life = (): Life => lives.at(-1) as Life;
  return {
    supervisor,
    plan,
    lives,
    log,
    chip,
    lines,
    owner,
    life,
    inner: () => life().chips.at(-1) as LosableChip,
  };
}

async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await turn();
}

async function pass(ms: number): Promise<void> {
  await settle();
  vi.advanceTimersByTime(ms);
  await settle();
}

describe('a process that crashes before it is up', () => {
  /** A co-processor that has not been started, and what its lives are to be. */
  function unstarted(startFaults: (string | Error)[], options: Partial<SupervisorOptions<Life>> = {}) {
    const plan: Plan = { hasProcess: true, startFaults, openFaults: [], lineCount: 4 };
    const lives: Life[] = [];
    const log: string[] = [];
    const supervisor = new CoprocessorSupervisor<Life>({
      name: 'hub',
      create: () => {
        lives.push(new Life(plan));
        return lives.at(-1) as Life;
      },
      hasProcess: true,
      restart: 'on-failure',
      returnTimeoutMs: 5000,
      onLog: (level, message) => log.push(`${level} ${message}`),
      ...options,
    });
    return { supervisor, lives, log };
  }
  const crash = (): Error => new CoprocessorError('ERR_CRASHED', 'firmware hub was ended by SIGSEGV (11)');

  it('is started again, twice', async () => {
    const { supervisor, lives, log } = unstarted([crash(), crash()]);
    const starting = supervisor.start();
    await pass(100);
    await pass(200);
    await starting;
    expect([supervisor.state, lives.length]).toEqual(['running', 3]);
    expect(log).toEqual([
      'error hub: firmware hub was ended by SIGSEGV (11); starting it again in 100 ms',
      'error hub: firmware hub was ended by SIGSEGV (11); starting it again in 200 ms',
    ]);
    await supervisor.close();
  });

  it.each([
    { what: 'crashes each time', faults: [crash(), crash(), crash()], restart: 'on-failure', lives: 3 },
    { what: 'is never to be started again', faults: [crash()], restart: 'never', lives: 1 },
    { what: 'exits', faults: ['exited with code 2'], restart: 'always', lives: 1 },
  ] as const)('is given up when it $what', async ({ faults, restart, lives: expected }) => {
    const { supervisor, lives } = unstarted([...faults], { restart });
    const refused = expect(supervisor.start()).rejects.toThrow(/SIGSEGV|code 2/);
    await pass(100);
    await pass(200);
    await refused;
    expect(lives.length).toBe(expected);
    await supervisor.close();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is left alone once it is closed', async () => {
    const { supervisor, lives } = unstarted([crash()]);
    const refused = expect(supervisor.start()).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    await settle();
    await supervisor.close();
    await refused;
    expect([lives.length, vi.getTimerCount()]).toEqual([1, 0]);
  });

  /** Opens a chip; each of the first lives ends, or what is done to it is done, while that is under way. */
  function opening(supervisor: CoprocessorSupervisor<Life>, meanwhile: ((life: Life) => void)[]) {
    return supervisor.open('hub', async (life) => {
      await turn();
      const act = meanwhile.shift();
      if (act === undefined) return new LosableChip(life, 4);
      act(life);
      throw new Error('the queue does not work');
    });
  }
  const end = (life: Life): void => life.exit('firmware hub was ended by SIGKILL (9)', true);

  it('or while its chip is opened for the first time has that opened in its next life', async () => {
    const { supervisor, lives } = unstarted([]);
    await supervisor.start();
    const open = opening(supervisor, [end, end]);
    await pass(100);
    await pass(200);
    const chip = await open;
    expect([chip.available, lives.length, supervisor.restarts]).toEqual([true, 3, 2]);
    await supervisor.close();
    expect(vi.getTimerCount()).toBe(0);
  });

  it.each([
    { what: 'goes away each time', acts: [end, end, end], message: 'the queue does not work' },
    { what: 'lives, and its chip is at fault', acts: [() => {}], message: 'the queue does not work' },
  ])('has its chip refused when it $what', async ({ acts, message }) => {
    const { supervisor } = unstarted([]);
    await supervisor.start();
    const refused = expect(opening(supervisor, [...acts])).rejects.toThrow(message);
    for (const pauseMs of [100, 200, 400]) await pass(pauseMs);
    await refused;
    await supervisor.close();
  });

  it.each([
    { what: 'is not started again', restart: 'never', startFaults: [], passMs: 0 },
    {
      what: 'does not come back in time',
      restart: 'always',
      startFaults: Array(40).fill('no'),
      passMs: 5000,
    },
  ] as const)(
    'has its chip refused, for its reason, when it $what',
    async ({ restart, startFaults, passMs }) => {
      const faults: string[] = [];
      const { supervisor } = unstarted(faults, { restart });
      await supervisor.start();
      faults.push(...startFaults);
      const refused = expect(opening(supervisor, [end])).rejects.toMatchObject({
        code: 'ERR_CLOSED',
        message: restart === 'never' ? 'firmware hub was ended by SIGKILL (9)' : 'no',
      });
      for (let ms = 0; ms <= passMs; ms += 100) await pass(100);
      await refused;
      await supervisor.close();
      expect(vi.getTimerCount()).toBe(0);
    },
  );

  it('is not waited for once it is closed', async () => {
    const { supervisor } = unstarted([]);
    await supervisor.start();
    const refused = expect(opening(supervisor, [end])).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    await settle();
    await supervisor.close();
    await refused;
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('a process that ends', () => {
  it('is started again after a pause, with what its consumers own, and that is said once each', async () => {
    const s = await supervised();
    await pass(5000);
    s.life().exit('firmware hub was ended by SIGKILL (9)', true);
    expect([s.supervisor.state, s.chip.available]).toEqual(['restarting', false]);
    expect(s.owner.setValue(0).outcomes.take()).toEqual([RESULT_UNAVAILABLE, 0]);
    expect(s.lives[0]?.chips[0]?.closes).toBe(1);
    await pass(99);
    expect([s.lives.length, s.lives[0]?.isClosed]).toEqual([1, true]);
    await pass(1);
    expect([s.supervisor.state, s.supervisor.reason, s.supervisor.restarts]).toEqual(['running', null, 1]);
    expect([s.chip.available, s.inner().level(0), s.owner.handle.line.owner]).toEqual([
      true,
      1,
      s.owner.handle,
    ]);
    expect(s.owner.setValue(0).outcomes.take()?.[0]).toBe(RESULT_OK);
    expect(s.log).toEqual([
      'error hub: firmware hub was ended by SIGKILL (9); starting it again in 100 ms',
      'info hub: is back after 100 ms (1. return)',
    ]);
    await s.supervisor.close();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('again and again is started with growing pauses', async () => {
    const s = await supervised();
    const pauses: number[] = [];
    for (let i = 0; i < 9; i++) {
      s.life().exit('crashed', true);
      const count = s.lives.length;
      let waitedMs = 0;
      while (s.lives.length === count) {
        await pass(100);
        waitedMs += 100;
      }
      pauses.push(waitedMs);
    }
    expect(pauses).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    await pass(1000);
    s.life().exit('crashed', true);
    await pass(100);
    expect(s.supervisor.restarts).toBe(10);
    await s.supervisor.close();
  });

  it.each([
    ['always', false, 'running'],
    ['on-failure', false, 'stopped'],
    ['on-failure', true, 'running'],
    ['never', false, 'stopped'],
    ['never', true, 'failed'],
  ] as const)('with restart: %s, failure %s, is %s then', async (restart, isFailure, state) => {
    const s = await supervised({ restart });
    s.life().exit('ended', isFailure);
    await pass(20_000);
    expect([s.supervisor.state, s.chip.available]).toEqual([state, state === 'running']);
    if (state === 'running') return s.supervisor.close();
    expect(s.supervisor.reason).toBe('ended');
    await s.supervisor.startAgain();
    expect([s.supervisor.state, s.chip.available]).toEqual(['running', true]);
    await s.supervisor.close();
  });

  it('and cannot be started is tried again, and the same fault is said once', async () => {
    const s = await supervised();
    s.plan.startFaults.push('no memory', 'no memory', 'no memory');
    s.life().exit('crashed', true);
    await pass(100);
    expect([s.supervisor.state, s.supervisor.reason]).toEqual(['restarting', 'no memory']);
    for (const ms of [200, 400, 800]) await pass(ms);
    expect(s.supervisor.state).toBe('running');
    expect(s.log.filter((line) => line.startsWith('warn'))).toEqual(['warn hub: not back yet: no memory']);
    await s.supervisor.close();
  });

  it('while it is opened again is started once more', async () => {
    const s = await supervised();
    s.plan.openFaults.push('vdev 0: firmware hub exited with code 1');
    s.life().exit('crashed', true);
    await pass(100);
    expect([s.supervisor.state, s.lives.length, s.life().isClosed]).toEqual(['restarting', 2, true]);
    await pass(200);
    expect([s.supervisor.state, s.lives.length]).toEqual(['running', 3]);
    await s.supervisor.close();
  });

  it('and comes back with another number of lines is refused, once, until it comes back right', async () => {
    const s = await supervised();
    s.plan.lineCount = 8;
    for (let i = 0; i < 3; i++) {
      s.life().exit('crashed', true);
      await pass(10_000);
      expect([s.supervisor.state, s.chip.available]).toEqual(['running', false]);
      expect(s.supervisor.reason).toMatch(/^chip hub came back with 8 lines, expected 4 as before/);
    }
    expect(s.log.filter((line) => line.includes('8 lines'))).toHaveLength(1);
    s.plan.lineCount = 4;
    await s.supervisor.restart();
    expect([s.supervisor.reason, s.chip.available, s.inner().level(0)]).toEqual([null, true, 1]);
    await s.supervisor.close();
  });
});

describe('a device that is lost', () => {
  it('is opened again on the same co-processor', async () => {
    const s = await supervised();
    s.inner().lose('vdev 0 was reset by the co-processor');
    expect(s.chip.available).toBe(false);
    await pass(100);
    expect([s.lives.length, s.life().chips.length, s.chip.available, s.inner().level(0)]).toEqual([
      1,
      2,
      true,
      1,
    ]);
    expect(s.log).toEqual([
      'error hub: chip hub is gone: vdev 0 was reset by the co-processor',
      'info hub: is back after 100 ms (1. return)',
    ]);
    await s.supervisor.close();
  });

  it('of a process, and cannot be opened again, costs the process its life', async () => {
    const s = await supervised();
    s.plan.openFaults.push('no answer', 'no answer', 'no answer');
    s.inner().lose('corrupt');
    for (const ms of [100, 200, 400]) await pass(ms);
    expect([s.lives[0]?.kills, s.supervisor.state]).toEqual([1, 'restarting']);
    await pass(800);
    expect([s.lives.length, s.chip.available]).toEqual([2, true]);
    await s.supervisor.close();
  });

  it('of a board is tried to be opened for ever', async () => {
    const s = await supervised({ hasProcess: false });
    for (let i = 0; i < 20; i++) s.plan.openFaults.push('no answer');
    s.inner().lose('corrupt');
    for (let i = 0; i < 25; i++) await pass(1000);
    expect([s.lives.length, s.lives[0]?.kills, s.chip.available]).toEqual([1, 0, true]);
    await s.supervisor.close();
  });
});

describe('a co-processor that does not answer', () => {
  it('is killed after a while when it is a process', async () => {
    const s = await supervised({ killAfterMs: 500 });
    s.inner().isSilent = true;
    s.inner().lose('vdev 0 does not answer');
    await pass(499);
    expect(s.lives[0]?.kills).toBe(0);
    await pass(1);
    expect(s.lives[0]?.kills).toBe(1);
    await pass(100);
    expect([s.lives.length, s.chip.available]).toEqual([2, true]);
    expect(s.log[0]).toBe(
      'error hub: chip hub is gone: vdev 0 does not answer; it is killed in 500 ms unless it answers',
    );
    await s.supervisor.close();
  });

  it.each(['is killed', 'ends by itself'])(
    'and %s is started again in every one of its lives',
    async (how) => {
      const s = await supervised({ killAfterMs: 500 });
      for (let lives = 1; lives <= 4; lives++) {
        expect([s.lives.length, s.supervisor.state, s.chip.available]).toEqual([lives, 'running', true]);
        await pass(5000);
        s.inner().isSilent = true;
        s.inner().lose('vdev 0 does not answer');
        if (how === 'is killed') await pass(500);
        else s.life().exit('crashed', true);
        await pass(100);
      }
      await s.supervisor.close();
    },
  );

  it('and answers again keeps its life, but nothing of what was under way', async () => {
    const s = await supervised({ killAfterMs: 500 });
    const hung = s.inner();
    hung.isSilent = true;
    hung.lose('vdev 0 does not answer');
    await pass(400);
    expect(hung.closes).toBe(0);
    hung.answers();
    await pass(100);
    expect([s.lives.length, s.lives[0]?.kills, hung.closes, s.chip.available]).toEqual([1, 0, 1, true]);
    await pass(5000);
    expect(s.lives[0]?.kills).toBe(0);
    await s.supervisor.close();
  });

  it.each([
    ['is a board', { hasProcess: false }],
    ['is never started again', { restart: 'never' }],
  ] as const)('is waited for when it %s', async (_what, options) => {
    const s = await supervised(options);
    const hung = s.inner();
    hung.isSilent = true;
    hung.lose('vdev 0 does not answer');
    await pass(60_000);
    expect([s.lives.length, s.lives[0]?.kills, hung.looks]).toEqual([1, 0, 60]);
    hung.answers();
    await pass(100);
    expect([s.lives.length, s.chip.available, vi.getTimerCount()]).toEqual([1, true, 0]);
    await s.supervisor.close();
  });
});

describe('a co-processor that is elsewhere', () => {
  it('is looked for until it is back, whatever the policy, at most every second', async () => {
    const s = await supervised({ hasProcess: false, restart: 'never' });
    for (let i = 0; i < 30; i++) s.plan.startFaults.push('nobody listens');
    s.life().exit('the doorbell’s other end closed the connection', true);
    await pass(100);
    for (let i = 0; i < 29; i++) await pass(1000);
    expect(s.supervisor.state).toBe('restarting');
    await pass(1000);
    expect([s.supervisor.state, s.chip.available, s.lives.length]).toEqual(['running', true, 32]);
    await s.supervisor.close();
  });
});

describe('on request a co-processor', () => {
  it('is stopped, started, and started anew', async () => {
    const s = await supervised();
    await s.supervisor.stop();
    expect([s.supervisor.state, s.chip.available, s.lives[0]?.isClosed]).toEqual(['stopped', false, true]);
    await pass(60_000);
    expect(s.lives).toHaveLength(1);
    await s.supervisor.startAgain();
    expect([s.supervisor.state, s.inner().level(0)]).toEqual(['running', 1]);
    await s.supervisor.startAgain();
    expect(s.lives).toHaveLength(2);
    await s.supervisor.restart();
    expect([s.supervisor.state, s.lives.length, s.inner().level(0)]).toEqual(['running', 3, 1]);
    await s.supervisor.close();
  });

  it('that cannot be started says so, and is left at that', async () => {
    const s = await supervised();
    await s.supervisor.stop();
    s.plan.startFaults.push('not executable');
    await expect(s.supervisor.startAgain()).rejects.toThrow('not executable');
    expect([s.supervisor.state, s.supervisor.reason]).toEqual(['failed', 'not executable']);
    await s.supervisor.close();
  });

  it('is stopped in the middle of its return', async () => {
    const s = await supervised();
    s.life().exit('crashed', true);
    await s.supervisor.stop();
    await pass(60_000);
    expect([s.supervisor.state, s.lives.length, vi.getTimerCount()]).toEqual(['stopped', 1, 0]);
    await s.supervisor.close();
    await expect(s.supervisor.startAgain()).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });
});
