import { BufferMemory } from '../../../src/coprocessor/buffer-memory.ts';
import { CoprocessorError } from '../../../src/coprocessor/coprocessor-error.ts';
import { DeviceMemory } from '../../../src/coprocessor/device-memory.ts';
import type { Doorbell } from '../../../src/coprocessor/doorbell.ts';
import { locateTable, readTable } from '../../../src/coprocessor/table-source.ts';
import type { RemoteprocVdev } from '../../../src/coprocessor/vdev.ts';
import { bind, findVdev, refuseDriven } from '../../../src/coprocessor/vdev-binding.ts';
import { VDEV_STATUS } from '../../../src/coprocessor/vdev-status.ts';
import {
  CARVEOUT_OFFSET,
  encodeResourceTable,
  FW_RSC_ADDR_ANY,
  type LocatedVdev,
  type ResourceEntry,
  type ResourceTable,
  VDEV_OFFSET,
  VDEV_VRING_OFFSET,
} from '../../../src/wire/resource-table.ts';
import { vringLayout } from '../../../src/wire/vring.ts';
import { ByteSource } from '../byte-source.ts';
import { ChangingRule, WatchedMemory, watchSpace, withWatchedAtomics } from '../changing-memory.ts';
import { type FuzzTarget, invariant } from '../target.ts';

const BASE = 0x2000_0000;
const SIZE = 0x4000;
/** A second region, without a table: reserved for vrings and buffers. */
const SHARED_BASE = 0x3000_0000;
const SHARED_SIZE = 0x2000;
const GPIO = 41;
const TABLE_BYTES = 0x800;
const MAX_NOTIFY_ID = 255;

interface Range {
  readonly begin: number;
  readonly end: number;
}

/** The co-processor's memory, and where in it we wrote. */
class Board {
  readonly watched: WatchedMemory[] = [];
  readonly memory: DeviceMemory;
  readonly rung: number[] = [];
  /** Device addresses that were written, as ranges that grow. */
  readonly written: Range[] = [];
  readonly doorbell: Doorbell = {
    ring: (notifyId) => {
      this.rung.push(notifyId);
    },
    open: () => {},
    inheritedFds: [],
    isPolled: false,
    maxNotifyId: MAX_NOTIFY_ID,
    close: () => {},
  };

  constructor(table: Uint8Array, hasShared: boolean) {
    const regions = [{ deviceAddress: BASE, sizeBytes: SIZE }];
    if (hasShared) regions.push({ deviceAddress: SHARED_BASE, sizeBytes: SHARED_SIZE });
    this.memory = new DeviceMemory(
      regions.map(({ deviceAddress, sizeBytes }) => {
        const buffer = new ArrayBuffer(sizeBytes);
        if (deviceAddress === BASE) new Uint8Array(buffer).set(table.subarray(0, TABLE_BYTES));
        this.watched.push(new WatchedMemory(buffer));
        return { deviceAddress, sizeBytes, buffer, byteOffset: 0, fd: -1, close: () => {} };
      }),
    );
    for (const memory of this.watched) watchSpace(this.memory.space, memory);
  }

  /** From here on writes are kept in mind, and the memory changes while it is read. */
  change(source: ByteSource, limit: number): void {
    for (const [index, memory] of this.watched.entries()) {
      const base = index === 0 ? BASE : SHARED_BASE;
      const changing = new ChangingRule(memory.raw, source, limit);
      memory.allow(2_000_000);
      memory.rule = {
        beforeRead: (offset, size) => changing.beforeRead(offset, size),
        beforeWrite: (offset, size) => this.#wrote(base + offset, size),
      };
    }
  }

  #wrote(begin: number, sizeBytes: number): void {
    const last = this.written.at(-1);
    if (last !== undefined && last.end === begin)
      this.written[this.written.length - 1] = { begin: last.begin, end: begin + sizeBytes };
    else this.written.push({ begin, end: begin + sizeBytes });
  }
}

