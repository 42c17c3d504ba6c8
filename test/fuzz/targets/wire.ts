/** Every decoder of src/wire that takes bytes. What decodes must mean the same after it was encoded and decoded again. */
import { isDeepStrictEqual } from 'node:util';
import * as draft from '../../../src/wire/draft-2021-gpio.ts';
import * as elf from '../../../src/wire/elf.ts';
import * as eventStream from '../../../src/wire/event-stream.ts';
import * as uapi from '../../../src/wire/gpio-uapi.ts';
import * as metux from '../../../src/wire/metux-gpio.ts';
import * as table from '../../../src/wire/resource-table.ts';
import * as rpmsg from '../../../src/wire/rpmsg.ts';
import * as rpmsgGpio from '../../../src/wire/rpmsg-gpio.ts';
import * as rpmsgUapi from '../../../src/wire/rpmsg-uapi.ts';
import * as srtm from '../../../src/wire/srtm-gpio.ts';
import * as vhost from '../../../src/wire/vhost-user.ts';
import * as virtio from '../../../src/wire/virtio-gpio.ts';
import { WireError } from '../../../src/wire/wire-error.ts';
import { elfImage } from '../../wire/elf-image.ts';
import { type FuzzTarget, invariant } from '../target.ts';
import { sampleTables } from './sample-tables.ts';

/** One decoder, the encoder that belongs to it, and valid bytes. */
interface Codec {
  readonly name: string;
  readonly decode: (bytes: Uint8Array) => unknown;
  /** null = there is none, or it does not say all that the bytes said. */
  readonly encode: ((value: never) => Uint8Array) | null;
  readonly samples: readonly Uint8Array[];
  /** What else must hold of what was decoded. */
  readonly check?: (value: never, bytes: Uint8Array) => void;
}

/** A peer's bytes are repeated in messages that are logged: not by the megabyte. */
const LONGEST_MESSAGE = 400;

/** @returns a short name for the refusal, without the numbers that vary */
export function refusal(error: unknown, sizeBytes: number): string {
  if (!(error instanceof WireError)) throw error;
  const { code, field, offset, message } = error;
  invariant(code === 'ERR_WIRE', `code ${code}`);
  invariant(
    Number.isInteger(offset) && offset >= 0 && offset <= Math.max(sizeBytes, 4096),
    `offset ${offset} of ${sizeBytes} bytes`,
  );
  invariant(message.length <= LONGEST_MESSAGE, `a message of ${message.length} characters`);
  return `refused ${field.replace(/\d+/g, '#')} ${(error.expected ?? '').replace(/\d+/g, '#')}`;
}

function encoded(into: (bytes: Uint8Array) => void, sizeBytes: number): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  into(bytes);
  return bytes;
}

function roundTrip(codec: Codec, value: unknown): string {
  if (codec.encode === null) return 'decoded';
  let bytes: Uint8Array;
  try {
    bytes = codec.encode(value as never);
  } catch (error) {
    // What was taken leniently (a name in another encoding, twice the same name) may not be what we write.
    return `decoded, encoding ${refusal(error, 0)}`;
  }
  const again = codec.decode(bytes);
  invariant(
    isDeepStrictEqual(again, value),
    () => `${codec.name}: not the same after encoding: ${show(value)} became ${show(again)}`,
  );
  invariant(
    isDeepStrictEqual(codec.encode(again as never), bytes),
    `${codec.name}: encoded twice, differently`,
  );
  return 'decoded and encoded';
}

function show(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => (typeof item === 'bigint' ? `${item}n` : item));
}

function concat(first: number, bytes: Uint8Array): Uint8Array {
  return Uint8Array.from([first, ...bytes]);
}

/** The first byte of an input chooses the decoder. */
function wireTarget(name: string, what: string, codecs: readonly Codec[]): FuzzTarget {
  return {
    name: `wire-${name}`,
    what: `${what}: any bytes decode or throw WireError`,
    seeds: () => codecs.flatMap(({ samples }, index) => samples.map((sample) => concat(index, sample))),
    run: (input) => {
      const codec = codecs[(input[0] ?? 0) % codecs.length] as Codec;
      // Not at the start of its buffer, as most views are not.
      const bytes = input.subarray(1);
      const before = bytes.slice();
      let value: unknown;
      try {
        value = codec.decode(bytes);
      } catch (error) {
        return `${codec.name}: ${refusal(error, bytes.length)}`;
      }
      invariant(isDeepStrictEqual(before, bytes.slice()), `${codec.name}: the decoder wrote to its input`);
      codec.check?.(value as never, bytes);
      return `${codec.name}: ${roundTrip(codec, value)}`;
    },
  };
}

