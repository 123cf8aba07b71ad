import { dot } from './linear-algebra.ts';

export interface MinimiseOptions {
  readonly maxIterations: number;
  /** Stops when the largest entry of the gradient falls below this. */
  readonly tolerance: number;
}

/**
 * Minimises a smooth function by L-BFGS with ten corrections and backtracking (Nocedal and Wright, Numerical Optimization, algorithm 7.5).
 * `evaluate` fills the gradient and returns the value. Returns the best point found. Deterministic.
 */
export function minimise(start: Float64Array, evaluate: (point: Float64Array, gradient: Float64Array) => number, { maxIterations, tolerance }: MinimiseOptions): Float64Array {
  const memory = 10;
  const steps: Float64Array[] = [];
  const changes: Float64Array[] = [];
  let point = Float64Array.from(start);
  let gradient = new Float64Array(point.length);
  let value = evaluate(point, gradient);
  for (let iteration = 0; iteration < maxIterations; iteration += 1) {
    if (largestEntry(gradient) < tolerance) break;
    const direction = descentDirection(gradient, steps, changes);
    const slope = dot(direction, gradient);
    let length = steps.length === 0 ? Math.min(1, 1 / Math.sqrt(dot(gradient, gradient))) : 1;
    let next = point;
    let nextGradient = gradient;
    let nextValue = Infinity;
    for (let attempt = 0; attempt < 30; attempt += 1) {
      next = point.map((entry, index) => entry + length * direction[index]!);
      nextGradient = new Float64Array(point.length);
      nextValue = evaluate(next, nextGradient);
      if (nextValue <= value + 1e-4 * length * slope) break;
      length /= 2;
    }
    if (!(nextValue < value)) break;
    const step = next.map((entry, index) => entry - point[index]!);
    const change = nextGradient.map((entry, index) => entry - gradient[index]!);
    if (dot(step, change) > 1e-12) {
      steps.push(step);
      changes.push(change);
      if (steps.length > memory) {
        steps.shift();
        changes.shift();
      }
    }
    [point, gradient, value] = [next, nextGradient, nextValue];
  }
  return point;
}

function descentDirection(gradient: Float64Array, steps: readonly Float64Array[], changes: readonly Float64Array[]): Float64Array {
  const direction = gradient.map((entry) => -entry);
  const alphas = new Float64Array(steps.length);
  for (let index = steps.length - 1; index >= 0; index -= 1) {
    const step = steps[index]!;
    const change = changes[index]!;
    const alpha = dot(step, direction) / dot(step, change);
    alphas[index] = alpha;
    for (let entry = 0; entry < direction.length; entry += 1) direction[entry]! -= alpha * change[entry]!;
  }
  const last = steps.length - 1;
  if (last >= 0) {
    const scale = dot(steps[last]!, changes[last]!) / dot(changes[last]!, changes[last]!);
    for (let entry = 0; entry < direction.length; entry += 1) direction[entry]! *= scale;
  }
  for (let index = 0; index < steps.length; index += 1) {
    const step = steps[index]!;
    const change = changes[index]!;
    const beta = dot(change, direction) / dot(step, change);
    for (let entry = 0; entry < direction.length; entry += 1) direction[entry]! += (alphas[index]! - beta) * step[entry]!;
  }
  return direction;
}

function largestEntry(values: Float64Array): number {
  let largest = 0;
  for (const value of values) largest = Math.max(largest, Math.abs(value));
  return largest;
}
