import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { LineLog } from '../../src/daemon/line-log.ts';
import { DIRECTION_OUT, type Edge, IRQ_BOTH } from '../../src/gpio/chip.ts';
import { ChipLines } from '../../src/gpio/chip-lines.ts';
import type { LineHandle } from '../../src/gpio/line-handle.ts';
import { SimulatedChip } from '../../src/testing/simulated-chip.ts';

const SECOND = 1_000_000_000n;

function logOf(selectors: readonly string[], ...chips: SimulatedChip[]) {
  const lines = chips.map((chip) => new ChipLines(chip));
  const written: string[] = [];
  const log = new LineLog(lines, selectors, (text) => written.push(text));
  return { lines, written, log };
}

/** An edge at a time of the test's choice. */
function edgeAt(timestampNs: bigint, level = 1): Edge {
  return { offset: 0, level, seq: 1, merged: false, timestampNs };
}

describe('LineLog', () => {
  it('writes a line for each level change, as gpiomon does', () => {
    const chip = new SimulatedChip('hub', 4, ['IMU_INT', '', 'X', 'Y']);
    const { written } = logOf(['*'], chip);
    chip.drive(0, 1);
    chip.drive(0, 0);
    chip.drive(1, 1);
    expect(written).toHaveLength(3);
    expect(written[0]).toMatch(/^\d+\.\d{9}\trising\t"hub\/IMU_INT"\n$/);
    expect(written[1]).toMatch(/^\d+\.\d{9}\tfalling\t"hub\/IMU_INT"\n$/);
    expect(written[2]).toMatch(/^\d+\.\d{9}\trising\t"hub\/#1"\n$/);
  });

  it('writes the time in seconds and nine digits of nanoseconds', () => {
    const chip = new SimulatedChip('hub', 1);
    const { log, lines, written } = logOf(['*'], chip);
    const handle = lines[0]!.lines[0]!.handles[0]!;
    log.edge(handle, 0, edgeAt(12n * SECOND + 345n));
    log.edge(handle, 1, edgeAt(0n));
    expect(written).toEqual(['12.000000345\tfalling\t"hub/sim0"\n', '0.000000000\trising\t"hub/sim0"\n']);
  });

  it('marks the changes of outputs', () => {
    const chip = new SimulatedChip('hub', 2);
    const { lines, written } = logOf(['hub/sim0'], chip);
    const line = lines[0]!.lines[0]!;
    const consumer = { name: 'test', interrupt: () => {} };
    const handle: LineHandle = lines[0]!.open(0, consumer, 0);
    const done = { complete: () => {} };
    handle.setDirection(DIRECTION_OUT, done, 0);
    handle.setValue(1, done, 0);
    expect(line.direction).toBe(DIRECTION_OUT);
    expect(written.at(-1)).toMatch(/\trising\t"hub\/sim0"\toutput\n$/);
  });

  it('watches the lines that the selectors name, each once, of several chips', () => {
    const hub = new SimulatedChip('hub', 4);
    const aux = new SimulatedChip('aux', 4);
    const { lines, written } = logOf(['hub/sim1', 'hub/sim1', 'h*/sim?', 'aux/#2'], hub, aux);
    for (const chip of [hub, aux]) for (let offset = 0; offset < 4; offset++) chip.drive(offset, 1);
    expect(written.map((text) => text.split('\t')[2])).toEqual([
      '"hub/sim0"\n',
      '"hub/sim1"\n',
      '"hub/sim2"\n',
      '"hub/sim3"\n',
      '"aux/sim2"\n',
    ]);
    expect(lines[1]!.lines.map((line) => line.subscribed)).toEqual([0, 0, IRQ_BOTH, 0]);
  });

  it('takes a selector that matches nothing, and chips whose lines have the same names', () => {
    const { written } = logOf(
      ['hub/NOPE', 'nope/*', '*'],
      new SimulatedChip('hub', 2),
      new SimulatedChip('aux', 2),
    );
    expect(written).toEqual([]);
  });

  it('writes at most 100 lines of a second, and says how many more there were', () => {
    const chip = new SimulatedChip('hub', 1);
    const { log, lines, written } = logOf(['*'], chip);
    const handle = lines[0]!.lines[0]!.handles[0]!;
    for (let i = 0; i < 250; i++) log.edge(handle, i % 2, edgeAt(7n * SECOND + BigInt(i)));
    expect(written).toHaveLength(100);
    log.edge(handle, 1, edgeAt(8n * SECOND));
    expect(written.slice(100)).toEqual([
      '150 more level changes were not logged\n',
      '8.000000000\trising\t"hub/sim0"\n',
    ]);
    log.edge(handle, 0, edgeAt(9n * SECOND));
    expect(written).toHaveLength(103);
  });

  it('says so a second later when nothing changes any more', () => {
    vi.useFakeTimers();
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const chip = new SimulatedChip('hub', 1);
    const { log, lines, written } = logOf(['*'], chip);
    const handle = lines[0]!.lines[0]!.handles[0]!;
    for (let i = 0; i < 130; i++) log.edge(handle, i % 2, edgeAt(BigInt(i)));
    expect(written).toHaveLength(100);
    vi.advanceTimersByTime(1000);
    expect(written.slice(100)).toEqual(['30 more level changes were not logged\n']);
    expect(vi.getTimerCount()).toBe(0);
    log.close();
    expect(written).toHaveLength(101);
  });

  it('says how many were not logged when it is closed, too', () => {
    const chip = new SimulatedChip('hub', 1);
    const { log, lines, written } = logOf(['*'], chip);
    const handle = lines[0]!.lines[0]!.handles[0]!;
    for (let i = 0; i < 101; i++) log.edge(handle, i % 2, edgeAt(BigInt(i)));
    log.close();
    expect(written.at(-1)).toBe('1 more level change was not logged\n');
  });

  it('gives the lines back when it is closed, twice without harm', () => {
    const chip = new SimulatedChip('hub', 4);
    const { log, lines, written } = logOf(['*'], chip);
    expect(lines[0]!.lines.every((line) => line.subscribed === IRQ_BOTH)).toBe(true);
    log.close();
    log.close();
    chip.drive(0, 1);
    expect(written).toEqual([]);
    expect(lines[0]!.lines.every((line) => line.subscribed === 0 && line.handles.length === 0)).toBe(true);
  });
});
