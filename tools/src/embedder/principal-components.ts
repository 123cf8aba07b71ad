export interface PrincipalComponents {
  readonly mean: Float64Array;
  /** `count` rows of `dimensions`: unit vectors, the one with the largest variance first. Sign: the largest entry of each is positive. */
  readonly components: readonly Float64Array[];
  /** Variance along each component. */
  readonly variances: readonly number[];
  /** Variance along all dimensions together. */
  readonly totalVariance: number;
}

/** Principal components of `rows` (row after row, `dimensions` each): eigenvectors of the covariance matrix, by Jacobi rotations. Deterministic. */
export function principalComponents(rows: Float32Array, { dimensions, count }: { readonly dimensions: number; readonly count: number }): PrincipalComponents {
  const total = rows.length / dimensions;
  const mean = new Float64Array(dimensions);
  for (let at = 0; at < rows.length; at += 1) mean[at % dimensions]! += rows[at]! / total;
  const covariance = Array.from({ length: dimensions }, () => new Float64Array(dimensions));
  const centred = new Float64Array(dimensions);
  for (let row = 0; row < total; row += 1) {
    for (let at = 0; at < dimensions; at += 1) centred[at] = rows[row * dimensions + at]! - mean[at]!;
    for (let left = 0; left < dimensions; left += 1) {
      const line = covariance[left]!;
      const factor = centred[left]! / total;
      for (let right = left; right < dimensions; right += 1) line[right]! += factor * centred[right]!;
    }
  }
  for (let left = 0; left < dimensions; left += 1) for (let right = 0; right < left; right += 1) covariance[left]![right] = covariance[right]![left]!;
  const totalVariance = covariance.reduce((sum, line, at) => sum + line[at]!, 0);
  const vectors = diagonalise(covariance);
  const order = covariance.map((line, at) => ({ variance: line[at]!, at })).sort((left, right) => right.variance - left.variance || left.at - right.at).slice(0, count);
  return { mean, components: order.map(({ at }) => withFixedSign(vectors[at]!)), variances: order.map(({ variance }) => variance), totalVariance };
}

/**
 * Cyclic Jacobi method (Golub & Van Loan, Matrix Computations, 8.5): rotations until what is off the diagonal is lost in rounding. Leaves the
 * eigenvalues on the diagonal of `matrix` (symmetric) and returns the eigenvectors as rows.
 */
export function diagonalise(matrix: readonly Float64Array[]): readonly Float64Array[] {
  const size = matrix.length;
  const vectors = Array.from({ length: size }, (_, at) => new Float64Array(size).fill(1, at, at + 1));
  const scale = matrix.reduce((sum, line, at) => sum + line[at]! ** 2, 0);
  for (let sweep = 0; sweep < 60; sweep += 1) {
    let off = 0;
    for (let row = 0; row < size; row += 1) for (let column = row + 1; column < size; column += 1) off += matrix[row]![column]! ** 2;
    if (off <= scale * 1e-24) break;
    for (let p = 0; p < size; p += 1) {
      for (let q = p + 1; q < size; q += 1) rotate(matrix, vectors, p, q);
    }
  }
  return vectors;
}

function rotate(matrix: readonly Float64Array[], vectors: readonly Float64Array[], p: number, q: number): void {
  const rowP = matrix[p]!;
  const rowQ = matrix[q]!;
  const between = rowP[q]!;
  if (between === 0) return;
  const tau = (rowQ[q]! - rowP[p]!) / (2 * between);
  const tangent = (tau < 0 ? -1 : 1) / (Math.abs(tau) + Math.sqrt(1 + tau * tau));
  const cosine = 1 / Math.sqrt(1 + tangent * tangent);
  const sine = tangent * cosine;
  const size = matrix.length;
  for (let at = 0; at < size; at += 1) {
    const line = matrix[at]!;
    const left = line[p]!;
    const right = line[q]!;
    line[p] = cosine * left - sine * right;
    line[q] = sine * left + cosine * right;
  }
  turn(rowP, rowQ, cosine, sine);
  turn(vectors[p]!, vectors[q]!, cosine, sine);
}

function turn(left: Float64Array, right: Float64Array, cosine: number, sine: number): void {
  for (let at = 0; at < left.length; at += 1) {
    const a = left[at]!;
    const b = right[at]!;
    left[at] = cosine * a - sine * b;
    right[at] = sine * a + cosine * b;
  }
}

function withFixedSign(vector: Float64Array): Float64Array {
  const largest = vector.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0);
  return largest < 0 ? vector.map((value) => -value) : vector;
}
