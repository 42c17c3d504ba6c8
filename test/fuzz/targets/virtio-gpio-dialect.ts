import { CoprocessorError } from '../../../src/coprocessor/coprocessor-error.ts';
import { VirtioGpioChip } from '../../../src/coprocessor/dialects/virtio-gpio.ts';
import { Poller } from '../../../src/virtqueue/poller.ts';
import { FLAG_DROPPED, SIZE as RECORD_SIZE } from '../../../src/wire/event-stream.ts';
import { encodeConfig, encodeNames, MSG_GET_LINE_NAMES } from '../../../src/wire/virtio-gpio.ts';
import { WireError } from '../../../src/wire/wire-error.ts';
import { ByteSource } from '../byte-source.ts';
import { withWatchedAtomics } from '../changing-memory.ts';
import { ChipLoad } from '../chip-load.ts';
import { SimulatedClock, settled } from '../simulated-clock.ts';
import { type FuzzTarget, invariant } from '../target.ts';
import { type Chain, WatchedVdev } from '../watched-vdev.ts';

const REQUESTS = 0;
const EVENTS = 1;
const LINE_COUNT = 3;
const REQUEST_TIMEOUT_MS = 50;
const MAX_STEPS = 150;
const F_IRQ = 1;
const F_STREAM = 1 << 16;
const F_EVENT_IDX = 1 << 29;
const NAMES = ['led', '', 'button'];

/** The firmware's side: what it was given and what it gives back, proper or not. */
class Firmware {
  readonly vdev: WatchedVdev;
  readonly #source: ByteSource;
  readonly #clock: SimulatedClock;
  readonly #requests: Chain[] = [];
  readonly #events: Chain[] = [];
  #seq = 0;
  /** What the chip must have counted, as long as nothing but whole records was written. */
  expected: { dropped: number; malformed: number; last: number } | null = {
    dropped: 0,
    malformed: 0,
    last: -1,
  };

  constructor(vdev: WatchedVdev, source: ByteSource, clock: SimulatedClock) {
    this.vdev = vdev;
    this.#source = source;
    this.#clock = clock;
  }

