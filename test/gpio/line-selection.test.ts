import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ChipLines } from '../../src/gpio/chip-lines.ts';
import {
  LineSelectionError,
  type LineSelector,
  matchesGlob,
  selectLines,
} from '../../src/gpio/line-selection.ts';
import { SimulatedChip } from '../../src/testing/simulated-chip.ts';

const HUB = ['door', 'window', '', 'led-red', 'led-green', 'a/b'];
function chips() {
  return [
    new ChipLines(new SimulatedChip('hub', HUB.length, HUB)),
    new ChipLines(new SimulatedChip('hub2', 3, ['bell', 'door', ''])),
  ];
}

/** `chip/offset` of what is selected. */
function selected(selectors: LineSelector[], mayBeEmpty = false): string[] {
  return selectLines(chips(), selectors, { mayBeEmpty }).map(
    ({ line }) => `${line.lines.name}/${line.offset}`,
  );
}

function fault(selectors: LineSelector[], mayBeEmpty = false): LineSelectionError {
  try {
    selectLines(chips(), selectors, { mayBeEmpty });
  } catch (error) {
    if (error instanceof LineSelectionError) return error;
  }
  throw new Error('nothing was thrown');
}

describe('selectLines', () => {
  it.each<[string, LineSelector[], string[]]>([
    ['one by name', ['hub/door'], ['hub/0']],
    ['one by offset', ['hub/#2'], ['hub/2']],
    ['a glob', ['hub/led-*'], ['hub/3', 'hub/4']],
    ['a question mark', ['hub2/?ell'], ['hub2/0']],
    ['all of one chip, those without a name too', ['hub2/*'], ['hub2/0', 'hub2/1', 'hub2/2']],
    ['the order of the selectors', ['hub2/bell', 'hub/window', 'hub/door'], ['hub2/0', 'hub/1', 'hub/0']],
    ['what an earlier one took only once', ['hub/led-red', 'hub/led-*'], ['hub/3', 'hub/4']],
    ['a glob for chips', ['hub*/#0'], ['hub/0', 'hub2/0']],
    ['a name with a slash', ['hub/a/b'], ['hub/5']],
    ['an object', [{ line: 'hub/door' }], ['hub/0']],
  ])('selects %s', (_what, selectors, expected) => {
    expect(selected(selectors)).toEqual(expected);
  });

  it("'*' is everything, in the order of chips and offsets", () => {
    const [hub, other] = chips();
    const lines = selectLines([hub as ChipLines], ['*']).map(({ line }) => line.offset);
    expect(lines).toEqual([0, 1, 2, 3, 4, 5]);
    expect(selectLines([other as ChipLines], ['*'])).toHaveLength(3);
  });

  it('gives names and access as asked, else the chip’s own and write', () => {
    const list = selectLines(chips(), [
      'hub/led-red',
      { line: 'hub/door', name: 'front', access: 'read' },
      { line: 'hub2/*', access: 'owner' },
    ]);
    expect(list.map(({ name, access }) => [name, access])).toEqual([
      ['led-red', 'write'],
      ['front', 'read'],
      ['bell', 'owner'],
      ['door', 'owner'],
      ['', 'owner'],
    ]);
  });

  it('gives role and debounce as asked, and the selector that took the line', () => {
    const list = selectLines(chips(), [
      'hub/led-red',
      { line: 'hub/led-*', role: 'output', debounceMs: 0 },
      { line: 'hub/door', role: 'input', debounceMs: 20 },
    ]);
    expect(list.map(({ role, debounceMs, selector }) => [role, debounceMs, selector])).toEqual([
      ['any', undefined, 0],
      ['output', 0, 1],
      ['input', 20, 2],
    ]);
  });

  it('names are unique in a chip only, when that is enough', () => {
    expect(selectLines(chips(), ['hub/door', 'hub2/door'], { uniqueNames: 'chip' })).toHaveLength(2);
    const selectors: LineSelector[] = ['hub/door', { line: 'hub/window', name: 'door' }];
    expect(() => selectLines(chips(), selectors, { uniqueNames: 'chip' })).toThrow(
      expect.objectContaining({
        selector: 1,
        remedy: 'names are unique in a chip: rename one with { line: hub/window, name: … }',
      }),
    );
  });

  it('a selector that matches nothing is an error that says what there is', () => {
    const error = fault(['hub/door', 'hub/dor']);
    expect(error).toMatchObject({ code: 'ERR_LINES', selector: 1, message: "no line matches 'hub/dor'" });
    expect(error.remedy).toBe('hub has 6 lines: door, window, led-red, led-green, a/b');
    expect(fault(['nowhere/door']).remedy).toBe('chips are hub, hub2');
    for (const selector of ['hub/#6', 'hub/#', 'door', '', 'hub']) {
      expect(fault([selector]).message).toBe(`no line matches '${selector}'`);
    }
  });

  it('unless it may', () => {
    expect(selected(['nowhere/x', 'hub/door'], true)).toEqual(['hub/0']);
    expect(selectLines([], ['*'], { mayBeEmpty: true })).toEqual([]);
  });

  it('a name for several lines is an error', () => {
    expect(fault(['hub/door', { line: 'hub/led-*', name: 'led' }])).toMatchObject({
      selector: 1,
      message: "'hub/led-*' matches 2 lines, which cannot all be named 'led'",
    });
  });

  it('two lines of one name are an error that names both, unless one is renamed', () => {
    const error = fault(['hub/door', 'hub2/door']);
    expect(error.selector).toBe(1);
    expect(error.message).toBe("hub/door and hub2/door would both be named 'door'");
    expect(error.remedy).toContain('{ line: hub2/door, name:');
    expect(selected(['hub/door', { line: 'hub2/door', name: 'back' }])).toEqual(['hub/0', 'hub2/1']);
    expect(fault(['hub/door', { line: 'hub/window', name: 'door' }]).selector).toBe(1);
  });

  it('any number of lines may have no name', () => {
    expect(selected(['hub/#2', 'hub2/#2'])).toEqual(['hub/2', 'hub2/2']);
  });
});

describe('matchesGlob', () => {
  it('matches as a regular expression of the same meaning does', () => {
    const character = fc.constantFrom('a', 'b', '*', '?');
    const pattern = fc.string({ unit: character, maxLength: 8 });
    const name = fc.string({ unit: fc.constantFrom('a', 'b', '*'), maxLength: 8 });
    fc.assert(
      fc.property(pattern, name, (glob, text) => {
        const source = [...glob].map((c) => ({ '*': '.*', '?': '.' })[c] ?? c).join('');
        expect(matchesGlob(glob, text)).toBe(new RegExp(`^${source}$`, 's').test(text));
      }),
      { numRuns: 2000 },
    );
  });

  it('takes characters that mean something elsewhere as they are', () => {
    expect(matchesGlob('a.c[1]+', 'a.c[1]+')).toBe(true);
    expect(matchesGlob('a.c', 'abc')).toBe(false);
  });

  it('does not take for ever', () => {
    const start = performance.now();
    expect(matchesGlob(`${'*a'.repeat(200)}b`, 'a'.repeat(2000))).toBe(false);
    expect(performance.now() - start).toBeLessThan(2000);
  });
});