/** What a binding may write, by the private copy of the table. */
function allowedRanges(table: ResourceTable, vdev: LocatedVdev): Range[] {
  const entry = BASE + vdev.offset;
  const word = (address: number): Range => ({ begin: address, end: address + 4 });
  return [
    { begin: entry + VDEV_OFFSET.STATUS, end: entry + VDEV_OFFSET.STATUS + 1 },
    word(entry + VDEV_OFFSET.GFEATURES),
    ...vdev.vrings.map((vring) => word(BASE + vring.offset + VDEV_VRING_OFFSET.DA)),
    ...table.entries
      .filter((other) => other.kind === 'carveout')
      .map((other) => word(BASE + other.offset + CARVEOUT_OFFSET.DA)),
  ];
}

function isInside(range: Range, ranges: readonly Range[]): boolean {
  return ranges.some(({ begin, end }) => range.begin >= begin && range.end <= end);
}

/** All that was written in the table's range is what a driver writes there. */
function checkWrites(board: Board, table: ResourceTable, vdev: LocatedVdev): void {
  const allowed = allowedRanges(table, vdev);
  const end = BASE + table.sizeBytes;
  for (const range of board.written) {
    if (range.begin >= end || range.end <= BASE) continue;
    invariant(
      isInside(range, allowed),
      () => `wrote 0x${range.begin.toString(16)} to 0x${range.end.toString(16)}, in the table`,
    );
  }
}

/** The rings lie apart from each other, and from what is ours to allocate. */
function checkPlaces(board: Board, bound: RemoteprocVdev, vdev: LocatedVdev, table: ResourceTable): void {
  const rings = vdev.vrings.map((vring, index): Range => {
    const sizeBytes = vringLayout(vring.num, vring.align).sizeBytes;
    const isChosen = vring.da === FW_RSC_ADDR_ANY;
    // Written back in place: read where the firmware reads it, which nobody changes any more.
    const view = board.watched[0]!.view;
    const begin = isChosen ? view.getUint32(vring.offset + VDEV_VRING_OFFSET.DA, true) : vring.da;
    invariant(board.memory.has(begin, sizeBytes), () => `vring ${index} is outside of the memory`);
    return { begin, end: begin + sizeBytes };
  });
  const tableRange = { begin: BASE, end: BASE + table.sizeBytes };
  for (const [index, ring] of rings.entries()) {
    for (const other of [tableRange, ...rings.slice(0, index)])
      invariant(
        ring.begin >= other.end || other.begin >= ring.end,
        () => `vring ${index} lies over another, or over the table`,
      );
  }
  const { buffers } = bound;
  const buffer = allocated(() => buffers.allocate(64, 16, 'buffers'));
  if (buffer === null) return;
  invariant(board.memory.has(buffer, 64), 'buffers outside of the memory');
  for (const ring of [...rings, tableRange])
    invariant(buffer >= ring.end || buffer + 64 <= ring.begin, 'buffers lie over a vring, or over the table');
}

function allocated(allocate: () => number): number | null {
  try {
    return allocate();
  } catch (error) {
    if (error instanceof CoprocessorError) return null;
    throw error;
  }
}

function attack(source: ByteSource, table: Uint8Array): string {
  const board = new Board(table, source.below(2) === 1);
  const { memory, doorbell } = board;
  const location = locateTable({ deviceAddress: BASE }, memory);
  const isChanging = source.below(3) > 0;
  board.change(source, isChanging ? 300 : 0);
  const decoded = readTable(location, memory);
  const index = source.below(2);
  const vdev = findVdev(decoded, index, GPIO);
  const statusOffset = vdev.offset + VDEV_OFFSET.STATUS;
  refuseDriven(memory.readU8(BASE + statusOffset), index);
  const failures: string[] = [];
  let closes = 0;
  let bound: RemoteprocVdev;
  try {
    bound = bind(vdev, index, 0x2001_0001, {
      memory,
      buffers: new BufferMemory(memory, BASE),
      doorbell,
      table: decoded,
      tableAddress: BASE,
      onFail: (reason) => failures.push(reason),
      onClose: () => closes++,
    });
  } catch (error) {
    checkWrites(board, decoded, vdev);
    invariant(
      board.watched[0]!.raw[statusOffset] ===
        (VDEV_STATUS.ACKNOWLEDGE | VDEV_STATUS.DRIVER | VDEV_STATUS.FAILED),
      'a binding that failed does not say so',
    );
    throw error;
  }
  for (const watched of board.watched) watched.rule = {};
  checkWrites(board, decoded, vdev);
  if (!isChanging) checkPlaces(board, bound, vdev, decoded);
  for (const id of board.rung) invariant(id <= MAX_NOTIFY_ID, () => `rang ${id}`);
  board.change(source, isChanging ? 300 : 0);
  const lost: string[] = [];
  bound.onLost((reason) => lost.push(reason));
  bound.onCall(() => {});
  bound.driverOk();
  for (let i = 0; i < 10 && source.remaining > 0; i++) {
    const config = bound.readConfig();
    invariant(config.length === vdev.config.length, 'a config space of another size');
    if (source.below(4) === 0) bound.fail('given up');
    bound.called();
  }
  bound.close();
  bound.close();
  checkWrites(board, decoded, vdev);
  invariant(lost.length <= 1 && closes === 1 && failures.length <= 1, 'told more than once');
  return `bound ${vdev.vrings.length} ${lost.map((reason) => reason.replaceAll(/0x[0-9a-f]+|\d+/g, 'N')).join()} ${failures.length}`;
}

