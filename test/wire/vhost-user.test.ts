import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as wire from '../../src/wire/vhost-user.ts';
import { WireError } from '../../src/wire/wire-error.ts';

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));

function encoded<T>(sizeBytes: number, encode: (value: T, into: Uint8Array) => void, value: T): Uint8Array {
  const into = new Uint8Array(sizeBytes).fill(0xee);
  encode(value, into);
  return into;
}

function wireErrorOf(decode: () => unknown): WireError {
  try {
    decode();
  } catch (error) {
    expect(error).toBeInstanceOf(WireError);
    return error as WireError;
  }
  throw new Error('nothing was thrown');
}

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const u16 = fc.integer({ min: 0, max: 0xffff });
const u64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const half = fc.bigInt({ min: 0n, max: 1n << 63n });
const region = fc.record<wire.MemoryRegion>({
  guestPhysicalAddress: half,
  sizeBytes: fc.bigInt({ min: 1n, max: 1n << 63n }),
  userAddress: half,
  mmapOffset: half,
});
const REGION: wire.MemoryRegion = {
  guestPhysicalAddress: 0x4000_0000n,
  sizeBytes: 0x10_0000n,
  userAddress: 0x7f12_3456_7000n,
  mmapOffset: 0x1000n,
};
const REGION_HEX = '00000040 00000000 00001000 00000000 00705634 127f0000 00100000 00000000';

describe('vhost-user header', () => {
  // QEMU's GET_CONFIG for virtio-gpio: 12 bytes and 8 of config space.
  const bytes = hex('18000000 09000000 14000000');
  const header = { request: wire.REQUEST.GET_CONFIG, flags: 9, size: 20 };

  it('decodes and encodes golden bytes', () => {
    expect(wire.decodeHeader(bytes)).toEqual(header);
    expect(encoded(wire.HEADER_SIZE, wire.encodeHeader, header)).toEqual(bytes);
    expect(header.flags & wire.HEADER_FLAG.NEED_REPLY).not.toBe(0);
    expect(header.flags & wire.HEADER_FLAG.REPLY).toBe(0);
  });

  it('makes a whole message with the version in it', () => {
    expect(wire.encodeMessage(wire.REQUEST.SET_OWNER, 0, new Uint8Array())).toEqual(
      hex('03000000 01000000 00000000'),
    );
    expect(
      wire.encodeMessage(wire.BACKEND_REQUEST.CONFIG_CHANGE, wire.HEADER_FLAG.NEED_REPLY, hex('aabb')),
    ).toEqual(hex('02000000 09000000 02000000 aabb'));
  });

  it.each([
    ['00000000', 0],
    ['02000000', 2],
    ['03000000', 3],
  ])('refuses version bits %s', (flags, value) => {
    const error = wireErrorOf(() => wire.decodeHeader(hex(`01000000 ${flags} 00000000`)));
    expect(error).toMatchObject({ code: 'ERR_WIRE', field: 'header.flags', offset: 4, value });
  });

  it('takes a payload of the limit and refuses one byte more', () => {
    expect(wire.decodeHeader(hex('01000000 01000000 00100000')).size).toBe(4096);
    const error = wireErrorOf(() => wire.decodeHeader(hex('01000000 01000000 01100000')));
    expect(error).toMatchObject({ field: 'header.size', offset: 8, value: 4097 });
  });

  it('leaves an unknown request to the caller', () => {
    expect(wire.decodeHeader(hex('ffffffff 01000000 00000000')).request).toBe(0xffff_ffff);
  });
});

