import { seededRandom } from '@pointsman/routing';
import { shuffled } from '../dataset/folds.ts';
import { fitDenseInputs } from '../features/dense-inputs.ts';
import { Adam } from '../numeric/adam.ts';
import { gaussianArray } from '../numeric/gaussian.ts';
import { sigmoid } from '../numeric/linear-algebra.ts';
import type { GraphBuilder } from '../onnx-writer/graph-builder.ts';
import { meanQuality, writeLinearScores, type HeadTrainer, type LinearScores } from './head.ts';

export interface MlpSettings {
  readonly textScale: number;
  readonly embeddingScale: number;
  readonly hidden: number;
  /** Networks whose outputs are averaged: one network alone is noisier than what it learns. */
  readonly networks: number;
  readonly epochs: number;
  readonly batch: number;
  readonly learningRate: number;
  readonly weightDecay: number;
  /** Share of hidden units left out in training. */
  readonly dropout: number;
}

/** A network with one hidden layer and a logistic output per candidate, several of them averaged. Gradients by hand: two layers do not need a library. */
export const trainMlp: HeadTrainer<MlpSettings> = (set, settings, { seed, progress }) => {
  const { features, candidates } = set;
  const width = candidates.length;
  const { hidden, networks } = settings;
  const dense = fitDenseInputs(features, settings);
  const inputs = dense.matrix(features);
  const nets = Array.from({ length: networks }, (_, network) => trainNetwork(network));

  function trainNetwork(network: number): { first: Float64Array; firstBias: Float64Array; second: Float64Array; secondBias: Float64Array } {
    const random = seededRandom(seed * 1_000 + network);
    const { quality, weight } = set;
    const inputWidth = dense.width;
    // Weights of a hidden unit lie side by side: both passes walk them in order.
    const first = gaussianArray(hidden * inputWidth, Math.sqrt(2 / inputWidth), random);
    const firstBias = new Float64Array(hidden);
    const second = gaussianArray(hidden * width, Math.sqrt(1 / hidden), random);
    const secondBias = meanQuality(set).map((mean) => Math.log(Math.max(mean, 1e-3) / Math.max(1 - mean, 1e-3)));
    const optimisers = [first, firstBias, second, secondBias].map((parameters) => new Adam(parameters.length));
    const gradients = [first, firstBias, second, secondBias].map((parameters) => new Float64Array(parameters.length)) as [Float64Array, Float64Array, Float64Array, Float64Array];
    const [towardsFirst] = gradients;
    const activation = new Float64Array(hidden);
    const alive = new Int32Array(hidden);
    const slopes = new Float64Array(hidden);
    const errors = new Float64Array(width);
    const keep = 1 - settings.dropout;
    let order = Array.from({ length: features.rows }, (_, row) => row);
    const steps = settings.epochs * Math.ceil(features.rows / settings.batch);
    let step = 0;
    for (let epoch = 0; epoch < settings.epochs; epoch += 1) {
      order = shuffled(order, random);
      for (let start = 0; start < order.length; start += settings.batch) {
        const batch = order.slice(start, start + settings.batch);
        for (const gradient of gradients) gradient.fill(0);
        for (const row of batch) {
          const x = row * inputWidth;
          let live = 0;
          for (let unit = 0; unit < hidden; unit += 1) {
            activation[unit] = 0;
            if (settings.dropout === 0 || random() < keep) alive[live++] = unit;
          }
          // Four units at a time: additions into one sum wait for each other, four sums do not. The last group repeats its last unit.
          for (let group = 0; group < live; group += 4) {
            const u0 = alive[group]!;
            const u1 = alive[Math.min(group + 1, live - 1)]!;
            const u2 = alive[Math.min(group + 2, live - 1)]!;
            const u3 = alive[Math.min(group + 3, live - 1)]!;
            let s0 = firstBias[u0]!;
            let s1 = firstBias[u1]!;
            let s2 = firstBias[u2]!;
            let s3 = firstBias[u3]!;
            const a0 = u0 * inputWidth;
            const a1 = u1 * inputWidth;
            const a2 = u2 * inputWidth;
            const a3 = u3 * inputWidth;
            for (let column = 0; column < inputWidth; column += 1) {
              const value = inputs[x + column]!;
              s0 += first[a0 + column]! * value;
              s1 += first[a1 + column]! * value;
              s2 += first[a2 + column]! * value;
              s3 += first[a3 + column]! * value;
            }
            activation[u0] = s0 > 0 ? s0 / keep : 0;
            activation[u1] = s1 > 0 ? s1 / keep : 0;
            activation[u2] = s2 > 0 ? s2 / keep : 0;
            activation[u3] = s3 > 0 ? s3 / keep : 0;
          }
          for (let candidate = 0; candidate < width; candidate += 1) {
            const target = quality[row * width + candidate]!;
            if (Number.isNaN(target)) {
              errors[candidate] = 0;
              continue;
            }
            let logit = secondBias[candidate]!;
            for (let unit = 0; unit < hidden; unit += 1) logit += activation[unit]! * second[unit * width + candidate]!;
            errors[candidate] = (weight[row]! * (sigmoid(logit) - target)) / batch.length;
            gradients[3][candidate]! += errors[candidate]!;
          }
          for (let unit = 0; unit < hidden; unit += 1) {
            const active = activation[unit]!;
            let slope = 0;
            if (active > 0) {
              for (let candidate = 0; candidate < width; candidate += 1) {
                slope += errors[candidate]! * second[unit * width + candidate]!;
                gradients[2][unit * width + candidate]! += errors[candidate]! * active;
              }
            }
            slopes[unit] = slope / keep;
          }
          for (let unit = 0; unit < hidden; unit += 1) {
            const slope = slopes[unit]!;
            if (slope === 0) continue;
            gradients[1][unit]! += slope;
            const at = unit * inputWidth;
            for (let column = 0; column < inputWidth; column += 1) towardsFirst[at + column] = towardsFirst[at + column]! + slope * inputs[x + column]!;
          }
        }
        // Cosine schedule: the last steps average out the noise of the batches.
        const learningRate = settings.learningRate * 0.5 * (1 + Math.cos((Math.PI * step) / steps));
        [first, firstBias, second, secondBias].forEach((parameters, index) => {
          optimisers[index]!.update(parameters, gradients[index]!, { learningRate, weightDecay: index % 2 === 0 ? settings.weightDecay : 0 });
        });
        step += 1;
      }
      progress?.((network + (epoch + 1) / settings.epochs) / networks);
    }
    return { first, firstBias, second, secondBias };
  }

  return {
    predict(rows) {
      const matrix = dense.matrix(rows);
      const result = new Float64Array(rows.rows * width);
      const activation = new Float64Array(hidden);
      for (let row = 0; row < rows.rows; row += 1) {
        for (const { first, firstBias, second, secondBias } of nets) {
          for (let unit = 0; unit < hidden; unit += 1) {
            let sum = firstBias[unit]!;
            for (let column = 0; column < dense.width; column += 1) sum += first[unit * dense.width + column]! * matrix[row * dense.width + column]!;
            activation[unit] = Math.max(0, sum);
          }
          for (let candidate = 0; candidate < width; candidate += 1) {
            let logit = secondBias[candidate]!;
            for (let unit = 0; unit < hidden; unit += 1) logit += activation[unit]! * second[unit * width + candidate]!;
            result[row * width + candidate]! += sigmoid(logit) / networks;
          }
        }
      }
      return result;
    },
    write: (graph) => writeLinearScores(graph, writeOpen(graph)),
    writeOpen,
  };

  /** The networks side by side in one: two products instead of two per network. */
  function writeOpen(graph: GraphBuilder): LinearScores {
    const { tensor, scale } = dense.writeUnscaled(graph);
    const [units, outputs] = [networks * hidden, networks * width];
    const first = new Float64Array(dense.width * units);
    const second = new Float64Array(units * outputs);
    nets.forEach((net, network) => {
      for (let unit = 0; unit < hidden; unit += 1) {
        const place = network * hidden + unit;
        for (let column = 0; column < dense.width; column += 1) first[column * units + place] = scale[column]! * net.first[unit * dense.width + column]!;
        for (let candidate = 0; candidate < width; candidate += 1) second[place * outputs + network * width + candidate] = net.second[unit * width + candidate]!;
      }
    });
    const firstBias = Float64Array.from(nets.flatMap((net) => [...net.firstBias]));
    const secondBias = Float64Array.from(nets.flatMap((net) => [...net.secondBias]));
    const active = graph.op('Relu', [graph.op('Gemm', [tensor, graph.floats(first, [dense.width, units]), graph.floats(firstBias, [units])])]);
    const quality = graph.op('Sigmoid', [graph.op('Gemm', [active, graph.floats(second, [units, outputs]), graph.floats(secondBias, [outputs])])]);
    const mean = Float64Array.from({ length: outputs * width }, (_, at) => (Math.floor(at / width) % width === at % width ? 1 / networks : 0));
    return { terms: [{ tensor: quality, weights: mean }], constant: new Float64Array(width) };
  }
};
