import { closeSync } from 'node:fs';
import { onDeadMapping } from '../../native.ts';
import * as wire from '../../wire/vhost-user.ts';
import { FEATURE_EVENT_IDX, FEATURE_INDIRECT_DESC } from '../../wire/vring.ts';
import type { SocketCounters } from './counters.ts';
import type { ExportedDevice, Log } from './exported-device.ts';
import { GuestMemory, GuestMemoryError, MAX_MEMORY_SLOTS } from './guest-memory.ts';
import { createInflightMemory, InflightError, InflightMemory } from './inflight-memory.ts';
import type { ChannelEnd, MessageChannel, ReceivedDescriptors } from './message-channel.ts';
import { Vring, VringError } from './vring.ts';

const { REQUEST, PROTOCOL_FEATURE, PAYLOAD_SIZE, HEADER_FLAG } = wire;

/** virtio device status: the device wants to be reset (virtio 1.2, section 2.1). */
const STATUS_NEEDS_RESET = 0x40;

const OFFERED_PROTOCOL_FEATURES =
  PROTOCOL_FEATURE.MQ |
  PROTOCOL_FEATURE.REPLY_ACK |
  PROTOCOL_FEATURE.BACKEND_REQ |
  PROTOCOL_FEATURE.CONFIG |
  PROTOCOL_FEATURE.INFLIGHT_SHMFD |
  PROTOCOL_FEATURE.RESET_DEVICE |
  PROTOCOL_FEATURE.CONFIGURE_MEM_SLOTS |
  PROTOCOL_FEATURE.STATUS;

/** The front-end broke the protocol: the connection ends. */
class ProtocolError extends Error {}

/** A number of the front-end's that cannot be used; answered as a failure where an answer is wanted. */
class RequestError extends Error {}

/** Payload sizes of the requests that are understood; null = varies, its decoder checks. */
const SIZES: Readonly<Record<number, number | null>> = {
  [REQUEST.GET_FEATURES]: 0,
  [REQUEST.SET_FEATURES]: PAYLOAD_SIZE.U64,
  [REQUEST.SET_OWNER]: 0,
  [REQUEST.RESET_OWNER]: 0,
  [REQUEST.SET_MEM_TABLE]: null,
  [REQUEST.SET_VRING_NUM]: PAYLOAD_SIZE.VRING_STATE,
  [REQUEST.SET_VRING_ADDR]: PAYLOAD_SIZE.VRING_ADDRESS,
  [REQUEST.SET_VRING_BASE]: PAYLOAD_SIZE.VRING_STATE,
  [REQUEST.GET_VRING_BASE]: PAYLOAD_SIZE.VRING_STATE,
  [REQUEST.SET_VRING_KICK]: PAYLOAD_SIZE.U64,
  [REQUEST.SET_VRING_CALL]: PAYLOAD_SIZE.U64,
  [REQUEST.SET_VRING_ERR]: PAYLOAD_SIZE.U64,
  [REQUEST.GET_PROTOCOL_FEATURES]: 0,
  [REQUEST.SET_PROTOCOL_FEATURES]: PAYLOAD_SIZE.U64,
  [REQUEST.GET_QUEUE_NUM]: 0,
  [REQUEST.SET_VRING_ENABLE]: PAYLOAD_SIZE.VRING_STATE,
  [REQUEST.SET_BACKEND_REQ_FD]: 0,
  [REQUEST.GET_CONFIG]: null,
  [REQUEST.SET_CONFIG]: null,
  // With or without the padding at the end of the C struct.
  [REQUEST.GET_INFLIGHT_FD]: null,
  [REQUEST.SET_INFLIGHT_FD]: null,
  [REQUEST.RESET_DEVICE]: 0,
  [REQUEST.GET_MAX_MEM_SLOTS]: 0,
  [REQUEST.ADD_MEM_REG]: PAYLOAD_SIZE.SINGLE_MEMORY_REGION,
  [REQUEST.REM_MEM_REG]: PAYLOAD_SIZE.SINGLE_MEMORY_REGION,
  [REQUEST.SET_STATUS]: PAYLOAD_SIZE.U64,
  [REQUEST.GET_STATUS]: 0,
};

