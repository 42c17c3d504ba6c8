/** A vhost-user server of this process with a bystander that must not notice anything, and what of both can leak. */
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { VirtioGpioDevice } from '../../src/exporters/virtio-gpio/device.ts';
import { VhostUserServer } from '../../src/exporters/virtio-gpio/server.ts';
import { ChipLines } from '../../src/gpio/chip-lines.ts';
import { selectLines } from '../../src/gpio/line-selection.ts';
import {
  createEventfd,
  createMemfd,
  createPipe,
  createSocketPair,
  drainDescriptor,
  duplicateDescriptor,
  mapDescriptor,
  receivedDescriptorCount,
  receiveMessage,
  sendMessage,
  signalDescriptor,
} from '../../src/native.ts';
import { SimulatedChip } from '../../src/testing/simulated-chip.ts';
import { Poller } from '../../src/virtqueue/poller.ts';
import { encodeMessage, HEADER_FLAG, HEADER_SIZE, REQUEST, VERSION } from '../../src/wire/vhost-user.ts';
import type { ByteSource } from './byte-source.ts';
import { invariant } from './target.ts';

/** The memory that a guest shares; known by its name in /proc/self/maps. */
export const GUEST_BYTES = 0x8000;
const GUEST_NAME = 'fuzzed-guest';
/** Turns of the event loop in which whatever was sent is read: 16 pieces a turn, and more messages than that are not sent. */
const TURNS = 40;
const NOTHING = new Uint8Array(0);

/** One turn of the event loop, its polls included. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** One front-end's socket. */
export class Peer {
  readonly fd: number;
  isOver = false;
  /** What the back-end has answered so far. */
  answers = NOTHING;
  #isOpen = true;

  constructor(fd: number) {
    this.fd = fd;
  }

  /** Gives up when the back-end has closed, or does not take any more. */
  send(bytes: Uint8Array, fds: readonly number[] = []): void {
    if (bytes.length > 0 && sendMessage(this.fd, bytes, fds) < 0) this.isOver = true;
  }

  /** Takes what there is. */
  read(): void {
    const into = new Uint8Array(8192);
    const slots = new Int32Array(16);
    for (;;) {
      const count = receiveMessage(this.fd, into, slots);
      if (count === -11) return;
      if (count <= 0) {
        this.isOver = true;
        return;
      }
      for (let i = 0; i < receivedDescriptorCount(); i++) closeSync(slots[i] as number);
      this.answers = Uint8Array.of(...this.answers, ...into.subarray(0, count));
    }
  }

  close(): void {
    if (this.#isOpen) closeSync(this.fd);
    this.#isOpen = false;
  }
}

class Served {
  readonly server: VhostUserServer;

  constructor(name: string, poller: Poller, chip: ChipLines) {
    const device = new VirtioGpioDevice({
      ...{ name, poller, pollUs: 0 },
      lines: selectLines([chip], ['*']),
      onLog: () => {},
    });
    this.server = new VhostUserServer({ device, onLog: () => {} });
  }

  connect(): Peer {
    const [ours, theirs] = createSocketPair();
    this.server.serveDescriptor(ours);
    return new Peer(theirs);
  }
}

/** All that lives as long as the process. */
export class VhostUserBench {
  readonly #poller = new Poller();
  readonly #chip = new SimulatedChip('sim', 8);
  readonly #fuzzed: Served;
  readonly #bystanders: Served;
  readonly #bystander: Peer;
  readonly memoryFd: number;
  /** The guest's memory, as the guest sees it. */
  readonly memory: Uint8Array;
  /** Rings any vring's kick that was set up as it should be. */
  readonly #kickFd = createEventfd();
  #descriptors = 0;

