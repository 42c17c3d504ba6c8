import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as wire from '../../src/wire/rpmsg-gpio.ts';
import { WireError } from '../../src/wire/wire-error.ts';

const byte = fc.integer({ min: 0, max: 255 });
const layout = fc.constantFrom<wire.ReportLayout>('v14', 'kind0');

function decodesOrThrows(decode: (bytes: Uint8Array) => unknown): void {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 10 }), (bytes) => {
      try {
        expect(decode(bytes)).toBeDefined();
      } catch (error) {
        expect(error).toBeInstanceOf(WireError);
      }
    }),
  );
}

describe('packets of 6 bytes', () => {
  it.each<[string, wire.RpmsgGpioPacket, number[]]>([
    ['SET_IRQ_TYPE', { type: 0, command: 6, port: 1, line: 17, data: [3, 1] }, [0, 6, 1, 17, 3, 1]],
    ['reply', { type: 1, command: 4, port: 1, line: 17, data: [0, 1] }, [1, 4, 1, 17, 0, 1]],
    ['notification', { type: 2, command: 0, port: 0, line: 3, data: [0, 0] }, [2, 0, 0, 3, 0, 0]],
  ])('%s as golden bytes', (_what, packet, bytes) => {
    expect([...wire.encodePacket(packet)]).toEqual(bytes);
    expect(wire.decodePacket(Uint8Array.of(...bytes, 0xaa))).toEqual(packet);
  });

  it('refuse what is cut short, an unknown type, and what is no byte', () => {
    expect(() => wire.decodePacket(Uint8Array.of(1, 4, 1, 17, 0))).toThrow('packet at offset 0 is 5');
    expect(() => wire.decodePacket(Uint8Array.of(3, 4, 1, 17, 0, 0))).toThrow('type at offset 0 is 3');
    expect(() => wire.encodePacket({ type: 0, command: 4, port: 1, line: 256, data: [0, 0] })).toThrow(
      'line at offset 3 is 256',
    );
  });

  it('round-trip, and any bytes decode or throw WireError', () => {
    const packet = fc.record({
      type: fc.integer({ min: 0, max: 2 }),
      command: byte,
      port: byte,
      line: byte,
      data: fc.tuple(byte, byte),
    });
    fc.assert(
      fc.property(packet, (value) => {
        expect(wire.decodePacket(wire.encodePacket(value))).toEqual(value);
      }),
    );
    decodesOrThrows(wire.decodePacket);
  });
});

describe('requests of 8 bytes', () => {
  it('are virtio-gpio’s, as golden bytes', () => {
    const bytes = Uint8Array.of(0x10, 0, 0x1f, 0, 1, 0, 0, 0);
    const request = { type: wire.MSG_SET_WAKEUP, line: 31, value: 1 };
    expect(wire.encodeRequest(request)).toEqual(bytes);
    expect(wire.decodeRequest(bytes)).toEqual(request);
    expect(() => wire.decodeRequest(bytes.subarray(1))).toThrow(WireError);
  });

  it('round-trip, and any bytes decode or throw WireError', () => {
    const request = fc.record({
      type: fc.integer({ min: 0, max: 0xffff }),
      line: fc.integer({ min: 0, max: 0xffff }),
      value: fc.integer({ min: 0, max: 0xffffffff }),
    });
    fc.assert(
      fc.property(request, (value) => {
        expect(wire.decodeRequest(wire.encodeRequest(value))).toEqual(value);
      }),
    );
    decodesOrThrows(wire.decodeRequest);
  });
});

describe('reports of 3 bytes', () => {
  it.each<[wire.ReportLayout, wire.RpmsgGpioReport, number[]]>([
    ['v14', { kind: 'reply', status: 0, value: 2 }, [1, 0, 2]],
    ['v14', { kind: 'notification', line: 31, trigger: 1 }, [2, 31, 1]],
    ['kind0', { kind: 'reply', status: 1, value: 0 }, [0, 1, 0]],
    ['kind0', { kind: 'notification', line: 31, trigger: 0 }, [1, 31, 0]],
  ])('%s %o as golden bytes', (name, report, bytes) => {
    expect([...wire.encodeReport(report, name)]).toEqual(bytes);
    expect(wire.decodeReport(Uint8Array.from(bytes), name)).toEqual(report);
  });

  it('refuse what is cut short, an unknown kind, and lines beyond 31', () => {
    expect(() => wire.decodeReport(Uint8Array.of(1, 0), 'v14')).toThrow('report at offset 0 is 2');
    expect(() => wire.decodeReport(Uint8Array.of(0, 0, 0), 'v14')).toThrow('kind at offset 0 is 0');
    expect(() => wire.decodeReport(Uint8Array.of(2, 0, 0), 'kind0')).toThrow('kind at offset 0 is 2');
    expect(() => wire.decodeReport(Uint8Array.of(2, 32, 0), 'v14')).toThrow('line at offset 1 is 32');
    expect(() => wire.decodeReport(Uint8Array.of(1, 0, 1), 'kind0')).toThrow('line at offset 1 is 256');
    const notification = { kind: 'notification', line: 1, trigger: 3 } as const;
    expect(() => wire.encodeReport(notification, 'kind0')).toThrow('trigger at offset 2 is 3');
    expect(() => wire.encodeReport({ ...notification, line: 32 }, 'v14')).toThrow('line at offset 1 is 32');
  });

  it('round-trip, and any bytes decode or throw WireError', () => {
    fc.assert(
      fc.property(layout, fc.boolean(), byte, byte, (name, isReply, first, second) => {
        const report: wire.RpmsgGpioReport = isReply
          ? { kind: 'reply', status: first, value: second }
          : { kind: 'notification', line: first % 32, trigger: name === 'v14' ? second : 0 };
        expect(wire.decodeReport(wire.encodeReport(report, name), name)).toEqual(report);
      }),
    );
    decodesOrThrows((bytes) => wire.decodeReport(bytes, 'v14'));
    decodesOrThrows((bytes) => wire.decodeReport(bytes, 'kind0'));
  });
});
