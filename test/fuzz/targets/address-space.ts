import { closeSync } from 'node:fs';
import { GuestMemory, GuestMemoryError } from '../../../src/exporters/virtio-gpio/guest-memory.ts';
import { createMemfd, NativeError } from '../../../src/native.ts';
import { AddressError, type AddressSpace } from '../../../src/virtqueue/address-space.ts';
import { DescriptorChain, FAULT_NONE } from '../../../src/virtqueue/descriptor-chain.ts';
import {
  decodeSingleMemoryRegion,
  encodeSingleMemoryRegion,
  type MemoryRegion,
} from '../../../src/wire/vhost-user.ts';
import { WireError } from '../../../src/wire/wire-error.ts';
import { ByteSource } from '../byte-source.ts';
import { type FuzzTarget, invariant } from '../target.ts';

const FILE_BYTES = 0x10000;
const U64_END = 1n << 64n;
const EDGES = [
  0n,
  1n,
  0xfffn,
  0x1000n,
  (1n << 53n) - 1n,
  1n << 53n,
  U64_END - 0x1000n,
  U64_END - 1n,
] as const;
const MAX_STEPS = 60;

/** A region's own number in every 8 bytes of the file, so that what is read tells where it lies. */
function fill(view: DataView): void {
  for (let at = 0; at < view.byteLength; at += 4) view.setUint32(at, at, true);
}

/** Memory tables of any numbers: what is found lies in a region that was taken, at the right place of its file. */
class Play {
  readonly #source: ByteSource;
  /** Small windows, so that regions have several. */
  readonly #memory: GuestMemory;
  readonly #taken: MemoryRegion[] = [];
  readonly #outcomes = new Set<string>();
  readonly #fd: number;

  constructor(source: ByteSource, fd: number) {
    this.#source = source;
    this.#fd = fd;
    this.#memory = source.bool() ? new GuestMemory(0x2000, 0x1000) : new GuestMemory();
  }