describe('vhost-user payloads: golden bytes', () => {
  it('u64: features with PROTOCOL_FEATURES (30) and VERSION_1 (32)', () => {
    const bytes = hex('01000040 01000000');
    expect(wire.decodeU64(bytes)).toBe(wire.F_PROTOCOL_FEATURES | (1n << 32n) | 1n);
    expect(encoded(8, wire.encodeU64, 0x1_4000_0001n)).toEqual(bytes);
  });

  it('protocol feature bits are the numbers of the specification', () => {
    const bit = (mask: bigint): number => mask.toString(2).length - 1;
    const bits = Object.fromEntries(
      Object.entries(wire.PROTOCOL_FEATURE).map(([name, mask]) => [name, bit(mask)]),
    );
    expect(bits).toMatchObject({ MQ: 0, REPLY_ACK: 3, BACKEND_REQ: 5, CONFIG: 9, INFLIGHT_SHMFD: 12 });
    expect(bits).toMatchObject({
      RESET_DEVICE: 13,
      INBAND_NOTIFICATIONS: 14,
      CONFIGURE_MEM_SLOTS: 15,
      STATUS: 16,
    });
  });

  it('vring state', () => {
    const bytes = hex('01000000 00040000');
    expect(wire.decodeVringState(bytes)).toEqual({ index: 1, num: 1024 });
    expect(encoded(8, wire.encodeVringState, { index: 1, num: 1024 })).toEqual(bytes);
  });

  it.each([
    ['01000000 00000000', { index: 1, hasDescriptor: true }],
    ['00010000 00000000', { index: 0, hasDescriptor: false }],
    ['ff010000 00000000', { index: 255, hasDescriptor: false }],
  ])('vring descriptor %s', (text, vring) => {
    expect(wire.decodeVringDescriptor(hex(text))).toEqual(vring);
    expect(encoded(8, wire.encodeVringDescriptor, vring)).toEqual(hex(text));
  });

  it('vring descriptor refuses bits that have no meaning', () => {
    expect(wireErrorOf(() => wire.decodeVringDescriptor(hex('00020000 00000000'))).value).toBe(0x200n);
    expect(wireErrorOf(() => wire.decodeVringDescriptor(hex('00000000 01000000'))).offset).toBe(0);
  });

  it('vring address: descriptor, used, available, log, in this order', () => {
    const bytes = hex(`
      01000000 00000000 0010 0000 0100 0000 0020 0000 0100 0000
      0030 0000 0100 0000 ffffffff ffffffff`);
    const address = {
      index: 1,
      flags: 0,
      descriptor: 0x1_0000_1000n,
      used: 0x1_0000_2000n,
      available: 0x1_0000_3000n,
      log: 0xffff_ffff_ffff_ffffn,
    };
    expect(wire.decodeVringAddress(bytes)).toEqual(address);
    expect(encoded(40, wire.encodeVringAddress, address)).toEqual(bytes);
  });

  it('memory table', () => {
    const bytes = hex(`01000000 00000000 ${REGION_HEX}`);
    expect(wire.decodeMemoryTable(bytes)).toEqual([REGION]);
    expect(encoded(wire.memoryTableSize(1), wire.encodeMemoryTable, [REGION])).toEqual(bytes);
  });

  it('memory table of one region in the 72 bytes that User-Mode Linux sends', () => {
    const bytes = new Uint8Array(72);
    bytes.set(hex(`01000000 00000000 ${REGION_HEX}`));
    expect(wire.decodeMemoryTable(bytes)).toEqual([REGION]);
  });

  it('single memory region', () => {
    const bytes = hex(`00000000 00000000 ${REGION_HEX}`);
    expect(wire.decodeSingleMemoryRegion(bytes)).toEqual(REGION);
    expect(encoded(40, wire.encodeSingleMemoryRegion, REGION)).toEqual(bytes);
  });

  it('config, of which the size field rules, not the message', () => {
    const bytes = hex('02000000 02000000 01000000 aabb');
    const config = { offset: 2, flags: wire.CONFIG_FLAG.MIGRATION, bytes: hex('aabb') };
    expect(wire.decodeConfig(bytes)).toEqual(config);
    expect(wire.decodeConfig(hex('02000000 02000000 01000000 aabbccdd'))).toEqual(config);
    expect(encoded(14, wire.encodeConfig, config)).toEqual(bytes);
  });

  it('in-flight description with and without the trailing padding', () => {
    const bytes = hex('00200000 00000000 00000000 00000000 0200 0001 00000000');
    const inflight = { mmapSizeBytes: 8192n, mmapOffset: 0n, queues: 2, queueSize: 256 };
    expect(wire.decodeInflight(bytes)).toEqual(inflight);
    expect(wire.decodeInflight(bytes.subarray(0, 20))).toEqual(inflight);
    expect(encoded(24, wire.encodeInflight, inflight)).toEqual(bytes);
  });
});

