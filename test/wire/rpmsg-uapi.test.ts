import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeEndpointInfo,
  ENDPOINT_INFO_SIZE,
  encodeEndpointInfo,
  RPMSG_ADDR_ANY,
  RPMSG_CREATE_EPT_IOCTL,
  RPMSG_DESTROY_EPT_IOCTL,
} from '../../src/wire/rpmsg-uapi.ts';
import { WireError } from '../../src/wire/wire-error.ts';

describe('rpmsg character devices (include/uapi/linux/rpmsg.h)', () => {
  it('has the ioctls that a C compiler makes of the header', () => {
    expect(RPMSG_CREATE_EPT_IOCTL).toBe((1 << 30) | (ENDPOINT_INFO_SIZE << 16) | (0xb5 << 8) | 1);
    expect(RPMSG_DESTROY_EPT_IOCTL).toBe((0xb5 << 8) | 2);
  });

  it('encodes struct rpmsg_endpoint_info', () => {
    const bytes = encodeEndpointInfo({ name: 'rpmsg-io', src: RPMSG_ADDR_ANY, dst: 0x1e });
    const name = Buffer.from('rpmsg-io').toString('hex').padEnd(64, '0');
    expect(Buffer.from(bytes).toString('hex')).toBe(`${name}ffffffff1e000000`);
  });

  it.each(['', 'a-name-of-thirty-two-characters!', 'a\0b', 'café'])('refuses the name %j', (name) => {
    expect(() => encodeEndpointInfo({ name, src: 0, dst: 0 })).toThrow(WireError);
  });

  it('decodes what it encodes', () => {
    const address = fc.nat(0xffff_ffff);
    fc.assert(
      fc.property(fc.stringMatching(/^[!-~]{1,31}$/), address, address, (name, src, dst) => {
        expect(decodeEndpointInfo(encodeEndpointInfo({ name, src, dst }))).toEqual({ name, src, dst });
      }),
    );
  });

  it('decodes any bytes or throws WireError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 38, maxLength: 42 }), (bytes) => {
        try {
          expect(decodeEndpointInfo(bytes).name.length).toBeLessThan(32);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      }),
    );
  });
});