  #number(): bigint {
    const source = this.#source;
    switch (source.below(4)) {
      case 0:
        return source.pick(EDGES);
      case 1:
        return source.u64();
      default:
        return BigInt(source.below(64)) * 0x800n;
    }
  }

  #region(): MemoryRegion {
    return {
      guestPhysicalAddress: this.#number(),
      sizeBytes: this.#number(),
      userAddress: this.#number(),
      mmapOffset: this.#number(),
    };
  }

  /** As it comes from the socket: the decoder refuses what wraps around. */
  #decoded(): MemoryRegion | null {
    const bytes = new Uint8Array(40);
    encodeSingleMemoryRegion(this.#region(), bytes);
    try {
      return decodeSingleMemoryRegion(bytes);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#outcomes.add('wire');
      return null;
    }
  }

  #add(): void {
    const region = this.#decoded();
    if (region === null) return;
    try {
      this.#memory.add(region, this.#fd);
    } catch (error) {
      if (!(error instanceof GuestMemoryError) && !(error instanceof NativeError)) throw error;
      this.#outcomes.add(error.message.replace(/0x[0-9a-f]+|\d+/g, '#').slice(0, 40));
      return;
    }
    const { sizeBytes, mmapOffset } = region;
    invariant(mmapOffset + sizeBytes <= BigInt(FILE_BYTES), 'mapped beyond the end of the file');
    this.#taken.push(region);
    this.#outcomes.add('added');
  }

  #remove(): void {
    const region = this.#taken[this.#source.below(this.#taken.length + 1)] ?? this.#region();
    // The file's offset is none of what names a region (vhost-user.rst, REM_MEM_REG).
    const at = this.#taken.findIndex(
      (other) =>
        other.guestPhysicalAddress === region.guestPhysicalAddress &&
        other.userAddress === region.userAddress &&
        other.sizeBytes === region.sizeBytes,
    );
    try {
      this.#memory.remove(region);
      invariant(at >= 0, 'a region was removed that there is none of');
      this.#taken.splice(at, 1);
      this.#outcomes.add('removed');
    } catch (error) {
      if (!(error instanceof GuestMemoryError)) throw error;
      invariant(at < 0, 'a region that is there is not removed');
    }
  }

  #inside(
    address: bigint,
    sizeBytes: bigint,
    space: 'guestPhysicalAddress' | 'userAddress',
  ): MemoryRegion | null {
    const found = this.#taken.find(
      (region) => address >= region[space] && address + sizeBytes <= region[space] + region.sizeBytes,
    );
    return found ?? null;
  }

  #find(): void {
    const source = this.#source;
    const name = source.bool() ? 'guestPhysicalAddress' : 'userAddress';
    const space: AddressSpace = name === 'userAddress' ? this.#memory.user : this.#memory.guest;
    const near = this.#taken[source.below(this.#taken.length)];
    const address =
      near === undefined ? this.#number() : near[name] + near.sizeBytes - BigInt(source.below(64));
    if (address < 0n || address > BigInt(Number.MAX_SAFE_INTEGER)) return;
    const sizeBytes = source.oneIn(4) ? source.u32() : source.below(64);
    const window = space.find(Number(address), sizeBytes);
    const region = this.#inside(address, BigInt(sizeBytes), name);
    if (window === null) {
      // Through small windows a large range may well be in none.
      invariant(region === null || sizeBytes > 0x1000, 'what is inside is not found');
      return;
    }
    invariant(region !== null || sizeBytes === 0, 'found what is in no region');
    if (region === null || sizeBytes < 4) return;
    const { offset } = space;
    const expected = Number(region.mmapOffset + address - region[name]);
    // Each byte of the file tells its own place: the low byte of its word's offset, and so on.
    const byte = window.u8[offset];
    const word = expected & ~3;
    invariant(byte === ((word >>> (8 * (expected & 3))) & 0xff), 'found at another place of the file');
    this.#outcomes.add('found');
  }

  #require(): void {
    const source = this.#source;
    const align = 1 << source.below(5);
    const address = Number(this.#number() & 0x1f_ffff_ffff_ffffn);
    try {
      this.#memory.guest.require('ring', address, source.below(0x100), align);
      invariant(address % align === 0, 'a ring that is not aligned');
      invariant(this.#memory.guest.offset % align === 0, 'a ring that is not aligned in its mapping');
      this.#outcomes.add('required');
    } catch (error) {
      if (!(error instanceof AddressError)) throw error;
    }
  }

  /** A buffer across neighbouring windows and regions. */
  #append(): void {
    const chain = new DescriptorChain(0);
    const near = this.#taken[this.#source.below(this.#taken.length)];
    if (near === undefined) return;
    const address = Number(near.guestPhysicalAddress) + this.#source.below(64);
    const sizeBytes = this.#source.bool() ? Number(near.sizeBytes) : this.#source.u32();
    const fault = chain.append(this.#memory.guest, address, sizeBytes, true);
    if (fault !== FAULT_NONE) return;
    // What is taken for good is inside, to its last byte.
    for (const at of [0, sizeBytes - 1])
      if (sizeBytes > 0)
        invariant(
          this.#inside(BigInt(address + at), 1n, 'guestPhysicalAddress') !== null,
          'a buffer outside',
        );
    this.#outcomes.add('appended');
  }

  run(): string {
    try {
      for (let steps = 0; steps < MAX_STEPS && this.#source.remaining > 0; steps++) {
        const choice = this.#source.below(8);
        if (choice < 3) this.#add();
        else if (choice === 3) this.#remove();
        else if (choice === 4) this.#require();
        else if (choice === 5) this.#append();
        else this.#find();
        invariant(this.#memory.regionCount === this.#taken.length, 'a region that is half there');
      }
    } finally {
      this.#memory.close();
    }
    invariant(this.#memory.guest.windows.length === 0, 'a window is left');
    return [...this.#outcomes].sort().join(',');
  }
}

let file: { readonly fd: number } | null = null;

function openFile(): number {
  if (file !== null) return file.fd;
  file = { fd: createMemfd('fuzz', FILE_BYTES) };
  const memory = new GuestMemory();
  memory.add(
    { guestPhysicalAddress: 0n, sizeBytes: BigInt(FILE_BYTES), userAddress: 0n, mmapOffset: 0n },
    file.fd,
  );
  fill(new DataView((memory.guest.windows[0] as { u8: Uint8Array }).u8.buffer));
  memory.close();
  return file.fd;
}

export const addressSpace: FuzzTarget = {
  name: 'address-space',
  what: 'memory tables with any numbers, mapped: what is found is inside, at its place; the rest is refused',
  seeds: () => [
    Uint8Array.from([
      0, 0, 3, 4, 3, 2, 3, 4, 3, 0, 7, 1, 0, 1, 8, 7, 0, 0, 2, 9, 4, 1, 3, 16, 1, 5, 0, 1, 0, 3, 0,
    ]),
    Uint8Array.from([
      1, 0, 3, 0, 3, 8, 3, 0, 3, 0, 1, 3, 8, 3, 8, 3, 8, 3, 8, 5, 0, 7, 0, 6, 1, 1, 9, 0, 3, 1,
    ]),
    Uint8Array.from([0, 0, 0, 7, 0, 3, 0, 7, 0, 2, 0, 2, 0, 2, 0, 2, 0, 2, 4, 1, 3, 1, 2, 0]),
  ],
  run: (input) => new Play(new ByteSource(input), openFile()).run(),
  maxInputBytes: 512,
  close: () => {
    if (file !== null) closeSync(file.fd);
    file = null;
  },
};
