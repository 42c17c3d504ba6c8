import { describe, expect, it } from 'vitest';
import { exitStatus, figure } from '../../bench/figures.ts';

describe('figure', () => {
  it('meets, misses and fails an upper bound', () => {
    const bound = { relation: '<=', value: 2 } as const;
    expect(figure('ratio', 'x', 2, bound)).toMatchObject({ met: true, failed: false });
    expect(figure('ratio', 'x', 3.9, bound)).toMatchObject({ met: false, failed: false });
    expect(figure('ratio', 'x', 4.1, bound)).toMatchObject({ met: false, failed: true });
  });

  it('meets, misses and fails a lower bound', () => {
    const bound = { relation: '>=', value: 100 } as const;
    expect(figure('rate', '/s', 100, bound)).toMatchObject({ met: true, failed: false });
    expect(figure('rate', '/s', 51, bound)).toMatchObject({ met: false, failed: false });
    expect(figure('rate', '/s', 49, bound)).toMatchObject({ met: false, failed: true });
  });

  it('knows a strict bound', () => {
    expect(figure('memory', 'MB', 120, { relation: '<', value: 120 })).toMatchObject({
      met: false,
      failed: false,
    });
  });

  it('forgives nothing where the target is zero', () => {
    const none = { relation: '<=', value: 0 } as const;
    expect(figure('wrong', 'count', 0, none)).toMatchObject({ met: true, failed: false });
    expect(figure('wrong', 'count', 1, none)).toMatchObject({ met: false, failed: true });
  });

  it('fails what is not a number, with a target and without', () => {
    expect(figure('ratio', 'x', Number.NaN, { relation: '<=', value: 2 })).toMatchObject({
      met: false,
      failed: true,
    });
    expect(figure('ratio', 'x', Number.NaN)).toMatchObject({ met: null, failed: true });
  });

  it('judges nothing without a target', () => {
    expect(figure('rate', '/s', 5)).toMatchObject({ target: null, met: null, failed: false });
  });
});

describe('exitStatus', () => {
  it('is 1 only when a target was missed by more than noise', () => {
    const bound = { relation: '<=', value: 2 } as const;
    expect(exitStatus([figure('a', 'x', 1, bound), figure('b', 'x', 3, bound)])).toBe(0);
    expect(exitStatus([figure('a', 'x', 1, bound), figure('b', 'x', 5, bound)])).toBe(1);
  });
});
