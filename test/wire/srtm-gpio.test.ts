import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as srtm from '../../src/wire/srtm-gpio.ts';
import { WireError } from '../../src/wire/wire-error.ts';

const line = {
  command: fc.integer({ min: 0, max: 255 }),
  port: fc.integer({ min: 0, max: 9 }),
  pin: fc.integer({ min: 0, max: 31 }),
};
const byte = fc.integer({ min: 0, max: 255 });
const message: fc.Arbitrary<srtm.SrtmMessage> = fc.oneof(
  fc.record({ type: fc.constant(srtm.TYPE_REQUEST), ...line, argument: byte, wakeup: fc.boolean() }),
  fc.record({ type: fc.constant(srtm.TYPE_RESPONSE), ...line, returnCode: byte, value: byte }),
  fc.record({ type: fc.constant(srtm.TYPE_NOTIFICATION), ...line }),
);

describe('SRTM messages of the GPIO service', () => {
  it('have the channel, offsets, sizes and numbers of deployed firmware', () => {
    expect(srtm.SRTM_CHANNEL).toBe('rpmsg-io-channel');
    expect([srtm.CATEGORY_GPIO, srtm.MAJOR_VERSION, srtm.MINOR_VERSION]).toEqual([5, 1, 0]);
    expect([srtm.REQUEST_SIZE, srtm.RESPONSE_SIZE, srtm.NOTIFICATION_SIZE]).toEqual([16, 14, 12]);
    expect([srtm.PIN_OFFSET, srtm.PORT_OFFSET]).toEqual([10, 11]);
    // Unlike virtio-gpio's 4 high, 8 low.
    expect([srtm.EVENT_LOW_LEVEL, srtm.EVENT_HIGH_LEVEL]).toEqual([4, 5]);
  });

  it.each<[string, srtm.SrtmMessage, number[]]>([
    [
      'input-init',
      {
        type: srtm.TYPE_REQUEST,
        command: srtm.COMMAND_INPUT_INIT,
        port: 2,
        pin: 17,
        argument: srtm.EVENT_BOTH,
        wakeup: true,
      },
      [5, 1, 0, 0, 0, 0, 0, 0, 0, 0, 17, 2, 3, 1, 0, 0],
    ],
    [
      'output-init',
      {
        type: srtm.TYPE_REQUEST,
        command: srtm.COMMAND_OUTPUT_INIT,
        port: 9,
        pin: 31,
        argument: 1,
        wakeup: false,
      },
      [5, 1, 0, 0, 1, 0, 0, 0, 0, 0, 31, 9, 1, 0, 0, 0],
    ],
    [
      'answer to input-get',
      {
        type: srtm.TYPE_RESPONSE,
        command: srtm.COMMAND_INPUT_GET,
        port: 0,
        pin: 4,
        returnCode: 0,
        value: 1,
      },
      [5, 1, 0, 1, 2, 0, 0, 0, 0, 0, 4, 0, 0, 1],
    ],
    [
      'notification',
      { type: srtm.TYPE_NOTIFICATION, command: 0, port: 1, pin: 8 },
      [5, 1, 0, 2, 0, 0, 0, 0, 0, 0, 8, 1],
    ],
  ])('%s as golden bytes', (_what, decoded, bytes) => {
    expect([...srtm.encodeSrtmMessage(decoded)]).toEqual(bytes);
    expect(srtm.decodeSrtmMessage(Uint8Array.from(bytes))).toEqual(decoded);
  });

  it('takes a request that is not padded, any minor version, and bytes that follow', () => {
    const bytes = Uint8Array.of(5, 1, 7, 0, 1, 3, 9, 9, 9, 9, 6, 5, 1, 0);
    const request = { type: 0, command: 1, port: 5, pin: 6, argument: 1, wakeup: false };
    expect(srtm.decodeSrtmMessage(bytes)).toEqual(request);
    expect(srtm.decodeSrtmMessage(Uint8Array.of(...bytes, 1, 2, 3, 4))).toEqual(request);
  });

  it.each([
    ['short', [5, 1, 0, 2, 0, 0, 0, 0, 0, 0, 8], 'message'],
    ['a response cut short', [5, 1, 0, 1, 2, 0, 0, 0, 0, 0, 4, 0, 0], 'message'],
    ['another service', [3, 1, 0, 2, 0, 0, 0, 0, 0, 0, 8, 1], 'category'],
    ['another major version', [5, 2, 0, 2, 0, 0, 0, 0, 0, 0, 8, 1], 'major version'],
    ['an unknown type', [5, 1, 0, 3, 0, 0, 0, 0, 0, 0, 8, 1, 0, 0], 'type'],
    ['a port that cannot be', [5, 1, 0, 2, 0, 0, 0, 0, 0, 0, 8, 10], 'port'],
    ['a pin that cannot be', [5, 1, 0, 2, 0, 0, 0, 0, 0, 0, 32, 1], 'pin'],
  ])('refuses %s', (_what, bytes, field) => {
    expect(() => srtm.decodeSrtmMessage(Uint8Array.from(bytes))).toThrow(expect.objectContaining({ field }));
  });

  it.each([
    [{ port: 10 }, 'port'],
    [{ pin: -1 }, 'pin'],
    [{ command: 256 }, 'command'],
    [{ value: 1.5 }, 'value'],
  ])('does not encode %o', (wrong, field) => {
    const response = {
      type: srtm.TYPE_RESPONSE,
      command: 0,
      port: 0,
      pin: 0,
      returnCode: 0,
      value: 0,
    } as const;
    expect(() => srtm.encodeSrtmMessage({ ...response, ...wrong })).toThrow(
      expect.objectContaining({ field }),
    );
  });

  it('round-trips any message, and decodes any bytes or throws WireError', () => {
    fc.assert(
      fc.property(message, (value) => {
        expect(srtm.decodeSrtmMessage(srtm.encodeSrtmMessage(value))).toEqual(value);
      }),
    );
    const almost = fc
      .tuple(fc.uint8Array({ maxLength: 20 }), fc.boolean())
      .map(([bytes, isLike]) => (isLike ? Uint8Array.from([5, 1, 0, ...bytes]) : bytes));
    fc.assert(
      fc.property(almost, (bytes) => {
        try {
          const { port, pin } = srtm.decodeSrtmMessage(bytes);
          expect(port < 10 && pin < 32).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      }),
    );
  });
});
