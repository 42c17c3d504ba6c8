import { describe, expect, it } from 'vitest';
import { nearest, suggest } from '../../src/config/suggestion.ts';

const KEYS = ['memory', 'resourceTable', 'doorbell', 'exec', 'lines'];

describe('nearest', () => {
  it.each([
    ['memroy', 'memory'],
    ['Memory', 'memory'],
    ['ressourceTable', 'resourceTable'],
    ['doorbel', 'doorbell'],
    ['line', 'lines'],
    ['liens', 'lines'],
    ['mem', 'memory'],
    ['colour', undefined],
    ['', undefined],
    ['x'.repeat(1000), undefined],
  ])('takes %s for %s', (word, meant) => {
    expect(nearest(word, KEYS)).toBe(meant);
  });
});

describe('suggest', () => {
  it('names the nearest, or all there are', () => {
    expect(suggest('hab', ['hub', 'sim'], 'chips')).toBe('did you mean "hub"?');
    expect(suggest('fpga', ['hub', 'sim'], 'chips')).toBe('chips: hub, sim');
    expect(suggest('fpga', [], 'chips')).toBe('there are no chips');
  });
});
