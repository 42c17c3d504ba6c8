import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  DIAGNOSTICS_EVERY_MS,
  DiagnosticsPace,
} from '../../../src/exporters/mqtt/worker/diagnostics-pace.ts';

describe('the pace of diagnostics', () => {
  beforeEach(() => {
    vi.useFakeTimers();
    vi.advanceTimersByTime(DIAGNOSTICS_EVERY_MS);
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('tells a change at once, and further ones when the time is over', () => {
    const due: number[] = [];
    const pace = new DiagnosticsPace(2, (chip) => due.push(chip));
    pace.changed(1);
    expect(due).toEqual([1]);
    for (let i = 0; i < 100; i++) pace.changed(1);
    vi.advanceTimersByTime(DIAGNOSTICS_EVERY_MS / 2);
    pace.changed(0);
    expect(due).toEqual([1, 0]);
    vi.advanceTimersByTime(DIAGNOSTICS_EVERY_MS / 2);
    expect(due).toEqual([1, 0, 1]);
    // Nothing has changed since: no timer.
    expect(vi.getTimerCount()).toBe(0);
  });

  it('waits after they were published for another reason', () => {
    const due: number[] = [];
    const pace = new DiagnosticsPace(1, (chip) => due.push(chip));
    pace.told();
    pace.changed(0);
    expect(due).toEqual([]);
    vi.advanceTimersByTime(DIAGNOSTICS_EVERY_MS);
    expect(due).toEqual([0]);
  });

  it('has one timer for all chips, and none when it is closed', () => {
    const pace = new DiagnosticsPace(3, () => undefined);
    for (let round = 0; round < 2; round++) for (const chip of [0, 1, 2]) pace.changed(chip);
    expect(vi.getTimerCount()).toBe(1);
    pace.close();
    pace.close();
    expect(vi.getTimerCount()).toBe(0);
  });
});
