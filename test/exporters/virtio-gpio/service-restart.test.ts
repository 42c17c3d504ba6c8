import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { ResumeFile } from '../../../src/exporters/virtio-gpio/resume-file.ts';
import {
  type GpioEvent,
  KNOWN_PROTOCOL_FEATURES,
  VhostUserFrontEnd,
} from '../../../src/testing/front-end.ts';
import { PROTOCOL_FEATURE } from '../../../src/wire/vhost-user.ts';
import {
  EVENT_INVALID,
  EVENT_QUEUE,
  EVENT_VALID,
  MSG_GET_VALUE,
  MSG_SET_DIRECTION,
  MSG_SET_IRQ_TYPE,
  MSG_SET_VALUE,
  REQUEST_QUEUE,
} from '../../../src/wire/virtio-gpio.ts';
import { scratchFolder } from './served-device.ts';

const PROGRAM = fileURLToPath(new URL('mortal-service.ts', import.meta.url));
/** Node has to come up, on a busy machine. */
const DEADLINE_MS = 15_000;
const OUT = 1;
const BOTH = 3;

function until(condition: () => boolean): Promise<boolean> {
  return vi.waitUntil(condition, { timeout: DEADLINE_MS, interval: 2 });
}

/** A service in a process of its own, to be killed with SIGKILL. */
class MortalService {
  readonly socketPath: string;
  readonly resumePath: string;
  output: string[] = [];
  log = '';
  #child: ChildProcess | null = null;

  constructor(hasResumeFile = true) {
    const folder = scratchFolder();
    this.socketPath = join(folder, 'vm1.sock');
    this.resumePath = hasResumeFile ? join(folder, 'vm1.resume') : '';
    onTestFinished(() => this.kill());
  }

  async start(): Promise<void> {
    const child = spawn(process.execPath, ['--import', 'tsx', PROGRAM, this.socketPath, this.resumePath]);
    this.#child = child;
    this.output = [];
    let rest = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      this.output.push(...lines);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.log += text;
    });
    await until(() => this.output.includes('ready') || child.exitCode !== null);
    expect(child.exitCode, this.log).toBeNull();
  }

  /** Waits until the chip was asked for exactly this and has not answered. */
  waiting(what: string): Promise<boolean> {
    return until(() => this.output.findLast((line) => line.startsWith('waiting: ')) === `waiting: ${what}`);
  }

  tell(line: string): void {
    this.#child!.stdin!.write(`${line}\n`);
  }

  async ask(line: string): Promise<string> {
    const word = line.split(' ')[0]!;
    this.output = this.output.filter((text) => !text.startsWith(`${word}: `));
    this.tell(line);
    await until(() => this.output.some((text) => text.startsWith(`${word}: `)));
    return this.output.find((text) => text.startsWith(`${word}: `))!.slice(word.length + 2);
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  }
}

interface Case {
  readonly inflight: boolean;
  readonly rings?: 'keep' | 'keep-available';
  readonly hasResumeFile?: boolean;
}

async function guestOf({ inflight, hasResumeFile = true, rings = 'keep' }: Case) {
  const service = new MortalService(hasResumeFile);
  await service.start();
  const guest = await VhostUserFrontEnd.connect({
    socketPath: service.socketPath,
    protocolFeatures: KNOWN_PROTOCOL_FEATURES | (inflight ? PROTOCOL_FEATURE.INFLIGHT_SHMFD : 0n),
    timeoutMs: DEADLINE_MS,
    queueSizes: [16, 8],
  });
  onTestFinished(() => guest.close());
  const answered: string[] = [];
  const ask = (name: string, type: number, gpio: number, value = 0): void => {
    void guest.request(type, gpio, value).then(({ status }) => answered.push(`${name} ${status}`));
  };
  const events: GpioEvent[] = [];
  guest.onEvent((event) => events.push(event));
  const restart = async (atOnce = true): Promise<void> => {
    await service.kill();
    await guest.disconnected();
    await service.start();
    if (atOnce) service.tell('now');
    await guest.reconnect(rings);
  };
  return { service, guest, answered, ask, events, restart };
}

const BOTH_WAYS: readonly Case[] = [
  { inflight: true },
  { inflight: false },
  { inflight: true, rings: 'keep-available' },
  { inflight: false, rings: 'keep-available' },
];

