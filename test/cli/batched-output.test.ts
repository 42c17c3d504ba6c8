import { describe, expect, it } from 'vitest';
import { BatchedOutput } from '../../src/cli/batched-output.ts';

/** A reader that takes one write at a time, when told to. */
function slowReader() {
  const texts: string[] = [];
  const waiting: (((error?: Error) => void) | undefined)[] = [];
  return {
    texts,
    write(text: string, written?: (error?: Error | null) => void): void {
      texts.push(text);
      waiting.push(written);
    },
    take(error?: Error): void {
      waiting.shift()?.(error);
    },
  };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('BatchedOutput', () => {
  it('writes what comes in one turn at once, and what comes during a write after it', async () => {
    const reader = slowReader();
    const output = new BatchedOutput(reader, () => {});
    output.write('a');
    output.write('b');
    expect(reader.texts).toEqual([]);
    await turn();
    expect(reader.texts).toEqual(['ab']);
    output.write('c');
    output.write('d');
    await turn();
    expect(reader.texts).toEqual(['ab']);
    reader.take();
    expect(reader.texts).toEqual(['ab', 'cd']);
    reader.take();
    await output.flushed();
  });

  it('is full when the reader is behind, until it is not', async () => {
    const reader = slowReader();
    const output = new BatchedOutput(reader, () => {});
    output.write('x');
    await turn();
    while (!output.isFull) output.write('y'.repeat(1000));
    let isFlushed = false;
    const flushed = output.flushed().then(() => {
      isFlushed = true;
    });
    reader.take();
    await turn();
    expect(isFlushed).toBe(false);
    reader.take();
    await flushed;
    expect(output.isFull).toBe(false);
    expect(reader.texts.length).toBe(2);
  });

  it('tells once that the reader is gone, forgets the rest, and lets nobody wait', async () => {
    const reader = slowReader();
    const failures: Error[] = [];
    const output = new BatchedOutput(reader, (error) => failures.push(error));
    output.write('a');
    await turn();
    output.write('b');
    const flushed = output.flushed();
    const gone = new Error('EPIPE');
    reader.take(gone);
    await flushed;
    output.write('c');
    await turn();
    await output.flushed();
    expect(failures).toEqual([gone]);
    expect(reader.texts).toEqual(['a']);
  });

  it('is flushed when there is nothing', () => new BatchedOutput(slowReader(), () => {}).flushed());
});
