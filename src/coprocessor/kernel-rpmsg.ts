import { CoprocessorError } from './coprocessor-error.ts';
import { isReady, KernelRpmsgBus, matches } from './kernel-rpmsg-bus.ts';
import { isTaken, isThere, type KernelChannel } from './kernel-rpmsg-channels.ts';
import { KernelEndpoint, type KernelEndpointOwner } from './kernel-rpmsg-endpoint.ts';
import { type RpmsgKernel, RUNNING_KERNEL } from './kernel-rpmsg-kernel.ts';
import type { Log } from './log.ts';
import type { RpmsgTransport } from './rpmsg/endpoint.ts';
import { SendQueue } from './rpmsg/send-queue.ts';

const DEFAULT_CONTROL = '/dev/rpmsg_ctrl0';
/** 512-byte buffers less the header, as the kernel has them. */
const DEFAULT_MAX_PAYLOAD_BYTES = 496;
const DEFAULT_SEND_TIMEOUT_MS = 100;
const DEFAULT_SEND_QUEUE_LIMIT = 64;
/**
 * How often a message that found no buffer is tried again, until its timeout. Of the kernel's transports only one (Qualcomm SMD)
 * tells that there is room again: on virtio's `/dev/rpmsgN` a poll for writing never comes back.
 */
const RETRY_INTERVAL_MS = 5;
/** Where uevents cannot be had: how often is looked while a channel is waited for, and at most while messages are sent. */
const LOOK_INTERVAL_MS = 250;
export interface KernelRpmsgOptions {
  /** For messages: whose channels they are, e.g. the co-processor's name. */
  readonly name: string;
  /** The control device of the co-processor's rpmsg bus; `/dev/rpmsg_ctrl0` unless given. Not needed with `device`. */
  readonly control?: string | undefined;
  /** One `/dev/rpmsgN` that is there already (by the kernel, a udev rule, or another program): its channel is the only one. */
  readonly device?: string | undefined;
  /** Longest message in bytes; default 496. */
  readonly maxPayloadBytes?: number | undefined;
  /** How long a message waits for a free buffer before it is given up; default 100. */
  readonly sendTimeoutMs?: number | undefined;
  /** How many messages may wait for a free buffer; default 64. */
  readonly sendQueueLimit?: number | undefined;
  readonly onLog?: Log | undefined;
  /** For tests. */
  readonly kernel?: RpmsgKernel | undefined;
}

interface Waiting {
  readonly channel: string | RegExp;
  readonly resolve: (endpoint: KernelEndpoint) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * The kernel's own rpmsg (`virtio_rpmsg_bus`, `rpmsg_ctrl`, `rpmsg_char`) as transport, where the kernel owns the vrings: each
 * channel that the co-processor announced can be opened through a character device. Channels that come and go are told
 * by uevents; nothing ticks.
 */
export class KernelRpmsg implements RpmsgTransport {
  readonly name: string;
  readonly maxPayloadBytes: number;
  readonly #kernel: RpmsgKernel;
  readonly #onLog: Log;
  readonly #bus: KernelRpmsgBus;
  readonly #owner: KernelEndpointOwner;
  readonly #endpoints: KernelEndpoint[] = [];
  readonly #queue: SendQueue;
  readonly #onLost: ((reason: string) => void)[] = [];
  readonly #counts = { received: 0, sent: 0, sentToGone: 0, staleMessages: 0, noEndpoint: 0 };
  #waiting: Waiting[] = [];
  #uevents: { close(): void } | null = null;
  /** Looks for channels while one is waited for, where there are no uevents. */
  #lookTimer: NodeJS.Timeout | null = null;
  #retryTimer: NodeJS.Timeout | null = null;
  #lookedAtMs = 0;
  /** The bus, or the device, was there once. */
  #wasThere = false;
  #ended: string | null = null;
  #isClosed = false;

  /** Begins to watch for channels; nothing is opened yet, and the control device may come later. */
  static open(options: KernelRpmsgOptions): KernelRpmsg {
    return new KernelRpmsg(options);
  }

