/** Order statistics over a handful of rounds. */

/**
 * What one guest's request takes, one at a time, counts as half a floor at the least where it is a reference. It is 0.1 or 0.5 x floor
 * from one run to the next, by whether the guest's processor has gone to sleep, and polling spends processor time as long: a ratio to
 * less would tell of that.
 */
export const LEAST_OF_FLOOR = 0.5;

/**
 * The middle value; the mean of the two middle ones for an even count.
 * @throws RangeError when there are no values: a figure without a measurement must not look like one.
 */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('median of no values');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle]!;
  return sorted.length % 2 === 1 ? upper : (sorted[middle - 1]! + upper) / 2;
}

/**
 * The median of `values[i] / references[i]`: each value is compared with the reference of its own round, so that what
 * the machine does meanwhile slows both.
 * @throws RangeError when the lengths differ or are zero.
 */
export function medianOfRatios(values: readonly number[], references: readonly number[]): number {
  if (values.length !== references.length) {
    throw new RangeError(`${values.length} values against ${references.length} references`);
  }
  return median(values.map((value, i) => value / references[i]!));
}

/** Largest over smallest: how far apart the rounds were. */
export function spread(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('spread of no values');
  return Math.max(...values) / Math.min(...values);
}

/**
 * How much `y` goes up for each one of `x`, by least squares.
 * @throws RangeError when there are fewer than two points, or the lengths differ
 */
export function slope(x: readonly number[], y: readonly number[]): number {
  if (x.length !== y.length || x.length < 2) throw new RangeError(`${x.length} and ${y.length} values`);
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, each) => sum + each, 0) / values.length;
  const [meanX, meanY] = [mean(x), mean(y)];
  let above = 0;
  let below = 0;
  for (const [i, each] of x.entries()) {
    above += (each - meanX) * (y[i]! - meanY);
    below += (each - meanX) ** 2;
  }
  return above / below;
}
