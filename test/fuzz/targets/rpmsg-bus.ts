import { bufferStride } from '../../../src/coprocessor/rpmsg/buffer-stride.ts';
import { RpmsgBus } from '../../../src/coprocessor/rpmsg/bus.ts';
import type { BusEndpoint } from '../../../src/coprocessor/rpmsg/bus-endpoint.ts';
import { MAX_CHANNELS } from '../../../src/coprocessor/rpmsg/channel-table.ts';
import { Poller } from '../../../src/virtqueue/poller.ts';
import {
  ANNOUNCEMENT_SIZE,
  encodeAnnouncement,
  encodeHeader,
  HEADER_SIZE,
  NAME_SERVICE_ADDRESS,
  VIRTIO_ID_RPMSG,
} from '../../../src/wire/rpmsg.ts';
import { ByteSource } from '../byte-source.ts';
import { withWatchedAtomics } from '../changing-memory.ts';
import { SimulatedClock, settled } from '../simulated-clock.ts';
import { type FuzzTarget, invariant } from '../target.ts';
import { WatchedVdev } from '../watched-vdev.ts';

const RECEIVE = 0;
const TRANSMIT = 1;
const SEND_TIMEOUT_MS = 50;
const MAX_STEPS = 120;
const NAMES = ['echo', 'rpmsg-io-channel', 'a'] as const;

interface Open {
  readonly endpoint: BusEndpoint;
  gone: number;
}

/** A bus, its co-processor, and what must hold of both. */
class Attack {
  readonly source: ByteSource;
  readonly clock: SimulatedClock;
  readonly vdev: WatchedVdev;
  readonly poller = new Poller();
  readonly bus: RpmsgBus;
  readonly bufferBytes: number;
  readonly sendQueueLimit: number;
  readonly stride: number;
  readonly open: Open[] = [];
  readonly lost: string[] = [];
  rejected = 0;
  opening = 0;
  heard = 0;
  accepted = 0;
  /** Used entries of the receive ring, as long as the firmware keeps to whole entries. */
  entries = 0;
  isCounted = true;
  #last: Readonly<Record<string, number>> = {};

  constructor(source: ByteSource, clock: SimulatedClock) {
    this.source = source;
    this.clock = clock;
    const queueSizes = [source.pick([1, 2, 8, 16]), source.pick([1, 2, 8])];
    this.bufferBytes = source.pick([512, 64, 56, 57, 130]);
    this.sendQueueLimit = source.pick([4, 0, 1]);
    this.stride = bufferStride(this.bufferBytes);
    this.vdev = new WatchedVdev({
      id: VIRTIO_ID_RPMSG,
      features: source.pick([0x1, 0x2000_0001, 0x1, 0]),
      queueSizes,
      bufferBytes: (queueSizes[0]! + queueSizes[1]!) * this.stride,
    });
    this.bus = RpmsgBus.open(this.vdev, {
      name: 'm4',
      poller: this.poller,
      bufferBytes: this.bufferBytes,
      sendTimeoutMs: SEND_TIMEOUT_MS,
      sendQueueLimit: this.sendQueueLimit,
    });
    this.bus.onLost((reason) => this.lost.push(reason));
  }

  /** A message in a receive buffer: the driver posts a buffer again under the head that it had. */
  message(destination: number, payload: Uint8Array, length = payload.length): void {
    const { source, vdev } = this;
    const head = source.below(vdev.rings[RECEIVE]!.size);
    const at = vdev.buffersOffset + head * this.stride;
    const header = new Uint8Array(HEADER_SIZE);
    encodeHeader({ source: 30, destination, length, flags: 0 }, header);
    const bytes = payload.subarray(0, this.bufferBytes - HEADER_SIZE);
    vdev.shared.raw.set(header, at);
    vdev.shared.raw.set(bytes, at + HEADER_SIZE);
    this.#used(RECEIVE, head, HEADER_SIZE + bytes.length);
  }