describe('vhost-user payloads: refusals', () => {
  it.each([0, 9, 0xffff_ffff])('a memory table of %i regions', (count) => {
    const bytes = new Uint8Array(wire.memoryTableSize(9));
    new DataView(bytes.buffer).setUint32(0, count, true);
    expect(wireErrorOf(() => wire.decodeMemoryTable(bytes))).toMatchObject({
      field: 'memory table.num_regions',
      value: count,
    });
  });

  it('a memory table that is shorter than its regions', () => {
    const bytes = hex(`02000000 00000000 ${REGION_HEX}`);
    expect(wireErrorOf(() => wire.decodeMemoryTable(bytes)).message).toContain('at least 72 bytes');
  });

  it.each([
    ['guest_phys_addr', { guestPhysicalAddress: (1n << 64n) - 0x1000n }, 8],
    ['userspace_addr', { userAddress: (1n << 64n) - 0x1000n }, 24],
    ['mmap_offset', { mmapOffset: (1n << 64n) - 1n }, 32],
    ['size', { sizeBytes: 0n }, 16],
  ])('a region whose %s is empty or wraps around', (field, wrong, offset) => {
    const bytes = encoded(40, wire.encodeMemoryTable, [{ ...REGION, ...wrong }]);
    expect(wireErrorOf(() => wire.decodeMemoryTable(bytes))).toMatchObject({
      field: `memory table.region[0].${field}`,
      offset,
    });
  });

  it('a region may end at 2^64 exactly', () => {
    const last = { ...REGION, guestPhysicalAddress: (1n << 64n) - REGION.sizeBytes };
    expect(wire.decodeMemoryTable(encoded(40, wire.encodeMemoryTable, [last]))).toEqual([last]);
  });

  it('a config whose size goes beyond the message', () => {
    const error = wireErrorOf(() => wire.decodeConfig(hex('00000000 ffffffff 00000000 aabb')));
    expect(error).toMatchObject({ field: 'config.size', offset: 4, value: 0xffff_ffff });
  });

  it('encoding into too small an array', () => {
    expect(wireErrorOf(() => wire.encodeMemoryTable([REGION], new Uint8Array(39))).code).toBe('ERR_WIRE');
    expect(wireErrorOf(() => wire.encodeU64(0n, new Uint8Array(7))).code).toBe('ERR_WIRE');
  });
});

describe('vhost-user properties', () => {
  const decoders = {
    decodeHeader: wire.decodeHeader,
    decodeU64: wire.decodeU64,
    decodeVringState: wire.decodeVringState,
    decodeVringDescriptor: wire.decodeVringDescriptor,
    decodeVringAddress: wire.decodeVringAddress,
    decodeMemoryTable: wire.decodeMemoryTable,
    decodeSingleMemoryRegion: wire.decodeSingleMemoryRegion,
    decodeConfig: wire.decodeConfig,
    decodeInflight: wire.decodeInflight,
  };
  // Plain random bytes hardly ever get past a count or a version; these begin as valid messages do.
  const anyBytes = fc.oneof(
    fc.uint8Array({ maxLength: 320 }),
    fc.tuple(fc.integer({ min: 0, max: 9 }), fc.uint8Array({ maxLength: 320 })).map(([first, rest]) => {
      const bytes = new Uint8Array(4 + rest.length);
      bytes[0] = first;
      bytes.set(rest, 4);
      return bytes;
    }),
  );

  it.each(Object.entries(decoders))('%s decodes any bytes or throws WireError', (_, decode) => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        try {
          decode(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      }),
    );
  });

  it('decodes what it encoded', () => {
    fc.assert(
      fc.property(u32, u32, u64, (index, num, value) => {
        expect(wire.decodeVringState(encoded(8, wire.encodeVringState, { index, num }))).toEqual({
          index,
          num,
        });
        expect(wire.decodeU64(encoded(8, wire.encodeU64, value))).toBe(value);
      }),
    );
    fc.assert(
      fc.property(fc.array(region, { minLength: 1, maxLength: 8 }), (regions) => {
        const bytes = encoded(wire.memoryTableSize(regions.length), wire.encodeMemoryTable, regions);
        expect(wire.decodeMemoryTable(bytes)).toEqual(regions);
      }),
    );
    fc.assert(
      fc.property(u32, u32, fc.uint8Array({ maxLength: 300 }), (offset, flags, bytes) => {
        const config = { offset, flags, bytes };
        expect(wire.decodeConfig(encoded(12 + bytes.length, wire.encodeConfig, config))).toEqual(config);
      }),
    );
    fc.assert(
      fc.property(u64, u64, u16, u16, (mmapSizeBytes, mmapOffset, queues, queueSize) => {
        const inflight = { mmapSizeBytes, mmapOffset, queues, queueSize };
        expect(wire.decodeInflight(encoded(24, wire.encodeInflight, inflight))).toEqual(inflight);
      }),
    );
  });

  it('reads from the middle of a larger buffer', () => {
    const whole = new Uint8Array(20).fill(0xff);
    wire.encodeVringState({ index: 1, num: 2 }, whole.subarray(3, 11));
    expect(wire.decodeVringState(whole.subarray(3))).toEqual({ index: 1, num: 2 });
    expect(whole[2]).toBe(0xff);
    expect(whole[11]).toBe(0xff);
  });
});
