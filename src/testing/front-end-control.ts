import {
  type ConfigPayload,
  decodeConfig,
  decodeInflight,
  decodeU64,
  decodeVringState,
  encodeConfig,
  encodeInflight,
  encodeMemoryTable,
  encodeSingleMemoryRegion,
  encodeU64,
  encodeVringAddress,
  encodeVringDescriptor,
  encodeVringState,
  type InflightDescription,
  type MemoryRegion,
  memoryTableSize,
  PAYLOAD_SIZE,
  PROTOCOL_FEATURE,
  REQUEST,
  type VringAddress,
} from '../wire/vhost-user.ts';
import { FrontEndError } from './front-end-error.ts';
import type { FrontEndSocket } from './front-end-socket.ts';

const NOTHING = new Uint8Array(0);

function payload<T>(sizeBytes: number, encode: (value: T, into: Uint8Array) => void, value: T): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  encode(value, bytes);
  return bytes;
}

/**
 * The requests of vhost-user, each as a method. With REPLY_ACK negotiated a setting is acknowledged, and refusals become
 * errors; without it nobody learns of one.
 */
export class FrontEndControl {
  /** What was negotiated with SET_PROTOCOL_FEATURES. */
  protocolFeatures = 0n;
  readonly #socket: FrontEndSocket;
  readonly #timeoutMs: number;

  constructor(socket: FrontEndSocket, timeoutMs: number) {
    this.#socket = socket;
    this.#timeoutMs = timeoutMs;
  }

  has(protocolFeature: bigint): boolean {
    return (this.protocolFeatures & protocolFeature) !== 0n;
  }

  /** A request with an answer of its own. */
  ask(request: number, bytes: Uint8Array = NOTHING): Promise<Uint8Array> {
    return this.#socket.transact(request, bytes, [], 0, this.#timeoutMs);
  }

  /** A request without an answer of its own; acknowledged with REPLY_ACK. */
  async tell(request: number, bytes: Uint8Array = NOTHING, fds: readonly number[] = []): Promise<void> {
    if (this.has(PROTOCOL_FEATURE.REPLY_ACK)) {
      await this.#socket.acknowledge(request, bytes, fds, this.#timeoutMs);
    } else {
      this.#socket.send(request, bytes, fds);
    }
  }

  async getU64(request: number): Promise<bigint> {
    return decodeU64(await this.ask(request));
  }

  async setU64(request: number, value: bigint): Promise<void> {
    await this.tell(request, payload(PAYLOAD_SIZE.U64, encodeU64, value));
  }

  /** Takes effect with the message that negotiates it, which therefore goes without an acknowledgement. */
  async setProtocolFeatures(features: bigint): Promise<void> {
    await this.setU64(REQUEST.SET_PROTOCOL_FEATURES, features);
    this.protocolFeatures = features;
  }

  /** SET_VRING_NUM, SET_VRING_BASE, SET_VRING_ENABLE. */
  async setVringState(request: number, index: number, num: number): Promise<void> {
    await this.tell(request, payload(PAYLOAD_SIZE.VRING_STATE, encodeVringState, { index, num }));
  }

  /** GET_VRING_BASE: stops the vring. @returns where its available ring goes on */
  async getVringBase(index: number): Promise<number> {
    const state = payload(PAYLOAD_SIZE.VRING_STATE, encodeVringState, { index, num: 0 });
    const answer = decodeVringState(await this.ask(REQUEST.GET_VRING_BASE, state));
    if (answer.index === index) return answer.num;
    throw new FrontEndError(
      'ERR_FRONT_END_PROTOCOL',
      `GET_VRING_BASE of vring ${index} was answered for vring ${answer.index}`,
    );
  }

  async setVringAddress(address: VringAddress): Promise<void> {
    await this.tell(REQUEST.SET_VRING_ADDR, payload(PAYLOAD_SIZE.VRING_ADDRESS, encodeVringAddress, address));
  }

  /** SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR. @param fd -1 for none (bit 8) */
  async setVringDescriptor(request: number, index: number, fd: number): Promise<void> {
    const hasDescriptor = fd >= 0;
    const bytes = payload(PAYLOAD_SIZE.U64, encodeVringDescriptor, { index, hasDescriptor });
    await this.tell(request, bytes, hasDescriptor ? [fd] : []);
  }

  async setMemoryTable(regions: readonly MemoryRegion[], fds: readonly number[]): Promise<void> {
    await this.tell(
      REQUEST.SET_MEM_TABLE,
      payload(memoryTableSize(regions.length), encodeMemoryTable, regions),
      fds,
    );
  }

  async addMemoryRegion(region: MemoryRegion, fd: number): Promise<void> {
    await this.tell(
      REQUEST.ADD_MEM_REG,
      payload(PAYLOAD_SIZE.SINGLE_MEMORY_REGION, encodeSingleMemoryRegion, region),
      [fd],
    );
  }

  async removeMemoryRegion(region: MemoryRegion): Promise<void> {
    await this.tell(
      REQUEST.REM_MEM_REG,
      payload(PAYLOAD_SIZE.SINGLE_MEMORY_REGION, encodeSingleMemoryRegion, region),
    );
  }

  /**
   * GET_INFLIGHT_FD: has the back-end make the memory in which it notes what is in flight.
   *
   * @returns what it says of it, and its descriptor, which is the caller's
   */
  async getInflight(
    queues: number,
    queueSize: number,
  ): Promise<{ readonly description: InflightDescription; readonly fd: number }> {
    const asked: InflightDescription = { mmapSizeBytes: 0n, mmapOffset: 0n, queues, queueSize };
    const answer = await this.ask(
      REQUEST.GET_INFLIGHT_FD,
      payload(PAYLOAD_SIZE.INFLIGHT, encodeInflight, asked),
    );
    const fd = this.#socket.takeDescriptor();
    if (fd >= 0) return { description: decodeInflight(answer), fd };
    throw new FrontEndError('ERR_FRONT_END_PROTOCOL', 'GET_INFLIGHT_FD was answered without a descriptor');
  }

  /** SET_INFLIGHT_FD. @param fd stays the caller's */
  async setInflight(description: InflightDescription, fd: number): Promise<void> {
    await this.tell(REQUEST.SET_INFLIGHT_FD, payload(PAYLOAD_SIZE.INFLIGHT, encodeInflight, description), [
      fd,
    ]);
  }

  /**
   * @throws FrontEndError `ERR_FRONT_END_REFUSED` when the back-end answers with another range than the one asked for,
   * as it does (with size 0) for one outside of its config space
   */
  async getConfig(offset: number, sizeBytes: number): Promise<Uint8Array> {
    const asked: ConfigPayload = { offset, flags: 0, bytes: new Uint8Array(sizeBytes) };
    const answer = await this.ask(
      REQUEST.GET_CONFIG,
      payload(PAYLOAD_SIZE.CONFIG + sizeBytes, encodeConfig, asked),
    );
    if (answer.length >= PAYLOAD_SIZE.CONFIG) {
      const config = decodeConfig(answer);
      if (config.offset === offset && config.bytes.length === sizeBytes) return config.bytes;
    }
    throw new FrontEndError(
      'ERR_FRONT_END_REFUSED',
      `GET_CONFIG of ${sizeBytes} bytes at ${offset} was answered with a payload of ${answer.length} bytes`,
    );
  }
}
