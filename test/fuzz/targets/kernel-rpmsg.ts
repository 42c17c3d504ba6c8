import { KernelEndpoint, type KernelEndpointOwner } from '../../../src/coprocessor/kernel-rpmsg-endpoint.ts';
import type { RpmsgKernel } from '../../../src/coprocessor/kernel-rpmsg-kernel.ts';
import { decodeEndpointInfo } from '../../../src/wire/rpmsg-uapi.ts';
import { WireError } from '../../../src/wire/wire-error.ts';
import { ByteSource } from '../byte-source.ts';
import { type FuzzTarget, invariant } from '../target.ts';

const EAGAIN = 11;
const FD = 7;
const MAX_STEPS = 60;
/** Reads of one call of the endpoint, or of its beginning: bounded, whatever the device says. */
const MAX_READS = 65_600;

/** A `/dev/rpmsgN` whose reads and writes end as the input says. */
class Device {
  readonly source: ByteSource;
  readable: (status: number) => void = () => {};
  reads = 0;
  messages = 0;
  closes = 0;
  pollCloses = 0;
  readonly kernel: RpmsgKernel;

  constructor(source: ByteSource) {
    this.source = source;
    this.kernel = {
      sysfsRoot: '/nowhere',
      devRoot: '/nowhere',
      open: () => FD,
      ioctl: () => {
        if (source.below(4) === 3) throw Object.assign(new Error('gone'), { code: 'ENODEV' });
      },
      read: (_fd, into) => this.#read(into),
      write: (_fd, from) => (source.below(4) === 3 ? -1 - source.u8() : from.length),
      poll: (_fd, callback) => {
        this.readable = callback;
        return { close: () => this.pollCloses++ };
      },
      watch: () => ({ close: () => {} }),
      close: (fd) => {
        invariant(fd === FD, () => `closed the descriptor ${fd}`);
        this.closes++;
      },
    };
  }

  #read(into: Uint8Array): number {
    invariant(this.closes === 0, 'read from a descriptor that is closed');
    invariant(++this.reads <= MAX_READS, 'one call reads without end');
    const { source } = this;
    if (source.remaining === 0) return -EAGAIN;
    const kind = source.below(8);
    if (kind === 6) return -EAGAIN;
    if (kind === 7) return -1 - source.u8();
    const bytes = source.bytes(kind === 5 ? Math.min(into.length, source.u16()) : source.below(40));
    into.set(bytes);
    this.messages++;
    return bytes.length;
  }
}

function attack(source: ByteSource): string {
  const device = new Device(source);
  const counts = { received: 0, stale: 0, noEndpoint: 0 };
  const ended: (string | null)[] = [];
  const owner: KernelEndpointOwner = {
    kernel: device.kernel,
    maxPayloadBytes: 496,
    received: ({ received = 0, stale = 0, noEndpoint = 0 }) => {
      counts.received += received;
      counts.stale += stale;
      counts.noEndpoint += noEndpoint;
    },
    send: (endpoint, payload) => endpoint.write(payload),
    ended: (_endpoint, reason) => ended.push(reason),
  };
  const isMade = source.below(2) === 1;
  const channel = { name: 'rpmsg-io-channel', dst: 30, folder: '/nowhere/x', driver: null, device: null };
  const endpoint = new KernelEndpoint(owner, channel, { fd: FD, path: '/dev/rpmsg0', isMade });
  const gone: string[] = [];
  let heard = 0;
  endpoint.onGone((reason) => gone.push(reason));
  const kept: { bytes: Uint8Array; copy: string }[] = [];
  for (let i = 0; i < MAX_STEPS && source.remaining > 0; i++) {
    device.reads = 0;
    switch (source.below(8)) {
      case 0:
        endpoint.onMessage((payload) => {
          heard++;
          invariant(gone.length === 0, 'a message after the end');
          if (kept.length < 8) kept.push({ bytes: payload, copy: payload.join() });
          // In the middle of a pass it may be written to, or closed.
          const what = source.below(16);
          if (what === 15) endpoint.close();
          else if (what > 12) endpoint.send(payload);
        });
        break;
      case 1:
        if (endpoint.alive) endpoint.send(source.bytes(source.below(20)));
        break;
      case 2:
        if (source.below(16) === 15) endpoint.close();
        break;
      case 3:
        if (endpoint.alive) device.readable(source.below(4) === 3 ? -source.u8() : 1);
        break;
      default:
        if (endpoint.alive) device.readable(1);
    }
  }
  const { alive } = endpoint;
  endpoint.close();
  endpoint.close();
  const { received, stale, noEndpoint } = counts;
  invariant(
    received + stale === device.messages,
    () => `${device.messages} messages, counted ${received + stale}`,
  );
  invariant(
    heard + noEndpoint === received,
    () => `${received} messages, of which ${heard + noEndpoint} are known of`,
  );
  for (const { bytes, copy } of kept) invariant(bytes.join() === copy, 'a message that was overwritten');
  invariant(device.closes === 1 && device.pollCloses === 1, () => `closed ${device.closes} times`);
  invariant(ended.length === 1 && gone.length <= 1, 'the end was told more than once, or never');
  return `${alive} ${heard > 0} ${noEndpoint > 0} ${stale > 0} ${gone[0]?.replaceAll(/\d+/g, 'N') ?? ''}`;
}

function decode(bytes: Uint8Array): string {
  try {
    return `info ${decodeEndpointInfo(bytes).name.length > 0}`;
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return `info ${error.field}`;
  }
}

export const kernelRpmsg: FuzzTarget = {
  name: 'kernel-rpmsg',
  what: "any reads and writes of the kernel's rpmsg devices: messages are counted and copied, the end is told once",
  seeds: () => [
    Uint8Array.from([1, 0, 6, 0, 5, 0, 3, 1, 2, 3, 0, 6, 1, 4, 1, 2, 3, 4, 0]),
    Uint8Array.from([1, 1, 0, 2, 9, 9, 6, 5, 1, 1, 6, 0, 4, 7, 32, 3, 3, 32]),
    Uint8Array.from([0, ...new Uint8Array(40)]),
  ],
  run: (input) => {
    const source = new ByteSource(input);
    return source.below(4) === 0 ? decode(source.rest()) : attack(source);
  },
};
