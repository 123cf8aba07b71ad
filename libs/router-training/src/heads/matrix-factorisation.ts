import { seededRandom } from '@pointsman/routing';
import { shuffled } from '../dataset/folds.ts';
import { fitDenseInputs } from '../features/dense-inputs.ts';
import { Adam } from '../numeric/adam.ts';
import { gaussianArray } from '../numeric/gaussian.ts';
import { sigmoid } from '../numeric/linear-algebra.ts';
import { meanQuality, type HeadTrainer } from './head.ts';

export interface MatrixFactorisationSettings {
  readonly textScale: number;
  readonly embeddingScale: number;
  /** Length of prompt and model vectors. */
  readonly dimensions: number;
  readonly epochs: number;
  readonly batch: number;
  readonly learningRate: number;
  readonly weightDecay: number;
}

/**
 * Bilinear: quality of model m on prompt x = logistic(vₘ · P x + bₘ), with a vector per model and a shared projection of the prompt. After RouteLLM's
 * matrix factorisation (arXiv 2406.18665, section 4.2), but for many models and fitted to qualities instead of votes. With two models it can be no
 * better than a linear model: it earns its keep with many.
 */
export const trainMatrixFactorisation: HeadTrainer<MatrixFactorisationSettings> = (set, settings, { seed, progress }) => {
  const { features, candidates, quality, weight } = set;
  const width = candidates.length;
  const { dimensions } = settings;
  const random = seededRandom(seed);
  const dense = fitDenseInputs(features, settings);
  const inputs = dense.matrix(features);
  const projection = gaussianArray(dense.width * dimensions, Math.sqrt(1 / dense.width), random);
  const models = gaussianArray(width * dimensions, 0.3, random);
  const bias = meanQuality(set).map((mean) => Math.log(Math.max(mean, 1e-3) / Math.max(1 - mean, 1e-3)));
  const parameters = [projection, models, bias];
  const optimisers = parameters.map((values) => new Adam(values.length));
  const gradients = parameters.map((values) => new Float64Array(values.length)) as [Float64Array, Float64Array, Float64Array];
  const hidden = new Float64Array(dimensions);
  const slope = new Float64Array(dimensions);
  let order = Array.from({ length: features.rows }, (_, row) => row);
  const steps = settings.epochs * Math.ceil(features.rows / settings.batch);
  let step = 0;
  for (let epoch = 0; epoch < settings.epochs; epoch += 1) {
    order = shuffled(order, random);
    for (let start = 0; start < order.length; start += settings.batch) {
      const batch = order.slice(start, start + settings.batch);
      for (const gradient of gradients) gradient.fill(0);
      for (const row of batch) {
        hidden.fill(0);
        slope.fill(0);
        const at = row * dense.width;
        for (let column = 0; column < dense.width; column += 1) {
          const x = inputs[at + column]!;
          for (let dimension = 0; dimension < dimensions; dimension += 1) hidden[dimension]! += x * projection[column * dimensions + dimension]!;
        }
        for (let model = 0; model < width; model += 1) {
          const target = quality[row * width + model]!;
          if (Number.isNaN(target)) continue;
          let logit = bias[model]!;
          for (let dimension = 0; dimension < dimensions; dimension += 1) logit += hidden[dimension]! * models[model * dimensions + dimension]!;
          const error = (weight[row]! * (sigmoid(logit) - target)) / batch.length;
          gradients[2][model]! += error;
          for (let dimension = 0; dimension < dimensions; dimension += 1) {
            gradients[1][model * dimensions + dimension]! += error * hidden[dimension]!;
            slope[dimension]! += error * models[model * dimensions + dimension]!;
          }
        }
        for (let column = 0; column < dense.width; column += 1) {
          const x = inputs[at + column]!;
          for (let dimension = 0; dimension < dimensions; dimension += 1) gradients[0][column * dimensions + dimension]! += x * slope[dimension]!;
        }
      }
      const learningRate = settings.learningRate * 0.5 * (1 + Math.cos((Math.PI * step) / steps));
      parameters.forEach((values, index) => optimisers[index]!.update(values, gradients[index]!, { learningRate, weightDecay: index === 2 ? 0 : settings.weightDecay }));
      step += 1;
    }
    progress?.((epoch + 1) / settings.epochs);
  }
  return {
    predict(rows) {
      const matrix = dense.matrix(rows);
      const result = new Float64Array(rows.rows * width);
      for (let row = 0; row < rows.rows; row += 1) {
        hidden.fill(0);
        for (let column = 0; column < dense.width; column += 1) {
          for (let dimension = 0; dimension < dimensions; dimension += 1) hidden[dimension]! += matrix[row * dense.width + column]! * projection[column * dimensions + dimension]!;
        }
        for (let model = 0; model < width; model += 1) {
          let logit = bias[model]!;
          for (let dimension = 0; dimension < dimensions; dimension += 1) logit += hidden[dimension]! * models[model * dimensions + dimension]!;
          result[row * width + model] = sigmoid(logit);
        }
      }
      return result;
    },
    write(graph) {
      const prompt = graph.op('MatMul', [dense.write(graph), graph.floats(projection, [dense.width, dimensions])]);
      return graph.op('Sigmoid', [graph.op('Gemm', [prompt, graph.floats(models, [width, dimensions]), graph.floats(bias, [width])], { transB: { int: 1 } })]);
    },
  };
};
