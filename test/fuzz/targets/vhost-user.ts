import { closeSync } from 'node:fs';
import {
  encodeConfig,
  encodeInflight,
  encodeMemoryTable,
  encodeMessage,
  encodeSingleMemoryRegion,
  encodeU64,
  encodeVringAddress,
  encodeVringState,
  HEADER_FLAG,
  HEADER_SIZE,
  memoryTableSize,
  PAYLOAD_SIZE,
  PROTOCOL_FEATURE,
  REQUEST,
} from '../../../src/wire/vhost-user.ts';
import { ByteSource } from '../byte-source.ts';
import { type FuzzTarget, invariant } from '../target.ts';
import { GUEST_BYTES, type Peer, turn, VhostUserBench } from '../vhost-user-bench.ts';

const GUEST = 0x4000_0000n;
const USER = 0x7f00_0000_0000n;
const REQUESTS = Object.values(REQUEST);
/** The whole set-up of a device with two vrings, in the order in which front-ends do it. */
const HANDSHAKE = [
  REQUEST.GET_FEATURES,
  REQUEST.SET_FEATURES,
  REQUEST.GET_PROTOCOL_FEATURES,
  REQUEST.SET_PROTOCOL_FEATURES,
  REQUEST.SET_OWNER,
  REQUEST.SET_MEM_TABLE,
  REQUEST.SET_VRING_NUM,
  REQUEST.SET_VRING_BASE,
  REQUEST.SET_VRING_ADDR,
  REQUEST.SET_VRING_CALL,
  REQUEST.SET_VRING_KICK,
  REQUEST.SET_VRING_ENABLE,
] as const;
/** Sent for each vring. */
const PER_VRING = new Set<number>([
  REQUEST.SET_VRING_NUM,
  REQUEST.SET_VRING_BASE,
  REQUEST.SET_VRING_ADDR,
  REQUEST.SET_VRING_CALL,
  REQUEST.SET_VRING_KICK,
  REQUEST.SET_VRING_ENABLE,
]);
/** The other requests that the device knows. */
const UNDERSTOOD = [
  ...HANDSHAKE,
  REQUEST.RESET_OWNER,
  REQUEST.GET_VRING_BASE,
  REQUEST.SET_VRING_ERR,
  REQUEST.GET_QUEUE_NUM,
  REQUEST.GET_CONFIG,
  REQUEST.SET_CONFIG,
  REQUEST.SET_BACKEND_REQ_FD,
  REQUEST.GET_INFLIGHT_FD,
  REQUEST.SET_INFLIGHT_FD,
  REQUEST.RESET_DEVICE,
  REQUEST.GET_MAX_MEM_SLOTS,
  REQUEST.ADD_MEM_REG,
  REQUEST.REM_MEM_REG,
  REQUEST.SET_STATUS,
  REQUEST.GET_STATUS,
] as const;
const ALL_PROTOCOL_FEATURES =
  PROTOCOL_FEATURE.MQ |
  PROTOCOL_FEATURE.REPLY_ACK |
  PROTOCOL_FEATURE.BACKEND_REQ |
  PROTOCOL_FEATURE.CONFIG |
  PROTOCOL_FEATURE.INFLIGHT_SHMFD |
  PROTOCOL_FEATURE.RESET_DEVICE |
  PROTOCOL_FEATURE.CONFIGURE_MEM_SLOTS |
  PROTOCOL_FEATURE.STATUS;
const MAX_STEPS = 40;

function filled(sizeBytes: number, fill: (into: Uint8Array) => void): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  fill(bytes);
  return bytes;
}

const u64 = (value: bigint): Uint8Array => filled(8, (into) => encodeU64(value, into));