function vdevEntry(das: readonly number[]): ResourceEntry {
  return {
    kind: 'vdev',
    id: GPIO,
    notifyid: 0,
    dfeatures: 0x2001_0001,
    gfeatures: 0,
    status: 0,
    vrings: das.map((da, index) => ({ da, align: 64, num: 16, notifyid: index + 1, pa: 0 })),
    config: Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0),
  };
}

function carveout(name: string, da: number, len: number): ResourceEntry {
  return { kind: 'carveout', da, pa: FW_RSC_ADDR_ANY, len, flags: 0, name };
}

/** Before the table, what the rest of the input decides by. */
function seed(entries: readonly ResourceEntry[], decisions: readonly number[]): Uint8Array {
  const into = new Uint8Array(0x400);
  const sizeBytes = encodeResourceTable(entries, into);
  return Uint8Array.from([sizeBytes & 0xff, sizeBytes >> 8, ...into.subarray(0, sizeBytes), ...decisions]);
}

const ANY = FW_RSC_ADDR_ANY;
const BUFFER = carveout('vdev0buffer', BASE + 0x1000, 0x1000);

export const vdev: FuzzTarget = {
  name: 'vdev',
  what: 'a vdev of any resource table, which changes: rings in the memory and apart, nothing else of the table is written',
  seeds: () => [
    seed([BUFFER, vdevEntry([ANY, ANY])], [0, 0, 0, 1, 1, 1]),
    seed(
      [BUFFER, vdevEntry([BASE + 0x2000, BASE + 0x3000])],
      [0, 1, 3, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    ),
    seed([vdevEntry([ANY, ANY])], [1, 0, 0, 1, 1, 1]),
    seed([carveout('vdev0buffer', ANY, 0x800), vdevEntry([ANY, BASE + 0x2000])], [1, 0, 0]),
    seed(
      [
        BUFFER,
        carveout('vdev0vring0', BASE + 0x2000, 0x800),
        carveout('vdev0vring1', BASE + 0x2800, 0x800),
        vdevEntry([ANY, ANY]),
      ],
      [0, 0, 0],
    ),
    // Places by name that are taken: by the table, by each other, by a vring with an address.
    seed([BUFFER, carveout('vdev0vring0', BASE, 0x800), vdevEntry([ANY, ANY])], [0, 0, 0]),
    seed(
      [
        BUFFER,
        carveout('vdev0vring0', BASE + 0x2000, 0x800),
        carveout('vdev0vring1', BASE + 0x2040, 0x800),
        vdevEntry([ANY, ANY]),
      ],
      [0, 0, 0],
    ),
    seed([BUFFER, carveout('vdev0vring1', BASE + 0x2000, 0x800), vdevEntry([BASE + 0x2000, ANY])], [0, 0, 0]),
  ],
  run: (input) => {
    const source = new ByteSource(input);
    const table = source.bytes(source.u16() % TABLE_BYTES);
    try {
      return withWatchedAtomics(() => attack(source, table));
    } catch (error) {
      if (!(error instanceof CoprocessorError)) throw error;
      return `${error.code} ${error.message.replaceAll(/0x[0-9a-f]+|\d+|"[^"]*"/g, 'N').slice(0, 100)}`;
    }
  },
};
