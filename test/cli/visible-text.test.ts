import { describe, expect, it } from 'vitest';
import { loggable, visible, visibleJson } from '../../src/cli/visible-text.ts';

it('leaves text alone', () => expect(visible('LED 1 ü "x" \\ =')).toBe('LED 1 ü "x" \\ ='));

it('shows control characters, which would move a cursor or begin a line', () => {
  expect(visible('a\nb\u001b[2J\t\u007f\u009b\u2028c\0')).toBe('a\\x0ab\\x1b[2J\\x09\\x7f\\x9b\\u2028c\\x00');
});

describe('what is logged', () => {
  it('moves no cursor and begins no record', () => {
    expect(loggable('hub: a\tb\r\n\u001b[2Jerror: forged\nlast')).toBe(
      'hub: a\tb\\x0d\n    \\x1b[2Jerror: forged\n    last',
    );
    expect(loggable('plain, with ünïcödé')).toBe('plain, with ünïcödé');
  });
});

it('prints JSON without controls, which means the same', () => {
  const value = { name: 'a\u009b2J\u007f\u001b' };
  expect(visibleJson(value)).toBe('{"name":"a\\u009b2J\\u007f\\u001b"}');
  expect(JSON.parse(visibleJson(value))).toEqual(value);
});
