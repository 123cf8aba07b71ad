import { fitDenseInputs, type DenseSettings } from '../features/dense-inputs.ts';
import { product } from '../numeric/linear-algebra.ts';
import { minimise } from '../numeric/minimise.ts';
import { outOfFold } from './choose-by-folds.ts';
import type { HeadTrainer, TrainedHead } from './head.ts';
import { fitQualityMap } from './quality-map.ts';

export interface LinearSvmSettings extends DenseSettings {
  /** Ridge penalty per row; the usual C is 1 / (penalty · rows). */
  readonly penalty: number;
}

/**
 * A linear support vector machine per candidate: is its answer good (quality above one half)? Squared hinge (Fan et al., LIBLINEAR, JMLR 2008). The margins
 * become qualities by a straight line fitted on held-out folds. Graded qualities count as good or bad by how far they are from one half.
 */
export const trainLinearSvm: HeadTrainer<LinearSvmSettings> = (set, settings, { seed, progress }) => {
  const width = set.candidates.length;
  const train = (part: typeof set): TrainedHead => {
    const dense = fitDenseInputs(part.features, settings);
    const inputs = dense.matrix(part.features);
    const weights = new Float64Array(dense.width * width);
    const bias = new Float64Array(width);
    for (let candidate = 0; candidate < width; candidate += 1) {
      const solution = minimise(new Float64Array(dense.width + 1), (point, gradient) => {
        let loss = 0;
        let total = 0;
        for (let row = 0; row < part.features.rows; row += 1) {
          const target = part.quality[row * width + candidate]!;
          if (Number.isNaN(target)) continue;
          const sign = target >= 0.5 ? 1 : -1;
          const importance = part.weight[row]! * 2 * Math.abs(target - 0.5);
          total += part.weight[row]!;
          let value = point[dense.width]!;
          const at = row * dense.width;
          for (let column = 0; column < dense.width; column += 1) value += point[column]! * inputs[at + column]!;
          const slack = 1 - sign * value;
          if (slack <= 0) continue;
          loss += importance * slack * slack;
          const slope = -2 * importance * sign * slack;
          for (let column = 0; column < dense.width; column += 1) gradient[column]! += slope * inputs[at + column]!;
          gradient[dense.width]! += slope;
        }
        const scale = total === 0 ? 0 : 1 / total;
        let ridge = 0;
        for (let column = 0; column < dense.width; column += 1) {
          ridge += point[column]! * point[column]!;
          gradient[column] = gradient[column]! * scale + settings.penalty * point[column]!;
        }
        gradient[dense.width]! *= scale;
        return loss * scale + (settings.penalty / 2) * ridge;
      }, { maxIterations: 80, tolerance: 1e-5 });
      for (let column = 0; column < dense.width; column += 1) weights[column * width + candidate] = solution[column]!;
      bias[candidate] = solution[dense.width]!;
    }
    return {
      predict: (features) => product(dense.matrix(features), dense.width, weights, width).map((value, index) => value + bias[index % width]!),
      write: (graph) => graph.op('Gemm', [dense.write(graph), graph.floats(weights, [dense.width, width]), graph.floats(bias, [width])]),
    };
  };
  const map = fitQualityMap(set, outOfFold(set, 3, seed, train));
  progress?.(0.75);
  const margins = train(set);
  progress?.(1);
  return { predict: (features) => map.apply(margins.predict(features)), write: (graph) => map.write(graph, margins.write(graph)) };
};