describe('a request that was in flight when the service was killed', () => {
  it('is answered by the next one, also when others overtook it (INFLIGHT_SHMFD)', async () => {
    const { service, guest, answered, ask, restart } = await guestOf({ inflight: true });
    for (const gpio of [0, 1, 2]) ask(`line ${gpio}`, MSG_GET_VALUE, gpio);
    await service.waiting('get 0, get 1, get 2');
    service.tell('answer 1');
    await until(() => answered.length === 1);
    expect(answered).toEqual(['line 1 0']);
    await restart(false);
    await service.waiting('get 0, get 2');
    service.tell('now');
    await until(() => answered.length === 3);
    expect(answered.sort()).toEqual(['line 0 0', 'line 1 0', 'line 2 0']);
    expect((await guest.request(MSG_GET_VALUE, 3)).status).toBe(0);
    expect(guest.vring(REQUEST_QUEUE).queue.badUsed).toBe(0);
    expect(guest.vring(REQUEST_QUEUE).usedIndex).toBe(4);
  });

  it('is answered by the next one, in the order of the ring (without)', async () => {
    const { service, guest, answered, ask, restart } = await guestOf({ inflight: false });
    for (const gpio of [0, 1, 2]) ask(`line ${gpio}`, MSG_GET_VALUE, gpio);
    await service.waiting('get 0, get 1, get 2');
    // Waits for the one before it.
    service.tell('answer 1');
    await service.waiting('get 0, get 2');
    await restart();
    await until(() => answered.length === 3);
    expect(answered).toEqual(['line 0 0', 'line 1 0', 'line 2 0']);
    expect(guest.vring(REQUEST_QUEUE).queue.badUsed).toBe(0);
    expect(guest.vring(REQUEST_QUEUE).usedIndex).toBe(3);
  });

  it.each(BOTH_WAYS)('comes back once each time, over many kills %o', async (way) => {
    const { service, guest, answered, ask, restart } = await guestOf(way);
    service.tell('now');
    for (let round = 0; round < 4; round++) {
      // Whatever of it is done when the signal comes.
      for (let gpio = 0; gpio < 8; gpio++) ask(`${round}.${gpio}`, MSG_GET_VALUE, gpio % 4);
      await until(() => answered.length >= round * 8 + 1);
      await restart();
      await until(() => answered.length === (round + 1) * 8);
    }
    expect(new Set(answered).size).toBe(32);
    expect(guest.vring(REQUEST_QUEUE).usedIndex).toBe(32);
    expect(guest.vring(REQUEST_QUEUE).queue.badUsed).toBe(0);
  });
});

describe('an event buffer that lay armed when the service was killed', () => {
  it.each(BOTH_WAYS)('fires after the restart, wherever it lies in the ring %o', async (way) => {
    const { service, guest, events, restart } = await guestOf(way);
    service.tell('now');
    for (const gpio of [0, 1]) {
      expect((await guest.request(MSG_SET_IRQ_TYPE, gpio, BOTH)).status).toBe(0);
      guest.queueEvent(gpio);
    }
    // More events of line 1 than the ring has entries: nothing in it tells of line 0's buffer any more.
    for (let count = 1; count <= 11; count++) {
      service.tell(`level 1 ${count % 2}`);
      await until(() => events.length === count);
      guest.queueEvent(1);
    }
    await restart();
    // The chip of the new process begins with all lines low.
    service.tell('level 0 1');
    service.tell('level 1 1');
    await until(() => events.length >= 13);
    expect(
      events
        .slice(11)
        .map(({ gpio }) => gpio)
        .sort(),
    ).toEqual([0, 1]);
    expect(events.every(({ status }) => status === EVENT_VALID)).toBe(true);
    expect(guest.vring(EVENT_QUEUE).queue.badUsed).toBe(0);
    // And the next ones as ever.
    guest.queueEvent(0);
    service.tell('level 0 0');
    await until(() => events.length === 14);
    expect(events[13]).toMatchObject({ gpio: 0, status: EVENT_VALID });
  });

  it.each(BOTH_WAYS)('fires after the second restart, too %o', async (way) => {
    const { service, guest, events, restart } = await guestOf(way);
    service.tell('now');
    await guest.request(MSG_SET_IRQ_TYPE, 5, BOTH);
    guest.queueEvent(5);
    await restart();
    await restart();
    expect(events).toEqual([]);
    service.tell('level 5 1');
    await until(() => events.length === 1);
    expect(events[0]).toMatchObject({ gpio: 5, status: EVENT_VALID });
  });

  it('is held where nothing tells the type, until the guest sets it: the guest does not spin', async () => {
    const { service, guest, events, restart } = await guestOf({ inflight: true, hasResumeFile: false });
    service.tell('now');
    await guest.request(MSG_SET_IRQ_TYPE, 2, BOTH);
    guest.queueEvent(2);
    await restart();
    service.tell('level 2 1');
    await guest.request(MSG_GET_VALUE, 2);
    expect(events).toEqual([]);
    expect(JSON.parse(await service.ask('counters'))).toMatchObject({ invalidEvents: 0 });
    // What Linux does when its interrupt is freed and asked for again.
    await guest.request(MSG_SET_IRQ_TYPE, 2, 0);
    await until(() => events.length === 1);
    expect(events[0]).toMatchObject({ gpio: 2, status: EVENT_INVALID });
    await guest.request(MSG_SET_IRQ_TYPE, 2, BOTH);
    guest.queueEvent(2);
    service.tell('level 2 0');
    await until(() => events.length === 2);
    expect(events[1]).toMatchObject({ gpio: 2, status: EVENT_VALID });
  });

  it('is armed where the guest only sets the type again', async () => {
    const { service, guest, events, restart } = await guestOf({ inflight: true, hasResumeFile: false });
    service.tell('now');
    await guest.request(MSG_SET_IRQ_TYPE, 2, BOTH);
    guest.queueEvent(2);
    await restart();
    await guest.request(MSG_SET_IRQ_TYPE, 2, BOTH);
    service.tell('level 2 1');
    await until(() => events.length === 1);
    expect(events[0]).toMatchObject({ gpio: 2, status: EVENT_VALID });
  });
});

