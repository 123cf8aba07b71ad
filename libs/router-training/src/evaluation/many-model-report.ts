import type { TrainingSet } from '../features/feature-matrix.ts';
import { bootstrap, interval95, type Interval } from '../metrics/bootstrap.ts';
import { calibration } from '../metrics/calibration.ts';
import { averageQuality, costAtQuality, costCurve, modelMeans, oracleQuality, pickedQuality, type CostPoint } from '../metrics/many-models.ts';
import type { FoldPrediction } from './cross-validate.ts';
import { mean } from './two-model-report.ts';

/** What one router did on one set of questions with many models: means over folds. */
export interface ManyModelRow {
  readonly router: string;
  /** Mean true quality of its picks, price ignored. */
  readonly score: number;
  readonly interval: Interval;
  /** Above the best single model (chosen on the training folds), 95 %. */
  readonly gain: Interval;
  /** Share of the way from the best single model to the oracle. */
  readonly gapClosed: number;
  /** Cost at which the best single model's quality is reached, as a share of that model's price; undefined when never, or without prices. */
  readonly costAtParity: number | undefined;
  readonly aiq: number | undefined;
  readonly ece: number;
  readonly brier: number;
  /** Cost (share of the best single model's price) and quality, over all folds together. */
  readonly curve: readonly CostPoint[];
}

export interface ManyModelContest {
  readonly set: TrainingSet;
  /** In the order of the candidates; undefined when a price is missing. */
  readonly prices: readonly number[] | undefined;
  readonly draws: number;
  readonly seed: number;
}

export function compareManyModels({ set, prices, draws, seed }: ManyModelContest, entries: readonly { readonly router: string; readonly folds: readonly FoldPrediction[] }[]): ManyModelRow[] {
  const models = set.candidates.length;
  const folds = entries[0]!.folds.map(({ rows }) => ({ rows, quality: gather(set.quality, models, rows), best: bestOutside(set, rows) }));
  return entries.map(({ router, folds: predictions }) => {
    const perFold = folds.map(({ quality, best }, fold) => {
      const { predicted } = predictions[fold]!;
      const single = modelMeans(quality, models)[best]!;
      const score = pickedQuality({ models, quality, predicted });
      const curve = prices === undefined ? undefined : costCurve({ models, quality, predicted, prices });
      return {
        score, gap: (score - single) / (oracleQuality(quality, models) - single),
        parity: curve === undefined ? Number.NaN : costAtQuality(curve, single) / prices![best]!,
        aiq: curve === undefined ? Number.NaN : averageQuality(curve, prices!), curve: curve?.map(({ cost, quality: value }) => ({ cost: cost / prices![best]!, quality: value })),
      };
    });
    const picks = folds.map(({ quality }, fold) => rowPicks(quality, predictions[fold]!.predicted, models));
    const resampled = bootstrap({ rowsPerFold: folds.map(({ rows }) => rows.length), draws, seed }, (fold, counts) => {
      const { quality, best, rows } = folds[fold]!;
      let ours = 0;
      let single = 0;
      for (let row = 0; row < rows.length; row += 1) {
        ours += counts[row]! * picks[fold]![row]!;
        single += counts[row]! * quality[row * models + best]!;
      }
      return [ours / rows.length, (ours - single) / rows.length];
    });
    const parity = mean(perFold.map((fold) => fold.parity));
    const aiq = mean(perFold.map((fold) => fold.aiq));
    return {
      router, score: mean(perFold.map((fold) => fold.score)), interval: interval95(resampled[0]!), gain: interval95(resampled[1]!), gapClosed: mean(perFold.map((fold) => fold.gap)),
      costAtParity: Number.isFinite(parity) ? parity : undefined, aiq: Number.isFinite(aiq) ? aiq : undefined,
      ...calibration(predictions.flatMap(({ predicted }) => [...predicted]), folds.flatMap(({ quality }) => [...quality])),
      curve: (perFold[0]!.curve ?? []).map((_, point) => ({ cost: mean(perFold.map((fold) => fold.curve![point]!.cost)), quality: mean(perFold.map((fold) => fold.curve![point]!.quality)) })),
    };
  });
}

/** The model with the best mean quality on all rows that are not held. */
export function bestOutside(set: TrainingSet, held: Int32Array): number {
  const models = set.candidates.length;
  const inside = new Set(held);
  const outside = Int32Array.from({ length: set.weight.length }, (_, row) => row).filter((row) => !inside.has(row));
  const means = modelMeans(gather(set.quality, models, outside), models);
  return means.indexOf(means.reduce((a, b) => (b > a ? b : a)));
}

function rowPicks(quality: Float64Array, predicted: Float64Array, models: number): Float64Array {
  return Float64Array.from({ length: quality.length / models }, (_, row) => pickedQuality({ models, quality: quality.subarray(row * models, (row + 1) * models), predicted: predicted.subarray(row * models, (row + 1) * models) }));
}

function gather(matrix: Float32Array, width: number, rows: Int32Array): Float64Array {
  const result = new Float64Array(rows.length * width);
  rows.forEach((row, index) => result.set(matrix.subarray(row * width, (row + 1) * width), index * width));
  return result;
}
