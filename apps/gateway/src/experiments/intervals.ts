import type { Sums } from './model-arms.ts';

/** 95 %, two-sided. */
const Z = 1.959964;

export interface Estimate {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** A share with Wilson's score interval (Wilson 1927), which stays between 0 and 1 and means something at zero failures. Undefined without any. */
export function wilson(part: number, count: number): Estimate | undefined {
  if (count === 0) return undefined;
  const share = part / count;
  const scale = 1 + (Z * Z) / count;
  const middle = (share + (Z * Z) / (2 * count)) / scale;
  const radius = (Z / scale) * Math.sqrt((share * (1 - share)) / count + (Z * Z) / (4 * count * count));
  return { value: share, low: Math.max(0, middle - radius), high: Math.min(1, middle + radius) };
}

/** A mean with the interval of the normal distribution; wide open below two values. */
export function meanOf({ count, sum, squares }: Sums): Estimate | undefined {
  if (count === 0) return undefined;
  const value = sum / count;
  if (count === 1) return { value, low: -Infinity, high: Infinity };
  const radius = Z * Math.sqrt(Math.max(0, (squares - count * value * value) / (count - 1)) / count);
  return { value, low: value - radius, high: value + radius };
}

/** A mean of scores, which lie between 0 and 1. */
export function meanScore(sums: Sums): Estimate | undefined {
  const mean = meanOf(sums);
  return mean === undefined ? undefined : { value: mean.value, low: Math.max(0, mean.low), high: Math.min(1, mean.high) };
}
