import { AddressSpace } from '../../../src/virtqueue/address-space.ts';
import { DriverQueue } from '../../../src/virtqueue/driver-queue.ts';
import { vringLayout } from '../../../src/wire/vring.ts';
import { ByteSource } from '../byte-source.ts';
import { ChangingRule, rewrite, WatchedMemory, watchWindow, withWatchedAtomics } from '../changing-memory.ts';
import { type FuzzTarget, invariant } from '../target.ts';

const SIZES = [1, 2, 4, 8, 16, 64] as const;
const LENGTHS = [0, 1, 2, 8, 0xff, 0xffff_ffff] as const;
const BASE = 0x2000_0000;
const FENCE = 0x200;
const BUFFERS = 0x1000;
const MAX_STEPS = 120;

interface Offered {
  readonly descriptors: number;
  readonly writableBytes: number;
}

/** A driver queue, what it has offered, and a device that writes into the ring whatever its input says. */
class Play {
  readonly #source: ByteSource;
  readonly #size: number;
  readonly #usedOffset: number;
  readonly #memory: WatchedMemory;
  readonly #queue: DriverQueue;
  readonly #outstanding = new Map<number, Offered>();
  /** The device's used index. */
  #used = 0;
  #popped = 0;

  constructor(source: ByteSource) {
    this.#source = source;
    this.#size = source.pick(SIZES);
    const layout = vringLayout(this.#size, 16);
    this.#usedOffset = FENCE + layout.usedOffset;
    // Nothing but the rings is the queue's to touch: not even the buffers.
    const end = FENCE + layout.sizeBytes;
    this.#memory = new WatchedMemory(new ArrayBuffer(FENCE * 2 + layout.sizeBytes + 16), {
      begin: FENCE,
      end,
    });
    for (let at = 0; at < this.#memory.raw.length; at++) this.#memory.raw[at] = source.u8();
    const space = new AddressSpace();
    watchWindow(space.add(BASE, this.#memory.raw.buffer, FENCE, layout.sizeBytes), this.#memory);
    this.#queue = new DriverQueue({
      memory: space,
      size: this.#size,
      descriptorAddress: BASE,
      availableAddress: BASE + layout.availableOffset,
      usedAddress: BASE + layout.usedOffset,
      eventIdx: source.bool(),
    });
  }

  #add(): void {
    const readBytes = this.#source.below(3) * 8;
    const writeBytes = this.#source.below(3) * 4;
    const descriptors = (readBytes > 0 ? 1 : 0) + (writeBytes > 0 ? 1 : 0);
    const hadRoom = descriptors > 0 && descriptors <= this.#queue.free;
    const head = this.#queue.add(BASE + BUFFERS, readBytes, BASE + BUFFERS + 0x100, writeBytes);
    invariant(head >= 0 === hadRoom, `add gave ${head} with ${this.#queue.free} free`);
    if (head < 0) return;
    invariant(head < this.#size && !this.#outstanding.has(head), `head ${head} was given twice`);
    this.#outstanding.set(head, { descriptors, writableBytes: writeBytes });
  }