const memoryRegion = {
  guestPhysicalAddress: 0x4000_0000n,
  sizeBytes: 0x1000n,
  userAddress: 0x7f00_0000_0000n,
  mmapOffset: 0n,
};

function encodedRegions(regions: readonly vhost.MemoryRegion[]): Uint8Array {
  return encoded((into) => vhost.encodeMemoryTable(regions, into), vhost.memoryTableSize(regions.length));
}

/** A codec of which the encoder writes into given bytes. */
function sized<T>(
  name: string,
  sizeBytes: number,
  decode: (bytes: Uint8Array) => T,
  encode: (value: T, into: Uint8Array) => void,
  samples: readonly T[],
): Codec {
  const whole = (value: T): Uint8Array => encoded((into) => encode(value, into), sizeBytes);
  return { name, decode, encode: whole as (value: never) => Uint8Array, samples: samples.map(whole) };
}

/** A codec of which the encoder makes the bytes. */
function plain<T>(
  name: string,
  decode: (bytes: Uint8Array) => T,
  encode: (value: T) => Uint8Array,
  samples: readonly T[],
): Codec {
  return {
    name,
    decode,
    encode: encode as (value: never) => Uint8Array,
    samples: samples.map((value) => encode(value)),
  };
}

const { PAYLOAD_SIZE } = vhost;

export const wireVhostUser = wireTarget('vhost-user', 'messages of vhost-user', [
  sized('header', vhost.HEADER_SIZE, vhost.decodeHeader, vhost.encodeHeader, [
    { request: 1, flags: 1, size: 0 },
    { request: 5, flags: 9, size: 40 },
  ]),
  sized('u64', PAYLOAD_SIZE.U64, vhost.decodeU64, vhost.encodeU64, [0n, 1n << 63n]),
  sized('vring-state', PAYLOAD_SIZE.VRING_STATE, vhost.decodeVringState, vhost.encodeVringState, [
    { index: 1, num: 256 },
  ]),
  sized('vring-descriptor', PAYLOAD_SIZE.U64, vhost.decodeVringDescriptor, vhost.encodeVringDescriptor, [
    { index: 1, hasDescriptor: true },
    { index: 0, hasDescriptor: false },
  ]),
  sized('vring-address', PAYLOAD_SIZE.VRING_ADDRESS, vhost.decodeVringAddress, vhost.encodeVringAddress, [
    { index: 0, flags: 0, descriptor: 0x1000n, used: 0x3000n, available: 0x2000n, log: 0n },
  ]),
  {
    name: 'memory-table',
    decode: vhost.decodeMemoryTable,
    encode: encodedRegions,
    samples: [
      encodedRegions([memoryRegion]),
      encodedRegions([memoryRegion, { ...memoryRegion, guestPhysicalAddress: 0x8000_0000n }]),
    ],
    check: (regions: readonly vhost.MemoryRegion[]) => {
      for (const { guestPhysicalAddress, sizeBytes, userAddress, mmapOffset } of regions) {
        invariant(sizeBytes > 0n, 'a region without a size');
        for (const begin of [guestPhysicalAddress, userAddress, mmapOffset])
          invariant(begin + sizeBytes <= 1n << 64n, 'a region that wraps around');
      }
    },
  },
  sized(
    'memory-region',
    PAYLOAD_SIZE.SINGLE_MEMORY_REGION,
    vhost.decodeSingleMemoryRegion,
    vhost.encodeSingleMemoryRegion,
    [memoryRegion],
  ),
  plain(
    'config',
    vhost.decodeConfig,
    (config) =>
      encoded((into) => vhost.encodeConfig(config, into), PAYLOAD_SIZE.CONFIG + config.bytes.length),
    [{ offset: 0, flags: 0, bytes: new Uint8Array(8) }],
  ),
  sized('inflight', PAYLOAD_SIZE.INFLIGHT, vhost.decodeInflight, vhost.encodeInflight, [
    { mmapSizeBytes: 4096n, mmapOffset: 0n, queues: 2, queueSize: 64 },
  ]),
]);

