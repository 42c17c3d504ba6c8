import { afterEach, expect, it, onTestFinished, vi } from 'vitest';
import { CommandRunner } from '../../../src/exporters/mqtt/command-runner.ts';
import type { CommandAnswer, CommandRequest } from '../../../src/exporters/mqtt/worker-messages.ts';
import { ChipLines } from '../../../src/gpio/chip-lines.ts';
import { SimulatedChip } from '../../../src/testing/simulated-chip.ts';

/** Where each operation of a chip takes a millisecond, as on a slow bus. */
let nowMs = 0;

class SlowChip extends SimulatedChip {
  readonly asked: number[] = [];

  override setValue(...[offset, level, done, token]: Parameters<SimulatedChip['setValue']>): void {
    nowMs += 1;
    this.asked.push(offset);
    super.setValue(offset, level, done, token);
  }
}

function setUp(lineCount = 40) {
  const chip = new SlowChip('bus', lineCount);
  const lines = new ChipLines(chip);
  const handles = Array.from({ length: lineCount }, (_, line) =>
    lines.open(line, { name: 'mqtt', interrupt: () => {} }, line),
  );
  const answers: CommandAnswer[] = [];
  const runner = new CommandRunner(handles, (batch) => answers.push(...batch));
  nowMs = 1000;
  vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
  onTestFinished(() => runner.close());
  return { chip, runner, answers };
}

afterEach(() => {
  vi.restoreAllMocks();
});

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

function sets(from: number, to: number): CommandRequest[] {
  return Array.from({ length: to - from }, (_, i) => ({
    id: from + i,
    line: from + i,
    command: { kind: 'set', level: 1 },
  }));
}

it('does a few commands a turn of the loop, in their order, also with more of them coming in', async () => {
  const { runner, answers } = setUp();
  runner.run(sets(0, 20));
  expect(answers.map(({ id }) => id)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  runner.run(sets(20, 40));
  expect(answers).toHaveLength(8);
  await turn();
  expect(answers).toHaveLength(16);
  for (let turns = 0; turns < 3; turns++) await turn();
  expect(answers.map(({ id }) => id)).toEqual(Array.from({ length: 40 }, (_, id) => id));
  expect(answers.every(({ isOk }) => isOk)).toBe(true);
});

it('drops what waits when the worker that asked is gone, and serves the next one', async () => {
  const { chip, runner, answers } = setUp();
  runner.run(sets(0, 20));
  const asked = chip.asked.length;
  runner.forget();
  await turn();
  await turn();
  expect(chip.asked).toHaveLength(asked);
  runner.run(sets(30, 32));
  expect(answers.map(({ id }) => id)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 30, 31]);
});
