import { closeSync } from 'node:fs';
import { connectUnix } from '../native.ts';
import {
  BACKEND_REQUEST,
  F_PROTOCOL_FEATURES,
  type InflightDescription,
  PROTOCOL_FEATURE,
  REQUEST,
} from '../wire/vhost-user.ts';
import {
  CONFIG_SIZE,
  decodeConfig,
  EVENT_QUEUE,
  REQUEST_QUEUE,
  type VirtioGpioConfig,
} from '../wire/virtio-gpio.ts';
import { FEATURE_EVENT_IDX } from '../wire/vring.ts';
import { FrontEndControl } from './front-end-control.ts';
import { FrontEndError, withDeadline } from './front-end-error.ts';
import { DEFAULT_REGIONS, FrontEndMemory } from './front-end-memory.ts';
import { type FrontEndOptions, QUEUE_COUNT } from './front-end-options.ts';
import { type GpioEvent, GpioRequests, type GpioResponse } from './front-end-requests.ts';
import { FrontEndSocket } from './front-end-socket.ts';
import { negotiateFeatures, openBackendSocket, shareMemory, startVring } from './front-end-start.ts';
import { FrontEndVring, type RawDescriptor } from './front-end-vring.ts';

export type { CallKind } from './front-end-call.ts';
export { FrontEndError, type FrontEndErrorCode } from './front-end-error.ts';
export { FrontEndMemory, type FrontEndRegion } from './front-end-memory.ts';
export { type FrontEndOptions, KNOWN_FEATURES, KNOWN_PROTOCOL_FEATURES } from './front-end-options.ts';
export { encodeRequest, type GpioEvent, type GpioResponse } from './front-end-requests.ts';
export { encodeDescriptor, type FrontEndVring, type RawDescriptor } from './front-end-vring.ts';

/** virtio device status (virtio 1.2, section 2.1): ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK. */
const STATUS_DRIVER_OK = 1 | 2 | 4 | 8;

/**
 * A vhost-user front-end with a guest's virtio-gpio driver in it: what a virtual machine is to the back-end, without the
 * machine. For tests and for trying a back-end out.
 *
 * {@link connect} does everything up to a device in use. For the odd order of things, {@link open} only connects, and
 * {@link control} has every message.
 */
export class VhostUserFrontEnd {
  readonly memory: FrontEndMemory;
  /** Request queue and event queue. */
  readonly vrings: readonly FrontEndVring[];
  /** What the back-end offered (GET_FEATURES). */
  offeredFeatures = 0n;
  /** What was accepted of it. */
  features = 0n;
  readonly #options: FrontEndOptions;
  readonly #timeoutMs: number;
  readonly #gpio: GpioRequests;
  #socket: FrontEndSocket;
  #control: FrontEndControl;
  #backendSocket: FrontEndSocket | null = null;
  /** What the back-end notes as in flight (INFLIGHT_SHMFD): ours to keep while it is away. */
  #inflight: { readonly description: InflightDescription; readonly fd: number } | null = null;
  #onConfigChange: () => void = () => {};

  private constructor(options: FrontEndOptions) {
    this.#options = options;
    this.#timeoutMs = options.timeoutMs ?? 5000;
    // First, because it fails most often: until here there is nothing to give back.
    this.#socket = new FrontEndSocket(connectedDescriptor(options));
    const vrings: FrontEndVring[] = [];
    this.vrings = vrings;
    try {
      this.memory = new FrontEndMemory(options.regions ?? DEFAULT_REGIONS);
    } catch (error) {
      this.#socket.close();
      throw error;
    }
    try {
      for (let index = 0; index < (options.queueCount ?? QUEUE_COUNT); index++)
        vrings.push(newVring(this.memory, index, options));
    } catch (error) {
      this.close();
      throw error;
    }
    const requestQueue = this.vring(REQUEST_QUEUE);
    // A device of one queue has no events.
    const eventQueue = vrings[EVENT_QUEUE] ?? requestQueue;
    this.#gpio = new GpioRequests(this.memory, requestQueue, eventQueue, this.#timeoutMs);
    this.#control = new FrontEndControl(this.#socket, this.#timeoutMs);
  }

  /** Connects and sends nothing. @throws NativeError, FrontEndError */
  static open(options: FrontEndOptions): VhostUserFrontEnd {
    return new VhostUserFrontEnd(options);
  }

  /** Connects, negotiates, shares the memory and starts the vrings: a device in use. @throws NativeError, FrontEndError */
  static async connect(options: FrontEndOptions): Promise<VhostUserFrontEnd> {
    const frontEnd = VhostUserFrontEnd.open(options);
    try {
      await frontEnd.start();
      return frontEnd;
    } catch (error) {
      frontEnd.close();
      throw error;
    }
  }

  /** The messages of the protocol, one by one. */
  get control(): FrontEndControl {
    return this.#control;
  }

