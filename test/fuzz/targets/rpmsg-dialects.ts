import type { RpmsgChip } from '../../../src/coprocessor/dialects/rpmsg-chip.ts';
import { openRpmsgChip, type RpmsgDialectName } from '../../../src/coprocessor/dialects/rpmsg-dialects.ts';
import type { RpmsgEndpoint, RpmsgTransport } from '../../../src/coprocessor/rpmsg/endpoint.ts';
import { ByteSource } from '../byte-source.ts';
import { ChipLoad } from '../chip-load.ts';
import { SimulatedClock, settled } from '../simulated-clock.ts';
import { type FuzzTarget, invariant } from '../target.ts';

const LINES = [
  { port: 0, pin: 0, name: 'led' },
  { port: 0, pin: 3, name: '' },
  { port: 0, pin: 31, name: 'button' },
] as const;
const REQUEST_TIMEOUT_MS = 50;
const MAX_STEPS = 150;

/** A dialect's messages, as a firmware forges them. */
interface Forge {
  readonly channel: string;
  /** A reply to a message of ours; `result` and `value` as bytes. */
  readonly reply: (request: Uint8Array, result: number, value: number) => Uint8Array;
  readonly notification: (pin: number) => Uint8Array;
  /** Offset of the value in a reply. */
  readonly valueOffset: number;
  /** Whether answers may come from what the dialect remembers. */
  readonly remembers: boolean;
}

function srtm(type: number, command: number, pin: number, port: number, rest: readonly number[]): Uint8Array {
  return Uint8Array.of(5, 1, 0, type, command, 0, 0, 0, 0, 0, pin, port, ...rest);
}

const FORGES: Readonly<Record<RpmsgDialectName, Forge>> = {
  srtm: {
    channel: 'rpmsg-io-channel',
    reply: (request, result, value) => srtm(1, request[4]!, request[10]!, request[11]!, [result, value]),
    notification: (pin) => srtm(2, 0, pin, 0, []),
    valueOffset: 13,
    remembers: true,
  },
  'rpmsg-io': {
    channel: 'rpmsg-io',
    reply: (request, result, value) => Uint8Array.of(1, request[1]!, request[2]!, request[3]!, result, value),
    notification: (pin) => Uint8Array.of(2, 10, 0, pin, 0, 0),
    valueOffset: 5,
    remembers: false,
  },
  'rpmsg-gpio': {
    channel: 'rpmsg-io-0',
    reply: (_request, result, value) => Uint8Array.of(1, result, value),
    notification: (pin) => Uint8Array.of(2, pin, 1),
    valueOffset: 2,
    remembers: false,
  },
  'rpmsg-gpio-kind0': {
    channel: 'rpmsg-io-0',
    reply: (_request, result, value) => Uint8Array.of(0, result, value),
    notification: (pin) => Uint8Array.of(1, pin, 0),
    valueOffset: 2,
    remembers: false,
  },
};

/** The channel's other end, whose messages are the input's. */
class ForgedChannel implements RpmsgEndpoint, RpmsgTransport {
  readonly name: string;
  readonly maxPayloadBytes = 496;
  readonly counters = {};
  readonly sent: Uint8Array[] = [];
  isFull = false;
  /** Answers before `send` returns, now and then. */
  onSent: ((message: Uint8Array) => void) | null = null;
  closes = 0;
  /** The message that is being delivered. */
  delivering: Uint8Array | null = null;
  #onMessage: ((payload: Uint8Array) => void) | null = null;
  #onGone: ((reason: string) => void) | null = null;

  constructor(name: string) {
    this.name = name;
  }

  get channels(): string[] {
    return [this.name];
  }

  open(): Promise<RpmsgEndpoint> {
    return Promise.resolve(this);
  }

  send(payload: Uint8Array): boolean {
    if (this.isFull) return false;
    this.sent.push(Uint8Array.from(payload));
    if (this.sent.length > 64) this.sent.shift();
    this.onSent?.(payload);
    return true;
  }

  onMessage(listener: (payload: Uint8Array) => void): void {
    this.#onMessage = listener;
  }

  onGone(listener: (reason: string) => void): void {
    this.#onGone = listener;
  }

  onLost(): void {}

  close(): void {
    this.closes++;
    this.#onMessage = null;
    this.#onGone = null;
  }

  receive(payload: Uint8Array): void {
    const before = this.delivering;
    this.delivering = Uint8Array.from(payload);
    this.#onMessage?.(payload);
    this.delivering = before;
    payload.fill(0xee);
  }

  go(): void {
    const listener = this.#onGone;
    this.close();
    listener?.('the channel was destroyed');
  }
}

