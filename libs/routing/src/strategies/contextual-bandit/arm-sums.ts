import { BANDIT_DIMENSIONS, designVector } from './bandit-features.ts';

const D = BANDIT_DIMENSIONS;
/** Numbers of the lower triangle of a symmetric matrix, row by row. */
export const TRIANGLE = (D * (D + 1)) / 2;
/** Time, count, sum of r·x, sum of x·xᵀ. */
const NUMBERS = 2 + D + TRIANGLE;
export const ARM_BYTES = NUMBERS * 8;
const B = 2;
const A = B + D;

/**
 * Everything that was learned about one candidate, as sums: n, b = Σ r·x, A = Σ x·xᵀ, each reward weighted by how long ago it was.
 * One array, so that it travels and is added as it is: `[at, n, b…, A…]`, `at` in milliseconds since the epoch, little-endian binary64 on the wire.
 */
export class ArmSums {
  readonly values: Float64Array;

  constructor(values: Float64Array = new Float64Array(NUMBERS)) {
    this.values = values;
  }

  /** Rewards, weighted. */
  get count(): number {
    return this.values[1] ?? 0;
  }

  get at(): number {
    return this.values[0] ?? 0;
  }

  get b(): Float64Array {
    return this.values.subarray(B, A);
  }

  /** Lower triangle, row by row. */
  get a(): Float64Array {
    return this.values.subarray(A);
  }

  copy(): ArmSums {
    return new ArmSums(this.values.slice());
  }

  /** Lets what is there fade to a later moment: to half in `halfLifeMs` (0: never). Earlier moments change nothing. */
  fadeTo(atMs: number, halfLifeMs: number): void {
    const { values } = this;
    if (atMs <= this.at) return;
    const factor = this.count === 0 || halfLifeMs <= 0 ? 1 : 2 ** ((this.at - atMs) / halfLifeMs);
    values[0] = atMs;
    if (factor !== 1) for (let index = 1; index < NUMBERS; index += 1) values[index] = (values[index] ?? 0) * factor;
  }

  /** One reward in [0, 1] for a decision made from these features. */
  learn(features: Uint8Array, reward: number, { atMs, halfLifeMs }: { readonly atMs: number; readonly halfLifeMs: number }): void {
    this.fadeTo(atMs, halfLifeMs);
    const { values } = this;
    const x = designVector(features);
    values[1] = (values[1] ?? 0) + 1;
    let at = A;
    for (let row = 0; row < D; row += 1) {
      const xRow = x[row] ?? 0;
      values[B + row] = (values[B + row] ?? 0) + reward * xRow;
      for (let column = 0; column <= row; column += 1, at += 1) values[at] = (values[at] ?? 0) + xRow * (x[column] ?? 0);
    }
  }

  /** Adds other sums, each faded to the later of both moments. */
  add(other: ArmSums, halfLifeMs: number): void {
    const later = Math.max(this.at, other.at);
    this.fadeTo(later, halfLifeMs);
    let theirs = other;
    if (other.at < later) {
      theirs = other.copy();
      theirs.fadeTo(later, halfLifeMs);
    }
    const { values } = this;
    for (let index = 1; index < NUMBERS; index += 1) values[index] = (values[index] ?? 0) + (theirs.values[index] ?? 0);
  }

  toBytes(): Buffer {
    const bytes = Buffer.allocUnsafe(ARM_BYTES);
    for (let index = 0; index < NUMBERS; index += 1) bytes.writeDoubleLE(this.values[index] ?? 0, index * 8);
    return bytes;
  }

  /** Undefined for bytes that are no sums of this layout: another length, or a number that is none. */
  static fromBytes(bytes: Buffer): ArmSums | undefined {
    if (bytes.length !== ARM_BYTES) return undefined;
    const values = new Float64Array(NUMBERS);
    for (let index = 0; index < NUMBERS; index += 1) {
      const value = bytes.readDoubleLE(index * 8);
      if (!Number.isFinite(value)) return undefined;
      values[index] = value;
    }
    return new ArmSums(values);
  }
}