/** Requests that have an answer of their own, so that REPLY_ACK adds none. */
const ANSWERED = new Set<number>([
  REQUEST.GET_FEATURES,
  REQUEST.GET_VRING_BASE,
  REQUEST.GET_PROTOCOL_FEATURES,
  REQUEST.GET_QUEUE_NUM,
  REQUEST.GET_CONFIG,
  REQUEST.GET_INFLIGHT_FD,
  REQUEST.GET_MAX_MEM_SLOTS,
  REQUEST.GET_STATUS,
]);

const NAMES = Object.fromEntries(Object.entries(REQUEST).map(([name, id]) => [id, name]));

export interface ConnectionOptions {
  /** The connection's own from now on. */
  readonly channel: MessageChannel;
  readonly device: ExportedDevice;
  readonly counters: SocketCounters;
  readonly onLog: Log;
  /** The connection is over; everything that belonged to it is closed. */
  readonly onClosed: (end: ChannelEnd) => void;
}

/** One front-end: its messages, its memory, its vrings. With it, the device's rings and interrupts end. */
export class VhostUserConnection {
  readonly #channel: MessageChannel;
  readonly #device: ExportedDevice;
  readonly #offeredFeatures: bigint;
  readonly #memory = new GuestMemory();
  readonly #vrings: readonly Vring[];
  readonly #onLog: Log;
  readonly #onClosed: (end: ChannelEnd) => void;
  #features = 0n;
  #protocolFeatures = 0n;
  #status = 0;
  #backendFd = -1;
  /** Of SET_INFLIGHT_FD; without it, requests go back in the order of the ring. */
  #inflight: InflightMemory | null = null;
  readonly #unwatchMemory: () => void;

  constructor(options: ConnectionOptions) {
    this.#device = options.device;
    this.#offeredFeatures = options.device.features | wire.F_PROTOCOL_FEATURES;
    this.#onLog = options.onLog;
    this.#onClosed = options.onClosed;
    this.#vrings = Array.from(
      { length: this.#device.queueCount },
      (_, index) =>
        new Vring(
          index,
          this.#device,
          this.#memory,
          () => {
            for (const vring of this.#vrings) vring.forgetInflight();
          },
          options.counters,
        ),
    );
    this.#device.onBroken = (index) => this.#vrings[index]?.broken();
    this.#device.hasLostMemory = () => this.#memory.truncated !== null;
    this.#unwatchMemory = onDeadMapping(() => this.#checkMemory());
    this.#channel = options.channel;
    this.#channel.events = {
      message: (header, payload, fds) => this.message(header, payload, fds),
      closed: (reason, end) => this.#ended(reason, end),
    };
  }

  /** virtio features that the guest's driver accepted. */
  get features(): bigint {
    return this.#features;
  }

  /** For the watchdog: what of this guest's rings does not go on; null when all do. See Progress. */
  stuck(): string | null {
    // All of them are looked at: each look is compared with the one before.
    const found = this.#vrings.map((vring) => vring.stuck());
    return found.find((text) => text !== null) ?? null;
  }

  /** Reads what is there at once, for instance to learn that the peer has gone. */
  read(): void {
    this.#checkMemory();
    this.#channel.read();
  }

  /** Memory that the front-end truncated is zero: what the guest means is not known any more. */
  #checkMemory(): void {
    const { truncated } = this.#memory;
    if (truncated !== null)
      this.#channel.close(`the front-end truncated the memory it shares (${truncated})`);
    else if (this.#inflight?.isDead) this.#channel.close('the front-end truncated the inflight memory');
  }