  private constructor(options: KernelRpmsgOptions) {
    this.name = options.name;
    this.maxPayloadBytes = options.maxPayloadBytes ?? DEFAULT_MAX_PAYLOAD_BYTES;
    this.#kernel = options.kernel ?? RUNNING_KERNEL;
    this.#onLog = options.onLog ?? (() => {});
    const { control = DEFAULT_CONTROL, device = null } = options;
    this.#bus = new KernelRpmsgBus(this.name, this.#kernel, control, device);
    this.#queue = new SendQueue(
      options.sendQueueLimit ?? DEFAULT_SEND_QUEUE_LIMIT,
      options.sendTimeoutMs ?? DEFAULT_SEND_TIMEOUT_MS,
    );
    this.#owner = {
      kernel: this.#kernel,
      maxPayloadBytes: this.maxPayloadBytes,
      received: ({ received = 0, stale = 0, noEndpoint = 0 }) => {
        this.#counts.received += received;
        this.#counts.staleMessages += stale;
        this.#counts.noEndpoint += noEndpoint;
      },
      send: (endpoint, payload) => this.#send(endpoint, payload),
      ended: (endpoint, reason) => this.#endpointEnded(endpoint, reason),
    };
    try {
      this.#uevents = this.#kernel.watch(({ action, subsystem }) => {
        if (subsystem === 'rpmsg' || action === 'lost') this.#look();
      });
    } catch (error) {
      this.#onLog(
        'info',
        `${this.name}: uevents cannot be had (${messageOf(error)}): rpmsg channels that come are looked for each ${LOOK_INTERVAL_MS} ms while one is waited for`,
      );
    }
    this.#wasThere = this.#bus.isPresent();
  }

  /** What happened, and what was dropped by reason, since the transport was opened. */
  get counters(): Readonly<Record<string, number>> {
    return {
      received: this.#counts.received,
      sent: this.#counts.sent,
      queued: this.#queue.queued,
      sendQueueFull: this.#queue.full,
      sendTimeouts: this.#queue.timeouts,
      sendsDropped: this.#queue.dropped,
      sentToGone: this.#counts.sentToGone,
      staleMessages: this.#counts.staleMessages,
      noEndpoint: this.#counts.noEndpoint,
    };
  }

  get channels(): readonly string[] {
    return this.#bus.list().map(({ name }) => name);
  }

  open(channel: string | RegExp, timeoutMs: number): Promise<KernelEndpoint> {
    if (this.#ended !== null) return Promise.reject(this.#error(this.#ended));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting = this.#waiting.filter((one) => one !== waiting);
        this.#armLook();
        reject(this.#error(this.#bus.describeMissing(channel, timeoutMs)));
      }, timeoutMs);
      const waiting: Waiting = { channel, resolve, reject, timer };
      this.#waiting.push(waiting);
      this.#serveWaiting();
    });
  }

  #error(reason: string, cause?: unknown): CoprocessorError {
    return new CoprocessorError('ERR_RPMSG', `${this.name}: ${reason}`, cause);
  }

  /** Opens what is waited for and is there. */
  #serveWaiting(): void {
    const channels = this.#waiting.length === 0 ? [] : this.#bus.list();
    for (const waiting of [...this.#waiting]) {
      const isFree = ({ folder }: KernelChannel): boolean =>
        this.#endpoints.every((endpoint) => endpoint.channel.folder !== folder);
      const fitting = channels.filter((channel) => matches(waiting.channel, channel.name) && isFree(channel));
      const found = fitting.find((channel) => !isTaken(channel)) ?? fitting[0];
      if (found === undefined || !isReady(found)) continue;
      this.#waiting = this.#waiting.filter((one) => one !== waiting);
      clearTimeout(waiting.timer);
      try {
        const endpoint = this.#openChannel(found);
        this.#endpoints.push(endpoint);
        waiting.resolve(endpoint);
      } catch (error) {
        waiting.reject(
          error instanceof CoprocessorError
            ? error
            : this.#error(`${found.name}: ${messageOf(error)}`, error),
        );
      }
    }
    this.#armLook();
  }

  #openChannel(channel: KernelChannel): KernelEndpoint {
    const device = this.#bus.open(channel);
    this.#onLog('debug', `${this.name}: rpmsg channel "${channel.name}" is ${device.path}`);
    return new KernelEndpoint(this.#owner, channel, device);
  }

  #send(endpoint: KernelEndpoint, payload: Uint8Array): boolean {
    if (payload.length > this.maxPayloadBytes) {
      throw this.#error(
        `a message of ${payload.length} bytes on channel "${endpoint.name}"; at most ${this.maxPayloadBytes} fit a buffer`,
      );
    }
    if (this.#uevents === null) this.#lookNowAndThen();
    if (!endpoint.alive || this.#ended !== null) {
      this.#counts.sentToGone++;
      return false;
    }
    // Who waits already goes first.
    if (this.#queue.length === 0 && endpoint.write(payload)) {
      this.#counts.sent++;
      return true;
    }
    if (!endpoint.alive) {
      this.#counts.sentToGone++;
      return false;
    }
    const isAdded = this.#queue.add(endpoint.channel.dst, endpoint.channel.dst, payload);
    this.#armRetry();
    return isAdded;
  }

  #retry(): void {
    this.#retryTimer = null;
    this.#queue.expire();
    for (let next = this.#queue.first(); next !== undefined; next = this.#queue.first()) {
      const { source, payload } = next;
      const endpoint = this.#endpoints.find(({ channel }) => channel.dst === source);
      // Its end drops what is left of it.
      if (endpoint === undefined || !endpoint.write(payload)) break;
      this.#queue.removeFirst();
      this.#counts.sent++;
    }
    this.#armRetry();
  }

  #armRetry(): void {
    if (this.#queue.length === 0 || this.#ended !== null) return;
    this.#retryTimer ??= setTimeout(() => this.#retry(), RETRY_INTERVAL_MS);
  }

  /** Without uevents a channel that was destroyed looks like one that does not answer. */
  #lookNowAndThen(): void {
    const now = performance.now();
    if (now - this.#lookedAtMs < LOOK_INTERVAL_MS) return;
    this.#lookedAtMs = now;
    this.#look();
  }

  #armLook(): void {
    const isWanted = this.#uevents === null && this.#waiting.length > 0 && this.#ended === null;
    if (!isWanted && this.#lookTimer !== null) {
      clearInterval(this.#lookTimer);
      this.#lookTimer = null;
    } else if (isWanted) {
      this.#lookTimer ??= setInterval(() => this.#look(), LOOK_INTERVAL_MS);
    }
  }

  /** Something came or went. */
  #look(): void {
    if (this.#ended !== null) return;
    for (const endpoint of [...this.#endpoints]) {
      if (!isThere(endpoint.channel.folder)) {
        endpoint.end(`the co-processor has destroyed the channel "${endpoint.name}"`);
      }
    }
    const isPresent = this.#bus.isPresent();
    if (this.#wasThere && !isPresent) {
      return this.#lose(`the kernel has removed ${this.#bus.path}: the co-processor was stopped, or crashed`);
    }
    this.#wasThere = isPresent;
    this.#serveWaiting();
  }

  #endpointEnded(endpoint: KernelEndpoint, reason: string | null): void {
    const index = this.#endpoints.indexOf(endpoint);
    if (index >= 0) this.#endpoints.splice(index, 1);
    this.#queue.drop(endpoint.channel.dst);
    // Its device may be the first to tell that all of them go.
    if (reason !== null && this.#ended === null) this.#look();
  }

  onLost(listener: (reason: string) => void): void {
    if (this.#isClosed) return;
    if (this.#ended !== null) listener(this.#ended);
    else this.#onLost.push(listener);
  }

  #lose(reason: string): void {
    if (this.#ended !== null) return;
    this.#end(reason);
    for (const listener of this.#onLost.splice(0)) listener(reason);
  }

  #end(reason: string): void {
    this.#ended = reason;
    this.#uevents?.close();
    this.#armLook();
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    this.#retryTimer = null;
    this.#queue.clear();
    for (const { timer, reject } of this.#waiting.splice(0)) {
      clearTimeout(timer);
      reject(this.#error(reason));
    }
    for (const endpoint of [...this.#endpoints]) endpoint.end(reason);
  }

  /** Ends the endpoints and the waiting. Who listens for the bus being lost is not told. Idempotent. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#onLost.length = 0;
    if (this.#ended === null) this.#end('the rpmsg transport was closed');
  }
}
