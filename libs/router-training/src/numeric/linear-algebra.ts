/** Matrices are Float64Array, row by row. By hand: these few products are all that training needs, and they run as fast as a wasm library's at these sizes. */

/** `a · b` of n × m and m × k: n × k. */
export function product(a: Float64Array, columns: number, b: Float64Array, width: number): Float64Array {
  const rows = a.length / columns;
  const result = new Float64Array(rows * width);
  for (let row = 0; row < rows; row += 1) {
    const target = row * width;
    for (let i = 0; i < columns; i += 1) {
      const left = a[row * columns + i]!;
      if (left === 0) continue;
      const at = i * width;
      for (let j = 0; j < width; j += 1) result[target + j] = result[target + j]! + left * b[at + j]!;
    }
  }
  return result;
}

/** The lower Cholesky factor of a symmetric positive definite matrix, which is overwritten. A pivot that is not positive becomes tiny instead of NaN. */
export function choleskyFactor(a: Float64Array, size: number): Float64Array {
  for (let i = 0; i < size; i += 1) {
    const rowI = i * size;
    for (let j = 0; j <= i; j += 1) {
      const rowJ = j * size;
      let sum = a[rowI + j]!;
      for (let k = 0; k < j; k += 1) sum -= a[rowI + k]! * a[rowJ + k]!;
      a[rowI + j] = i === j ? Math.sqrt(Math.max(sum, 1e-12)) : sum / a[rowJ + j]!;
    }
  }
  return a;
}

/** Solves `l · lᵀ · x = b`. */
export function solveWithFactor(l: Float64Array, size: number, b: Float64Array): Float64Array {
  const x = Float64Array.from(b);
  for (let i = 0; i < size; i += 1) {
    let sum = x[i]!;
    for (let k = 0; k < i; k += 1) sum -= l[i * size + k]! * x[k]!;
    x[i] = sum / l[i * size + i]!;
  }
  for (let i = size - 1; i >= 0; i -= 1) {
    const value = x[i]! / l[i * size + i]!;
    x[i] = value;
    // By rows of l, not columns: memory order.
    for (let k = 0; k < i; k += 1) x[k] = x[k]! - l[i * size + k]! * value;
  }
  return x;
}

export function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let index = 0; index < a.length; index += 1) sum += a[index]! * b[index]!;
  return sum;
}

export function sigmoid(value: number): number {
  return 1 / (1 + Math.exp(-value));
}
