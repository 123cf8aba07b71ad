/** Outcomes of a weak and a strong model on the same questions, and how much each question is said to need the strong one. */
export interface TwoModelOutcomes {
  readonly weak: ArrayLike<number>;
  readonly strong: ArrayLike<number>;
  /** Higher = send it to the strong model. */
  readonly need: ArrayLike<number>;
}

/** Mean quality when the fraction `strongShare` of questions with the highest need is answered by the strong model. */
export interface QualityCurve {
  readonly strongShare: Float64Array;
  readonly quality: Float64Array;
}

/** n + 1 points, or the ends of blocks of equal need: a straight line across a block is what a random order inside it gives on average. */
export function qualityCurve({ weak, strong, need }: TwoModelOutcomes): QualityCurve {
  return weightedCurve({ weak, strong, need }, byNeed(need), undefined);
}

/** Rows from the highest need to the lowest. */
export function byNeed(need: ArrayLike<number>): Int32Array {
  return Int32Array.from({ length: need.length }, (_, index) => index).sort((a, b) => need[b]! - need[a]! || a - b);
}

/** The curve over rows in a given order, each row counted `counts[row]` times (bootstrap), once without `counts`. */
export function weightedCurve({ weak, strong, need }: TwoModelOutcomes, order: Int32Array, counts: ArrayLike<number> | undefined): QualityCurve {
  let rows = 0;
  let quality = 0;
  for (let index = 0; index < order.length; index += 1) {
    const count = counts === undefined ? 1 : counts[index]!;
    rows += count;
    quality += count * weak[index]!;
  }
  const shares = new Float64Array(order.length + 1);
  const qualities = new Float64Array(order.length + 1);
  qualities[0] = quality / rows;
  let points = 1;
  let taken = 0;
  for (let position = 0; position < order.length; position += 1) {
    const row = order[position]!;
    const count = counts === undefined ? 1 : counts[row]!;
    taken += count;
    quality += count * (strong[row]! - weak[row]!);
    const endsBlock = position + 1 === order.length || need[order[position + 1]!] !== need[row];
    if (!endsBlock) continue;
    shares[points] = taken / rows;
    qualities[points] = quality / rows;
    points += 1;
  }
  return { strongShare: shares.subarray(0, points), quality: qualities.subarray(0, points) };
}

/** Average performance gap recovered: the area under (Q - Q_weak) / (Q_strong - Q_weak), trapezoid rule. Random order: 0.5. NaN when both models are equally good. */
export function apgr({ strongShare, quality }: QualityCurve): number {
  const first = quality[0]!;
  const gap = quality.at(-1)! - first;
  let area = 0;
  for (let point = 1; point < strongShare.length; point += 1) {
    area += (strongShare[point]! - strongShare[point - 1]!) * ((quality[point]! + quality[point - 1]!) / 2 - first);
  }
  return gap === 0 ? Number.NaN : area / gap;
}

/** Call-performance threshold: the smallest share of strong calls at which `percent` of the gap is recovered; 1 when it never is. Linear between points, first crossing. */
export function callPerformanceThreshold({ strongShare, quality }: QualityCurve, percent: number): number {
  const first = quality[0]!;
  const gap = quality.at(-1)! - first;
  const target = percent / 100;
  let before = 0;
  for (let point = 1; point < strongShare.length; point += 1) {
    const recovered = (quality[point]! - first) / gap;
    if (recovered >= target) {
      const share = recovered === before ? 0 : (target - before) / (recovered - before);
      return strongShare[point - 1]! + Math.max(0, share) * (strongShare[point]! - strongShare[point - 1]!);
    }
    before = recovered;
  }
  return 1;
}
