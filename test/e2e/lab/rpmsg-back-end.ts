import { closeSync } from 'node:fs';
import { GuestMemory } from '../../../src/exporters/virtio-gpio/guest-memory.ts';
import {
  MessageChannel,
  type ReceivedDescriptors,
} from '../../../src/exporters/virtio-gpio/message-channel.ts';
import {
  acceptUnix,
  listenUnix,
  openPoll,
  POLL_READABLE,
  type PollHandle,
  setNonBlocking,
  signalDescriptor,
} from '../../../src/native.ts';
import { RpmsgPeer } from '../../../src/testing/rpmsg-peer.ts';
import { DeviceQueue } from '../../../src/virtqueue/device-queue.ts';
import { RECEIVE_QUEUE, TRANSMIT_QUEUE, VIRTIO_RPMSG_F_NS } from '../../../src/wire/rpmsg.ts';
import * as wire from '../../../src/wire/vhost-user.ts';
import { FEATURE_EVENT_IDX, FEATURE_VERSION_1 } from '../../../src/wire/vring.ts';
import { LineLog } from './line-log.ts';

const { REQUEST, HEADER_FLAG, PAYLOAD_SIZE, PROTOCOL_FEATURE } = wire;

const OFFERED =
  (1n << BigInt(VIRTIO_RPMSG_F_NS)) |
  (1n << BigInt(FEATURE_EVENT_IDX)) |
  (1n << BigInt(FEATURE_VERSION_1)) |
  wire.F_PROTOCOL_FEATURES;
/** Without a back-end's channel User-Mode Linux has no interrupt for its vrings. No REPLY_ACK: nothing but GETs is answered. */
const OFFERED_PROTOCOL = PROTOCOL_FEATURE.BACKEND_REQ;

/** What the messages tell of a vring until it starts. */
interface Ring {
  size: number;
  base: number;
  addresses: wire.VringAddress | null;
  kickFd: number;
  callFd: number;
  kick: PollHandle | null;
  queue: DeviceQueue | null;
}

/**
 * A co-processor that speaks rpmsg, as a vhost-user back-end: the played firmware of our own tests on the vrings of a kernel.
 * With `virtio_uml.device=SOCKET:7` Linux's own `virtio_rpmsg_bus` judges it, and so what our bus expects of firmware.
 */
export class RpmsgBackEnd {
  /** Messages that nobody listens for, as `SOURCE>DESTINATION TEXT`. */
  readonly received = new LineLog('messages from Linux');
  /** What Linux did to the device, one line an event: `kick 0`, `kick 1`. */
  readonly kicks = new LineLog('kicks from Linux');
  readonly #listenFd: number;
  readonly #listenPoll: PollHandle;
  readonly #memory = new GuestMemory();
  readonly #rings: readonly [Ring, Ring];
  #channel: MessageChannel | null = null;
  #features = 0n;
  #peer: RpmsgPeer | null = null;
  /** Held open, as long as the guest listens at its other end. */
  #backEndFd = -1;
  #isPaused = false;
  #closed = false;

  constructor(socketPath: string) {
    const ring = (): Ring => ({
      size: 0,
      base: 0,
      addresses: null,
      kickFd: -1,
      callFd: -1,
      kick: null,
      queue: null,
    });
    this.#rings = [ring(), ring()];
    this.#listenFd = listenUnix(socketPath);
    this.#listenPoll = openPoll(this.#listenFd, POLL_READABLE, () => this.#accept());
  }

