import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isSingleLine, parseLineSelector } from '../../src/config/line-selector.ts';
import { matchesGlob } from '../../src/gpio/line-selection.ts';

describe('parseLineSelector', () => {
  it.each([
    ['*', { chip: '*', line: '*' }],
    ['hub/*', { chip: 'hub', line: '*' }],
    ['hub/IMU_INT', { chip: 'hub', line: 'IMU_INT' }],
    ['*/LED?', { chip: '*', line: 'LED?' }],
    ['hub/#13', { chip: 'hub', offset: 13 }],
    ['hub/#123456', { chip: 'hub', offset: 123456 }],
    ['hub/#A', { chip: 'hub', line: '#A' }],
    ['hub/a/b c', { chip: 'hub', line: 'a/b c' }],
  ])('takes %s apart', (text, selector) => {
    expect(parseLineSelector(text)).toEqual(selector);
  });

  it.each(['', 'hub', 'hub/', '/x', 'h b/x', 'hub/\n', 'hub/ä', '**'])('refuses %j', (text) => {
    expect(parseLineSelector(text)).toBeUndefined();
  });

  it.each([
    ['hub/A', true],
    ['hub/#3', true],
    ['hub/*', false],
    ['h?b/A', false],
    ['*', false],
  ])('knows whether %s is a single line', (text, isSingle) => {
    expect(isSingleLine(parseLineSelector(text)!)).toBe(isSingle);
  });
});

describe('matchesGlob', () => {
  it.each([
    ['*', '', true],
    ['*', 'abc', true],
    ['a*c', 'abbc', true],
    ['a*c', 'abbd', false],
    ['a?c', 'abc', true],
    ['a?c', 'ac', false],
    ['?', '', false],
    ['abc', 'ab', false],
    ['ab', 'abc', false],
    ['*_INT', 'IMU_INT', true],
    ['*a*b*', 'xxaxxb', true],
    ['a.c', 'abc', false],
    ['a*', 'a*b', true],
    ['', '', true],
    ['', 'a', false],
  ])('%s on %j: %s', (pattern, name, isMatch) => {
    expect(matchesGlob(pattern, name)).toBe(isMatch);
  });

  it('agrees with a regular expression', () => {
    const pattern = fc
      .array(fc.constantFrom('a', 'b', '*', '?'), { maxLength: 8 })
      .map((parts) => parts.join(''));
    const name = fc
      .array(fc.constantFrom('a', 'b', '*', '?'), { maxLength: 10 })
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(pattern, name, (glob, text) => {
        const expression = new RegExp(`^${glob.replaceAll('*', '.*').replaceAll('?', '.')}$`);
        expect(matchesGlob(glob, text)).toBe(expression.test(text));
      }),
      { numRuns: 3000 },
    );
  });

  it('is fast where backtracking would not be', () => {
    expect(matchesGlob(`${'*a'.repeat(100)}b`, 'a'.repeat(5000))).toBe(false);
  });
});
