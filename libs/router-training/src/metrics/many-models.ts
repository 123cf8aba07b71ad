/** Outcomes of several models on the same questions and what a router predicts of them. Matrices are row by row: question × model. */
export interface ManyModelOutcomes {
  readonly models: number;
  readonly quality: ArrayLike<number>;
  readonly predicted: ArrayLike<number>;
  /** Price per model, any unit. */
  readonly prices: readonly number[];
}

/** Mean true quality when every question goes to the model with the best prediction; ties count as a random pick among them. */
export function pickedQuality({ models, quality, predicted }: Omit<ManyModelOutcomes, 'prices'>): number {
  return picked({ models, quality, predicted, prices: [] }, 0).quality;
}

/** Mean quality of each model alone. */
export function modelMeans(quality: ArrayLike<number>, models: number): Float64Array {
  const means = new Float64Array(models);
  for (let index = 0; index < quality.length; index += 1) means[index % models]! += quality[index]!;
  return means.map((sum) => sum / (quality.length / models));
}

/** Mean quality when every question goes to a model that is best on it. */
export function oracleQuality(quality: ArrayLike<number>, models: number): number {
  let sum = 0;
  for (let start = 0; start < quality.length; start += models) {
    let best = -Infinity;
    for (let model = 0; model < models; model += 1) best = Math.max(best, quality[start + model]!);
    sum += best;
  }
  return sum / (quality.length / models);
}

export interface CostPoint {
  /** Mean price per question. */
  readonly cost: number;
  readonly quality: number;
}

/**
 * Cost and quality of `argmax (prediction - λ · price)` for λ from "price decides" down to 0. 400 values spaced evenly in the logarithm, which
 * moves neighbouring points by less than one question in a hundred.
 */
export function costCurve(outcomes: ManyModelOutcomes): CostPoint[] {
  const points: CostPoint[] = [picked(outcomes, 1e6)];
  const steps = 400;
  for (let step = 0; step < steps; step += 1) points.push(picked(outcomes, 10 ** (2 - (6 * step) / (steps - 1))));
  points.push(picked(outcomes, 0));
  return points;
}

/** The smallest cost on the curve with at least `target` quality, linear between neighbouring points; Infinity when it is never reached. */
export function costAtQuality(curve: readonly CostPoint[], target: number): number {
  let cost = Infinity;
  curve.forEach((point, index) => {
    if (point.quality < target) return;
    cost = Math.min(cost, point.cost);
    const before = curve[index - 1];
    if (before !== undefined && before.quality < target && point.quality > before.quality) {
      cost = Math.min(cost, before.cost + ((target - before.quality) / (point.quality - before.quality)) * (point.cost - before.cost));
    }
  });
  return cost;
}

/** Average improvement in quality: the mean, over the range of prices, of the best quality reached at that cost or below (RouterBench, arXiv 2403.12031). */
export function averageQuality(curve: readonly CostPoint[], prices: readonly number[]): number {
  const low = Math.min(...prices);
  const high = Math.max(...prices);
  const sorted = [...curve].sort((a, b) => a.cost - b.cost);
  const steps = 1_000;
  let next = 0;
  let best = sorted[0]?.quality ?? 0;
  let sum = 0;
  for (let step = 0; step <= steps; step += 1) {
    const cost = low + ((high - low) * step) / steps;
    while (next < sorted.length && sorted[next]!.cost <= cost + 1e-12) best = Math.max(best, sorted[next++]!.quality);
    sum += best;
  }
  return sum / (steps + 1);
}

function picked({ models, quality, predicted, prices }: ManyModelOutcomes, lambda: number): CostPoint {
  let quality_ = 0;
  let cost = 0;
  for (let start = 0; start < quality.length; start += models) {
    let best = -Infinity;
    let ties = 0;
    let tiedQuality = 0;
    let tiedCost = 0;
    for (let model = 0; model < models; model += 1) {
      const price = prices[model] ?? 0;
      const value = predicted[start + model]! - lambda * price;
      if (value > best) {
        best = value;
        ties = 1;
        tiedQuality = quality[start + model]!;
        tiedCost = price;
      } else if (value === best) {
        ties += 1;
        tiedQuality += quality[start + model]!;
        tiedCost += price;
      }
    }
    quality_ += tiedQuality / ties;
    cost += tiedCost / ties;
  }
  const rows = quality.length / models;
  return { quality: quality_ / rows, cost: cost / rows };
}