  constructor() {
    const lines = new ChipLines(this.#chip);
    this.#fuzzed = new Served('vm1', this.#poller, lines);
    this.#bystanders = new Served('vm2', this.#poller, lines);
    this.#bystander = this.#bystanders.connect();
    this.memoryFd = createMemfd(GUEST_NAME, GUEST_BYTES);
    this.memory = new Uint8Array(mapDescriptor(this.memoryFd, 0, GUEST_BYTES));
  }

  /** Before an execution. */
  async begin(): Promise<Peer> {
    this.memory.fill(0);
    drainDescriptor(this.#kickFd);
    await this.#bystanderLives();
    this.#descriptors = openDescriptors();
    return this.#fuzzed.connect();
  }

  get connected(): boolean {
    return this.#fuzzed.server.connected;
  }

  /** That the device has taken, of all front-ends so far. */
  get requests(): number {
    return this.#fuzzed.server.device.counters.requests;
  }

  /** What an execution's front-end got out of the device. */
  served(requestsBefore: number): string {
    const requests = this.requests - requestsBefore;
    return `${Math.min(requests, 4)} ${this.#fuzzed.server.device.needsReset}`;
  }

  /** Descriptors of whatever kinds; the caller closes them when they were sent. */
  descriptors(source: ByteSource, count: number): number[] {
    return Array.from({ length: count }, () => {
      switch (source.below(7)) {
        case 0:
          return createMemfd(GUEST_NAME, source.below(5) * 0x1000 + source.below(3));
        case 1: {
          // There is nobody at the other end.
          const [readFd, writeFd] = createPipe();
          const [kept, gone] = source.bool() ? [readFd, writeFd] : [writeFd, readFd];
          closeSync(gone);
          return kept;
        }
        case 2:
          return openSync('/dev/null', 'r+');
        case 3:
        case 4:
          return createEventfd();
        default:
          return openSync(`/proc/self/fd/${this.memoryFd}`, 'r+');
      }
    });
  }

  /** What a well-behaved front-end sends; the caller closes them when they were sent. */
  wellDescriptors(kind: 'memory' | 'kick', count: number): number[] {
    return Array.from({ length: count }, () =>
      kind === 'kick' ? duplicateDescriptor(this.#kickFd) : openSync(`/proc/self/fd/${this.memoryFd}`, 'r+'),
    );
  }

  kick(): void {
    signalDescriptor(this.#kickFd);
  }

  async #bystanderLives(): Promise<void> {
    this.#bystander.answers = NOTHING;
    this.#bystander.send(encodeMessage(REQUEST.GET_FEATURES, 0, NOTHING));
    for (let left = TURNS; left > 0 && this.#bystander.answers.length < HEADER_SIZE + 8; left--) {
      await turn();
      this.#bystander.read();
    }
    invariant(
      !this.#bystander.isOver && this.#bystander.answers.length === HEADER_SIZE + 8,
      'another guest is not answered any more',
    );
  }

  /** A peer whose messages were whole is answered, unless its connection was closed. */
  async isAnswered(peer: Peer): Promise<boolean> {
    peer.read();
    const before = peer.answers.length;
    peer.send(encodeMessage(REQUEST.GET_FEATURES, 0, NOTHING));
    for (let left = TURNS; left > 0 && !peer.isOver; left--) {
      await turn();
      peer.read();
      const { answers } = peer;
      const last = answers.subarray(answers.length - HEADER_SIZE - 8);
      const isFeatures = last[0] === REQUEST.GET_FEATURES && last[4] === (VERSION | HEADER_FLAG.REPLY);
      if (answers.length >= before + HEADER_SIZE + 8 && isFeatures) return true;
    }
    return peer.isOver;
  }

  /** The peer goes: nothing of it is left. */
  async end(peer: Peer): Promise<void> {
    peer.close();
    for (let left = TURNS * 4; left > 0 && (this.connected || openDescriptors() > this.#descriptors); left--)
      await turn();
    invariant(!this.connected, 'the connection is still there');
    const descriptors = openDescriptors();
    invariant(
      descriptors === this.#descriptors,
      () => `${descriptors} descriptors are open, ${this.#descriptors} were before: ${listDescriptors()}`,
    );
    const mapped = readFileSync('/proc/self/maps', 'utf8').split(`memfd:${GUEST_NAME}`).length - 1;
    invariant(mapped === 1, `the guest's memory is still mapped ${mapped - 1} times`);
  }

  close(): void {
    this.#bystander.close();
    this.#fuzzed.server.close();
    this.#bystanders.server.close();
    this.#poller.close();
    closeSync(this.memoryFd);
    closeSync(this.#kickFd);
  }
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

function listDescriptors(): string {
  return readdirSync('/proc/self/fd').join(' ');
}
