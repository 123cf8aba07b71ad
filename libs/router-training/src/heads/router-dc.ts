import { seededRandom } from '@pointsman/routing';
import { shuffled } from '../dataset/folds.ts';
import { fitDenseInputs, type DenseSettings } from '../features/dense-inputs.ts';
import { normaliseRows, unitRows, writeUnitRow } from '../features/unit-rows.ts';
import { Adam } from '../numeric/adam.ts';
import { gaussianArray } from '../numeric/gaussian.ts';
import { sphericalKMeans } from '../numeric/k-means.ts';
import { product } from '../numeric/linear-algebra.ts';
import { outOfFold } from './choose-by-folds.ts';
import type { HeadTrainer, TrainedHead } from './head.ts';
import { fitQualityMap } from './quality-map.ts';

export interface RouterDcSettings extends DenseSettings {
  readonly dimensions: number;
  readonly clusters: number;
  /** Weight of the sample-sample loss. */
  readonly sampleWeight: number;
  /** Cosines are divided by this inside the losses. */
  readonly temperature: number;
  readonly epochs: number;
  readonly batch: number;
  readonly learningRate: number;
  readonly weightDecay: number;
}

/** Qualities this close to the best count as good too. */
const GOOD_MARGIN = 0.1;

/**
 * Dual contrastive learning (RouterDC, arXiv 2409.19886) on frozen features: a projection of the prompt and a vector per model such that prompts lie near models that
 * answer them well and far from models that do not (sample-model loss), and near prompts of their own cluster (sample-sample loss). Rows that only one model answered
 * teach nothing here. Cosines become qualities by a straight line fitted on held-out folds.
 */
export const trainRouterDc: HeadTrainer<RouterDcSettings> = (set, settings, { seed, progress }) => {
  const train = (part: typeof set): TrainedHead => contrast(part, settings, seed);
  const map = fitQualityMap(set, outOfFold(set, 3, seed, train));
  progress?.(0.75);
  const cosines = train(set);
  progress?.(1);
  return { predict: (features) => map.apply(cosines.predict(features)), write: (graph) => map.write(graph, cosines.write(graph)) };
};