  #used(queue: number, head: number, sizeBytes: number): void {
    this.vdev.use(queue, head, sizeBytes);
    if (queue === RECEIVE) this.entries++;
  }

  announce(destroyed: boolean): void {
    const { source } = this;
    const which = source.u8();
    const name = which < 200 ? NAMES[which % NAMES.length]! : `channel-${source.u16()}`;
    this.message(
      NAME_SERVICE_ADDRESS,
      encodeAnnouncement({ name, address: 30 + source.below(4), destroyed }),
    );
  }

  step(): void {
    const { source, vdev, clock } = this;
    switch (source.below(20)) {
      case 0:
      case 1:
        return this.message(1024 + source.below(4), source.bytes(source.below(40)));
      case 2:
        return this.announce(false);
      case 3:
        return this.announce(true);
      case 4:
        // Of any bytes, about as long as one.
        return this.message(NAME_SERVICE_ADDRESS, source.bytes(ANNOUNCEMENT_SIZE - 2 + source.below(4)));
      case 5:
        for (let i = source.below(100); i > 0; i--) {
          this.announce(false);
          if (i % 8 === 0) vdev.ring();
        }
        return;
      case 6:
        return this.message(source.u32(), source.bytes(4), source.u16());
      case 7:
        return this.#used(source.below(2), source.u32(), source.u32());
      case 8:
        return this.#used(source.below(2), source.below(20), source.below(600));
      case 9:
        // Believable, mostly: more than a ring at once is the end.
        this.isCounted = false;
        return vdev.setUsedIndex(source.below(2), vdev.usedIndex(source.below(2)) + source.below(32));
      case 10:
        this.isCounted = false;
        return vdev.scribble(source, source.below(20));
      case 11:
        return this.#openOne();
      case 12:
      case 13:
        return this.#send();
      case 14:
        return this.#closeOne();
      case 15:
        for (let chain = vdev.take(TRANSMIT), left = 20; chain !== null && left > 0; left--) {
          if (source.below(4) > 0) this.#used(TRANSMIT, chain.head, 0);
          chain = vdev.take(TRANSMIT);
        }
        return;
      case 16:
        return clock.advance(source.below(80));
      case 17:
        this.isCounted = false;
        return vdev.change(source, 200);
      default:
        return vdev.ring();
    }
  }

  #openOne(): void {
    const { source } = this;
    this.opening++;
    const wanted = source.below(4) === 0 ? /^r/ : source.pick(NAMES);
    const isWorking = this.lost.length === 0;
    this.bus.open(wanted, source.below(100)).then(
      (endpoint) => {
        this.opening--;
        invariant(isWorking, 'an endpoint was opened on a bus that was lost');
        const one: Open = { endpoint, gone: 0 };
        this.open.push(one);
        endpoint.onMessage((payload) => this.#take(one, payload));
        endpoint.onGone(() => one.gone++);
      },
      () => {
        this.opening--;
        this.rejected++;
      },
    );
  }

  #take(open: Open, payload: Uint8Array): void {
    this.heard++;
    invariant(open.gone === 0, 'a message after the end of its channel');
    invariant(
      payload.length <= this.bufferBytes - HEADER_SIZE,
      () => `${payload.length} bytes in a buffer of ${this.bufferBytes}`,
    );
    invariant(payload.buffer !== this.vdev.shared.raw.buffer, 'a message that is shared memory');
    if (this.heard % 3 === 0 && open.endpoint.send(payload)) this.accepted++;
  }

  #send(): void {
    const { source } = this;
    if (this.open.length === 0) return;
    const { endpoint, gone } = source.pick(this.open);
    const isAccepted = endpoint.send(source.bytes(source.below(40)));
    if (isAccepted) this.accepted++;
    invariant(!(isAccepted && (gone > 0 || !endpoint.alive)), 'sent on a channel that is gone');
  }

  #closeOne(): void {
    if (this.open.length === 0) return;
    const at = this.source.below(this.open.length);
    this.open[at]!.endpoint.close();
    this.open.splice(at, 1);
  }

  check(): void {
    const { bus, lost, open } = this;
    const { counters } = bus;
    for (const [name, count] of Object.entries(counters))
      invariant(count >= (this.#last[name] ?? 0), () => `the counter ${name} went back to ${count}`);
    this.#last = counters;
    invariant(lost.length <= 1, 'the bus was lost twice');
    invariant(bus.channels.length <= MAX_CHANNELS, () => `${bus.channels.length} channels are kept`);
    for (const { gone } of open) invariant(gone <= 1, 'an endpoint ended twice');
    const sent = counters.sent! + counters.sendTimeouts! + counters.sendsDropped!;
    const waiting = this.accepted - sent;
    invariant(
      waiting >= 0 && waiting <= this.sendQueueLimit,
      () => `${waiting} messages wait; accepted ${this.accepted}, sent or given up ${sent}`,
    );
    for (const queue of this.vdev.queues)
      invariant(queue.outstanding <= queue.size && queue.free >= 0, 'more chains than descriptors');
  }

  /** All that was put into the ring is accounted for, by what it was. */
  account(): void {
    const { counters } = this.bus;
    const [receive] = this.vdev.queues;
    if (this.lost.length > 0 || !this.isCounted || receive === undefined) return;
    const taken = counters.received! + counters.shortMessages! + counters.oversizedMessages!;
    invariant(
      taken + receive.badUsed === this.entries,
      () =>
        `${this.entries} used entries, of which ${taken} were taken and ${receive.badUsed} counted as bad`,
    );
    invariant(receive.outstanding === receive.size, 'a receive buffer was not given back');
    const known =
      counters.badAnnouncementSize! + counters.badAnnouncementName! + counters.badAnnouncementAddress!;
    invariant(
      counters.received! >= this.heard + counters.unknownDestination! + counters.noEndpoint! + known,
      'a message was taken twice',
    );
  }
}

async function attack(source: ByteSource, clock: SimulatedClock): Promise<string> {
  const one = withWatchedAtomics(() => new Attack(source, clock));
  const { vdev, bus } = one;
  vdev.shared.allow(3_000_000);
  for (let i = 0; i < MAX_STEPS && source.remaining > 0; i++) {
    withWatchedAtomics(() => one.step());
    await settled();
    one.check();
  }
  vdev.rest();
  withWatchedAtomics(() => {
    vdev.ring();
    clock.advance(2 * SEND_TIMEOUT_MS);
    vdev.ring();
  });
  await settled();
  one.check();
  one.account();
  if (one.lost.length === 0) await serves(one);
  for (const { endpoint } of one.open) endpoint.close();
  const outcome = signature(one);
  bus.close();
  bus.close();
  one.poller.close();
  await settled();
  invariant(one.opening === 0, 'somebody waits for a channel of a bus that is closed');
  invariant(vdev.closes === 1, () => `the vdev was closed ${vdev.closes} times`);
  clock.advance(1000);
  invariant(clock.pending === 0, 'a timer is left');
  return outcome;
}

/** After all that, a proper message is still delivered. */
async function serves(one: Attack): Promise<void> {
  const { vdev, bus } = one;
  if ((vdev.features & 1) === 0) return;
  for (const { endpoint } of one.open.splice(0)) endpoint.close();
  if (bus.channels.length >= MAX_CHANNELS) return;
  const name = 'proper';
  withWatchedAtomics(() => {
    one.message(NAME_SERVICE_ADDRESS, encodeAnnouncement({ name, address: 77, destroyed: false }));
    vdev.ring();
  });
  const endpoint = await bus.open(name, 10);
  const heard: number[][] = [];
  endpoint.onMessage((payload) => heard.push([...payload]));
  withWatchedAtomics(() => {
    one.message(endpoint.localAddress, Uint8Array.of(1, 2, 3));
    vdev.ring();
  });
  invariant(heard.join() === '1,2,3', () => `a proper message came as [${heard.join('; ')}]`);
  endpoint.close();
}

function signature({ bus, lost, heard, rejected }: Attack): string {
  const counted = Object.entries(bus.counters)
    .filter(([, count]) => count > 0)
    .map(([name]) => name)
    .join(' ');
  return `${lost[0]?.replaceAll(/\d+/g, 'N') ?? 'works'} ${heard > 0} ${rejected > 0} ${counted}`;
}

export const rpmsgBus: FuzzTarget = {
  name: 'rpmsg-bus',
  what: 'an rpmsg bus against memory that changes: buffers go back once, what is bad is counted, what is good arrives',
  seeds: () => [
    // A channel, opened, a message each way, destroyed.
    Uint8Array.from([
      1, 1, 0, 0, 0, 2, 0, 0, 0, 18, 11, 1, 0, 9, 0, 0, 3, 1, 2, 3, 18, 12, 0, 4, 9, 9, 9, 9, 15, 1, 3, 0, 0,
      0, 18,
    ]),
    Uint8Array.from([2, 1, 1, 1, 1, 5, 99, 201, 1, 0, 0, 202, 2, 0, 0, 18, 7, 0, 1, 2, 3, 4, 5, 6, 7, 8, 18]),
    Uint8Array.from([
      0, 0, 2, 2, 1, 2, 0, 0, 0, 18, 17, 3, 11, 1, 0, 0, 0, 3, 1, 2, 3, 18, 10, 9, 1, 2, 3, 18, 16, 70,
    ]),
    new Uint8Array(64).fill(18),
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