/** What a well-behaved front-end sends with a request, and how many descriptors of what kind. */
function wellFormed(
  request: number,
  vring: number,
): { payload: Uint8Array; wantsMemory: boolean; fds: number } {
  const region = {
    guestPhysicalAddress: GUEST,
    sizeBytes: BigInt(GUEST_BYTES),
    userAddress: USER,
    mmapOffset: 0n,
  };
  const plain = (payload: Uint8Array, fds = 0, wantsMemory = false) => ({ payload, fds, wantsMemory });
  const state = (num: number): Uint8Array =>
    filled(PAYLOAD_SIZE.VRING_STATE, (into) => encodeVringState({ index: vring, num }, into));
  const base = USER + BigInt(vring * 0x1000);
  switch (request) {
    case REQUEST.SET_FEATURES:
      return plain(u64((1n << 30n) | (1n << 32n) | (1n << 29n) | (1n << 28n) | 1n));
    case REQUEST.SET_PROTOCOL_FEATURES:
      return plain(u64(ALL_PROTOCOL_FEATURES));
    case REQUEST.SET_MEM_TABLE:
      return plain(
        filled(memoryTableSize(1), (into) => encodeMemoryTable([region], into)),
        1,
        true,
      );
    case REQUEST.ADD_MEM_REG:
    case REQUEST.REM_MEM_REG: {
      const payload = filled(40, (into) => encodeSingleMemoryRegion(region, into));
      return plain(payload, request === REQUEST.ADD_MEM_REG ? 1 : 0, true);
    }
    case REQUEST.SET_VRING_NUM:
      return plain(state(16));
    case REQUEST.SET_VRING_BASE:
    case REQUEST.GET_VRING_BASE:
      return plain(state(0));
    case REQUEST.SET_VRING_ENABLE:
      return plain(state(1));
    case REQUEST.SET_VRING_ADDR: {
      const address = {
        ...{ index: vring, flags: 0, log: 0n },
        ...{ descriptor: base, available: base + 0x400n, used: base + 0x800n },
      };
      return plain(filled(PAYLOAD_SIZE.VRING_ADDRESS, (into) => encodeVringAddress(address, into)));
    }
    case REQUEST.SET_VRING_KICK:
    case REQUEST.SET_VRING_CALL:
    case REQUEST.SET_VRING_ERR:
      return plain(u64(BigInt(vring)), 1);
    case REQUEST.GET_CONFIG:
    case REQUEST.SET_CONFIG: {
      const config = { offset: 0, flags: 0, bytes: new Uint8Array(8) };
      return plain(filled(PAYLOAD_SIZE.CONFIG + 8, (into) => encodeConfig(config, into)));
    }
    case REQUEST.GET_INFLIGHT_FD:
    case REQUEST.SET_INFLIGHT_FD: {
      const inflight = { mmapSizeBytes: 0x1000n, mmapOffset: 0n, queues: 2, queueSize: 16 };
      const isSet = request === REQUEST.SET_INFLIGHT_FD ? 1 : 0;
      return plain(
        filled(PAYLOAD_SIZE.INFLIGHT, (into) => encodeInflight(inflight, into)),
        isSet,
        true,
      );
    }
    case REQUEST.SET_BACKEND_REQ_FD:
      return plain(new Uint8Array(0), 1);
    case REQUEST.SET_STATUS:
      return plain(u64(0xfn));
    default:
      return plain(new Uint8Array(0));
  }
}

/** One connection of a front-end that sends whatever its input says. */
class Play {
  readonly #source: ByteSource;
  readonly #bench: VhostUserBench;
  readonly #peer: Peer;
  /** Every header told the size of what followed: the back-end is between two messages. */
  #isWhole = true;
  #sent = 0;

  constructor(source: ByteSource, bench: VhostUserBench, peer: Peer) {
    this.#source = source;
    this.#bench = bench;
    this.#peer = peer;
  }