function contrast({ features, candidates, quality, weight }: Parameters<typeof trainRouterDc>[0], settings: RouterDcSettings, seed: number): TrainedHead {
  const width = candidates.length;
  const { dimensions, temperature } = settings;
  const random = seededRandom(seed);
  const dense = fitDenseInputs(features, settings);
  const inputs = dense.matrix(features);
  const { assigned } = sphericalKMeans(unitRows(dense, features), dense.width, settings.clusters, random);
  const projection = gaussianArray(dense.width * dimensions, Math.sqrt(1 / dense.width), random);
  const models = gaussianArray(width * dimensions, Math.sqrt(1 / dimensions), random);
  const optimisers = [projection, models].map((values) => new Adam(values.length));
  let order = Array.from({ length: features.rows }, (_, row) => row);
  const steps = settings.epochs * Math.ceil(features.rows / settings.batch);
  let step = 0;
  for (let epoch = 0; epoch < settings.epochs; epoch += 1) {
    order = shuffled(order, random);
    for (let start = 0; start < order.length; start += settings.batch) {
      const batch = order.slice(start, start + settings.batch);
      const rows = new Float64Array(batch.length * dense.width);
      batch.forEach((row, index) => rows.set(inputs.subarray(row * dense.width, (row + 1) * dense.width), index * dense.width));
      const hidden = product(rows, dense.width, projection, dimensions);
      const unit = normaliseRows(Float64Array.from(hidden), dimensions);
      const unitModels = normaliseRows(Float64Array.from(models), dimensions);
      const towardsPrompt = new Float64Array(unit.length);
      const towardsModel = new Float64Array(models.length);

      // Sample-model: every good model against all bad ones of the row.
      batch.forEach((row, index) => {
        const own = unit.subarray(index * dimensions, (index + 1) * dimensions);
        const known = candidates.map((_, model) => quality[row * width + model]!);
        const best = known.reduce((a, b) => (b > a ? b : a), -Infinity);
        const good = candidates.map((_, model) => model).filter((model) => known[model]! >= best - GOOD_MARGIN);
        const bad = candidates.map((_, model) => model).filter((model) => known[model]! < best - GOOD_MARGIN);
        if (bad.length === 0) return;
        const cosine = candidates.map((_, model) => {
          let sum = 0;
          for (let dimension = 0; dimension < dimensions; dimension += 1) sum += own[dimension]! * unitModels[model * dimensions + dimension]!;
          return sum / temperature;
        });
        const pull = new Float64Array(width);
        for (const positive of good) {
          const rivals = [positive, ...bad];
          const top = Math.max(...rivals.map((model) => cosine[model]!));
          const total = rivals.reduce((sum, model) => sum + Math.exp(cosine[model]! - top), 0);
          for (const model of rivals) pull[model]! += (Math.exp(cosine[model]! - top) / total - (model === positive ? 1 : 0)) / good.length;
        }
        const scale = weight[row]! / (batch.length * temperature);
        for (let model = 0; model < width; model += 1) {
          for (let dimension = 0; dimension < dimensions; dimension += 1) {
            towardsPrompt[index * dimensions + dimension]! += scale * pull[model]! * unitModels[model * dimensions + dimension]!;
            towardsModel[model * dimensions + dimension]! += scale * pull[model]! * own[dimension]!;
          }
        }
      });

      // Sample-sample: one prompt of the same cluster against four of others, within the batch.
      if (settings.sampleWeight > 0) {
        batch.forEach((row, index) => {
          const friend = pickWhere(batch, (other) => other !== row && assigned[other] === assigned[row], random);
          if (friend === -1) return;
          const others = [friend];
          for (let attempt = 0; attempt < 4; attempt += 1) {
            const other = pickWhere(batch, (candidate) => assigned[candidate] !== assigned[row], random);
            if (other !== -1) others.push(other);
          }
          const cosine = others.map((other) => {
            let sum = 0;
            for (let dimension = 0; dimension < dimensions; dimension += 1) sum += unit[index * dimensions + dimension]! * unit[other * dimensions + dimension]!;
            return sum / temperature;
          });
          const top = Math.max(...cosine);
          const total = cosine.reduce((sum, value) => sum + Math.exp(value - top), 0);
          others.forEach((other, position) => {
            const scale = (settings.sampleWeight / (batch.length * temperature)) * (Math.exp(cosine[position]! - top) / total - (position === 0 ? 1 : 0));
            for (let dimension = 0; dimension < dimensions; dimension += 1) {
              towardsPrompt[index * dimensions + dimension]! += scale * unit[other * dimensions + dimension]!;
              towardsPrompt[other * dimensions + dimension]! += scale * unit[index * dimensions + dimension]!;
            }
          });
        });
      }

      const towardsHidden = throughNormalisation(hidden, unit, towardsPrompt, dimensions);
      const projectionGradient = new Float64Array(projection.length);
      for (let index = 0; index < batch.length; index += 1) {
        for (let column = 0; column < dense.width; column += 1) {
          const x = rows[index * dense.width + column]!;
          for (let dimension = 0; dimension < dimensions; dimension += 1) projectionGradient[column * dimensions + dimension]! += x * towardsHidden[index * dimensions + dimension]!;
        }
      }
      const learningRate = settings.learningRate * 0.5 * (1 + Math.cos((Math.PI * step) / steps));
      optimisers[0]!.update(projection, projectionGradient, { learningRate, weightDecay: settings.weightDecay });
      optimisers[1]!.update(models, throughNormalisation(models, unitModels, towardsModel, dimensions), { learningRate, weightDecay: 0 });
      step += 1;
    }
  }
  const directions = normaliseRows(Float64Array.from(models), dimensions);
  const byColumn = new Float64Array(directions.length);
  for (let model = 0; model < width; model += 1) for (let dimension = 0; dimension < dimensions; dimension += 1) byColumn[dimension * width + model] = directions[model * dimensions + dimension]!;
  return {
    predict: (rows) => product(normaliseRows(product(dense.matrix(rows), dense.width, projection, dimensions), dimensions), dimensions, byColumn, width),
    write(graph) {
      const hidden = graph.op('MatMul', [dense.write(graph), graph.floats(projection, [dense.width, dimensions])]);
      return graph.op('MatMul', [writeUnitRow(graph, hidden), graph.floats(byColumn, [dimensions, width])]);
    },
  };
}

/** A random position in the batch whose row is wanted; -1 after a few tries without one. */
function pickWhere(batch: readonly number[], wanted: (row: number) => boolean, random: () => number): number {
  for (let attempt = 0; attempt < 24; attempt += 1) {
    const position = Math.floor(random() * batch.length);
    if (wanted(batch[position]!)) return position;
  }
  return -1;
}

/** The gradient before rows were scaled to length 1, from the one after. */
function throughNormalisation(raw: Float64Array, unit: Float64Array, gradient: Float64Array, width: number): Float64Array {
  const result = new Float64Array(raw.length);
  for (let start = 0; start < raw.length; start += width) {
    let squares = 0;
    let along = 0;
    for (let column = start; column < start + width; column += 1) {
      squares += raw[column]! ** 2;
      along += unit[column]! * gradient[column]!;
    }
    const norm = Math.max(1e-6, Math.sqrt(squares));
    for (let column = start; column < start + width; column += 1) result[column] = (gradient[column]! - along * unit[column]!) / norm;
  }
  return result;
}