export const wireResourceTable = wireTarget('resource-table', 'resource tables of firmware', [
  {
    name: 'table',
    decode: (bytes) => {
      const { entries } = table.decodeResourceTable(bytes);
      return entries.map(withoutPlace);
    },
    encode: (entries: readonly table.ResourceEntry[]) => {
      const { length } = entries.flatMap((entry) => (entry.kind === 'vdev' ? entry.vrings : []));
      const into = new Uint8Array(
        0x100 + entries.length * (0x80 + table.MAX_CONFIG_LEN) + length * table.VDEV_VRING_SIZE,
      );
      return into.slice(0, table.encodeResourceTable(entries, into));
    },
    samples: sampleTables(),
    check: (_entries: never, bytes) => {
      const { entries, sizeBytes } = table.decodeResourceTable(bytes);
      invariant(sizeBytes <= bytes.length, `a table of ${sizeBytes} bytes in ${bytes.length}`);
      for (const entry of entries) {
        invariant(entry.offset + 4 <= bytes.length, 'an entry outside of the table');
        if (entry.kind !== 'vdev') continue;
        invariant(entry.offset % 4 === 0, 'a vdev that is not aligned');
        invariant(entry.configOffset + entry.config.length <= bytes.length, 'a config space outside');
      }
    },
  },
]);

/** What the encoder takes: it places entries itself. */
function withoutPlace(entry: table.LocatedEntry): table.ResourceEntry {
  const { offset: _offset, ...rest } = entry;
  if (rest.kind !== 'vdev') return rest;
  const { configOffset: _configOffset, vrings, ...vdev } = rest as table.LocatedVdev;
  return { ...vdev, vrings: vrings.map(({ offset: _at, ...vring }) => vring) };
}

export const wireElf = wireTarget('elf', 'ELF files', [
  {
    name: 'elf',
    decode: elf.decodeElf,
    encode: null,
    samples: ([32, 64] as const).map((bits) =>
      elfImage(bits, 183, [
        { name: '.text', address: 0x1000, content: new Uint8Array(16) },
        { name: elf.RESOURCE_TABLE_SECTION, address: 0x2000, content: new Uint8Array(32) },
      ]),
    ),
    check: (file: elf.Elf, bytes) => {
      for (const section of file.sections) {
        const { length } = elf.sectionBytes(bytes, section);
        const isInFile = section.type !== elf.SHT.NOBITS && section.type !== elf.SHT.NULL;
        invariant(!isInFile || length === section.sizeBytes, 'a section that reaches beyond the file');
      }
      for (const { offset, fileSizeBytes } of file.segments)
        invariant(offset + fileSizeBytes <= bytes.length, 'a segment that reaches beyond the file');
      elf.findSection(file, elf.RESOURCE_TABLE_SECTION);
    },
  },
]);

export const wireGpioUapi = wireTarget('gpio-uapi', "structures of the kernel's GPIO and rpmsg devices", [
  plain('chip-info', uapi.decodeChipInfo, uapi.encodeChipInfo, [
    { name: 'gpiochip0', label: 'pinctrl', lines: 54 },
  ]),
  plain('line-config', uapi.decodeLineConfig, uapi.encodeLineConfig, [
    { flags: 8n, attributes: [{ id: 2, value: 1n, mask: 3n }] },
  ]),
  plain('line-request', uapi.decodeLineRequest, uapi.encodeLineRequest, [
    { offsets: [1, 2], consumer: 'me', config: { flags: 4n, attributes: [] }, eventBufferSize: 16, fd: 7 },
  ]),
  plain('line-info', uapi.decodeLineInfo, uapi.encodeLineInfo, [
    { name: 'led', consumer: 'you', offset: 3, flags: 9n, attributes: [{ id: 3, value: 1000n }] },
  ]),
  plain('line-values', uapi.decodeLineValues, uapi.encodeLineValues, [{ bits: 1n, mask: 3n }]),
  plain('line-event', uapi.decodeLineEvent, uapi.encodeLineEvent, [
    { timestampNs: 123456789n, id: 1, offset: 3, seqno: 7, lineSeqno: 2 },
  ]),
  plain('endpoint-info', rpmsgUapi.decodeEndpointInfo, rpmsgUapi.encodeEndpointInfo, [
    { name: 'rpmsg-io', src: 0xffff_ffff, dst: 1024 },
  ]),
]);

