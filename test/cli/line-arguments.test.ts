import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/cli/command.ts';
import {
  findLines,
  lineFault,
  parseLines,
  parseLineValues,
  shortReferences,
} from '../../src/cli/line-arguments.ts';

const LINES = [
  { chip: 'hub', offset: 0, name: 'LED_STATUS' },
  { chip: 'hub', offset: 1, name: 'IMU_INT' },
  { chip: 'hub', offset: 2, name: '' },
  { chip: 'soc', offset: 0, name: 'LED_STATUS' },
  { chip: 'soc', offset: 1, name: 'a/b' },
  { chip: 'soc', offset: 2, name: 'TWICE' },
  { chip: 'soc', offset: 3, name: 'TWICE' },
];

describe('line arguments', () => {
  it.each([
    ['a name', 'LED', {}, 'LED'],
    ['a number without a chip', '3', {}, '3'],
    ['with a chip', 'LED', { chip: 'hub' }, 'hub/LED'],
    ['a number with a chip', '3', { chip: 'hub' }, 'hub/#3'],
    ['a number with zeros', '007', { chip: 'hub' }, 'hub/#7'],
    ['an offset with a chip', '#3', { chip: 'hub' }, 'hub/#3'],
    ['a number that is a name', '3', { chip: 'hub', 'by-name': true }, 'hub/3'],
    ['a chip and a name', 'hub/LED', {}, 'hub/LED'],
  ])('%s', (_what, text, scope, reference) => {
    expect(parseLines('get', [text], scope)).toEqual([{ text, reference }]);
  });

  it.each([
    ['none', [], /^get: at least one LINE is needed$/],
    ['an empty one', ['A', ''], /^get: a line's name is empty$/],
    ['the same twice', ['A', 'B', 'A'], /^get: line 'A' is given twice$/],
  ])('%s: a usage error', (_what, texts, message) => {
    expect(() => parseLines('get', texts, {})).toThrow(UsageError);
    expect(() => parseLines('get', texts, {})).toThrow(message);
  });
});

describe('values', () => {
  it.each([
    ['1', 1],
    ['active', 1],
    ['on', 1],
    ['true', 1],
    ['0', 0],
    ['inactive', 0],
    ['off', 0],
    ['false', 0],
  ])('%s is %d', (word, level) => {
    expect(parseLineValues('set', [`LED=${word}`], {})).toEqual([{ text: 'LED', reference: 'LED', level }]);
    expect(parseLineValues('set', [`LED=${word}`], {}, { isActiveLow: true })).toEqual([
      { text: 'LED', reference: 'LED', level: 1 - level },
    ]);
  });

  it('names may hold = and quotes', () => {
    expect(
      parseLineValues('set', ['A=B=1', '"C=D"=0', '"E"=on', 'F"=off'], {}).map(({ text }) => text),
    ).toEqual(['A=B', 'C=D', 'E', 'F"']);
  });

  it('an argument without a value gets the fallback, also quoted', () => {
    expect(parseLineValues('pulse', ['A', '"B=C"', 'D=0'], {}, { fallback: 1 })).toEqual([
      { text: 'A', reference: 'A', level: 1 },
      { text: 'B=C', reference: 'B=C', level: 1 },
      { text: 'D', reference: 'D', level: 0 },
    ]);
  });

  it.each([
    ['none', [], /at least one LINE=VALUE is needed/],
    ['no value', ['LED'], /set: LED: expected LINE=VALUE with a value of 1, active, on, true, 0, /],
    ['an empty value', ['LED='], /expected LINE=VALUE/],
    ['no name', ['=1'], /name is empty/],
    ['a value that is none', ['LED=2'], /set: LED=2: expected LINE=VALUE/],
    ['a value in capitals', ['LED=ON'], /expected LINE=VALUE/],
    ["a property of an object's", ['LED=toString'], /expected LINE=VALUE/],
    ['the same line twice', ['LED=1', 'LED=0'], /line 'LED' is given twice/],
  ])('%s: a usage error', (_what, texts, message) => {
    expect(() => parseLineValues('set', texts, {})).toThrow(UsageError);
    expect(() => parseLineValues('set', texts, {})).toThrow(message);
  });
});

describe('what a reference means', () => {
  it.each([
    ['IMU_INT', ['hub 1']],
    ['hub/IMU_INT', ['hub 1']],
    ['hub/#2', ['hub 2']],
    ['LED_STATUS', ['hub 0', 'soc 0']],
    ['soc/LED_STATUS', ['soc 0']],
    ['a/b', ['soc 1']],
    ['soc/a/b', ['soc 1']],
    ['', []],
    ['hub/', []],
    ['hub/#9', []],
  ])('%s', (reference, places) => {
    expect(findLines(reference, LINES).map(({ chip, offset }) => `${chip} ${offset}`)).toEqual(places);
  });

  it.each([
    ['IMU_INT', null],
    ['IMU_IN', "no line is named 'IMU_IN'; did you mean IMU_INT?"],
    ['XYZ_17', "no line is named 'XYZ_17'; 'rproc-gpio info' lists them"],
    ['hub/IMU_IN', "no line of chip hub is named 'IMU_IN'; did you mean IMU_INT?"],
    ['hub/#9', 'chip hub has no line at offset 9; its lines are 0 to 2'],
    ['hbu/IMU_INT', "there is no chip 'hbu'; did you mean hub?"],
    ['gpiochip0/1', "there is no chip 'gpiochip0'; chips: hub, soc"],
    ['LED_STATUS', "several lines are named 'LED_STATUS': hub/LED_STATUS, soc/LED_STATUS"],
    ['soc/TWICE', "several lines are named 'soc/TWICE': soc/#2, soc/#3"],
    ['\u001b[2J', "no line is named '\\x1b[2J'; 'rproc-gpio info' lists them"],
  ])('%j: %s', (reference, fault) => expect(lineFault(reference, LINES)).toBe(fault));

  it('the shortest one that means each line', () => {
    expect(shortReferences(LINES)).toEqual([
      'hub/LED_STATUS',
      'IMU_INT',
      'hub/#2',
      'soc/LED_STATUS',
      'a/b',
      'soc/#2',
      'soc/#3',
    ]);
  });
});
