/** A measured figure, its target, and what a miss means. */

/** What is asked of a figure. */
export interface Target {
  readonly relation: '<=' | '<' | '>=';
  readonly value: number;
}

export interface Figure {
  readonly name: string;
  readonly unit: string;
  /** null: it could not be measured. */
  readonly value: number | null;
  /** null: printed for orientation only. */
  readonly target: Target | null;
  /** null where there is no target. */
  readonly met: boolean | null;
  /** Missed so far that it cannot be noise. */
  readonly failed: boolean;
}

/** How many times worse than its target a figure must be before it fails a run: timings vary that much. */
export const NOISE_FACTOR = 2;

/**
 * Judges a figure. A target of zero (wrong answers, lost events) has no noise: missing it at all fails.
 * A value that is not a number misses every target and fails.
 */
export function figure(name: string, unit: string, value: number, target: Target | null = null): Figure {
  if (target === null) return { name, unit, value, target, met: null, failed: Number.isNaN(value) };
  return {
    name,
    unit,
    value,
    target,
    met: satisfies(value, target),
    failed: !satisfies(value, relaxed(target)),
  };
}

/**
 * A figure that could not be measured, which is not the same as one that is good.
 * @param fails whether the run fails for it
 */
export function unmeasured(name: string, unit: string, target: Target | null, fails: boolean): Figure {
  return { name, unit, value: null, target, met: target === null ? null : false, failed: fails };
}

/** The exit status of a run: 1 only when a target was missed by more than noise explains, or what had to be measured was not. */
export function exitStatus(figures: readonly Figure[]): 0 | 1 {
  return figures.some((each) => each.failed) ? 1 : 0;
}

function satisfies(value: number, target: Target): boolean {
  switch (target.relation) {
    case '<=':
      return value <= target.value;
    case '<':
      return value < target.value;
    case '>=':
      return value >= target.value;
  }
}

function relaxed(target: Target): Target {
  const value = target.relation === '>=' ? target.value / NOISE_FACTOR : target.value * NOISE_FACTOR;
  return { relation: target.relation, value };
}