const names = virtio.encodeNames(['led', '', 'button']);

export const wireVirtioGpio = wireTarget('virtio-gpio', 'virtio-gpio, its event stream, draft and metux', [
  plain('config', virtio.decodeConfig, virtio.encodeConfig, [{ lineCount: 32, namesSize: 100 }]),
  {
    name: 'names',
    decode: (bytes) => virtio.decodeNames(bytes.subarray(1), bytes[0] ?? 0),
    encode: (list: readonly string[]) => {
      // A block without any name is none at all.
      const block = list.every((name) => name === '')
        ? new Uint8Array(list.length)
        : virtio.encodeNames(list);
      return concat(list.length, block);
    },
    samples: [concat(3, names), concat(0, new Uint8Array(0)), concat(1, new Uint8Array(1000).fill(0x61))],
  },
  plain('event-record', eventStream.decodeEventRecord, eventStream.encodeEventRecord, [
    { line: 3, level: 1, dropped: true, seq: 17, timestampNs: 99n },
  ]),
  {
    name: 'draft-config',
    decode: draft.decodeDraftConfig,
    encode: null,
    samples: [draft.encodeDraftConfig('hub', ['led', '', 'button'])],
    check: ({ name }: draft.DraftConfig) => invariant(name.length <= 32, `a name of ${name.length}`),
  },
  {
    name: 'metux-config',
    decode: (bytes) => {
      const config = metux.decodeMetuxConfig(bytes);
      return { name: config.name.slice(0, 31), list: metux.decodeMetuxNames(bytes, config) };
    },
    encode: ({ name, list }: { name: string; list: readonly string[] }) =>
      metux.encodeMetuxConfig(name, list.length, virtio.encodeNames(list)),
    samples: [metux.encodeMetuxConfig('hub', 3, names), metux.encodeMetuxConfig('', 1, new Uint8Array(0))],
    check: (_value: never, bytes) => invariant(metux.isMetuxConfig(bytes), 'decoded, but not recognized'),
  },
  plain('metux-message', metux.decodeMetuxMessage, metux.encodeMetuxMessage, [
    { type: 0x8005, line: 3, value: -22 },
  ]),
]);

const payload = new Uint8Array(6);

export const wireRpmsg = wireTarget('rpmsg', 'rpmsg, SRTM and the proposed rpmsg GPIO', [
  plain(
    'header',
    rpmsg.decodeHeader,
    (header) => encoded((into) => rpmsg.encodeHeader(header, into), rpmsg.HEADER_SIZE + header.length),
    [{ source: 1024, destination: 53, length: payload.length, flags: 0 }],
  ),
  plain('announcement', rpmsg.decodeAnnouncement, rpmsg.encodeAnnouncement, [
    { name: 'rpmsg-io-channel', address: 1024, destroyed: false },
    { name: 'rpmsg-io-0', address: 30, destroyed: true },
  ]),
  plain('packet', rpmsgGpio.decodePacket, rpmsgGpio.encodePacket, [
    { type: 1, command: 4, port: 0, line: 3, data: [0, 1] },
  ]),
  plain('request', rpmsgGpio.decodeRequest, rpmsgGpio.encodeRequest, [{ type: 5, line: 2, value: 1 }]),
  ...(['v14', 'kind0'] as const).map((layout) =>
    plain<rpmsgGpio.RpmsgGpioReport>(
      `report-${layout}`,
      (bytes) => rpmsgGpio.decodeReport(bytes, layout),
      (report: rpmsgGpio.RpmsgGpioReport) => rpmsgGpio.encodeReport(report, layout),
      [
        { kind: 'reply', status: 0, value: 1 },
        { kind: 'notification', line: 5, trigger: 0 },
      ],
    ),
  ),
  plain('srtm', srtm.decodeSrtmMessage, srtm.encodeSrtmMessage, [
    { type: 0, command: 1, port: 2, pin: 3, argument: 1, wakeup: true },
    { type: 1, command: 2, port: 2, pin: 3, returnCode: 0, value: 1 },
    { type: 2, command: 0, port: 9, pin: 31 },
  ]),
]);

export const WIRE_TARGETS: readonly FuzzTarget[] = [
  wireVhostUser,
  wireResourceTable,
  wireElf,
  wireGpioUapi,
  wireVirtioGpio,
  wireRpmsg,
];
