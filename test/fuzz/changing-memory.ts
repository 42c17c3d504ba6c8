/**
 * Memory that changes while it is being read, as a hostile guest's or co-processor's does. Deterministic: the typed arrays of a
 * window become proxies, and between any two reads a rule may rewrite what lies near the place that is about to be read.
 * {@link startMutatingWorker} is the other kind: a real thread, of which no two runs are alike.
 */
import { Worker } from 'node:worker_threads';
import type { AddressSpace, MemoryWindow } from '../../src/virtqueue/address-space.ts';
import type { ByteSource } from './byte-source.ts';
import { invariant } from './target.ts';

type Elements = Uint8Array | Uint16Array | Uint32Array | Int32Array;

/** The array behind each proxy: Atomics take no proxies. */
const behind = new WeakMap<object, { array: Elements; memory: WatchedMemory }>();

/** Looks at what is done to memory, and may change it first. Offsets are in bytes, in the memory's buffer. */
export interface MemoryRule {
  /** Before each read. */
  beforeRead?(byteOffset: number, sizeBytes: number): void;
  /** Before each write. */
  beforeWrite?(byteOffset: number, sizeBytes: number, value: number): void;
}

export interface WatchedMemoryOptions {
  readonly rule?: MemoryRule;
  /** The part that may be touched, in bytes of the buffer. Default: all of it. */
  readonly begin?: number;
  readonly end?: number;
}

/** A buffer all of whose accesses through {@link u8}, {@link u16} and {@link u32} are counted, checked and told to a rule. */
export class WatchedMemory {
  /** As it is: what is done here nobody is told of. */
  readonly raw: Uint8Array;
  readonly view: DataView;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  rule: MemoryRule;
  reads = 0;
  writes = 0;
  /** Reads, from now on, after which the code under test is taken to be caught for ever. */
  readLimit = Number.POSITIVE_INFINITY;
  readonly #begin: number;
  readonly #end: number;

  constructor(buffer: ArrayBufferLike, options: WatchedMemoryOptions = {}) {
    this.raw = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.rule = options.rule ?? {};
    this.#begin = options.begin ?? 0;
    this.#end = options.end ?? buffer.byteLength;
    this.u8 = this.#watch(new Uint8Array(buffer));
    this.u16 = this.#watch(new Uint16Array(buffer, 0, buffer.byteLength >>> 1));
    this.u32 = this.#watch(new Uint32Array(buffer, 0, buffer.byteLength >>> 2));
  }

  /** From now on at most `reads` more. */
  allow(reads: number): void {
    this.readLimit = this.reads + reads;
  }

  willRead(byteOffset: number, sizeBytes: number): void {
    this.#check('read', byteOffset, sizeBytes);
    this.reads++;
    invariant(this.reads <= this.readLimit, 'the work is not bounded: too many reads of shared memory');
    this.rule.beforeRead?.(byteOffset, sizeBytes);
  }

  willWrite(byteOffset: number, sizeBytes: number, value: number): void {
    this.#check('write', byteOffset, sizeBytes);
    this.writes++;
    this.rule.beforeWrite?.(byteOffset, sizeBytes, value);
  }

  #check(what: string, byteOffset: number, sizeBytes: number): void {
    invariant(
      byteOffset >= this.#begin && byteOffset + sizeBytes <= this.#end,
      () =>
        `${what} of ${sizeBytes} bytes at ${byteOffset}, outside of what is shared (${this.#begin} to ${this.#end})`,
    );
  }

  #watch<T extends Elements>(array: T): T {
    const size = array.BYTES_PER_ELEMENT;
    const proxy = new Proxy(array, {
      get: (target, key): unknown => {
        const index = elementIndex(key);
        if (index === -1) {
          const value: unknown = Reflect.get(target, key, target);
          return typeof value === 'function' ? value.bind(target) : value;
        }
        this.willRead(index * size, size);
        return target[index];
      },
      set: (target, key, value: number): boolean => {
        const index = elementIndex(key);
        if (index === -1) return Reflect.set(target, key, value, target);
        this.willWrite(index * size, size, value);
        target[index] = value;
        return true;
      },
    });
    behind.set(proxy, { array, memory: this });
    return proxy;
  }
}

/** -1 for what is no element: a method, `length`. NaN is one: a bad computation must not look like a missing property. */
function elementIndex(key: string | symbol): number {
  if (typeof key === 'symbol') return -1;
  const first = key.charCodeAt(0);
  if ((first >= 48 && first <= 57) || first === 45) return Number(key);
  return key === 'NaN' || key === 'undefined' || key === 'Infinity' ? Number.NaN : -1;
}

/** Puts a watched memory's arrays in the place of a window's own. Before anything that keeps them (queues, devices) is made. */
export function watchWindow(window: MemoryWindow, memory: WatchedMemory): void {
  const writable = window as { u8: Uint8Array; u16: Uint16Array; u32: Uint32Array };
  writable.u8 = memory.u8;
  writable.u16 = memory.u16;
  writable.u32 = memory.u32;
}

/** All windows of an address space that show the memory's buffer. */
export function watchSpace(space: AddressSpace, memory: WatchedMemory): void {
  for (const window of space.windows) if (window.u8.buffer === memory.raw.buffer) watchWindow(window, memory);
}

const LOADING = ['load'] as const;
const STORING = ['store', 'add', 'sub', 'and', 'or', 'xor', 'exchange'] as const;
type AtomicsTable = Record<string, (array: object, index: number, ...rest: number[]) => number>;

