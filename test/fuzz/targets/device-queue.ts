import { CHAIN_FAULTS, type DescriptorChain, FAULT_NONE } from '../../../src/virtqueue/descriptor-chain.ts';
import type { DeviceQueue } from '../../../src/virtqueue/device-queue.ts';
import { ByteSource } from '../byte-source.ts';
import { withWatchedAtomics } from '../changing-memory.ts';
import { GUEST_BASE, HostileGuest, readsOfOneChain } from '../hostile-guest.ts';
import { type FuzzTarget, invariant } from '../target.ts';

const SIZES = [1, 2, 4, 8, 16, 64] as const;
const MAX_STEPS = 80;

/** A queue, what its user holds of it, and what must hold between the two. */
class Play {
  readonly #source: ByteSource;
  readonly #guest: HostileGuest;
  readonly #queue: DeviceQueue;
  readonly #held: DescriptorChain[] = [];
  readonly #start: number;
  #pops = 0;
  /** Chains of a former process, which are in no ring. */
  #resumed = 0;
  #faulty = 0;
  #isChanging = false;
  /** Since the index was published last. */
  #pushed = 0;

  constructor(source: ByteSource) {
    this.#source = source;
    this.#guest = new HostileGuest(source, source.pick(SIZES));
    this.#queue = this.#guest.queue();
    this.#start = this.#queue.nextAvailable;
    // Heads that a former process had taken, as they lie in memory that is the guest's, too.
    const heads = Array.from({ length: source.below(4) }, () => source.below(this.#guest.size + 1));
    this.#queue.resume(heads, this.#start);
  }

  #pop(): DescriptorChain | null {
    const { size } = this.#guest;
    this.#guest.allow(3 * size + readsOfOneChain(size));
    const before = this.#queue.nextAvailable;
    const chain = this.#queue.pop();
    if (chain === null) return null;
    if (this.#queue.nextAvailable === before) this.#resumed++;
    invariant(chain.head < size && chain.inFlight, `head ${chain.head} of ${size}`);
    invariant(!this.#held.includes(chain), `chain ${chain.head} was handed out twice`);
    this.#held.push(chain);
    this.#pops++;
    if (chain.fault !== FAULT_NONE) this.#faulty++;
    const { readableBytes, writableBytes } = chain;
    invariant(readableBytes + writableBytes <= 0xffff_ffff, 'a chain of more than 2^32 bytes');
    return chain;
  }

  /** Bad chains as well: devices write a status where there is room. */
  #use(chain: DescriptorChain): void {
    const source = this.#source;
    this.#guest.allow(10_000);
    const { readableBytes, writableBytes } = chain;
    if (readableBytes > 0) {
      chain.readU8(source.u32() % readableBytes);
      if (readableBytes >= 2) chain.readU16(source.u32() % (readableBytes - 1));
      if (readableBytes >= 4) chain.readU32(source.u32() % (readableBytes - 3));
    }
    // What is not there is read as nothing, and not written.
    chain.readU8(readableBytes + source.below(8));
    chain.readU32(readableBytes + source.below(8));
    chain.writeU8(source.bool() ? writableBytes + source.below(8) : source.below(8), 0xa5);
    const bytes = source.bytes(source.below(40));
    const position = source.below(16);
    const written = chain.write(position, bytes);
    invariant(written <= bytes.length, `wrote ${written} of ${bytes.length} bytes`);
    if (chain.fault === FAULT_NONE) {
      const room = Math.max(0, Math.min(bytes.length, writableBytes - position));
      invariant(written === room, `wrote ${written} bytes where ${room} had room`);
    }
  }

  #push(): void {
    if (this.#held.length === 0) return;
    const [chain] = this.#held.splice(this.#source.below(this.#held.length), 1) as [DescriptorChain];
    const usedBytes = this.#source.u16();
    const at = this.#queue.nextUsed;
    this.#queue.push(chain, usedBytes);
    this.#pushed++;
    const entry = this.#guest.usedEntry(at);
    invariant(
      entry.head === chain.head && entry.usedBytes === usedBytes,
      'the used ring shows another chain',
    );
  }

  #publish(): void {
    this.#guest.allow(10);
    this.#queue.publish();
    // Where nothing was pushed nothing is stored, whatever the guest has put there.
    if (!this.#isChanging && this.#pushed > 0)
      invariant(this.#guest.usedIndex === this.#queue.nextUsed, 'the used index is not what was pushed');
    this.#pushed = 0;
  }

  #step(): void {
    const source = this.#source;
    this.#guest.allow(10);
    switch (source.below(10)) {
      case 0:
      case 1:
        this.#pop();
        return;
      case 2: {
        const chain = this.#held[this.#held.length - 1];
        if (chain !== undefined) this.#use(chain);
        return;
      }
      case 3:
        return this.#push();
      case 4:
        return this.#publish();
      case 5:
        this.#queue.hasWork();
        this.#queue.enableKicks();
        return;
      case 6:
        this.#queue.disableKicks();
        this.#isChanging = source.bool();
        return this.#guest.change(this.#isChanging);
      default:
        return this.#guest.mischief();
    }
  }

  #checkCounts(): void {
    const queue = this.#queue;
    const consumed = (queue.nextAvailable - this.#start) & 0xffff;
    const accounted = (this.#pops - this.#resumed + queue.badHeads) & 0xffff;
    invariant(consumed === accounted, `${consumed} entries taken, ${accounted} accounted for`);
    invariant(queue.inFlight === this.#held.length, `${queue.inFlight} in flight, ${this.#held.length} held`);
    const faults = queue.faults.reduce((sum, count) => sum + count, 0);
    invariant(faults === this.#faulty, `${this.#faulty} bad chains, ${faults} counted`);
    invariant(queue.faults[FAULT_NONE] === 0, 'a fault without a reason');
  }

  /** The guest pulls itself together. */
  #recovers(): void {
    const queue = this.#queue;
    this.#guest.change(false);
    this.#isChanging = false;
    while (this.#pop() !== null) if (this.#held.length === this.#guest.size) this.#push();
    while (this.#held.length > 0) this.#push();
    this.#publish();
    if (queue.broken !== null) {
      invariant(this.#pop() === null && !queue.hasWork() === false, 'a broken ring that goes on');
      return;
    }
    this.#guest.offered = queue.nextAvailable;
    const request = Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8]);
    const head = this.#source.below(this.#guest.size);
    if (this.#guest.size === 1 && !this.#guest.indirect) {
      this.#guest.descriptor(0, BigInt(GUEST_BASE), 8, 0, 0);
      this.#guest.offer(0);
    } else this.#guest.offerWell(head, request, 2);
    this.#guest.allow(1000);
    invariant(queue.hasWork(), 'a well-formed chain is not seen');
    const chain = this.#pop();
    invariant(chain?.fault === FAULT_NONE, () => `a well-formed chain is bad: ${chain?.fault}`);
    invariant(chain.readableBytes === 8, `${chain.readableBytes} readable bytes of 8`);
    if (chain.writableBytes === 2) {
      invariant(chain.readU32(0) === 0x04030201 && chain.readU16(6) === 0x0807, 'other bytes than written');
      chain.writeU8(1, 0x77);
      invariant(this.#guest.bufferBytes(0x41, 1)[0] === 0x77, 'written to another place');
    }
    this.#push();
    this.#publish();
  }

  run(): string {
    const source = this.#source;
    for (let steps = 0; steps < MAX_STEPS && source.remaining > 0; steps++) this.#step();
    this.#checkCounts();
    this.#recovers();
    this.#checkCounts();
    const { faults, badHeads, broken } = this.#queue;
    const seen = CHAIN_FAULTS.filter((_, fault) => (faults[fault] as number) > 0).join(',');
    const { size, eventIdx } = this.#guest;
    return `${size} ${eventIdx} ${seen} ${Math.min(badHeads, 3)} ${broken === null} ${Math.min(this.#pops, 6)}`;
  }
}

export const deviceQueue: FuzzTarget = {
  name: 'device-queue',
  what: 'DeviceQueue against any guest memory, also while it changes: bounded, inside, every chain once, all counted',
  seeds: () =>
    SIZES.flatMap((_, size) =>
      [0, 1, 2].map((variant) =>
        Uint8Array.from([
          ...[size, variant, 1, 0, 0, variant, 0, 1],
          // A descriptor, an offer, pops and pushes, changes, more mischief.
          ...[7, 0, 0, 3, 0, 8, 0, 0, 0, 7, 2, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 3, 0, 0, 0, 4, 5],
          ...[6, variant, 3, 7, 1, 2, 3, 0, 1, 16, 2, 1, 7, 3, 0, 0, 1, 2, 7, 4, 1, 2, 0, 0, 3, 3, 4, 4],
        ]),
      ),
    ),
  run: (input) => withWatchedAtomics(() => new Play(new ByteSource(input)).run()),
  maxInputBytes: 1024,
};