  #take(queue: number, into: Chain[]): void {
    for (let left = 32; left > 0; left--) {
      const chain = this.vdev.take(queue);
      if (chain === null) return;
      into.push(chain);
      if (into.length > 64) into.shift();
    }
  }

  /** Answers a request, with a status and a value, or with the names. */
  answer(status: number, value: number, sizeBytes: number | null): void {
    this.#take(REQUESTS, this.#requests);
    const source = this.#source;
    const at = source.below(8) === 7 ? source.below(this.#requests.length) : 0;
    const [chain] = source.below(16) === 15 ? this.#requests.slice(at, at + 1) : this.#requests.splice(at, 1);
    if (chain === undefined) return;
    const { raw, view } = this.vdev.shared;
    const request = chain.parts.find(({ isWritable }) => !isWritable);
    const response = chain.parts.find(({ isWritable }) => isWritable);
    if (response === undefined || response.sizeBytes < 2) return;
    raw[response.offset] = status;
    raw[response.offset + 1] = value;
    const isNames = request !== undefined && view.getUint16(request.offset, true) === MSG_GET_LINE_NAMES;
    if (isNames) raw.set(encodeNames(NAMES).subarray(0, response.sizeBytes - 1), response.offset + 1);
    this.vdev.use(REQUESTS, chain.head, sizeBytes ?? response.sizeBytes);
  }

  /** Gives an event buffer back. */
  event(): void {
    if (this.vdev.rings[EVENTS] === undefined) return;
    this.#take(EVENTS, this.#events);
    const chain = this.#events.shift();
    const part = chain?.parts.find(({ isWritable }) => isWritable);
    if (chain === undefined || part === undefined) return;
    const source = this.#source;
    const { raw, view } = this.vdev.shared;
    if (part.sizeBytes < RECORD_SIZE) {
      raw[part.offset] = source.pick([1, 1, 1, 0, 2, 255]);
      return this.vdev.use(EVENTS, chain.head, source.pick([1, 1, 1, 0, 2, 0xffff_ffff]));
    }
    const line = source.below(16) === 15 ? source.u16() : source.below(LINE_COUNT);
    const level = source.below(16) === 15 ? source.u8() : source.below(2);
    this.#seq = source.below(4) === 3 ? source.u32() : (this.#seq + 1) >>> 0;
    view.setUint16(part.offset, line, true);
    raw[part.offset + 2] = level;
    raw[part.offset + 3] = source.pick([0, FLAG_DROPPED, 0xff]);
    view.setUint32(part.offset + 4, this.#seq, true);
    const isWild = source.below(8) === 7;
    view.setUint32(part.offset + 8, isWild ? source.u32() : this.#clock.nowMs * 1000, true);
    view.setUint32(part.offset + 12, isWild ? source.u32() : 0, true);
    const sizeBytes = source.below(16) === 15 ? source.u8() : RECORD_SIZE;
    this.#count(line, level, sizeBytes);
    this.vdev.use(EVENTS, chain.head, sizeBytes);
  }

  #count(line: number, level: number, sizeBytes: number): void {
    const { expected } = this;
    if (expected === null) return;
    // A device cannot have written more than it had room for: the queue makes less of it.
    if (line >= LINE_COUNT || level > 1 || sizeBytes < RECORD_SIZE) {
      expected.malformed++;
      return;
    }
    const gap = expected.last < 0 ? 0 : (this.#seq - expected.last - 1) >>> 0;
    if (gap < 0x8000_0000) expected.dropped += gap;
    expected.last = this.#seq;
  }

  step(): void {
    const source = this.#source;
    const { vdev } = this;
    switch (source.below(20)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return this.answer(0, source.below(2), null);
      case 4:
        return this.answer(source.u8(), source.u8(), source.below(2) === 0 ? null : source.u32());
      case 5:
        return this.answer(1, source.below(2), null);
      case 6:
      case 7:
      case 8:
        return this.event();
      case 9:
        for (let left = source.below(40); left > 0; left--) {
          this.event();
          if (left % 8 === 0) vdev.ring();
        }
        return;
      case 10:
        this.expected = null;
        return vdev.use(
          source.below(vdev.rings.length),
          source.below(2) === 0 ? source.u32() : source.below(20),
          source.u32(),
        );
      case 11: {
        this.expected = null;
        const queue = source.below(vdev.rings.length);
        return vdev.setUsedIndex(queue, vdev.usedIndex(queue) + source.below(24));
      }
      case 12:
        this.expected = null;
        return vdev.scribble(source, source.below(12));
      case 13:
        this.expected = null;
        return vdev.change(source, 200);
      case 14:
        if (source.oneIn(16)) vdev.status = source.u8();
        if (source.oneIn(32)) vdev.lose('gone');
        return;
      case 15:
        return this.#clock.advance(source.below(120));
      default:
        return vdev.ring();
    }
  }
}

async function attack(source: ByteSource, clock: SimulatedClock): Promise<string> {
  const features = source.pick([
    F_IRQ,
    F_IRQ | F_STREAM,
    F_IRQ | F_STREAM | F_EVENT_IDX,
    F_IRQ | F_EVENT_IDX,
    0,
  ]);
  const namesSize = source.pick([0, encodeNames(NAMES).length, 0]);
  const config = encodeConfig({ lineCount: LINE_COUNT, namesSize });
  if (source.below(16) === 15) config.set(source.bytes(8));
  const vdev = new WatchedVdev({
    id: 41,
    features,
    queueSizes: source.pick([[16, 16], [4, 4], [2, 2], [16], [1, 16]]),
    bufferBytes: 0x2000,
    config,
  });
  vdev.shared.allow(3_000_000);
  const poller = new Poller();
  const firmware = new Firmware(vdev, source, clock);
  let opened: VirtioGpioChip | Error | null = null;
  const options = {
    name: 'hub',
    where: 'm4',
    poller,
    requestTimeoutMs: REQUEST_TIMEOUT_MS,
    isReturn: source.below(2) === 1,
  };
  withWatchedAtomics(() => {
    VirtioGpioChip.open(vdev, options).then(
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
        firmware.answer(0, 0, null);
        vdev.ring();
      } else firmware.step();
    });
    await settled();
  }
  withWatchedAtomics(() => clock.advance(opened === null ? 1000 : 0));
  await settled();
  invariant(opened !== null, 'the opening neither failed nor came to an end');
  const ended = opened as VirtioGpioChip | Error;
  if (ended instanceof VirtioGpioChip) return run(ended, firmware, source, clock, poller);
  const isExpected = ended instanceof CoprocessorError || ended instanceof WireError;
  if (!isExpected) throw ended;
  clock.advance(5000);
  invariant(clock.pending === 0, 'a timer is left');
  return ended.message.replaceAll(/\d+/g, 'N').slice(0, 60);
}

async function run(
  chip: VirtioGpioChip,
  firmware: Firmware,
  source: ByteSource,
  clock: SimulatedClock,
  poller: Poller,
): Promise<string> {
  const { vdev } = firmware;
  const load = new ChipLoad(chip, {
    requestTimeoutMs: REQUEST_TIMEOUT_MS,
    lineCount: chip.lineCount,
    isSubscribedOnly: false,
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
  const { expected } = firmware;
  const { droppedEvents, malformedEvents } = chip.counters;
  if (expected !== null && chip.streamsLevels && load.gone === null) {
    invariant(
      droppedEvents === expected.dropped,
      () => `${droppedEvents} lost changes counted of ${expected.dropped}`,
    );
    invariant(
      malformedEvents === expected.malformed,
      () => `${malformedEvents} bad records counted of ${expected.malformed}`,
    );
  }
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
  return `${chip.label} ${signature}`;
}

export const virtioGpioDialect: FuzzTarget = {
  name: 'virtio-gpio-dialect',
  what: 'virtio-gpio on a co-processor whose memory changes: requests are answered once and in time, gaps of the stream are counted',
  seeds: () => [
    Uint8Array.from([0, 0, 0, 0, 0, 0, 4, 0, 3, 1, 1, 0, 0, 0, 17, 1, 6, 0, 0, 17, 1, 17]),
    Uint8Array.from([
      1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 17, 0, 2, 1, 1, 1, 0, 1, 1, 17, 1, 6, 0, 1, 1, 0, 0, 1, 6, 0, 0, 1, 3, 9,
      9, 9, 9, 1, 17,
    ]),
    Uint8Array.from([
      2, 2, 0, 1, 0, 1, 1, 17, 0, 2, 1, 15, 90, 1, 0, 0, 1, 17, 0, 2, 1, 15, 90, 0, 2, 1, 15, 90, 0, 2, 1, 15,
      90,
    ]),
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
