export interface Calibration {
  /** Expected calibration error: mean distance between predicted and observed quality over ten equal-width bins, weighted by their size. */
  readonly ece: number;
  /** Mean squared error of the prediction (Brier's score for 0/1 outcomes). */
  readonly brier: number;
}

/** Over all pairs with an observed outcome (NaN = not observed). Predictions are clipped to 0..1. */
export function calibration(predicted: ArrayLike<number>, observed: ArrayLike<number>): Calibration {
  const bins = 10;
  const count = new Float64Array(bins);
  const sumPredicted = new Float64Array(bins);
  const sumObserved = new Float64Array(bins);
  let squared = 0;
  let pairs = 0;
  for (let index = 0; index < predicted.length; index += 1) {
    const outcome = observed[index]!;
    if (Number.isNaN(outcome)) continue;
    const value = Math.min(1, Math.max(0, predicted[index]!));
    const bin = Math.min(bins - 1, Math.floor(value * bins));
    count[bin]! += 1;
    sumPredicted[bin]! += value;
    sumObserved[bin]! += outcome;
    squared += (value - outcome) ** 2;
    pairs += 1;
  }
  let error = 0;
  for (let bin = 0; bin < bins; bin += 1) error += Math.abs(sumPredicted[bin]! - sumObserved[bin]!);
  return { ece: error / pairs, brier: squared / pairs };
}
