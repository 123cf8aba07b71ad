/** The middle of repeated measurements, with how far they went apart. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/**
 * The value below or at which `fraction` (0..1) of the sorted values lie, by the nearest rank: always a value that was measured.
 * NaN when there are no values.
 */
export function percentile(sorted: ArrayLike<number>, fraction: number): number {
  const rank = Math.max(1, Math.ceil(fraction * sorted.length));
  return sorted[Math.min(rank, sorted.length) - 1] ?? Number.NaN;
}

/** Median, least and greatest; the median of an even count is the mean of the two in the middle. All NaN when there are no values. */
export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((left, right) => left - right);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const lower = sorted[Math.ceil(sorted.length / 2) - 1] ?? Number.NaN;
  return { median: (lower + upper) / 2, min: sorted[0] ?? Number.NaN, max: sorted.at(-1) ?? Number.NaN };
}

/**
 * The median of `values[i] / bases[i]`: of what was measured side by side, so that a change of the machine's speed between two pairs cancels out.
 * Undefined where there are no pairs.
 */
export function pairedRatio(values: readonly number[], bases: readonly number[]): number | undefined {
  if (values.length !== bases.length || values.length === 0) return undefined;
  const ratios = values.map((value, index) => ratio(value, bases[index]));
  return ratios.includes(undefined) ? undefined : spread(ratios.map(Number)).median;
}

/** `value / base`, or undefined where a ratio would say nothing (no base, or not measured). */
export function ratio(value: number | undefined, base: number | undefined): number | undefined {
  if (value === undefined || base === undefined || !(base > 0) || !Number.isFinite(value)) return undefined;
  return value / base;
}
