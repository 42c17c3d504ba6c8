import type { DriverQueue } from '../../virtqueue/driver-queue.ts';
import type { Pollable, Poller } from '../../virtqueue/poller.ts';
import {
  ANNOUNCEMENT_SIZE,
  DEFAULT_BUFFER_SIZE,
  HEADER_SIZE,
  MAX_PAYLOAD_SIZE,
  NAME_SERVICE_ADDRESS,
  RECEIVE_QUEUE,
  TRANSMIT_QUEUE,
  VIRTIO_RPMSG_F_NS,
} from '../../wire/rpmsg.ts';
import { FEATURE_EVENT_IDX } from '../../wire/vring.ts';
import { CoprocessorError } from '../coprocessor-error.ts';
import type { BoundVdev } from '../vdev.ts';
import { BusEndpoint, type EndpointOwner } from './bus-endpoint.ts';
import { type Channel, ChannelTable } from './channel-table.ts';
import type { RpmsgTransport } from './endpoint.ts';
import { ReceiveBuffers } from './receive-buffers.ts';
import { SendQueue } from './send-queue.ts';
import { TransmitBuffers } from './transmit-buffers.ts';

/** Features that the bus can use, for the vdev's handshake. */
export const WANTED_RPMSG_FEATURES = (1 << VIRTIO_RPMSG_F_NS) | (1 << FEATURE_EVENT_IDX);

/** Messages taken in one pass, so that a co-processor that floods leaves time for the others. */
const BATCH = 64;
/** Room for an announcement, the one message that every bus carries. */
const MIN_BUFFER_BYTES = HEADER_SIZE + ANNOUNCEMENT_SIZE;
const MAX_BUFFER_BYTES = HEADER_SIZE + MAX_PAYLOAD_SIZE;
const DEFAULT_SEND_TIMEOUT_MS = 100;
const DEFAULT_SEND_QUEUE_LIMIT = 64;
/**
 * How often the ring is looked at while messages wait for a buffer. Much firmware (rpmsg-lite as it is delivered) returns
 * buffers without telling anybody.
 */
const LOOK_INTERVAL_MS = 5;

export interface RpmsgBusOptions {
  /** For messages: whose bus it is, e.g. the co-processor's name. */
  readonly name: string;
  readonly poller: Poller;
  /**
   * Bytes of a buffer, header included; default 512. The firmware must have been built for the same size: nothing in the
   * resource table or on the rings tells it, so a difference cannot be detected. With larger buffers than the firmware's, long
   * messages of ours overrun its copies; with smaller ones it cannot send its own.
   */
  readonly bufferBytes?: number;
  /** How long a message waits for a free buffer before it is given up; default 100, less than a request's timeout. */
  readonly sendTimeoutMs?: number;
  /** How many messages may wait for a free buffer; default 64. */
  readonly sendQueueLimit?: number;
}

/**
 * rpmsg over a virtio device of id 7, in the role that Linux has elsewhere (`virtio_rpmsg_bus`): it owns both pools of buffers,
 * keeps the channels that the co-processor announces, and gives out endpoints on them. There are as many buffers a direction
 * as the resource table gives its vring descriptors.
 *
 * What the co-processor writes is never trusted: anything that makes no sense is dropped and counted ({@link counters}), and
 * the bus goes on. Messages are taken from any source address, as Linux does; answers go to the address that was announced.
 */
