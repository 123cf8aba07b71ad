import { seededRandom } from '@pointsman/routing';

export interface Interval {
  readonly low: number;
  readonly high: number;
}

export interface BootstrapOptions {
  /** Questions per fold: each fold is resampled within itself, as the figure is a mean over folds. */
  readonly rowsPerFold: readonly number[];
  /** At least 1000 for a 95 % interval. */
  readonly draws: number;
  readonly seed: number;
}

/**
 * Statistics under resampling of questions: `statistics` gets the fold and how often each of its questions was drawn, and returns one number per
 * quantity. The result holds, per quantity, its mean over folds for every draw. Quantities see the same draws, so that differences are paired.
 */
export function bootstrap({ rowsPerFold, draws, seed }: BootstrapOptions, statistics: (fold: number, counts: Uint16Array) => readonly number[]): Float64Array[] {
  const random = seededRandom(seed);
  const results: Float64Array[] = [];
  for (let draw = 0; draw < draws; draw += 1) {
    rowsPerFold.forEach((rows, fold) => {
      const counts = new Uint16Array(rows);
      for (let pick = 0; pick < rows; pick += 1) counts[Math.floor(random() * rows)]! += 1;
      statistics(fold, counts).forEach((value, quantity) => {
        results[quantity] ??= new Float64Array(draws);
        results[quantity][draw]! += value / rowsPerFold.length;
      });
    });
  }
  return results;
}

/** The middle 95 % of bootstrap values. */
export function interval95(values: Float64Array): Interval {
  const sorted = Float64Array.from(values).sort();
  return { low: sorted[Math.floor(0.025 * (sorted.length - 1))]!, high: sorted[Math.ceil(0.975 * (sorted.length - 1))]! };
}
