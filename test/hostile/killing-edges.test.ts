import { describe, expect, it } from 'vitest';
import { type Change, contradictions, inventedEdges, type ToldEdge, Wires } from './killing-edges.ts';

function edge(level: 0 | 1 | null, atNs: number, more: Partial<ToldEdge> = {}): ToldEdge {
  return { line: 'A', level, atNs, edgeNs: null, merged: false, seq: null, session: '1', ...more };
}

const UP_DOWN_UP: readonly Change[] = [
  { level: 1, fromNs: 10 },
  { level: 0, fromNs: 20 },
  { level: 1, fromNs: 30 },
];

describe('invented edges', () => {
  it('are not those that happened, all of them or some', () => {
    expect(inventedEdges(UP_DOWN_UP, [edge(1, 11), edge(0, 21), edge(1, 31)])).toEqual([]);
    expect(inventedEdges(UP_DOWN_UP, [edge(1, 31)])).toEqual([]);
    expect(inventedEdges(UP_DOWN_UP, [edge(null, 11), edge(null, 32), edge(null, 33)])).toEqual([]);
  });

  it('are those of which there was no change', () => {
    const extra = edge(0, 40);
    expect(inventedEdges(UP_DOWN_UP, [edge(1, 11), edge(0, 21), edge(1, 31), extra])).toEqual([extra]);
    const fourth = edge(null, 43);
    expect(inventedEdges(UP_DOWN_UP, [edge(null, 40), edge(null, 41), edge(null, 42), fourth])).toEqual([
      fourth,
    ]);
    expect(inventedEdges([], [extra])).toEqual([extra]);
  });

  it('are those that were told before they happened', () => {
    const early = edge(1, 9);
    expect(inventedEdges(UP_DOWN_UP, [early])).toEqual([early]);
    const dated = edge(1, 40, { edgeNs: 5 });
    expect(inventedEdges(UP_DOWN_UP, [dated])).toEqual([dated]);
  });
});

describe('contradictions', () => {
  it('are levels that follow on themselves, and numbers that do not grow', () => {
    const at = (level: 0 | 1, seq: number, session = '1'): ToldEdge => edge(level, seq, { seq, session });
    expect(contradictions([at(1, 1), at(0, 2), at(0, 4), at(1, 5)])).toEqual([]);
    expect(contradictions([at(1, 7), at(1, 1, '2')])).toEqual([]);
    expect(contradictions([at(1, 1), at(1, 2)])).toEqual(['A: level 1 twice, seq 1 and 2']);
    expect(contradictions([at(1, 3), at(0, 3)])).toEqual(['A: seq 3 after 3']);
  });
});

describe('the wires', () => {
  it('know changes only, also of a firmware that starts again', () => {
    const wires = new Wires(
      new Map([
        ['A', 0],
        ['B', 1],
      ]),
    );
    wires.drive('A', 0, 1);
    wires.drive('A', 1, 2);
    wires.restart(3);
    expect(wires.changesOf('A')).toEqual([
      { level: 1, fromNs: 2 },
      { level: 0, fromNs: 3 },
    ]);
    expect(wires.changesOf('B')).toEqual([]);
    wires.forget();
    expect(wires.changesOf('A')).toEqual([]);
    expect(() => wires.level('C')).toThrow(/no line C/);
  });
});