describe('what a guest had set when the service was killed', () => {
  it('is set again: value, then direction', async () => {
    const { service, guest, restart } = await guestOf({ inflight: false });
    service.tell('now');
    await guest.request(MSG_SET_VALUE, 4, 1);
    await guest.request(MSG_SET_DIRECTION, 4, OUT);
    await restart();
    // The chip of the new process begins with all lines low.
    expect((await guest.request(MSG_GET_VALUE, 4)).value).toBe(1);
    expect(await service.ask('output 4')).toBe('1');
    await guest.request(MSG_SET_VALUE, 4, 0);
    expect(await service.ask('output 4')).toBe('0');
  });

  it('is set again after an end in order, too', async () => {
    const { service, guest, events } = await guestOf({ inflight: false });
    service.tell('now');
    await guest.request(MSG_SET_VALUE, 4, 1);
    await guest.request(MSG_SET_DIRECTION, 4, OUT);
    await guest.request(MSG_SET_IRQ_TYPE, 2, BOTH);
    guest.queueEvent(2);
    await guest.request(MSG_GET_VALUE, 2);
    await service.kill('SIGTERM');
    await guest.disconnected();
    await service.start();
    service.tell('now');
    await guest.reconnect('keep');
    expect((await guest.request(MSG_GET_VALUE, 4)).value).toBe(1);
    service.tell('level 2 1');
    await until(() => events.length === 1);
    expect(events[0]).toMatchObject({ gpio: 2, status: EVENT_VALID });
  });

  it('is nothing to a new driver', async () => {
    const { service, guest, events } = await guestOf({ inflight: false });
    service.tell('now');
    await guest.request(MSG_SET_VALUE, 4, 1);
    await guest.request(MSG_SET_DIRECTION, 4, OUT);
    await guest.request(MSG_SET_IRQ_TYPE, 2, BOTH);
    guest.queueEvent(2);
    await service.kill();
    await guest.disconnected();
    await service.start();
    service.tell('now');
    await guest.reconnect('restart');
    guest.queueEvent(2);
    await until(() => events.length === 1);
    expect(events[0]).toMatchObject({ gpio: 2, status: EVENT_INVALID });
    expect(await service.ask('output 4')).toBe('0');
  });
});

describe('the resume file', () => {
  const path = (): string => join(scratchFolder(), 'vm1.resume');

  it('is its owner’s alone, and of fixed size', () => {
    const file = path();
    ResumeFile.open(file, 8, 1).close();
    expect(statSync(file).mode & 0o777).toBe(0o600);
    chmodSync(file, 0o644);
    const { size } = statSync(file);
    ResumeFile.open(file, 8, 1).close();
    expect(statSync(file)).toMatchObject({ size });
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it('holds what was recorded, for the same lines only', () => {
    const file = path();
    const first = ResumeFile.open(file, 8, 1);
    first.state.record(3, BOTH, 2, -1);
    first.state.record(4, 0, OUT, 1);
    first.close();
    first.close();
    const second = ResumeFile.open(file, 8, 1);
    expect(second.state.line(3)).toEqual({ irqType: BOTH, direction: 2, level: -1 });
    expect(second.state.line(4)).toEqual({ irqType: 0, direction: OUT, level: 1 });
    second.close();
    const others = ResumeFile.open(file, 8, 2);
    expect(others.state.line(3)).toEqual({ irqType: 0, direction: 0, level: -1 });
    others.close();
  });

  it('that holds anything at all reads as lines that are not set', () => {
    const file = path();
    ResumeFile.open(file, 8, 1).close();
    const bytes = new Uint8Array(statSync(file).size).fill(0xff);
    new DataView(bytes.buffer).setUint32(0, 0x31726772, true);
    new DataView(bytes.buffer).setUint32(4, 1, true);
    writeFileSync(file, bytes);
    const { state } = ResumeFile.open(file, 8, 1);
    expect(state.line(0)).toEqual({ irqType: 0, direction: 0, level: -1 });
    const region = state.eventRegion(64)!;
    expect(region.recover(5)).toEqual([]);
  });

  it('that is truncated under us costs the record, not the process', () => {
    const file = path();
    const resume = ResumeFile.open(file, 8, 1);
    truncateSync(file, 0);
    resume.state.record(3, BOTH, 0, -1);
    expect(resume.isDead).toBe(true);
    resume.close();
  });

  it('is refused where it is no file of ours', () => {
    const folder = scratchFolder();
    expect(() => ResumeFile.open(folder, 8, 1)).toThrow(/resume file .*cannot be opened/);
    expect(() => ResumeFile.open(join(folder, 'no', 'where'), 8, 1)).toThrow(/ENOENT/);
    symlinkSync('/dev/null', join(folder, 'link'));
    expect(() => ResumeFile.open(join(folder, 'link'), 8, 1)).toThrow(
      expect.objectContaining({ code: 'ERR_RESUME_FILE' }),
    );
  });
});