/**
 * Lets Atomics work on watched arrays while `work` runs; nests. Synchronous: what a promise does later sees the real ones again.
 * @param onLoad told of each Atomics.load of any array, watched or not, before it happens: the way into code whose arrays cannot
 * be replaced
 */
export function withWatchedAtomics<T>(work: () => T, onLoad?: (array: Elements, index: number) => void): T {
  const table = Atomics as unknown as AtomicsTable;
  const saved: AtomicsTable = {};
  for (const name of [...LOADING, ...STORING, 'compareExchange', 'notify']) {
    const original = table[name] as AtomicsTable[string];
    saved[name] = original;
    const isLoad = (LOADING as readonly string[]).includes(name);
    table[name] = (given, index, ...rest) => {
      const watched = behind.get(given);
      const array = watched?.array ?? (given as Elements);
      const size = array.BYTES_PER_ELEMENT;
      if (isLoad) onLoad?.(array, index);
      if (isLoad) watched?.memory.willRead(index * size, size);
      else watched?.memory.willWrite(index * size, size, rest[0] ?? 0);
      return original.call(Atomics, array, index, ...rest);
    };
  }
  try {
    return work();
  } finally {
    for (const [name, original] of Object.entries(saved)) table[name] = original;
  }
}

const INTERESTING = [0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 255] as const;

/**
 * Every k-th read, something near it (at times anywhere) becomes something else; k, place and value come from the input. When the
 * input is used up the memory stands still, unless its tail is random.
 */
export class ChangingRule implements MemoryRule {
  readonly #bytes: Uint8Array;
  readonly #source: ByteSource;
  readonly #every: number;
  #until: number;
  /** How often something was rewritten. */
  changes = 0;
  readonly #limit: number;

  /** @param bytes the raw bytes, whose offsets are those of the accesses @param limit of changes */
  constructor(bytes: Uint8Array, source: ByteSource, limit = 100_000) {
    this.#bytes = bytes;
    this.#source = source;
    this.#limit = limit;
    this.#every = 1 + source.below(16);
    this.#until = this.#every;
  }

  beforeRead(byteOffset: number, sizeBytes: number): void {
    if (--this.#until > 0) return;
    this.#until = this.#every;
    if (this.changes >= this.#limit) return;
    this.changes++;
    rewrite(this.#bytes, this.#source, byteOffset, sizeBytes);
  }
}

/** Rewrites an element at or near an offset, as the source says. */
export function rewrite(bytes: Uint8Array, source: ByteSource, byteOffset: number, sizeBytes: number): void {
  const choice = source.u8();
  let at = byteOffset;
  if ((choice & 0x0c) === 0x04) at += (source.below(9) - 4) * sizeBytes;
  else if ((choice & 0x0c) === 0x08) at = source.u16() % bytes.length;
  for (let i = 0; i < sizeBytes; i++) {
    const where = at + i;
    if (where < 0 || where >= bytes.length) continue;
    const now = bytes[where] as number;
    if ((choice & 3) === 0) bytes[where] = i === 0 ? now + 1 : now;
    else if ((choice & 3) === 1) bytes[where] = i === 0 ? source.pick(INTERESTING) : 0;
    else if ((choice & 3) === 2) bytes[where] = now ^ (1 << source.below(8));
    else bytes[where] = source.u8();
  }
}

export interface MutatingWorker {
  /** Ends the thread; resolves when it has gone. */
  stop(): Promise<void>;
}

/**
 * A thread that goes on writing random elements into the ranges until it is stopped, resolves when it has begun. NOT
 * deterministic: a find of it may not come again. One whole core is busy meanwhile: keep it short.
 * @param ranges in bytes of the buffer, multiples of 4
 */
export async function startMutatingWorker(
  buffer: SharedArrayBuffer,
  ranges: readonly { readonly begin: number; readonly end: number }[],
  seed: number,
): Promise<MutatingWorker> {
  const control = new Int32Array(new SharedArrayBuffer(8));
  const worker = new Worker(
    `const { buffer, ranges, control, seed } = require('node:worker_threads').workerData;
     const words = new Uint32Array(buffer, 0, buffer.byteLength >>> 2);
     const halves = new Uint16Array(buffer, 0, buffer.byteLength >>> 1);
     let x = (seed | 0) || 1;
     const next = () => { x ^= x << 13; x ^= x >>> 17; x ^= x << 5; return x >>> 0; };
     Atomics.store(control, 1, 1);
     Atomics.notify(control, 1);
     while (Atomics.load(control, 0) === 0) {
       for (let i = 0; i < 64; i++) {
         const { begin, end } = ranges[next() % ranges.length];
         const at = begin + (next() % Math.max(1, end - begin));
         const value = next();
         switch (value & 3) {
           case 0: words[at >>> 2] = value >>> 8; break;
           case 1: halves[at >>> 1] = (value >>> 8) & 15; break;
           case 2: halves[at >>> 1]++; break;
           default: words[at >>> 2] ^= 1 << (value >>> 27);
         }
       }
     }`,
    { eval: true, workerData: { buffer, ranges, control, seed } },
  );
  const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  while (Atomics.load(control, 1) === 0) await new Promise((resolve) => setImmediate(resolve));
  return {
    stop: async () => {
      Atomics.store(control, 0, 1);
      await exited;
    },
  };
}