export class RpmsgBus implements RpmsgTransport, Pollable {
  readonly name: string;
  readonly maxPayloadBytes: number;
  /** Looked at while the consumers that wait for it are: by itself it stays quiet, for the sake of idle power. */
  readonly pollUs = 0;
  readonly #vdev: BoundVdev;
  readonly #poller: Poller;
  readonly #receiveQueue: DriverQueue;
  readonly #transmitQueue: DriverQueue;
  readonly #receive: ReceiveBuffers;
  readonly #transmit: TransmitBuffers;
  readonly #waiting: SendQueue;
  readonly #channels: ChannelTable;
  readonly #hasNameService: boolean;
  readonly #owner: EndpointOwner;
  readonly #onLost: ((reason: string) => void)[] = [];
  /** Why the bus ended; null while it works. */
  #ended: string | null = null;
  #isClosed = false;
  #polling = false;
  #timer: NodeJS.Timeout | null = null;
  /** Messages to an address that no channel has. */
  #unknownDestination = 0;
  /** Messages to a channel that nobody has open. */
  #noEndpoint = 0;
  /** Messages that were to be sent on a channel that is gone. */
  #sentToGone = 0;
  readonly #sink = (_source: number, destination: number, payload: Uint8Array): void =>
    this.#received(destination, payload);
  readonly #onTimer = (): void => {
    this.#timer = null;
    this.#poller.wake(this);
  };

  /**
   * Allocates both pools, posts the receive buffers and starts the device (DRIVER_OK, which kicks vring 0).
   * The bus owns the vdev from here on; it is closed again when this fails.
   * @throws CoprocessorError ERR_RPMSG for a device that is no rpmsg device or a buffer size that cannot be, ERR_CARVEOUT
   * when the pools do not fit
   */
  static open(vdev: BoundVdev, options: RpmsgBusOptions): RpmsgBus {
    try {
      return new RpmsgBus(vdev, options);
    } catch (error) {
      vdev.close();
      throw error;
    }
  }

  private constructor(vdev: BoundVdev, options: RpmsgBusOptions) {
    const { name, bufferBytes = DEFAULT_BUFFER_SIZE } = options;
    this.name = name;
    const receiveQueue = vdev.queues[RECEIVE_QUEUE];
    const transmitQueue = vdev.queues[TRANSMIT_QUEUE];
    if (receiveQueue === undefined || transmitQueue === undefined) {
      throw new CoprocessorError(
        'ERR_RPMSG',
        `${name}: vdev ${vdev.index} has ${vdev.queues.length} vrings; rpmsg needs 2`,
      );
    }
    if (!Number.isInteger(bufferBytes) || bufferBytes < MIN_BUFFER_BYTES || bufferBytes > MAX_BUFFER_BYTES) {
      throw new CoprocessorError(
        'ERR_RPMSG',
        `${name}: rpmsg buffers of ${bufferBytes} bytes; ${MIN_BUFFER_BYTES} to ${MAX_BUFFER_BYTES} are possible, and the firmware's own size is needed (mostly ${DEFAULT_BUFFER_SIZE})`,
      );
    }
    this.maxPayloadBytes = bufferBytes - HEADER_SIZE;
    this.#owner = {
      maxPayloadBytes: this.maxPayloadBytes,
      send: (endpoint, payload) => this.#send(endpoint, payload),
      closed: (endpoint) => this.#closed(endpoint),
    };
    this.#vdev = vdev;
    this.#poller = options.poller;
    this.#receiveQueue = receiveQueue;
    this.#transmitQueue = transmitQueue;
    this.#hasNameService = ((vdev.features >>> VIRTIO_RPMSG_F_NS) & 1) !== 0;
    this.#waiting = new SendQueue(
      options.sendQueueLimit ?? DEFAULT_SEND_QUEUE_LIMIT,
      options.sendTimeoutMs ?? DEFAULT_SEND_TIMEOUT_MS,
    );
    this.#channels = new ChannelTable(
      name,
      this.#hasNameService
        ? 'the co-processor has announced none: is the firmware running, and the doorbell configured as it expects?'
        : `the co-processor announces none: its vdev ${vdev.index} does not offer the name service (feature bit ${VIRTIO_RPMSG_F_NS})`,
      (channel) => this.#destroyed(channel),
    );
    this.#receive = new ReceiveBuffers(vdev, receiveQueue, bufferBytes);
    this.#transmit = new TransmitBuffers(vdev, transmitQueue, bufferBytes);
    // Returned buffers are looked for when some are needed: being called for each would cost a wake-up a message.
    transmitQueue.disableCalls();
    transmitQueue.isLazy = true;
    vdev.onCall(() => this.#poller.wake(this));
    vdev.onLost((reason) => this.#lose(reason));
    // No kick for these: the device is not started. driverOk() kicks.
    receiveQueue.publish();
    vdev.driverOk();
  }

  /** What happened, and what was dropped by reason, since the bus was opened. */
  get counters(): Readonly<Record<string, number>> {
    const { faults } = this.#channels;
    return {
      received: this.#receive.received,
      sent: this.#transmit.sent,
      queued: this.#waiting.queued,
      sendQueueFull: this.#waiting.full,
      sendTimeouts: this.#waiting.timeouts,
      sendsDropped: this.#waiting.dropped,
      sentToGone: this.#sentToGone,
      shortMessages: this.#receive.short,
      oversizedMessages: this.#receive.oversized,
      unknownDestination: this.#unknownDestination,
      noEndpoint: this.#noEndpoint,
      badAnnouncementSize: faults.size,
      badAnnouncementName: faults.name,
      badAnnouncementAddress: faults.address,
      duplicateAnnouncements: faults.duplicate,
      tooManyChannels: faults.tooMany,
      unknownChannelsDestroyed: faults.unknown,
      badUsed: this.#receiveQueue.badUsed + this.#transmitQueue.badUsed,
    };
  }

  get channels(): readonly string[] {
    return this.#channels.names;
  }

  open(channel: string | RegExp, timeoutMs: number): Promise<BusEndpoint> {
    if (this.#ended !== null) {
      return Promise.reject(new CoprocessorError('ERR_RPMSG', `${this.name}: ${this.#ended}`));
    }
    return this.#channels.open(channel, timeoutMs, (found) => {
      const { name, remoteAddress } = found;
      found.endpoint = new BusEndpoint(this.#owner, name, this.#channels.assignAddress(found), remoteAddress);
      return found.endpoint;
    });
  }

  onLost(listener: (reason: string) => void): void {
    if (this.#isClosed) return;
    if (this.#ended !== null) listener(this.#ended);
    else this.#onLost.push(listener);
  }

  #send(endpoint: BusEndpoint, payload: Uint8Array): boolean {
    if (payload.length > this.maxPayloadBytes) {
      throw new CoprocessorError(
        'ERR_RPMSG',
        `${this.name}: a message of ${payload.length} bytes on channel "${endpoint.name}"; at most ${this.maxPayloadBytes} fit a buffer`,
      );
    }
    if (!endpoint.alive || this.#ended !== null) {
      this.#sentToGone++;
      return false;
    }
    const { localAddress, remoteAddress } = endpoint;
    // Who waits already goes first.
    const isFirst = this.#waiting.length === 0;
    const isSent = isFirst && this.#transmit.send(localAddress, remoteAddress, payload);
    if (!isSent && !this.#waiting.add(localAddress, remoteAddress, payload)) return false;
    // In a pass, all that it sends is told with one kick at its end.
    if (this.#polling) return true;
    this.#publish();
    // The answer is looked for while others keep the poller busy anyway; and a call for freed buffers is wanted now.
    this.#poller.request(this);
    this.#look();
    return true;
  }

  #closed(endpoint: BusEndpoint): void {
    this.#waiting.drop(endpoint.localAddress);
    const channel = this.#channels.atLocalAddress(endpoint.localAddress);
    if (channel === undefined) return;
    channel.endpoint = null;
    this.#channels.offer(channel);
  }

  #received(destination: number, payload: Uint8Array): void {
    if (destination === NAME_SERVICE_ADDRESS && this.#hasNameService) {
      return this.#channels.announced(payload);
    }
    const channel = this.#channels.atLocalAddress(destination);
    if (channel === undefined) this.#unknownDestination++;
    else if (channel.endpoint === null || !channel.endpoint.deliver(payload)) this.#noEndpoint++;
  }

  #destroyed(channel: Channel): void {
    if (channel.endpoint === null) return;
    this.#waiting.drop(channel.localAddress);
    channel.endpoint.end(`the co-processor has destroyed the channel "${channel.name}"`);
  }

  poll(): boolean {
    if (this.#ended !== null) return false;
    this.#polling = true;
    let count = 0;
    try {
      count = this.#receive.poll(BATCH, this.#sink);
      this.#transmit.reclaim();
      count += this.#sendWaiting();
    } finally {
      this.#polling = false;
    }
    if (this.#isEnded()) return false;
    if (this.#receiveQueue.publish()) this.#vdev.kick(RECEIVE_QUEUE);
    this.#publish();
    this.#look();
    const broken = this.#receiveQueue.broken ?? this.#transmitQueue.broken;
    if (broken !== null) {
      this.#vdev.fail(broken);
      this.#lose(broken);
    }
    return count > 0;
  }

  /** A method, as what a listener does is not seen by the compiler. */
  #isEnded(): boolean {
    return this.#ended !== null;
  }

  /** @returns how many of those that waited were sent */
  #sendWaiting(): number {
    const waiting = this.#waiting;
    if (waiting.length === 0) return 0;
    waiting.expire();
    let count = 0;
    for (let next = waiting.first(); next !== undefined; next = waiting.first()) {
      if (!this.#transmit.send(next.source, next.destination, next.payload)) break;
      waiting.removeFirst();
      count++;
    }
    return count;
  }

  #publish(): void {
    if (this.#transmitQueue.publish()) this.#vdev.kick(TRANSMIT_QUEUE);
  }

  /** Looks again soon, as long as something waits: for buffers that come back without a call, and for the timeout. */
  #look(): void {
    if (this.#waiting.length === 0 || this.#ended !== null) return this.#stopTimer();
    this.#timer ??= setTimeout(this.#onTimer, LOOK_INTERVAL_MS);
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  disableNotifications(): void {
    this.#receiveQueue.disableCalls();
    this.#transmitQueue.disableCalls();
  }

  enableNotifications(): boolean {
    if (this.#ended !== null) return false;
    this.#receiveQueue.enableCalls();
    if (this.#waiting.length > 0) this.#transmitQueue.enableCalls();
    return this.#receiveQueue.hasUsed() || (this.#waiting.length > 0 && this.#transmitQueue.hasUsed());
  }

  #lose(reason: string): void {
    if (this.#ended !== null) return;
    this.#end(reason);
    for (const listener of this.#onLost.splice(0)) listener(reason);
  }

  /** Tells the endpoints, who may not send any more, and those who wait for one. */
  #end(reason: string): void {
    this.#ended = reason;
    this.#poller.remove(this);
    this.#receive.close();
    this.#stopTimer();
    this.#waiting.clear();
    const open = this.#channels.all.filter(({ endpoint }) => endpoint !== null);
    this.#channels.close(reason);
    for (const { endpoint } of open) endpoint?.end(reason);
  }

  /** Ends the endpoints and the waiting, and resets the device. Who listens for the bus being lost is not told. Idempotent. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#onLost.length = 0;
    if (this.#ended === null) this.#end('the rpmsg bus was closed');
    this.#vdev.close();
  }
}