  async #sendPieces(bytes: Uint8Array, fds: readonly number[]): Promise<void> {
    const source = this.#source;
    if (!source.oneIn(4)) this.#peer.send(bytes, fds);
    else {
      let at = 0;
      let rest = fds;
      for (let left = 3; left > 0 && at < bytes.length; left--) {
        const to = left === 1 ? bytes.length : at + 1 + source.below(bytes.length - at);
        // Descriptors travel with any of the pieces.
        const now = source.bool() ? rest : rest.slice(0, 1);
        this.#peer.send(bytes.subarray(at, to), now);
        rest = rest.slice(now.length);
        at = to;
        await turn();
      }
    }
    this.#sent++;
    await turn();
    // An answer that nobody reads ends the connection, which is another matter.
    this.#peer.read();
  }

  /** As a well-behaved front-end sends it, in one piece. */
  async #wellMessage(request: number, vring: number, flags: number): Promise<void> {
    const { payload, fds: count, wantsMemory } = wellFormed(request, vring);
    const fds = this.#bench.wellDescriptors(wantsMemory ? 'memory' : 'kick', count);
    try {
      this.#peer.send(encodeMessage(request, flags, payload), fds);
    } finally {
      for (const fd of fds) closeSync(fd);
    }
    this.#sent++;
    await turn();
    this.#peer.read();
  }

  async #mutatedMessage(request: number): Promise<void> {
    const source = this.#source;
    const { payload, fds: wanted, wantsMemory } = wellFormed(request, source.below(3));
    let body: Uint8Array = payload.slice();
    let count = wanted;
    let flags = source.bool() ? HEADER_FLAG.NEED_REPLY : 0;
    for (let left = source.below(4); left > 0 && body.length > 0; left--)
      body[source.below(body.length)] = source.u8();
    if (source.oneIn(8)) body = source.bytes(source.below(64));
    if (source.oneIn(4)) count = source.below(10);
    if (source.oneIn(8)) flags = source.u8() & ~3;
    const message = encodeMessage(request, flags, body);
    if (source.oneIn(16)) {
      // The header lies about the size, or about the version.
      message[source.below(HEADER_SIZE)] = source.u8();
      this.#isWhole = false;
    }
    const fds = source.oneIn(4)
      ? this.#bench.descriptors(source, count)
      : this.#bench.wellDescriptors(wantsMemory ? 'memory' : 'kick', count);
    try {
      await this.#sendPieces(message, fds);
    } finally {
      for (const fd of fds) closeSync(fd);
    }
  }

  /** The guest's side of the rings: a request, or anything. */
  #guest(): void {
    const source = this.#source;
    const { memory } = this.#bench;
    if (source.bool()) {
      const at = source.u16() % memory.length;
      memory[at] = source.u8();
      return;
    }
    const view = new DataView(memory.buffer);
    const ring = source.below(2) * 0x1000;
    const head = source.below(16);
    view.setBigUint64(ring + head * 16, GUEST + 0x4000n, true);
    view.setUint32(ring + head * 16 + 8, 8, true);
    view.setUint16(ring + head * 16 + 12, 1, true);
    view.setUint16(ring + head * 16 + 14, (head + 1) & 15, true);
    const next = ring + ((head + 1) & 15) * 16;
    view.setBigUint64(next, GUEST + 0x4100n, true);
    view.setUint32(next + 8, 2, true);
    view.setUint16(next + 12, 2, true);
    for (let i = 0; i < 8; i++) memory[0x4000 + i] = i % 2 === 0 ? source.below(8) : 0;
    const index = view.getUint16(ring + 0x402, true);
    view.setUint16(ring + 0x404 + (index & 15) * 2, head, true);
    view.setUint16(ring + 0x402, index + 1, true);
  }

  async #raw(): Promise<void> {
    this.#isWhole = false;
    const bytes = this.#source.bytes(1 + this.#source.below(64));
    const fds = this.#bench.descriptors(this.#source, this.#source.below(3));
    try {
      await this.#sendPieces(bytes, fds);
    } finally {
      for (const fd of fds) closeSync(fd);
    }
  }

  async run(): Promise<string> {
    const source = this.#source;
    const before = this.#bench.requests;
    const begun = source.below(HANDSHAKE.length + 1);
    for (const request of HANDSHAKE.slice(0, begun)) {
      await this.#wellMessage(request, 0, 0);
      if (PER_VRING.has(request)) await this.#wellMessage(request, 1, 0);
    }
    for (let steps = 0; steps < MAX_STEPS && source.remaining > 0 && !this.#peer.isOver; steps++) {
      const choice = source.below(16);
      if (choice < 5) await this.#mutatedMessage(source.pick(REQUESTS));
      else if (choice < 8) {
        const flags = source.bool() ? HEADER_FLAG.NEED_REPLY : 0;
        await this.#wellMessage(source.pick(UNDERSTOOD), source.below(2), flags);
      } else if (choice < 12) this.#guest();
      else if (choice < 14) {
        this.#bench.kick();
        await turn();
      } else if (choice === 14) await turn();
      else await this.#raw();
    }
    if (this.#isWhole) invariant(await this.#bench.isAnswered(this.#peer), 'neither answered nor closed');
    this.#peer.read();
    const answers = Math.min(this.#peer.answers.length >> 4, 12);
    return `${this.#bench.served(before)} ${begun} ${this.#peer.isOver} ${this.#isWhole} ${Math.min(this.#sent, 16)} ${answers}`;
  }
}

let bench: VhostUserBench | null = null;

export const vhostUser: FuzzTarget = {
  name: 'vhost-user',
  what: 'a front-end that sends any bytes and descriptors: closed or answered, nothing leaks, other guests notice nothing',
  seeds: () => [
    // Every request as it should be, behind a whole set-up; then the guest does something in its rings, and kicks.
    ...UNDERSTOOD.map((_, index) =>
      Uint8Array.from([
        ...[12, 8, 0, 0, 0, 4, 1, 0, 0, 12, 8, 0, 1, 2, 1, 0, 0, 0, 12],
        ...[5, 1, index, 0, 8, 0, 0, 2, 6, 1, 3, 0, 12, 5, 0, index, 1, 12],
      ]),
    ),
    ...REQUESTS.map((_, index) =>
      Uint8Array.from([12, 0, index, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 1, 0, 0, 4, 1, 12]),
    ),
    ...HANDSHAKE.map((_, index) => Uint8Array.from([index + 1, 8, 0, 3, 4, 5, 12])),
    Uint8Array.from([0, 15, 20, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3]),
  ],
  run: async (input) => {
    bench ??= new VhostUserBench();
    const peer = await bench.begin();
    try {
      return await new Play(new ByteSource(input), bench, peer).run();
    } finally {
      await bench.end(peer);
    }
  },
  maxInputBytes: 512,
  close: () => {
    bench?.close();
    bench = null;
  },
};
