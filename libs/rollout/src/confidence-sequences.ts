/** What is known of a measure of one arm. */
export interface MeasureSums {
  readonly count: number;
  readonly sum: number;
  readonly squares: number;
}

export interface Interval {
  readonly low: number;
  readonly high: number;
}

// Confidence sequences: intervals that hold at all times at once, so that looking every few seconds and stopping at the first breach keeps the promised
// error probability. An ordinary 95 % interval that is looked at often enough excludes the truth in the end.

/**
 * Where the mean of values between 0 and 1 (errors, scores) is, at level `1 - alpha` at all times. Not asymptotic: holds from the first value on.
 * Robbins' mixture of likelihood ratios with a Beta(1/2, 1/2) prior (Robbins 1970, "Statistical methods related to the law of the iterated logarithm"; the mixture SPRT;
 * Howard, Ramdas, McAuliffe & Sekhon 2021, "Time-uniform, nonparametric, nonasymptotic confidence sequences", Ann. Statist. 49(2), section 3).
 * For values between 0 and 1 that are not just 0 or 1 the ratio is a supermartingale, because it is convex in the value (Hoeffding 1963).
 */
export function boundedMeanSequence({ count, sum }: Pick<MeasureSums, 'count' | 'sum'>, alpha: number): Interval {
  if (count <= 0) return { low: 0, high: 1 };
  const ones = Math.min(Math.max(sum, 0), count);
  const zeros = count - ones;
  const mixture = logBeta(ones + 0.5, zeros + 0.5) - logBeta(0.5, 0.5);
  const limit = Math.log(1 / alpha);
  /** Whether a mean of p is excluded by now. Convex in p, least at the mean that was seen. */
  const isExcluded = (p: number): boolean => mixture - (ones === 0 ? 0 : ones * Math.log(p)) - (zeros === 0 ? 0 : zeros * Math.log1p(-p)) >= limit;
  const mean = ones / count;
  const edge = (excluded: number): number => {
    if (!isExcluded(excluded)) return excluded;
    let [out, inside] = [excluded, mean];
    for (let step = 0; step < 60; step += 1) {
      const middle = (out + inside) / 2;
      if (isExcluded(middle)) out = middle;
      else inside = middle;
    }
    return out;
  };
  return { low: edge(0), high: edge(1) };
}

/** Where an asymptotic sequence is tightest; it holds everywhere. */
const TIGHTEST_AT = 500;
/** Below so many values an asymptotic sequence says nothing. */
const FEWEST = 50;

/**
 * Where the mean of values without a bound (seconds, dollars) is, at level `1 - alpha` at all times, asymptotically: Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2024,
 * "Time-uniform central limit theory and asymptotic confidence sequences", Ann. Statist. 52(6), theorem 2.2 (arXiv:2103.06476).
 */
export function meanSequence({ count, sum, squares }: MeasureSums, alpha: number): Interval {
  if (count < FEWEST) return { low: -Infinity, high: Infinity };
  const mean = sum / count;
  const deviation = Math.sqrt(Math.max(0, squares / count - mean * mean));
  const spent = -2 * Math.log(alpha);
  const rho2 = (spent + Math.log(spent) + 1) / TIGHTEST_AT;
  const scale = count * rho2 + 1;
  const radius = deviation * Math.sqrt(((2 * scale) / (count * count * rho2)) * Math.log(Math.sqrt(scale) / alpha));
  return { low: mean - radius, high: mean + radius };
}

function logBeta(a: number, b: number): number {
  return logGamma(a) + logGamma(b) - logGamma(a + b);
}

/** Stirling's series after shifting above 8: about 1e-13 relative. */
function logGamma(x: number): number {
  let shift = 0;
  let at = x;
  for (; at < 8; at += 1) shift += Math.log(at);
  const inverse = 1 / (at * at);
  const series = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse * (1 / 1680)))) / at;
  return (at - 0.5) * Math.log(at) - at + 0.5 * Math.log(2 * Math.PI) + series - shift;
}
