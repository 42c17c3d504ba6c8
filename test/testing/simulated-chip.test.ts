import { describe, expect, it } from 'vitest';
import type { Edge } from '../../src/gpio/chip.ts';
import { SimulatedChip } from '../../src/testing/simulated-chip.ts';

function simulated(lineCount = 4, names?: readonly string[]) {
  const chip = new SimulatedChip('sim', lineCount, names);
  const edges: string[] = [];
  const seqs: number[] = [];
  chip.listen({
    edge: ({ offset, level, seq }: Edge) => {
      edges.push(`${offset}=${level}`);
      seqs.push(seq);
    },
    availability: () => {},
  });
  let answer: [number, number] | undefined;
  const done = {
    complete: (_token: number, result: number, value: number) => {
      answer = [result, value];
    },
  };
  /** Every operation is answered within its call. */
  const ask = (operation: 'getValue' | 'getDirection', offset: number) => {
    answer = undefined;
    chip[operation](offset, done, 0);
    return answer;
  };
  const tell = (operation: 'setValue' | 'setDirection' | 'setIrqType', offset: number, value: number) => {
    answer = undefined;
    chip[operation](offset, value, done, 0);
    return answer;
  };
  return { chip, edges, seqs, ask, tell };
}

describe('SimulatedChip', () => {
  it('has named lines, none by default after their numbers, and is always there', () => {
    const { chip } = simulated();
    expect([0, 3, 4].map((offset) => chip.lineName(offset))).toEqual(['sim0', 'sim3', '']);
    expect(simulated(2, ['a', '']).chip.lineName(0)).toBe('a');
    expect(chip).toMatchObject({ name: 'sim', label: 'simulated', lineCount: 4, available: true });
    expect(chip.streamsLevels).toBe(true);
  });

  it('answers with what was set', () => {
    const { ask, tell } = simulated();
    expect(ask('getDirection', 0)).toEqual([0, 0]);
    for (const direction of [1, 2, 0]) {
      expect(tell('setDirection', 0, direction)).toEqual([0, 0]);
      expect(ask('getDirection', 0)).toEqual([0, direction]);
    }
  });

  it('an input has the level that outside drives it to', () => {
    const { chip, ask } = simulated();
    expect(ask('getValue', 2)).toEqual([0, 0]);
    chip.drive(2, 1);
    expect([ask('getValue', 2), chip.level(2)]).toEqual([[0, 1], 1]);
  });

  it('an output drives itself and its partner; a value is kept until then', () => {
    const { chip, tell, ask } = simulated();
    for (const [line, partner] of [
      [0, 1],
      [3, 2],
    ] as const) {
      tell('setValue', line, 1);
      expect([chip.level(line), chip.level(partner)]).toEqual([0, 0]);
      tell('setDirection', line, 1);
      expect([chip.level(line), chip.level(partner)]).toEqual([1, 1]);
      chip.drive(line, 0);
      chip.drive(partner, 0);
      expect([chip.level(line), ask('getValue', partner)]).toEqual([1, [0, 1]]);
      tell('setDirection', line, 2);
      expect([chip.level(line), chip.level(partner)]).toEqual([0, 0]);
    }
  });

  it('the last line of an odd number has no partner', () => {
    const { chip, tell, edges } = simulated(3);
    tell('setDirection', 2, 1);
    tell('setValue', 2, 1);
    expect([chip.level(0), chip.level(1), chip.level(2)]).toEqual([0, 0, 1]);
    expect(edges).toEqual([]);
  });

  it('tells of edges of the type that was asked for, with a count', () => {
    const { chip, tell, edges, seqs } = simulated(6);
    for (const [offset, type] of [
      [0, 1],
      [2, 2],
      [4, 3],
    ] as const) {
      expect(tell('setIrqType', offset, type)).toEqual([0, 0]);
    }
    for (const level of [1, 1, 0, 0] as const)
      for (let offset = 0; offset < 6; offset++) chip.drive(offset, level);
    expect(edges).toEqual(['0=1', '4=1', '2=0', '4=0']);
    expect(seqs).toEqual([1, 2, 3, 4]);
  });

  it('tells of the edges that a partner makes', () => {
    const { tell, edges } = simulated();
    tell('setIrqType', 1, 3);
    tell('setValue', 0, 1);
    expect(edges).toEqual([]);
    tell('setDirection', 0, 1);
    tell('setValue', 0, 0);
    tell('setValue', 0, 0);
    tell('setValue', 0, 1);
    tell('setDirection', 0, 2);
    expect(edges).toEqual(['1=1', '1=0', '1=1', '1=0']);
  });

  it('outputs take no interrupt type, and direction none ends one', () => {
    const { chip, tell, edges } = simulated();
    tell('setDirection', 0, 1);
    expect(tell('setIrqType', 0, 3)?.[0]).not.toBe(0);
    expect(tell('setIrqType', 0, 0)).toEqual([0, 0]);
    tell('setDirection', 0, 2);
    tell('setIrqType', 0, 3);
    tell('setDirection', 0, 0);
    chip.drive(0, 1);
    expect(edges).toEqual([]);
  });

  it('a type is changed through none only, as on any device of this protocol', () => {
    const { tell } = simulated();
    tell('setIrqType', 0, 1);
    expect(tell('setIrqType', 0, 1)).toEqual([0, 0]);
    expect(tell('setIrqType', 0, 3)?.[0]).not.toBe(0);
    tell('setIrqType', 0, 0);
    expect(tell('setIrqType', 0, 3)).toEqual([0, 0]);
  });

  it('takes the time of an edge from CLOCK_MONOTONIC', () => {
    const chip = new SimulatedChip('sim', 2);
    let timestampNs = 0n;
    chip.listen({
      edge: (edge) => {
        timestampNs = edge.timestampNs;
      },
      availability: () => {},
    });
    chip.setIrqType(0, 3, { complete: () => {} }, 0);
    const before = process.hrtime.bigint();
    chip.drive(0, 1);
    const after = process.hrtime.bigint();
    // Both clocks count alike, but are read apart.
    expect(timestampNs).toBeGreaterThan(before - 1_000_000n);
    expect(timestampNs).toBeLessThan(after + 1_000_000n);
  });

  it('tells nobody once it is closed', () => {
    const { chip, tell, edges } = simulated();
    tell('setIrqType', 0, 3);
    chip.close();
    chip.drive(0, 1);
    chip.flush();
    expect(edges).toEqual([]);
  });
});