  #pop(): number {
    const wasBroken = this.#queue.broken !== null;
    this.#memory.allow(3 * this.#size + 10);
    const head = this.#queue.popUsed();
    if (head < 0) return head;
    invariant(!wasBroken, 'a broken ring that goes on');
    const offered = this.#outstanding.get(head);
    invariant(offered !== undefined, `head ${head} was returned, which is not outstanding`);
    const { usedBytes } = this.#queue;
    invariant(
      usedBytes >= 0 && usedBytes <= offered.writableBytes,
      `${usedBytes} of ${offered.writableBytes}`,
    );
    this.#outstanding.delete(head);
    this.#popped++;
    return head;
  }

  #giveBack(id: number, length: number): void {
    const at = this.#usedOffset + 4 + (this.#used % this.#size) * 8;
    this.#memory.view.setUint32(at, id, true);
    this.#memory.view.setUint32(at + 4, length, true);
    this.#setUsed(this.#used + 1);
  }

  #setUsed(index: number): void {
    this.#used = index & 0xffff;
    this.#memory.view.setUint16(this.#usedOffset + 2, this.#used, true);
  }

  #mischief(): void {
    const source = this.#source;
    const outstanding = [...this.#outstanding.keys()];
    switch (source.below(5)) {
      case 0:
      case 1:
        if (outstanding.length > 0) this.#giveBack(source.pick(outstanding), source.pick(LENGTHS));
        return;
      case 2:
        return this.#giveBack(
          source.oneIn(4) ? source.u32() : source.below(this.#size + 1),
          source.pick(LENGTHS),
        );
      case 3:
        return this.#setUsed(this.#used + (source.oneIn(4) ? source.u16() : source.below(this.#size + 2)));
      default:
        return rewrite(
          this.#memory.raw,
          source,
          FENCE + source.below(this.#memory.raw.length - FENCE * 2),
          1 << source.below(3),
        );
    }
  }

  #step(): void {
    const source = this.#source;
    this.#memory.allow(20);
    switch (source.below(10)) {
      case 0:
      case 1:
        return this.#add();
      case 2:
        this.#queue.publish();
        return;
      case 3:
      case 4:
        this.#pop();
        return;
      case 5:
        this.#queue.hasUsed();
        this.#queue.disableCalls();
        this.#queue.enableCalls();
        return;
      case 6:
        this.#memory.rule = source.bool() ? new ChangingRule(this.#memory.raw, source, 2000) : {};
        return;
      default:
        return this.#mischief();
    }
  }

  #check(): void {
    const { free, outstanding } = this.#queue;
    let used = 0;
    for (const { descriptors } of this.#outstanding.values()) used += descriptors;
    invariant(free + used === this.#size, `${free} free and ${used} used of ${this.#size}`);
    invariant(outstanding === this.#outstanding.size, `${outstanding} outstanding`);
  }

  /** The device pulls itself together: whatever is outstanding comes back. */
  #recovers(): void {
    this.#memory.rule = {};
    this.#setUsed(this.#memory.view.getUint16(this.#usedOffset + 2, true));
    for (let left = 3; left > 0 && this.#queue.hasUsed(); left--)
      for (let pops = this.#size + 1; pops > 0 && this.#pop() >= 0; pops--);
    if (this.#queue.broken !== null) return;
    invariant(!this.#queue.hasUsed(), 'entries that are never taken');
    for (const [head, { writableBytes }] of [...this.#outstanding]) {
      this.#giveBack(head, writableBytes);
      invariant(this.#pop() === head, `head ${head} is not taken back`);
      invariant(this.#queue.usedBytes === writableBytes, 'another length than was written');
    }
    invariant(this.#queue.free === this.#size, 'descriptors were lost');
    this.#check();
  }

  run(): string {
    for (let steps = 0; steps < MAX_STEPS && this.#source.remaining > 0; steps++) {
      this.#step();
      this.#check();
    }
    const popped = Math.min(this.#popped, 6);
    this.#recovers();
    const { badUsed, broken } = this.#queue;
    return `${this.#size} ${Math.min(badUsed, 4)} ${broken === null} ${popped}`;
  }
}

export const driverQueue: FuzzTarget = {
  name: 'driver-queue',
  what: 'DriverQueue against any device side, also while it changes: inside, nothing twice or invented, nothing lost',
  seeds: () =>
    SIZES.map((size, index) => {
      const dirt = FENCE * 2 + vringLayout(size, 16).sizeBytes + 16;
      const steps = [
        0, 1, 1, 0, 2, 2, 2, 7, 0, 0, 1, 3, 8, 2, 0, 1, 4, 6, 1, 3, 9, 4, 1, 4, 2, 7, 3, 1, 3, 5, 3,
      ];
      return Uint8Array.from([index, ...new Uint8Array(dirt), 1, ...steps, ...steps]);
    }),
  run: (input) => withWatchedAtomics(() => new Play(new ByteSource(input)).run()),
};