  /** Does what a message says, one that came before this connection was made, too. Throws what ends the connection. */
  message(header: wire.VhostUserHeader, payload: Uint8Array, fds: ReceivedDescriptors): void {
    const { request } = header;
    const name = NAMES[request] ?? String(request);
    const size = SIZES[request];
    if (size === undefined)
      throw new ProtocolError(`request ${name} is not one that this device understands`);
    if (size !== null && payload.length !== size) {
      throw new ProtocolError(`${name} with ${payload.length} bytes of payload; it has ${size}`);
    }
    const wanted = this.#descriptorsOf(request, payload);
    // Front-ends exist that send REM_MEM_REG with a descriptor: it is closed unused (vhost-user.rst, REM_MEM_REG).
    const isTolerated = request === REQUEST.REM_MEM_REG && fds.count === 1;
    if (fds.count !== wanted && !isTolerated)
      throw new ProtocolError(`${name} with ${fds.count} descriptors; it has ${wanted}`);
    const needsReply =
      (header.flags & HEADER_FLAG.NEED_REPLY) !== 0 &&
      (this.#protocolFeatures & PROTOCOL_FEATURE.REPLY_ACK) !== 0n &&
      !ANSWERED.has(request);
    // User-Mode Linux asks for an answer with the very message that negotiates answers.
    try {
      this.#do(request, payload, fds);
    } catch (error) {
      const isRefusal =
        error instanceof RequestError ||
        error instanceof VringError ||
        error instanceof GuestMemoryError ||
        error instanceof InflightError ||
        (error instanceof Error &&
          'code' in error &&
          ['ERR_ADDRESS', 'ERR_QUEUE', 'ERR_NATIVE'].includes(String(error.code))) ||
        (error instanceof Error && error.name === 'NativeError');
      if (!isRefusal || !needsReply) throw error;
      this.#onLog('warn', `${this.#device.name}: ${name} refused: ${(error as Error).message}`);
      this.#reply(request, 1n);
      return;
    }
    if (needsReply || this.#justNegotiatedReply(header)) this.#reply(request, 0n);
  }

  #justNegotiatedReply(header: wire.VhostUserHeader): boolean {
    return (
      header.request === REQUEST.SET_PROTOCOL_FEATURES &&
      (header.flags & HEADER_FLAG.NEED_REPLY) !== 0 &&
      (this.#protocolFeatures & PROTOCOL_FEATURE.REPLY_ACK) !== 0n
    );
  }

  #descriptorsOf(request: number, payload: Uint8Array): number {
    switch (request) {
      case REQUEST.SET_MEM_TABLE:
        return wire.decodeMemoryTable(payload).length;
      case REQUEST.ADD_MEM_REG:
      case REQUEST.SET_BACKEND_REQ_FD:
      case REQUEST.SET_INFLIGHT_FD:
        return 1;
      case REQUEST.SET_VRING_KICK:
      case REQUEST.SET_VRING_CALL:
      case REQUEST.SET_VRING_ERR:
        return wire.decodeVringDescriptor(payload).hasDescriptor ? 1 : 0;
      default:
        return 0;
    }
  }

  #do(request: number, payload: Uint8Array, fds: ReceivedDescriptors): void {
    switch (request) {
      case REQUEST.GET_FEATURES:
        return this.#reply(request, this.#offeredFeatures);
      case REQUEST.SET_FEATURES:
        return this.#setFeatures(wire.decodeU64(payload));
      case REQUEST.GET_PROTOCOL_FEATURES:
        return this.#reply(request, OFFERED_PROTOCOL_FEATURES);
      case REQUEST.SET_PROTOCOL_FEATURES: {
        const features = wire.decodeU64(payload);
        const unknown = features & ~OFFERED_PROTOCOL_FEATURES;
        if (unknown !== 0n)
          throw new RequestError(`protocol features 0x${unknown.toString(16)} were not offered`);
        this.#protocolFeatures = features;
        return;
      }
      case REQUEST.SET_OWNER:
        return;
      case REQUEST.RESET_OWNER:
      case REQUEST.RESET_DEVICE:
        return this.#reset();
      case REQUEST.GET_QUEUE_NUM:
        return this.#reply(request, BigInt(this.#device.queueCount));
      case REQUEST.GET_MAX_MEM_SLOTS:
        return this.#reply(request, BigInt(MAX_MEMORY_SLOTS));
      case REQUEST.SET_MEM_TABLE:
        return this.#changeMemory(() => {
          this.#memory.close();
          for (const region of wire.decodeMemoryTable(payload)) this.#addRegion(region, fds);
        });
      case REQUEST.ADD_MEM_REG:
        return this.#changeMemory(() => this.#addRegion(wire.decodeSingleMemoryRegion(payload), fds));
      case REQUEST.REM_MEM_REG:
        return this.#changeMemory(() => this.#memory.remove(wire.decodeSingleMemoryRegion(payload)));
      case REQUEST.GET_CONFIG:
        return this.#getConfig(payload);
      case REQUEST.SET_CONFIG:
        throw new RequestError('the configuration space has no field that a driver may write');
      case REQUEST.SET_BACKEND_REQ_FD:
        if (this.#backendFd >= 0) closeSync(this.#backendFd);
        this.#backendFd = fds.take();
        return;
      case REQUEST.GET_INFLIGHT_FD:
        return this.#getInflight(payload);
      case REQUEST.SET_INFLIGHT_FD:
        return this.#setInflight(wire.decodeInflight(payload), fds);
      case REQUEST.SET_STATUS: {
        const status = Number(wire.decodeU64(payload) & 0xffn);
        if (status === 0) this.#statusZero();
        this.#status = status;
        return;
      }
      case REQUEST.GET_STATUS:
        return this.#reply(
          request,
          BigInt(this.#status | (this.#device.needsReset ? STATUS_NEEDS_RESET : 0)),
        );
      default:
        return this.#vringRequest(request, payload, fds);
    }
  }

  #vringRequest(request: number, payload: Uint8Array, fds: ReceivedDescriptors): void {
    switch (request) {
      case REQUEST.SET_VRING_NUM: {
        const { index, num } = wire.decodeVringState(payload);
        return this.#vring(index).setSize(num);
      }
      case REQUEST.SET_VRING_BASE: {
        const { index, num } = wire.decodeVringState(payload);
        return this.#vring(index).setBase(num);
      }
      case REQUEST.SET_VRING_ADDR: {
        const { index, descriptor, available, used } = wire.decodeVringAddress(payload);
        return this.#vring(index).setAddresses({ descriptor, available, used });
      }
      case REQUEST.SET_VRING_ENABLE: {
        const { index, num } = wire.decodeVringState(payload);
        if (num > 1) throw new RequestError(`SET_VRING_ENABLE with ${num}; 0 or 1 is needed`);
        return this.#vring(index).setEnabled(num === 1);
      }
      case REQUEST.GET_VRING_BASE: {
        const { index } = wire.decodeVringState(payload);
        const answer = new Uint8Array(PAYLOAD_SIZE.VRING_STATE);
        wire.encodeVringState({ index, num: this.#vring(index).stop() }, answer);
        return this.#channel.send(wire.encodeMessage(request, HEADER_FLAG.REPLY, answer));
      }
      case REQUEST.SET_VRING_CALL:
        return this.#vring(wire.decodeVringDescriptor(payload).index).setCall(fds.take());
      case REQUEST.SET_VRING_ERR:
        return this.#vring(wire.decodeVringDescriptor(payload).index).setErr(fds.take());
      case REQUEST.SET_VRING_KICK: {
        const vring = this.#vring(wire.decodeVringDescriptor(payload).index);
        // Without protocol features there is no SET_VRING_ENABLE: rings start enabled.
        if ((this.#features & wire.F_PROTOCOL_FEATURES) === 0n) vring.enabled = true;
        return vring.start(fds.take());
      }
    }
  }

  #vring(index: number): Vring {
    const vring = this.#vrings[index];
    if (vring === undefined)
      throw new RequestError(`vring ${index} does not exist; the device has ${this.#vrings.length}`);
    return vring;
  }

  #setFeatures(features: bigint): void {
    const unknown = features & ~this.#offeredFeatures;
    if (unknown !== 0n) throw new RequestError(`features 0x${unknown.toString(16)} were not offered`);
    this.#features = features;
    this.#device.setFeatures(features);
    const has = (bit: number): boolean => (features & (1n << BigInt(bit))) !== 0n;
    for (const vring of this.#vrings) vring.setFeatures(has(FEATURE_EVENT_IDX), has(FEATURE_INDIRECT_DESC));
  }

  /** Rings look their addresses up anew: they stand still while the memory changes under them. */
  #changeMemory(change: () => void): void {
    for (const vring of this.#vrings) vring.detach();
    try {
      change();
    } finally {
      for (const vring of this.#vrings) this.#reattach(vring);
    }
  }

  /** A ring whose memory was taken away stands still until it is back: that is not this message's fault. */
  #reattach(vring: Vring): void {
    try {
      vring.attach();
    } catch (error) {
      this.#onLog(
        'warn',
        `${this.#device.name}: vring ${vring.index} stands still: ${(error as Error).message}`,
      );
    }
  }

  #addRegion(region: wire.MemoryRegion, fds: ReceivedDescriptors): void {
    const fd = fds.take();
    try {
      this.#memory.add(region, fd);
    } finally {
      // The mapping holds the memory.
      closeSync(fd);
    }
  }

  #getConfig(payload: Uint8Array): void {
    const { offset, bytes, flags } = wire.decodeConfig(payload);
    const { config } = this.#device;
    if (offset + bytes.length > config.length) {
      this.#onLog(
        'warn',
        `${this.#device.name}: GET_CONFIG of ${bytes.length} bytes at ${offset}; there are ${config.length}`,
      );
      // "On failure the payload is of size zero" (vhost-user.rst, GET_CONFIG).
      this.#channel.send(wire.encodeMessage(REQUEST.GET_CONFIG, HEADER_FLAG.REPLY, new Uint8Array(0)));
      return;
    }
    const answer = new Uint8Array(PAYLOAD_SIZE.CONFIG + bytes.length);
    wire.encodeConfig({ offset, flags, bytes: config.slice(offset, offset + bytes.length) }, answer);
    this.#channel.send(wire.encodeMessage(REQUEST.GET_CONFIG, HEADER_FLAG.REPLY, answer));
  }

  #getInflight(payload: Uint8Array): void {
    const { fd, description } = createInflightMemory(wire.decodeInflight(payload), this.#device.queueCount);
    try {
      const answer = new Uint8Array(PAYLOAD_SIZE.INFLIGHT);
      wire.encodeInflight(description, answer);
      this.#channel.send(wire.encodeMessage(REQUEST.GET_INFLIGHT_FD, HEADER_FLAG.REPLY, answer), [fd]);
    } finally {
      closeSync(fd);
    }
  }

  /** Rings that run go on with the new memory: what is in flight on them is entered there. */
  #setInflight(description: wire.InflightDescription, fds: ReceivedDescriptors): void {
    const fd = fds.take();
    let inflight: InflightMemory;
    try {
      inflight = new InflightMemory(description, fd, this.#device.queueCount);
    } finally {
      closeSync(fd);
    }
    this.#changeMemory(() => {
      for (const vring of this.#vrings) vring.setInflight(inflight.region(vring.index));
      this.#inflight?.close();
      this.#inflight = inflight;
    });
  }

  #reply(request: number, value: bigint): void {
    const payload = new Uint8Array(PAYLOAD_SIZE.U64);
    wire.encodeU64(value, payload);
    this.#channel.send(wire.encodeMessage(request, HEADER_FLAG.REPLY, payload));
  }

  #reset(): void {
    for (const vring of this.#vrings) vring.reset();
    this.#device.reset();
    this.#status = 0;
  }

  /**
   * Status 0 is virtio's reset, but QEMU's vhost code also sends it at the end of every stop, a mere pause of the guest
   * included (not yet for vhost-user-gpio: seen with 10.0). So when GET_VRING_BASE has stopped all rings before, they may
   * go on with what the guest claimed; a reset is told with RESET_DEVICE then, or shows when a new driver starts at 0.
   */
  #statusZero(): void {
    if (this.#device.needsReset || this.#vrings.some((vring) => vring.started)) this.#reset();
  }

  #ended(reason: string | null, end: ChannelEnd): void {
    if (reason === null) this.#onLog('info', `${this.#device.name}: front-end disconnected`);
    else this.#onLog('warn', `${this.#device.name}: connection closed: ${reason}`);
    for (const vring of this.#vrings) vring.close();
    this.#device.onBroken = null;
    this.#device.hasLostMemory = null;
    this.#unwatchMemory();
    this.#device.suspend();
    this.#memory.close();
    this.#inflight?.close();
    this.#inflight = null;
    if (this.#backendFd >= 0) closeSync(this.#backendFd);
    this.#backendFd = -1;
    this.#onClosed(end);
  }

  /** Ends the connection; idempotent. */
  close(): void {
    this.#channel.close(null);
  }
}
