/** The 97.5 % quantile of the standard normal distribution. */
const NORMAL = 1.959963984540054;

/**
 * The 97.5 % quantile of Student's t for `degrees` of freedom (any number of at least 1), by the expansion of Cornish and Fisher (Abramowitz and Stegun 26.7.5);
 * exact to 0.01 from four degrees on, too small below, where nobody should conclude anything.
 */
export function studentQuantile(degrees: number): number {
  const d = Math.max(1, degrees);
  const z = NORMAL;
  const z3 = z ** 3;
  const z5 = z ** 5;
  const z7 = z ** 7;
  return z + (z3 + z) / (4 * d) + (5 * z5 + 16 * z3 + 3 * z) / (96 * d ** 2) + (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * d ** 3);
}
