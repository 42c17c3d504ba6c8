import { CoprocessorError } from '../../../src/coprocessor/coprocessor-error.ts';
import { MetuxChip } from '../../../src/coprocessor/dialects/metux.ts';
import { Poller } from '../../../src/virtqueue/poller.ts';
import {
  encodeMetuxConfig,
  encodeMetuxMessage,
  FROM_DEVICE_QUEUE,
  METUX_LEVEL,
  METUX_MESSAGE_SIZE,
  REPLY_2021,
  TO_DEVICE_QUEUE,
} from '../../../src/wire/metux-gpio.ts';
import { encodeNames } from '../../../src/wire/virtio-gpio.ts';
import { ByteSource } from '../byte-source.ts';
import { withWatchedAtomics } from '../changing-memory.ts';
import { ChipLoad } from '../chip-load.ts';
import { SimulatedClock, settled } from '../simulated-clock.ts';
import { type FuzzTarget, invariant } from '../target.ts';
import { type Chain, WatchedVdev } from '../watched-vdev.ts';

const LINE_COUNT = 3;
const REQUEST_TIMEOUT_MS = 50;
const MAX_STEPS = 150;
const F_EVENT_IDX = 1 << 29;
const NO_SYSTEM_CALL = -38;

/** A request that the device has taken. */
interface Asked {
  readonly type: number;
  readonly line: number;
  readonly value: number;
}

class Firmware {
  readonly vdev: WatchedVdev;
  readonly #source: ByteSource;
  readonly #clock: SimulatedClock;
  readonly #asked: Asked[] = [];
  readonly #free: Chain[] = [];

  constructor(vdev: WatchedVdev, source: ByteSource, clock: SimulatedClock) {
    this.vdev = vdev;
    this.#source = source;
    this.#clock = clock;
  }

  #take(): void {
    const { view } = this.vdev.shared;
    for (let left = 32; left > 0; left--) {
      const chain = this.vdev.take(TO_DEVICE_QUEUE);
      if (chain === null) break;
      const [part] = chain.parts;
      if (part !== undefined && part.sizeBytes >= METUX_MESSAGE_SIZE)
        this.#asked.push({
          type: view.getUint16(part.offset, true),
          line: view.getUint16(part.offset + 2, true),
          value: view.getInt32(part.offset + 4, true),
        });
      // Some devices never give them back.
      if (this.#source.below(8) < 7) this.vdev.use(TO_DEVICE_QUEUE, chain.head, 0);
    }
    this.#asked.splice(0, Math.max(0, this.#asked.length - 64));
    for (let left = 32; left > 0; left--) {
      const chain = this.vdev.take(FROM_DEVICE_QUEUE);
      if (chain === null) break;
      this.#free.push(chain);
    }
    this.#free.splice(0, Math.max(0, this.#free.length - 64));
  }

  /** Puts a message into a receive buffer. */
  send(bytes: Uint8Array, sizeBytes = bytes.length): void {
    this.#take();
    const chain = this.#free.shift();
    const [part] = chain?.parts ?? [];
    if (chain === undefined || part === undefined) return;
    this.vdev.shared.raw.set(bytes.subarray(0, part.sizeBytes), part.offset);
    this.vdev.use(FROM_DEVICE_QUEUE, chain.head, sizeBytes);
  }

  /** @param value null = as a device of inputs that are low */
  reply(value: number | null): void {
    this.#take();
    const source = this.#source;
    const at = source.below(8) === 7 ? source.below(this.#asked.length) : 0;
    const [asked] = source.below(16) === 15 ? this.#asked.slice(at, at + 1) : this.#asked.splice(at, 1);
    if (asked === undefined) return;
    const type = asked.type | (source.below(8) === 7 ? 0xf000 : REPLY_2021);
    this.send(encodeMetuxMessage({ type, line: asked.line, value: value ?? (asked.type === 4 ? 1 : 0) }));
  }

  step(): void {
    const source = this.#source;
    const { vdev } = this;
    switch (source.below(18)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return this.reply(null);
      case 4:
        return this.reply(source.pick([0, 1, 2, -1, -16, -22, NO_SYSTEM_CALL, 0x7fff_ffff]));
      case 5:
      case 6:
        return this.send(
          encodeMetuxMessage({
            type: METUX_LEVEL,
            line: source.below(LINE_COUNT + 1),
            value: source.below(3),
          }),
        );
      case 7:
        return this.send(source.bytes(METUX_MESSAGE_SIZE), source.below(4) === 3 ? source.u32() : undefined);
      case 8: {
        const type = source.u16();
        for (let left = source.below(40); left > 0; left--)
          this.send(encodeMetuxMessage({ type, line: source.below(LINE_COUNT), value: source.below(2) }));
        return;
      }
      case 9:
        return vdev.use(
          source.below(2),
          source.below(2) === 0 ? source.u32() : source.below(20),
          source.u32(),
        );
      case 10: {
        const queue = source.below(2);
        return vdev.setUsedIndex(queue, vdev.usedIndex(queue) + source.below(24));
      }
      case 11:
        return vdev.scribble(source, source.below(12));
      case 12:
        return vdev.change(source, 200);
      case 13:
        if (source.oneIn(16)) vdev.status = source.u8();
        if (source.oneIn(32)) vdev.lose('gone');
        return;
      case 14:
        return this.#clock.advance(source.below(120));
      default:
        return vdev.ring();
    }
  }
}

