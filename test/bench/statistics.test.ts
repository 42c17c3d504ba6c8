import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { median, medianOfRatios, spread } from '../../bench/statistics.ts';

const positive = fc.double({ min: 1e-3, max: 1e9, noNaN: true });

describe('median', () => {
  it('is the middle value, or the mean of the two middle ones', () => {
    expect(median([3])).toBe(3);
    expect(median([9, 1, 5])).toBe(5);
    expect(median([4, 1, 3, 2])).toBe(2.5);
  });

  it('has as many values on either side, and leaves its argument alone', () => {
    fc.assert(
      fc.property(fc.array(positive, { minLength: 1 }), (values) => {
        const before = [...values];
        const middle = median(values);
        expect(values.filter((value) => value < middle).length).toBeLessThanOrEqual(values.length / 2);
        expect(values.filter((value) => value > middle).length).toBeLessThanOrEqual(values.length / 2);
        expect(values).toEqual(before);
      }),
    );
  });

  it('refuses to invent a value', () => {
    expect(() => median([])).toThrow(RangeError);
    expect(() => spread([])).toThrow(RangeError);
  });
});

describe('medianOfRatios', () => {
  it('compares each value with the reference of its own round', () => {
    // The machine was ten times slower in the second round: that must not show.
    expect(medianOfRatios([20, 200, 22], [10, 100, 10])).toBe(2);
  });

  it('refuses rounds that do not match', () => {
    expect(() => medianOfRatios([1, 2], [1])).toThrow(RangeError);
    expect(() => medianOfRatios([], [])).toThrow(RangeError);
  });
});

describe('spread', () => {
  it('is largest over smallest', () => {
    expect(spread([2, 8, 4])).toBe(4);
  });
});