  /** The co-processor's side of the vrings. @throws Error before Linux has started both */
  get peer(): RpmsgPeer {
    if (this.#peer === null) throw new Error('the guest has not started the vrings');
    return this.#peer;
  }

  /** Resolves when Linux has posted its buffers and kicked vring 0, as it does once its driver is up. @throws WaitError */
  async started(): Promise<RpmsgPeer> {
    await this.kicks.waitFor(/^kick 0$/);
    return this.peer;
  }

  #accept(): void {
    const fd = acceptUnix(this.#listenFd);
    if (fd < 0) return;
    this.#channel = new MessageChannel(fd, {
      message: (header, payload, fds) => this.#message(header.request, payload, fds),
      closed: (reason) => {
        const why = reason ?? 'the front-end went away';
        this.received.end(why);
        this.kicks.end(why);
      },
    });
  }

  #ring(index: number): Ring {
    const ring = this.#rings[index];
    if (ring === undefined) throw new Error(`vring ${index} does not exist`);
    return ring;
  }

  /** What it throws ends the connection, and with it the waiting. */
  #message(request: number, payload: Uint8Array, fds: ReceivedDescriptors): void {
    switch (request) {
      case REQUEST.SET_OWNER:
        return;
      case REQUEST.GET_FEATURES:
        return this.#reply(request, OFFERED);
      case REQUEST.GET_PROTOCOL_FEATURES:
        return this.#reply(request, OFFERED_PROTOCOL);
      case REQUEST.SET_PROTOCOL_FEATURES:
      case REQUEST.SET_VRING_ENABLE:
        return;
      case REQUEST.SET_BACKEND_REQ_FD:
        this.#backEndFd = fds.take();
        return;
      case REQUEST.SET_FEATURES:
        this.#features = wire.decodeU64(payload);
        return;
      case REQUEST.SET_MEM_TABLE:
        this.#memory.close();
        for (const region of wire.decodeMemoryTable(payload)) {
          const fd = fds.take();
          this.#memory.add(region, fd);
          closeSync(fd);
        }
        return;
      case REQUEST.SET_VRING_NUM: {
        const { index, num } = wire.decodeVringState(payload);
        this.#ring(index).size = num;
        return;
      }
      case REQUEST.SET_VRING_BASE: {
        const { index, num } = wire.decodeVringState(payload);
        this.#ring(index).base = num;
        return;
      }
      case REQUEST.SET_VRING_ADDR: {
        const addresses = wire.decodeVringAddress(payload);
        this.#ring(addresses.index).addresses = addresses;
        return;
      }
      case REQUEST.SET_VRING_CALL: {
        const ring = this.#ring(wire.decodeVringDescriptor(payload).index);
        ring.callFd = fds.take();
        setNonBlocking(ring.callFd);
        return;
      }
      case REQUEST.SET_VRING_KICK:
        return this.#start(wire.decodeVringDescriptor(payload).index, fds.take());
      default:
        throw new Error(`request ${request} of the front-end is not one that this back-end knows`);
    }
  }

  #reply(request: number, value: bigint): void {
    const answer = new Uint8Array(PAYLOAD_SIZE.U64);
    wire.encodeU64(value, answer);
    this.#channel?.send(wire.encodeMessage(request, HEADER_FLAG.REPLY, answer));
  }

  #start(index: number, kickFd: number): void {
    const ring = this.#ring(index);
    const { addresses } = ring;
    if (addresses === null) throw new Error(`vring ${index} is started before it has addresses`);
    ring.kickFd = kickFd;
    ring.queue = new DeviceQueue({
      memory: this.#memory.guest,
      ringMemory: this.#memory.user,
      size: ring.size,
      descriptorAddress: Number(addresses.descriptor),
      availableAddress: Number(addresses.available),
      usedAddress: Number(addresses.used),
      eventIdx: (this.#features & (1n << BigInt(FEATURE_EVENT_IDX))) !== 0n,
      indirect: false,
      nextAvailable: ring.base,
    });
    const [toLinux, fromLinux] = [this.#rings[RECEIVE_QUEUE].queue, this.#rings[TRANSMIT_QUEUE].queue];
    if (toLinux !== null && fromLinux !== null) {
      this.#peer = new RpmsgPeer({
        toLinux,
        fromLinux,
        call: (queueIndex) => signalDescriptor(this.#ring(queueIndex).callFd),
      });
    }
    ring.kick = openPoll(kickFd, POLL_READABLE, () => this.#kicked(index), true);
  }

  /** Lets what Linux sends lie, as firmware does that is too busy; Linux runs out of buffers. */
  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#kicked(TRANSMIT_QUEUE);
  }

  #kicked(index: number): void {
    const peer = this.#peer;
    if (peer === null || this.#isPaused) return;
    do {
      peer.serve();
      for (const { source, destination, payload } of peer.taken()) {
        this.received.push(`${source}>${destination} ${Buffer.from(payload).toString('latin1')}`);
      }
    } while (peer.enableKicks());
    this.kicks.push(`kick ${index}`);
  }

  /** Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#listenPoll.close();
    closeSync(this.#listenFd);
    this.#channel?.close('closed by the test');
    for (const ring of this.#rings) {
      ring.kick?.close();
      for (const fd of [ring.kickFd, ring.callFd]) if (fd >= 0) closeSync(fd);
    }
    if (this.#backEndFd >= 0) closeSync(this.#backEndFd);
    this.#peer = null;
    this.#memory.close();
  }
}