async function attack(source: ByteSource, clock: SimulatedClock): Promise<string> {
  let config = encodeMetuxConfig('hub', LINE_COUNT, encodeNames(['led', '', 'button']));
  if (source.below(8) === 7) {
    for (let i = source.below(6); i >= 0; i--) config[source.below(config.length)] = source.u8();
    config = config.subarray(0, config.length - source.below(4));
  }
  const vdev = new WatchedVdev({
    id: 41,
    features: source.pick([0, F_EVENT_IDX]),
    queueSizes: source.pick([[16, 16], [1, 1], [4, 2], [16]]),
    bufferBytes: 0x1000,
    config,
  });
  vdev.shared.allow(3_000_000);
  const poller = new Poller();
  const firmware = new Firmware(vdev, source, clock);
  let opened: MetuxChip | Error | null = null;
  withWatchedAtomics(() => {
    MetuxChip.open(vdev, { name: 'hub', where: 'm4', poller, requestTimeoutMs: REQUEST_TIMEOUT_MS }).then(
      (chip) => {
        opened = chip;
      },
      (error: Error) => {
        opened = error;
      },
    );
  });
  await settled();
  for (let i = 0; i < 10 && opened === null; i++) {
    withWatchedAtomics(() => {
      if (source.below(4) > 0) {
        firmware.reply(null);
        vdev.ring();
        clock.turn();
      } else firmware.step();
    });
    await settled();
  }
  withWatchedAtomics(() => clock.advance(opened === null ? 1000 : 0));
  await settled();
  invariant(opened !== null, 'the opening neither failed nor came to an end');
  const ended = opened as MetuxChip | Error;
  if (ended instanceof MetuxChip) return run(ended, firmware, source, clock, poller);
  if (!(ended instanceof CoprocessorError)) throw ended;
  poller.close();
  clock.advance(5000);
  invariant(clock.pending === 0, 'a timer is left');
  return ended.message.replaceAll(/\d+/g, 'N').slice(0, 90);
}

async function run(
  chip: MetuxChip,
  firmware: Firmware,
  source: ByteSource,
  clock: SimulatedClock,
  poller: Poller,
): Promise<string> {
  const { vdev } = firmware;
  const { lineCount } = chip;
  const load = new ChipLoad(chip, {
    requestTimeoutMs: REQUEST_TIMEOUT_MS,
    lineCount,
    isSubscribedOnly: true,
  });
  for (let i = 0; i < MAX_STEPS && source.remaining > 0; i++) {
    withWatchedAtomics(() => {
      if (source.below(3) === 0) load.submit(source);
      else firmware.step();
      clock.advance(1);
      load.check(chip.counters, 5);
    });
  }
  vdev.rest();
  withWatchedAtomics(() => {
    vdev.ring();
    chip.flush();
    clock.advance(2 * REQUEST_TIMEOUT_MS);
    load.check(chip.counters, 5);
  });
  load.finish();
  for (const queue of vdev.queues)
    invariant(queue.outstanding <= queue.size && queue.free >= 0, 'more chains than descriptors');
  const { signature } = load;
  load.gone = null;
  withWatchedAtomics(() => chip.close());
  chip.close();
  load.finish();
  poller.close();
  clock.advance(5000);
  invariant(clock.pending === 0, 'a timer is left');
  await settled();
  return `${lineCount} ${signature}`;
}

export const metuxDialect: FuzzTarget = {
  name: 'metux-dialect',
  what: 'metux virtio-gpio on a co-processor whose memory changes: requests are answered once and in time, edges are subscribed ones',
  seeds: () => [
    Uint8Array.from([
      0, 0, 0, 1, 0, 0, 4, 0, 0, 1, 1, 0, 0, 0, 17, 1, 0, 0, 0, 17, 1, 0, 0, 0, 17, 1, 5, 0, 1, 1, 17,
    ]),
    Uint8Array.from([
      0, 1, 1, 1, 0, 0, 3, 0, 1, 0, 0, 1, 0, 17, 1, 0, 0, 17, 1, 0, 0, 17, 0, 1, 1, 1, 1, 1, 0, 0, 1, 17,
    ]),
    Uint8Array.from([0, 0, 3, 1, 0, 0, 2, 0, 1, 1, 14, 90, 1, 0, 0, 1, 17, 0, 2, 0, 1, 1, 14, 90, 1, 17]),
    new Uint8Array(64).fill(1),
  ],
  run: async (input) => {
    const clock = new SimulatedClock();
    const uninstall = clock.install();
    try {
      return await attack(new ByteSource(input), clock);
    } finally {
      uninstall();
    }
  },
};
