import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  assignSegments,
  MAX_TOPIC_BYTES,
  topicFault,
  topicSegment,
} from '../../../src/exporters/mqtt/topic-names.ts';

const LEGAL = /^[A-Za-z0-9_-]+$/;
/** Names as firmware gives them, and as kernel lines may have them. */
const name = fc.oneof(
  fc.stringMatching(/^[A-Z_]{1,12}$/),
  fc.string({ maxLength: 40 }),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.constantFrom(
    '',
    'IMU INT',
    'IMU.INT',
    'IMU_INT',
    'line3',
    '__proto__',
    '+3V3',
    'a/b',
    'ä',
    'x'.repeat(100),
  ),
);
const line = fc.record({ chip: fc.constantFrom('hub', 'soc'), offset: fc.nat({ max: 300 }), name });
const lines = fc.uniqueArray(line, { selector: ({ chip, offset }) => `${chip}/${offset}`, maxLength: 40 });

describe('topicFault', () => {
  it.each(['rproc-gpio', 'plant/hall 3/press', 'a', 'Räume/Küche', 'with$inside', '😀'])(
    'takes %s',
    (text) => {
      expect(topicFault(text)).toBeNull();
    },
  );

  it.each([
    ['', 'is empty'],
    ['a+b', '"+"'],
    ['a/#', '"#"'],
    ['a\0b', 'NUL'],
    ['$SYS/x', '"$"'],
    ['/a', 'begins with "/"'],
    ['a/', 'ends with "/"'],
    ['a//b', '"//"'],
    ['a\ud800b', 'surrogate'],
    ['\udc00', 'surrogate'],
    ['a\nb', 'U+000A'],
    ['a\u0085', 'U+0085'],
    ['a\ufffe', 'U+FFFE'],
  ])('refuses %j and says why', (text, why) => {
    expect(topicFault(text)).toContain(why);
  });

  it('counts bytes of UTF-8', () => {
    expect(topicFault('x'.repeat(MAX_TOPIC_BYTES))).toBeNull();
    expect(topicFault('x'.repeat(MAX_TOPIC_BYTES + 1))).toBe('is 65536 bytes long, more than 65535');
    expect(topicFault('ä'.repeat(32_767))).toBeNull();
    expect(topicFault('ä'.repeat(32_768))).toBe('is 65536 bytes long, more than 65535');
  });

  it('never throws, and takes every segment', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const fault = topicFault(text);
        expect(fault === null || fault.length > 0).toBe(true);
        expect(topicFault(topicSegment(text))).toBeNull();
      }),
    );
  });
});

describe('topicSegment', () => {
  it.each(['IMU_INT', 'led-status', '7', '_', '-', 'x'.repeat(64)])('leaves %s as it is', (legal) => {
    expect(topicSegment(legal)).toBe(legal);
  });

  it('keeps other names readable, and the same across releases', () => {
    expect(topicSegment('IMU INT')).toBe('IMU_INT-84a8');
    expect(topicSegment('IMU.INT')).toBe('IMU_INT-b578');
    expect(topicSegment('+3V3')).toBe('_3V3-a714');
    expect(topicSegment('GPIO1/5 (spare)')).toBe('GPIO1_5_spare_-0a68');
    expect(topicSegment('')).toBe('_-1cd9');
    expect(topicSegment('Tür')).toBe('T_r-3905');
  });

  it('is always legal, at most 64 characters, and idempotent', () => {
    fc.assert(
      fc.property(name, (text) => {
        const segment = topicSegment(text);
        expect(segment).toMatch(LEGAL);
        expect(segment.length).toBeLessThanOrEqual(64);
        expect(topicSegment(segment)).toBe(segment);
        if (LEGAL.test(text) && text.length <= 64) expect(segment).toBe(text);
      }),
    );
  });
});

describe('assignSegments', () => {
  it('names lines without a name after their offset', () => {
    expect(assignSegments([{ chip: 'hub', offset: 13, name: '' }])).toEqual(['line13']);
  });

  it('appends the offset where two lines of a chip have one segment', () => {
    const of = (offset: number, name: string, chip = 'hub') => ({ chip, offset, name });
    expect(assignSegments([of(5, 'A'), of(2, 'A'), of(2, 'A', 'soc')])).toEqual(['A-5', 'A', 'A']);
    expect(assignSegments([of(2, 'line13'), of(13, '')])).toEqual(['line13', 'line13-13']);
    expect(assignSegments([of(1, 'A'), of(2, 'A-3'), of(3, 'A')])).toEqual(['A', 'A-3', 'A-3-3']);
  });

  it('gives legal segments, unique within a chip, whatever the names are', () => {
    fc.assert(
      fc.property(lines, (all) => {
        const segments = assignSegments(all);
        expect(segments).toHaveLength(all.length);
        for (const segment of segments) expect(segment).toMatch(LEGAL);
        const paths = all.map(({ chip }, index) => `${chip}/${segments[index]}`);
        expect(new Set(paths).size).toBe(all.length);
      }),
    );
  });

  it('does not depend on the order of the lines', () => {
    fc.assert(
      fc.property(lines, fc.infiniteStream(fc.nat()), (all, keys) => {
        const key = new Map(all.map((each) => [each, keys.next().value]));
        const shuffled = [...all].sort((a, b) => key.get(a)! - key.get(b)!);
        const before = new Map(assignSegments(all).map((segment, index) => [all[index]!, segment]));
        const after = new Map(assignSegments(shuffled).map((segment, index) => [shuffled[index]!, segment]));
        for (const each of all) expect(after.get(each)).toBe(before.get(each));
      }),
    );
  });

  it('keeps the segments of lines when others are added behind', () => {
    fc.assert(
      fc.property(lines, fc.array(name, { maxLength: 10 }), (all, more) => {
        const behind = more.map((text, index) => ({ chip: 'hub', offset: 1000 + index, name: text }));
        expect(assignSegments([...all, ...behind]).slice(0, all.length)).toEqual(assignSegments(all));
      }),
    );
  });

  it("depends on a line's own name only, as long as no two lines have one segment", () => {
    fc.assert(
      fc.property(lines, (all) => {
        const own = all.map((each) => assignSegments([each])[0]!);
        const paths = all.map(({ chip }, index) => `${chip}/${own[index]}`);
        fc.pre(new Set(paths).size === all.length);
        expect(assignSegments(all)).toEqual(own);
      }),
    );
  });
});