  /** @throws FrontEndError when there is no such vring */
  vring(index: number): FrontEndVring {
    const vring = this.vrings[index];
    if (vring === undefined)
      throw new FrontEndError('ERR_FRONT_END_FULL', `no vring ${index}, there are ${this.vrings.length}`);
    return vring;
  }

  /** Negotiates, shares the memory, starts the vrings with a new driver. */
  async start(): Promise<void> {
    await this.negotiate();
    await this.shareMemory();
    await this.startVrings();
  }

  /** Features, protocol features, ownership, the back-end's request channel; in QEMU's order. */
  async negotiate(): Promise<void> {
    const control = this.#control;
    const { offered, accepted } = await negotiateFeatures(control, this.#options);
    this.offeredFeatures = offered;
    this.features = accepted;
    if (control.has(PROTOCOL_FEATURE.BACKEND_REQ)) await this.#shareBackendSocket();
    await control.tell(REQUEST.SET_OWNER);
    await control.setU64(REQUEST.SET_FEATURES, accepted);
  }

  async #shareBackendSocket(): Promise<void> {
    this.#backendSocket?.close();
    this.#backendSocket = await openBackendSocket(this.#control, ({ request }) => {
      if (request === BACKEND_REQUEST.CONFIG_CHANGE) this.#onConfigChange();
    });
  }

  /** SET_MEM_TABLE, or with CONFIGURE_MEM_SLOTS one ADD_MEM_REG a region. */
  shareMemory(): Promise<void> {
    return shareMemory(this.#control, this.memory);
  }

  /** Starts both vrings from 0 with a new driver. What was open is rejected. */
  async startVrings(): Promise<void> {
    const eventIdx = (this.features & (1n << BigInt(FEATURE_EVENT_IDX))) !== 0n;
    for (const vring of this.vrings) vring.restart(eventIdx);
    // A new driver has nothing in flight.
    this.#closeInflight();
    if (this.#control.has(PROTOCOL_FEATURE.INFLIGHT_SHMFD)) {
      const queueSize = Math.max(...this.vrings.map(({ size }) => size));
      this.#inflight = await this.#control.getInflight(this.vrings.length, queueSize);
    }
    await this.resumeVrings(this.vrings.map(() => 0));
  }

  /** Starts both vrings where they stand, the driver's state as it is. @param bases what {@link stopVrings} returned */
  async resumeVrings(bases: readonly number[]): Promise<void> {
    if (this.#inflight !== null)
      await this.#control.setInflight(this.#inflight.description, this.#inflight.fd);
    for (const vring of this.vrings) {
      await startVring(this.#control, vring, bases[vring.index] ?? 0, this.#hasEnable);
    }
    if (this.#control.has(PROTOCOL_FEATURE.STATUS)) {
      await this.#control.setU64(REQUEST.SET_STATUS, BigInt(STATUS_DRIVER_OK));
    }
  }

  /** Without protocol features there is no SET_VRING_ENABLE: rings start enabled. */
  get #hasEnable(): boolean {
    return (this.features & F_PROTOCOL_FEATURES) !== 0n;
  }

  /** Disables and stops both vrings, as for a paused or migrated guest. @returns their bases, for {@link resumeVrings} */
  async stopVrings(): Promise<number[]> {
    const bases: number[] = [];
    for (const { index } of this.vrings) {
      if (this.#hasEnable) await this.#control.setVringState(REQUEST.SET_VRING_ENABLE, index, 0);
      bases.push(await this.#control.getVringBase(index));
    }
    return bases;
  }

  /**
   * A guest that resets its device: RESET_DEVICE, or status 0, or (as User-Mode Linux) nothing but disabled rings, by what
   * was negotiated. What was open is rejected. Start again with {@link startVrings}.
   */
  async resetDevice(): Promise<void> {
    const control = this.#control;
    if (control.has(PROTOCOL_FEATURE.RESET_DEVICE)) await control.tell(REQUEST.RESET_DEVICE);
    else if (control.has(PROTOCOL_FEATURE.STATUS)) await control.setU64(REQUEST.SET_STATUS, 0n);
    else for (const { index } of this.vrings) await control.setVringState(REQUEST.SET_VRING_ENABLE, index, 0);
    for (const vring of this.vrings) vring.abandon('ERR_FRONT_END_RESET', 'the device was reset');
  }

  /**
   * One request of virtio-gpio (virtio 1.2, section 5.18.6), as many at once as the queue holds.
   *
   * @param type MSG_ of wire/virtio-gpio.ts
   * @throws FrontEndError `ERR_FRONT_END_TIMEOUT`, `_FULL`, `_RESET`, `_CLOSED`; a status of ERR is no error
   */
  request(type: number, gpio: number, value = 0): Promise<GpioResponse> {
    return this.#gpio.request(type, gpio, value);
  }

  /** Queues an event buffer for a line, which unmasks its interrupt. @throws FrontEndError `ERR_FRONT_END_FULL` */
  queueEvent(gpio: number): void {
    this.#gpio.queueEvent(gpio);
  }

  /** Calls back for each returned event buffer; first for those that nobody has taken yet. @returns how to stop it */
  onEvent(listener: (event: GpioEvent) => void): () => void {
    return this.#gpio.onEvent(listener);
  }

  /** The oldest event that nobody has taken, or the next one. @throws FrontEndError `ERR_FRONT_END_TIMEOUT` */
  nextEvent(timeoutMs = this.#timeoutMs): Promise<GpioEvent> {
    return this.#gpio.nextEvent(timeoutMs);
  }

  /** The names of all lines, '' for one without. @throws FrontEndError, WireError for a bad names block */
  async lineNames(): Promise<string[]> {
    const { lineCount, namesSize } = await this.config();
    return this.#gpio.lineNames(lineCount, namesSize);
  }

  /** The device's config space. @throws FrontEndError */
  async config(): Promise<VirtioGpioConfig> {
    return decodeConfig(await this.readConfig(0, CONFIG_SIZE));
  }

  /** @throws FrontEndError when the back-end refuses the range */
  readConfig(offset: number, sizeBytes: number): Promise<Uint8Array> {
    return this.#control.getConfig(offset, sizeBytes);
  }

  /** Called when the back-end says that the config space has changed (BACKEND_REQ). */
  onConfigChange(listener: () => void): void {
    this.#onConfigChange = listener;
  }

  /**
   * Offers a chain of exactly these descriptors, right or wrong.
   *
   * @returns the used length
   */
  rawChain(descriptors: readonly RawDescriptor[], queueIndex: number = REQUEST_QUEUE): Promise<number> {
    return this.vring(queueIndex).rawChain(descriptors, this.#timeoutMs);
  }

  /** Sends bytes and descriptors as they are on the socket. @returns the bytes sent or a negative errno */
  sendRaw(bytes: Uint8Array, fds: readonly number[] = []): number {
    return this.#socket.sendRaw(bytes, fds);
  }

  /** Resolves with the reason when the connection is over. @throws FrontEndError `ERR_FRONT_END_TIMEOUT` */
  disconnected(timeoutMs = this.#timeoutMs): Promise<string> {
    return withDeadline('the connection to end', timeoutMs, (resolve) => {
      void this.#socket.closed.then(resolve);
    });
  }

  /** Why the connection is over; null while it is not. */
  get closedReason(): string | null {
    return this.#socket.closedReason;
  }

  /** Ends the connection; memory, rings and what is open in them stay, as a guest does not notice. Idempotent. */
  disconnect(): void {
    this.#socket.close();
    this.#backendSocket?.close();
    this.#backendSocket = null;
  }

  /**
   * Connects again.
   *
   * @param rings `restart`: a new driver, as after the guest's reboot. `keep`: the guest goes on, and what it had open is
   * offered again: the rings start at their used index, as QEMU does it when a back-end comes back. `keep-available`: the same,
   * but they start at the driver's available index, as Cloud Hypervisor does it
   */
  async reconnect(rings: 'restart' | 'keep' | 'keep-available' = 'restart'): Promise<void> {
    this.disconnect();
    this.#socket = new FrontEndSocket(connectedDescriptor({ ...this.#options, fd: undefined }));
    this.#control = new FrontEndControl(this.#socket, this.#timeoutMs);
    await this.negotiate();
    await this.shareMemory();
    if (rings === 'restart') await this.startVrings();
    else if (rings === 'keep') await this.resumeVrings(this.vrings.map((vring) => vring.usedIndex));
    else await this.resumeVrings(this.vrings.map((vring) => vring.availableIndex));
  }

  #closeInflight(): void {
    if (this.#inflight !== null) closeSync(this.#inflight.fd);
    this.#inflight = null;
  }

  /** Ends the connection and gives everything back; idempotent. What is open is rejected. */
  close(): void {
    this.disconnect();
    this.#closeInflight();
    for (const vring of this.vrings) vring.close();
    this.memory.close();
  }
}

function newVring(memory: FrontEndMemory, index: number, options: FrontEndOptions): FrontEndVring {
  return new FrontEndVring({
    index,
    memory,
    size: options.queueSizes?.[index] ?? 64,
    eventIdx: false,
    callKind: options.callKind ?? 'eventfd',
    regionIndex: options.vringRegions?.[index] ?? 0,
  });
}

function connectedDescriptor({ socketPath, fd }: { socketPath?: string; fd?: number | undefined }): number {
  if (fd !== undefined) return fd;
  if (socketPath !== undefined) return connectUnix(socketPath);
  throw new FrontEndError('ERR_FRONT_END_CLOSED', 'no socketPath to connect to');
}
