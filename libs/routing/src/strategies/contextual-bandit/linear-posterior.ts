import type { ArmSums } from './arm-sums.ts';
import { BANDIT_DIMENSIONS } from './bandit-features.ts';

const D = BANDIT_DIMENSIONS;
/** Weight of the prior, in rewards: precision of the normal prior of every coefficient. */
const PRIOR_PRECISION = 1;

/**
 * What is believed of one candidate's quality: normal with mean μ = A⁻¹(b + λ·q·e₀) and covariance v²·A⁻¹, A = λI + Σ x·xᵀ, q the prior quality.
 * Source: S. Agrawal, N. Goyal, "Thompson Sampling for Contextual Bandits with Linear Payoffs", ICML 2013 (arXiv 1209.3352), algorithm 1, with a model per
 * candidate and a prior mean. Solved once per change, so that a decision costs d²/2 multiplications per candidate.
 */
export class LinearPosterior {
  /** Rows of the Cholesky factor L of A, lower triangle. */
  readonly #factor: Float64Array;
  /** A⁻¹b: what was learned. */
  readonly #learned: Float64Array;
  /** λA⁻¹e₀: how much of the prior quality is left. */
  readonly #prior: Float64Array;
  readonly #scratch = new Float64Array(D);

  constructor(sums: ArmSums) {
    const factor = sums.a.slice();
    for (let row = 0, at = 0; row < D; at += row + 2, row += 1) factor[at] = (factor[at] ?? 0) + PRIOR_PRECISION;
    cholesky(factor);
    this.#factor = factor;
    this.#learned = solve(factor, sums.b);
    const unit = new Float64Array(D);
    unit[0] = PRIOR_PRECISION;
    this.#prior = solve(factor, unit);
  }

  /** Expected quality for x, not bounded. */
  mean(x: Float64Array, priorQuality: number): number {
    let learned = 0;
    let prior = 0;
    for (let index = 0; index < D; index += 1) {
      learned += (this.#learned[index] ?? 0) * (x[index] ?? 0);
      prior += (this.#prior[index] ?? 0) * (x[index] ?? 0);
    }
    return learned + priorQuality * prior;
  }

  /** √(xᵀA⁻¹x) = ‖L⁻¹x‖: the uncertainty in x, in units of v. */
  spread(x: Float64Array): number {
    const factor = this.#factor;
    const y = this.#scratch;
    let squares = 0;
    for (let row = 0, at = 0; row < D; row += 1) {
      let rest = x[row] ?? 0;
      for (let column = 0; column < row; column += 1, at += 1) rest -= (factor[at] ?? 0) * (y[column] ?? 0);
      rest /= factor[at] ?? 1;
      at += 1;
      y[row] = rest;
      squares += rest * rest;
    }
    return Math.sqrt(squares);
  }
}

/** In place: the lower triangle of a positive definite matrix becomes its factor. What rounding leaves below the prior's precision is raised to a trace of it. */
function cholesky(factor: Float64Array): void {
  for (let row = 0; row < D; row += 1) {
    const rowAt = (row * (row + 1)) / 2;
    for (let column = 0; column <= row; column += 1) {
      const columnAt = (column * (column + 1)) / 2;
      let sum = factor[rowAt + column] ?? 0;
      for (let index = 0; index < column; index += 1) sum -= (factor[rowAt + index] ?? 0) * (factor[columnAt + index] ?? 0);
      factor[rowAt + column] = row === column ? Math.sqrt(Math.max(sum, 1e-9)) : sum / (factor[columnAt + column] ?? 1);
    }
  }
}

/** (L·Lᵀ)⁻¹ · right. */
function solve(factor: Float64Array, right: Float64Array): Float64Array {
  const y = right.slice();
  for (let row = 0, at = 0; row < D; row += 1) {
    let rest = y[row] ?? 0;
    for (let column = 0; column < row; column += 1, at += 1) rest -= (factor[at] ?? 0) * (y[column] ?? 0);
    y[row] = rest / (factor[at] ?? 1);
    at += 1;
  }
  for (let row = D - 1; row >= 0; row -= 1) {
    let rest = y[row] ?? 0;
    for (let below = row + 1; below < D; below += 1) rest -= (factor[(below * (below + 1)) / 2 + row] ?? 0) * (y[below] ?? 0);
    y[row] = rest / (factor[(row * (row + 1)) / 2 + row] ?? 1);
  }
  return y;
}
