import { describe, expect, it } from 'vitest';
import { WireError } from '../../src/wire/wire-error.ts';

describe('WireError', () => {
  it('names field, offset, value and what would be right', () => {
    const error = new WireError('entry[1].vdev.vring[0].num', 52, 3, 'a power of two between 1 and 32768');
    expect(error.message).toBe(
      'entry[1].vdev.vring[0].num at offset 52 is 3, expected a power of two between 1 and 32768',
    );
    expect(error).toBeInstanceOf(Error);
    expect(error.name).toBe('WireError');
    expect(error.code).toBe('ERR_WIRE');
    expect(error.field).toBe('entry[1].vdev.vring[0].num');
    expect(error.offset).toBe(52);
    expect(error.value).toBe(3);
    expect(error.expected).toBe('a power of two between 1 and 32768');
  });

  it('says larger numbers in decimal and hex, and quotes text', () => {
    expect(new WireError('ver', 0, 0xdead).message).toBe(
      'ver at offset 0 is 57005 (0xdead), which is not valid',
    );
    expect(new WireError('addr', 8, 0x1_0000_0000n, 'an address').message).toBe(
      'addr at offset 8 is 4294967296 (0x100000000), expected an address',
    );
    expect(new WireError('magic', 0, 'abc', '"ELF"').message).toContain('is "abc", expected "ELF"');
    expect(new WireError('x', 0, -20).message).toContain('is -20,');
  });

  it('repeats no more of a long text than shows what it is', () => {
    const text = '\u0001'.repeat(100_000);
    const error = new WireError('names', 0, text, 'a NUL after the last name');
    expect(error.value).toBe(text);
    expect(error.message.length).toBeLessThan(400);
    expect(error.message).toMatch(/^names at offset 0 is "(\\u0001){40}…", expected a NUL after/);
  });
});
