import { describe, expect, it } from 'vitest';
import { ByteSource } from './byte-source.ts';
import { mutate } from './mutator.ts';
import { Random } from './random.ts';
import { FuzzSession, minimize } from './session.ts';
import type { FuzzTarget } from './target.ts';

function recorder(inputs: string[], bad = -1): FuzzTarget {
  return {
    name: 'recorder',
    what: 'writes down what it gets',
    seeds: () => [Uint8Array.of(1, 2, 3), Uint8Array.of(9)],
    run: (input) => {
      inputs.push(Buffer.from(input).toString('hex'));
      if (bad >= 0 && input.includes(bad)) throw new RangeError(`byte ${bad} at ${input.indexOf(bad)}`);
      input.fill(0);
      return String(input.length);
    },
    maxInputBytes: 100,
  };
}

async function inputsOf(seed: number, executions: number): Promise<string[]> {
  const inputs: string[] = [];
  const session = new FuzzSession(recorder(inputs), { seed, corpus: [Uint8Array.of(7, 7)] });
  for (let i = 0; i < executions; i++) expect(await session.step()).toBeNull();
  return inputs;
}

describe('a session', () => {
  it('begins with the seeds and the corpus, and goes on the same way with the same seed', async () => {
    const inputs = await inputsOf(1, 1000);
    expect(inputs.slice(0, 3)).toEqual(['010203', '09', '0707']);
    expect(await inputsOf(1, 1000)).toEqual(inputs);
    expect((await inputsOf(2, 1000)).slice(3)).not.toEqual(inputs.slice(3));
    expect(new Set(inputs).size).toBeGreaterThan(700);
    expect(Math.max(...inputs.map((input) => input.length / 2))).toBeLessThanOrEqual(100);
  });

  it('keeps inputs with new outcomes in the pool: what needs several steps is found', async () => {
    const target: FuzzTarget = {
      name: 'steps',
      what: 'each right byte leads one step on',
      seeds: () => [new Uint8Array(6)],
      run: (input) => {
        let depth = 0;
        while (depth < 4 && input[depth] === 0xa0 + depth) depth++;
        if (depth === 4) throw new Error('all four');
        return `depth ${depth}`;
      },
    };
    const session = new FuzzSession(target, { seed: 1, corpus: [] });
    let find = null;
    for (let i = 0; i < 400_000 && find === null; i++) find = await session.step();
    expect([...(find?.input.subarray(0, 4) ?? [])]).toEqual([0xa0, 0xa1, 0xa2, 0xa3]);
  });

  it('tells the input before each execution', async () => {
    const told: string[] = [];
    const inputs: string[] = [];
    const before = (execution: number, input: Uint8Array): void => {
      told.push(`${execution} ${Buffer.from(input).toString('hex')}`);
    };
    const session = new FuzzSession(recorder(inputs), { seed: 1, corpus: [], before });
    for (let i = 0; i < 10; i++) await session.step();
    expect(told).toEqual(inputs.map((input, execution) => `${execution} ${input}`));
  });

  it('makes a find smaller without making another one of it', async () => {
    const target = recorder([], 0x55);
    const input = Uint8Array.from([1, 2, 3, 0x55, 4, 5, 6, 7]);
    const find = { execution: 0, input, error: new RangeError('byte 85 at 3') };
    expect([...(await minimize(target, find))]).toEqual([0x55]);
    const other = { ...find, error: new TypeError('something else') };
    expect(await minimize(target, other)).toBe(input);
  });
});

describe('the mutator', () => {
  it('leaves its input alone, keeps to the limit, and uses every kind of change', () => {
    const random = new Random('x');
    const input = Uint8Array.from({ length: 40 }, (_, index) => index);
    const word = Uint8Array.from([0xde, 0xad, 0xbe, 0xef]);
    let [longer, shorter, words] = [0, 0, 0];
    for (let i = 0; i < 3000; i++) {
      const bytes = mutate(input, Uint8Array.of(200, 201, 202), [word], 60, random);
      expect(bytes.length).toBeLessThanOrEqual(60);
      if (bytes.length > 40) longer++;
      if (bytes.length < 40) shorter++;
      if (Buffer.from(bytes).includes(Buffer.from(word))) words++;
    }
    expect(Math.min(longer, shorter, words)).toBeGreaterThan(100);
    expect([...input]).toEqual(Array.from({ length: 40 }, (_, index) => index));
  });

  it('makes something of nothing', () => {
    const random = new Random('y');
    const lengths = new Set<number>();
    for (let i = 0; i < 200; i++)
      lengths.add(mutate(new Uint8Array(0), new Uint8Array(0), [], 16, random).length);
    expect(Math.max(...lengths)).toBeGreaterThan(0);
  });
});

describe('a byte source', () => {
  it('gives the bytes little-endian, then zeros', () => {
    const source = new ByteSource(Uint8Array.of(1, 2, 3, 4, 5, 6, 7));
    expect([source.u8(), source.u16(), source.u32(), source.remaining]).toEqual([1, 0x302, 0x7060504, 0]);
    expect([source.u8(), source.u64(), source.below(10), source.bool()]).toEqual([0, 0n, 0, false]);
    expect([...source.bytes(3)]).toEqual([0, 0, 0]);
  });

  it('goes on with numbers that follow from the bytes, when asked to', () => {
    const of = (...bytes: number[]): number[] => {
      const source = new ByteSource(Uint8Array.from(bytes), { tail: 'random' });
      return Array.from({ length: 20 }, () => source.below(1000));
    };
    expect(of(1, 2)).toEqual(of(1, 2));
    expect(of(1, 2)).not.toEqual(of(1, 3));
    expect(Math.max(...of())).toBeLessThan(1000);
  });
});