/** One step of the firmware's. */
function play(source: ByteSource, channel: ForgedChannel, forge: Forge, clock: SimulatedClock): void {
  const request = channel.sent.at(-1 - source.below(3)) ?? new Uint8Array(16);
  const code = source.below(10);
  const result = code < 7 ? 0 : code - 6;
  switch (source.below(14)) {
    case 0:
    case 1:
    case 2:
      return channel.receive(forge.reply(channel.sent.at(-1) ?? request, result, source.below(3)));
    case 3:
      return channel.receive(forge.reply(request, result, source.u8()));
    case 4:
      return channel.receive(forge.notification(source.pick([0, 3, 31, 1, 255])));
    case 5:
      return channel.receive(source.bytes(source.below(24)));
    case 6: {
      // One byte of a proper message is another.
      const message = source.below(2) === 0 ? forge.reply(request, 0, 1) : forge.notification(3);
      message[source.below(message.length)] = source.u8();
      return channel.receive(
        message.subarray(0, source.below(3) === 0 ? source.below(message.length) : undefined),
      );
    }
    case 7: {
      const message = forge.reply(request, result, 1);
      for (let i = source.below(8); i >= 0; i--) channel.receive(Uint8Array.from(message));
      return;
    }
    case 8:
      channel.isFull = !channel.isFull;
      return;
    case 9: {
      const isAnswering = source.below(3) > 0;
      const value = source.below(2);
      channel.onSent = isAnswering ? (message) => channel.receive(forge.reply(message, 0, value)) : null;
      return;
    }
    case 10:
      if (source.below(16) === 15) return channel.go();
      return clock.advance(1000);
    default:
      return clock.advance(source.below(90));
  }
}

/** The load's steps are bounded: a firmware that answers from within `send` may keep a chain of requests going. */
async function attack(dialect: RpmsgDialectName, source: ByteSource, clock: SimulatedClock): Promise<string> {
  const forge = FORGES[dialect];
  const channel = new ForgedChannel(forge.channel);
  let opened: RpmsgChip | string | null = null;
  openRpmsgChip(channel, {
    name: 'hub',
    where: 'm4',
    dialect,
    channelTimeoutMs: 10,
    requestTimeoutMs: REQUEST_TIMEOUT_MS,
    lines: LINES,
    directions: source.below(2) === 0 ? 'doc' : 'v12',
  }).then(
    (chip) => {
      opened = chip;
    },
    (error: Error & { code?: string }) => {
      opened = String(error.code ?? error);
    },
  );
  for (let i = 0; i < 30 && opened === null; i++) {
    await settled();
    // Mostly it answers, so that there is a chip.
    if (source.below(4) > 0) channel.receive(forge.reply(channel.sent.at(-1) ?? new Uint8Array(16), 0, 1));
    else play(source, channel, forge, clock);
  }
  await settled();
  if (opened === null) clock.advance(3000);
  await settled();
  invariant(opened !== null, 'the opening neither failed nor came to an end');
  const ended = opened as RpmsgChip | string;
  if (typeof ended === 'string') {
    invariant(ended === 'ERR_RPMSG', () => `the opening failed with ${ended}`);
    invariant(channel.closes > 0, 'the endpoint was left open');
    clock.advance(5000);
    invariant(clock.pending === 0, 'a timer is left');
    return ended;
  }
  return run(ended, channel, forge, source, clock);
}

async function run(
  chip: RpmsgChip,
  channel: ForgedChannel,
  forge: Forge,
  source: ByteSource,
  clock: SimulatedClock,
): Promise<string> {
  const load = new ChipLoad(chip, {
    requestTimeoutMs: REQUEST_TIMEOUT_MS,
    lineCount: LINES.length,
    isSubscribedOnly: true,
    judge: () => {
      if (forge.remembers) return null;
      if (channel.delivering === null) return 'no message tells it';
      return channel.delivering.length > forge.valueOffset ? null : 'the message is too short for one';
    },
  });
  for (let i = 0; i < MAX_STEPS && source.remaining > 0; i++) {
    if (source.below(2) === 0) load.submit(source);
    else play(source, channel, forge, clock);
    load.check(chip.counters, 5);
    clock.advance(1);
  }
  await settled();
  clock.advance(2 * REQUEST_TIMEOUT_MS);
  load.check(chip.counters, 5);
  load.finish();
  if (load.gone !== null) chip.onAnswering(() => {});
  channel.receive(forge.reply(channel.sent.at(-1) ?? new Uint8Array(16), 0, 1));
  const { signature } = load;
  load.gone = null;
  chip.close();
  chip.close();
  load.finish();
  clock.advance(5000);
  invariant(clock.pending === 0, 'a timer is left');
  invariant(channel.closes > 0, 'the endpoint was left open');
  return signature;
}

function target(name: string, dialects: readonly RpmsgDialectName[]): FuzzTarget {
  return {
    name,
    what: `the ${name} dialect: requests are answered once and in time, levels and edges come from valid messages only`,
    seeds: () => [
      // Opened, both edges of line 0 wanted, answered, notified; a level read.
      Uint8Array.from([
        0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 4, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 4, 0, 1, 0, 2, 0, 1, 1, 0, 0,
        0, 1,
      ]),
      Uint8Array.from([
        1, 1, 1, 1, 1, 1, 0, 1, 2, 1, 1, 1, 0, 9, 0, 1, 9, 1, 1, 0, 4, 1, 3, 1, 1, 0, 4, 1, 0, 2, 2, 1,
      ]),
      Uint8Array.from([
        0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 11, 60, 0, 3, 0, 0, 1, 1, 0, 11, 60, 0, 2, 1, 0, 1, 0, 7, 7, 1,
      ]),
      new Uint8Array(48),
    ],
    run: async (input) => {
      const clock = new SimulatedClock();
      const uninstall = clock.install();
      try {
        const source = new ByteSource(input);
        return await attack(source.pick(dialects), source, clock);
      } finally {
        uninstall();
      }
    },
  };
}

export const srtmDialect = target('srtm', ['srtm']);
export const rpmsgIoDialect = target('rpmsg-io', ['rpmsg-io']);
export const rpmsgGpioDialect = target('rpmsg-gpio', ['rpmsg-gpio', 'rpmsg-gpio-kind0']);
