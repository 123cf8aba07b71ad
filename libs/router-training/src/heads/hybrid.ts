import type { TrainingSet } from '../features/feature-matrix.ts';
import { product } from '../numeric/linear-algebra.ts';
import type { GraphBuilder } from '../onnx-writer/graph-builder.ts';
import { CHOICE_FOLDS, outOfFold } from './choose-by-folds.ts';
import { identity, openScores, writeLinearScores, type HeadTrainer, type LinearScores, type TrainedHead } from './head.ts';

export interface HybridPart {
  /** Predictions for rows not seen in training, if they are known already: `outOfFold` with three folds and the same seed. */
  readonly unseen?: Float64Array | undefined;
  readonly train: (set: TrainingSet, seed: number) => TrainedHead;
}

export interface HybridSettings {
  readonly parts: readonly HybridPart[];
}

interface PartScale {
  /** Mean advantage per candidate. */
  readonly mean: Float64Array;
  readonly deviation: number;
}

/**
 * Several heads, each split into a level (mean over candidates) and advantages (what each candidate is above it). Advantages are z-scored on rows the
 * heads did not see and summed with weights fitted, not negative, on the same rows: a head counts for what it adds to the others, and the result is calibrated.
 * Stacking: Breiman, Machine Learning 1996.
 */
export const trainHybrid: HeadTrainer<HybridSettings> = (set, { parts }, { seed, progress }) => {
  const width = set.candidates.length;
  const levels = new Float64Array(set.weight.length);
  const offset = new Float64Array(width);
  const opinions: Float64Array[] = [];
  const scales: PartScale[] = [];
  const heads = parts.map(({ train, unseen = outOfFold(set, CHOICE_FOLDS, seed, (part) => train(part, seed)) }, index) => {
    progress?.((index + 0.75) / parts.length);
    const { advantages, level } = splitLevel(unseen, width);
    const scale = scaleOf(advantages, width);
    scales.push(scale);
    opinions.push(advantages.map((value, at) => (value - scale.mean[at % width]!) / scale.deviation));
    level.forEach((value, row) => {
      levels[row]! += value / parts.length;
    });
    scale.mean.forEach((value, candidate) => {
      offset[candidate]! += value / parts.length;
    });
    const head = train(set, seed);
    progress?.((index + 1) / parts.length);
    return head;
  });
  const factors = fitWeights(set, opinions, levels, offset).map((weight, index) => weight / scales[index]!.deviation);

  return {
    predict(features) {
      const result = new Float64Array(features.rows * width);
      heads.forEach((head, index) => {
        const { mean } = scales[index]!;
        const { advantages, level } = splitLevel(head.predict(features), width);
        advantages.forEach((value, at) => {
          result[at]! += level[Math.floor(at / width)]! / parts.length + factors[index]! * (value - mean[at % width]!);
        });
      });
      return result.map((value, at) => value + offset[at % width]!);
    },
    write: (graph) => writeLinearScores(graph, writeOpen(graph)),
    writeOpen,
  };

  /** Splitting, z-scoring and adding are linear, so they vanish in the last layers of the heads: scores · (level share + factor · advantage) - factor · mean. */
  function writeOpen(graph: GraphBuilder): LinearScores {
    const constant = offset.slice();
    const terms = heads.flatMap((head, index) => {
      const own = openScores(head, graph, width);
      const factor = factors[index]!;
      const mix = identity(width).map((same) => factor * same + (1 / parts.length - factor) / width);
      product(own.constant, width, mix, width).forEach((value, candidate) => {
        constant[candidate]! += value - factor * scales[index]!.mean[candidate]!;
      });
      return own.terms.map(({ tensor, weights }) => ({ tensor, weights: product(weights, width, mix, width) }));
    });
    return { terms, constant };
  }
};

function splitLevel(scores: Float64Array, width: number): { readonly advantages: Float64Array; readonly level: Float64Array } {
  const level = new Float64Array(scores.length / width);
  scores.forEach((score, at) => {
    level[Math.floor(at / width)]! += score / width;
  });
  return { level, advantages: scores.map((score, at) => score - level[Math.floor(at / width)]!) };
}

function scaleOf(advantages: Float64Array, width: number): PartScale {
  const rows = advantages.length / width;
  const mean = new Float64Array(width);
  advantages.forEach((value, at) => {
    mean[at % width]! += value / rows;
  });
  let squares = 0;
  advantages.forEach((value, at) => {
    squares += (value - mean[at % width]!) ** 2;
  });
  return { mean, deviation: Math.max(1e-9, Math.sqrt(squares / advantages.length)) };
}

/** Rows that speak for equal weights: with few rows, fitted weights are mostly noise. */
const EQUAL_ROWS = 500;

/** Least squares with weights that are not negative and drawn towards equal ones, by coordinate descent: there are three or four. */
function fitWeights({ quality, weight }: TrainingSet, opinions: readonly Float64Array[], levels: Float64Array, offset: Float64Array): number[] {
  const width = offset.length;
  const gram = opinions.map(() => new Float64Array(opinions.length));
  const along = new Float64Array(opinions.length);
  quality.forEach((value, at) => {
    if (Number.isNaN(value)) return;
    const row = Math.floor(at / width);
    const target = value - levels[row]! - offset[at % width]!;
    opinions.forEach((left, a) => {
      along[a]! += weight[row]! * left[at]! * target;
      opinions.forEach((right, b) => {
        gram[a]![b]! += weight[row]! * left[at]! * right[at]!;
      });
    });
  });
  const sumAlong = along.reduce((sum, value) => sum + value, 0);
  const sumGram = gram.reduce((sum, row) => sum + row.reduce((a, b) => a + b, 0), 0);
  const equal = sumGram === 0 ? 0 : Math.max(0, sumAlong / sumGram);
  // Opinions have deviation 1: a row adds as much to the diagonal as it has candidates.
  const pull = EQUAL_ROWS * width;
  gram.forEach((row, a) => {
    row[a]! += pull;
    along[a]! += pull * equal;
  });
  const weights = new Float64Array(opinions.length);
  for (let round = 0; round < 200; round += 1) {
    weights.forEach((_, a) => {
      const others = weights.reduce((sum, value, b) => (b === a ? sum : sum + gram[a]![b]! * value), 0);
      weights[a] = gram[a]![a]! === 0 ? 0 : Math.max(0, (along[a]! - others) / gram[a]![a]!);
    });
  }
  return [...weights];
}
