import { selectFeatures, selectTrainingRows, type FeatureMatrix, type TrainingSet } from '../features/feature-matrix.ts';
import { foldRows, relativeError } from './choose-by-folds.ts';
import { meanQuality, type HeadTrainer } from './head.ts';
import { neighbourBank, type BankSettings } from './nearest-neighbours.ts';

export interface KnnSettings extends BankSettings {
  /** Neighbours to choose from, by cross-validation; one value skips that. */
  readonly neighbours: readonly number[];
  /** Weights are exp(cosine / temperature): small = only the very nearest count. */
  readonly temperature: number;
}

/** Share of the overall mean in every prediction, as if it were one more set of neighbours of this weight. */
const PRIOR = 0.01;

/**
 * The mean quality on the nearest training prompts, weighted by similarity, with a little of the overall mean. Far more neighbours than usual: outcomes are
 * single coin tosses. "Rethinking Predictive Modeling for LLM Routing: when simple kNN beats complex learned routers", arXiv 2505.12601.
 */
export const trainKnn: HeadTrainer<KnnSettings> = (set, settings, parts) => {
  const candidates = set.candidates.length;
  const count = Math.min(settings.neighbours.length === 1 ? settings.neighbours[0]! : chooseCount(set, settings, parts.seed), set.features.rows);
  parts.progress?.(0.9);
  const bank = neighbourBank(set.features, settings);
  const { means, mass, value } = observedSums(set);
  return {
    predict(features) {
      const { index, cosine } = bank.nearest(features, count);
      return neighbourMeans({ index, cosine, stride: count, count, rows: features.rows, sums: { means, mass, value }, candidates, temperature: settings.temperature });
    },
    write(graph) {
      const { index, cosine } = bank.write(graph, count);
      const weights = graph.op('Softmax', [graph.op('Mul', [cosine, graph.scalar(1 / settings.temperature)])], { axis: { int: 1 } });
      const flat = graph.op('Reshape', [index, graph.integers([count])]);
      const gather = (table: Float64Array) => graph.op('MatMul', [weights, graph.op('Gather', [graph.floats(table, [bank.rows, candidates]), flat])]);
      const sum = graph.op('Add', [gather(value), graph.floats(means.map((mean) => PRIOR * mean), [1, candidates])]);
      return graph.op('Div', [sum, graph.op('Add', [gather(mass), graph.scalar(PRIOR)])]);
    },
  };
};

interface ObservedSums {
  readonly means: Float64Array;
  /** Weight of every observed quality, 0 where it is unknown. */
  readonly mass: Float64Array;
  /** Weight times quality. */
  readonly value: Float64Array;
}

function observedSums(set: TrainingSet): ObservedSums {
  const mass = new Float64Array(set.quality.length);
  const value = new Float64Array(set.quality.length);
  set.quality.forEach((quality, at) => {
    if (Number.isNaN(quality)) return;
    mass[at] = set.weight[Math.floor(at / set.candidates.length)]!;
    value[at] = mass[at]! * quality;
  });
  return { means: meanQuality(set), mass, value };
}

/** Searches each fold's neighbours once, for the largest number: smaller ones are its beginning. */
function chooseCount(set: TrainingSet, settings: KnnSettings, seed: number): number {
  const width = set.candidates.length;
  const folds = foldRows(set, 3, seed).map(({ training, held }) => {
    const part = selectTrainingRows(set, training);
    const stride = Math.min(Math.max(...settings.neighbours), training.length);
    const features: FeatureMatrix = selectFeatures(set.features, held);
    return { held, stride, sums: observedSums(part), ...neighbourBank(part.features, settings).nearest(features, stride) };
  });
  let best = settings.neighbours[0]!;
  let smallest = Infinity;
  for (const neighbours of settings.neighbours) {
    const predicted = new Float64Array(set.quality.length);
    for (const { held, stride, sums, index, cosine } of folds) {
      const means = neighbourMeans({ index, cosine, stride, count: Math.min(neighbours, stride), rows: held.length, sums, candidates: width, temperature: settings.temperature });
      held.forEach((row, position) => predicted.set(means.subarray(position * width, (position + 1) * width), row * width));
    }
    const error = relativeError(set, predicted);
    if (error < smallest) [smallest, best] = [error, neighbours];
  }
  return best;
}

interface NeighbourMeansInput {
  readonly index: Int32Array;
  readonly cosine: Float64Array;
  /** Neighbours found per row, and how many of them to use. */
  readonly stride: number;
  readonly count: number;
  readonly rows: number;
  readonly sums: ObservedSums;
  readonly candidates: number;
  readonly temperature: number;
}

function neighbourMeans({ index, cosine, stride, count, rows, sums: { means, mass, value }, candidates, temperature }: NeighbourMeansInput): Float64Array {
  const result = new Float64Array(rows * candidates);
  for (let row = 0; row < rows; row += 1) {
    const start = row * stride;
    const weights = softmax(cosine.subarray(start, start + count), temperature);
    for (let candidate = 0; candidate < candidates; candidate += 1) {
      let total = PRIOR;
      let sum = PRIOR * means[candidate]!;
      for (let position = 0; position < count; position += 1) {
        const at = index[start + position]! * candidates + candidate;
        total += weights[position]! * mass[at]!;
        sum += weights[position]! * value[at]!;
      }
      result[row * candidates + candidate] = sum / total;
    }
  }
  return result;
}

export function softmax(values: Float64Array, temperature: number): Float64Array {
  const top = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const weights = values.map((value) => Math.exp((value - top) / temperature));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}
