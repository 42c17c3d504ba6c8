import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  DRAFT_CONFIG_SIZE,
  DRAFT_REQUEST_SIZE,
  DRAFT_RESPONSE_SIZE,
  DRAFT_SET_VALUE,
  decodeDraftConfig,
  encodeDraftConfig,
  encodeDraftRequest,
  fillDraftNames,
} from '../../src/wire/draft-2021-gpio.ts';
import { decodeNames } from '../../src/wire/virtio-gpio.ts';

const ascii = (text: string): number[] => [...text].map((character) => character.charCodeAt(0));

describe('the config space', () => {
  it('is these bytes', () => {
    expect(encodeDraftConfig('vm1', ['A', ''])).toEqual(
      Uint8Array.of(
        ...ascii('vm1'),
        ...new Array<number>(29).fill(0),
        ...[2, 0, 0, 0, 8, 0, 0, 0],
        ...ascii('A\0line1\0'),
      ),
    );
    expect([DRAFT_CONFIG_SIZE, DRAFT_REQUEST_SIZE, DRAFT_RESPONSE_SIZE]).toEqual([40, 6, 2]);
  });

  it('round-trips', () => {
    const name = fc.stringMatching(/^[a-z]{0,31}$/);
    fc.assert(
      fc.property(name, fc.uniqueArray(fc.stringMatching(/^[A-Z]{1,9}$/), { maxLength: 20 }), (of, names) => {
        const bytes = encodeDraftConfig(of, names);
        const config = decodeDraftConfig(bytes);
        expect(config.name).toBe(of);
        expect(decodeNames(bytes.subarray(DRAFT_CONFIG_SIZE), config.lineCount)).toEqual(names);
        expect(config.namesSize).toBe(bytes.length - DRAFT_CONFIG_SIZE);
      }),
    );
  });

  it('is refused when it is cut short', () => {
    expect(() => decodeDraftConfig(new Uint8Array(39))).toThrow(/expected at least 40 bytes/);
  });
});

describe('names of lines without one', () => {
  it('say the number of the line', () => {
    expect(fillDraftNames(['', 'A', ''])).toEqual(['line0', 'A', 'line2']);
  });

  it('are never another line’s', () => {
    expect(fillDraftNames(['line1', '', 'line1_'])).toEqual(['line1', 'line1__', 'line1_']);
    const some = fc.uniqueArray(fc.constantFrom<string>('line0', 'line1', 'line1_', 'line2', 'A'));
    fc.assert(
      fc.property(some, fc.array(fc.nat(5)), (names, gaps) => {
        const all = [...names];
        for (const at of gaps) all.splice(at, 0, '');
        const filled = fillDraftNames(all);
        expect(new Set(filled).size).toBe(all.length);
        for (const [at, name] of all.entries()) if (name !== '') expect(filled[at]).toBe(name);
      }),
    );
  });
});

it('a request is these bytes', () => {
  expect(encodeDraftRequest(DRAFT_SET_VALUE, 0x1234, 1)).toEqual(Uint8Array.of(7, 0, 0x34, 0x12, 1, 0));
});
