import type { OutcomeRow } from '../dataset/outcome-row.ts';
import type { TrainingSet } from '../features/feature-matrix.ts';
import { bootstrap, interval95, type Interval } from '../metrics/bootstrap.ts';
import { calibration } from '../metrics/calibration.ts';
import { apgr, byNeed, callPerformanceThreshold, qualityCurve, weightedCurve, type QualityCurve, type TwoModelOutcomes } from '../metrics/two-models.ts';
import type { FoldPrediction } from './cross-validate.ts';

/** What one router did on one set of questions with a weak and a strong model: means over folds. */
export interface TwoModelRow {
  readonly router: string;
  readonly apgr: number;
  readonly interval: Interval;
  readonly cpt50: number;
  readonly cpt80: number;
  /** Without the subject whose outcomes are an artefact; undefined where the set has none. */
  readonly apgrWithout: number | undefined;
  /** Paired difference to the reference router, 95 %. */
  readonly gain: Interval | undefined;
  readonly ece: number | undefined;
  readonly brier: number | undefined;
  /** Mean of the folds' curves at 0, 1, … 100 % strong calls. */
  readonly curve: readonly number[];
}

export interface TwoModelContest {
  readonly set: TrainingSet;
  readonly rows: readonly OutcomeRow[];
  readonly strong: number;
  readonly weak: number;
  /** A subject to leave out in `apgrWithout`. */
  readonly without: string | undefined;
  readonly draws: number;
  readonly seed: number;
}

/** A router's need for the strong model per held row, and its predicted qualities where it makes any. */
export interface TwoModelEntry {
  readonly router: string;
  readonly folds: readonly { readonly rows: Int32Array; readonly need: Float64Array; readonly predicted: Float64Array | undefined }[];
}

/** Need = predicted quality of the strong model above the weak one's. */
export function entryOf(router: string, folds: readonly FoldPrediction[], { strong, weak, set }: Pick<TwoModelContest, 'strong' | 'weak' | 'set'>): TwoModelEntry {
  const width = set.candidates.length;
  return {
    router,
    folds: folds.map(({ rows, predicted }) => ({ rows, predicted, need: Float64Array.from(rows, (_, index) => predicted[index * width + strong]! - predicted[index * width + weak]!) })),
  };
}

/** One row per entry; differences are taken to the entry named `reference`, on the same bootstrap draws. */
export function compareTwoModels(contest: TwoModelContest, entries: readonly TwoModelEntry[], reference: string): TwoModelRow[] {
  const outcomes = entries.map(({ folds }) => folds.map(({ rows, need }) => outcomesOf(contest, rows, need)));
  const orders = outcomes.map((folds) => folds.map(({ need }) => byNeed(need)));
  const draws = bootstrap({ rowsPerFold: entries[0]!.folds.map(({ rows }) => rows.length), draws: contest.draws, seed: contest.seed }, (fold, counts) =>
    entries.map((_, entry) => apgr(weightedCurve(outcomes[entry]![fold]!, orders[entry]![fold]!, counts))));
  const referenceIndex = entries.findIndex(({ router }) => router === reference);
  return entries.map(({ router, folds }, entry) => {
    const curves = outcomes[entry]!.map(qualityCurve);
    const kept = contest.without === undefined ? undefined : folds.map(({ rows, need }) => {
      const chosen = Int32Array.from(rows.keys()).filter((index) => contest.rows[rows[index]!]!.subject !== contest.without);
      return qualityCurve(outcomesOf(contest, Int32Array.from(chosen, (index) => rows[index]!), Float64Array.from(chosen, (index) => need[index]!)));
    });
    const calibrated = folds.every(({ predicted }) => predicted !== undefined) ? calibrationOf(contest.set, folds) : undefined;
    return {
      router, apgr: mean(curves.map(apgr)), interval: interval95(draws[entry]!), cpt50: mean(curves.map((curve) => callPerformanceThreshold(curve, 50))),
      cpt80: mean(curves.map((curve) => callPerformanceThreshold(curve, 80))), apgrWithout: kept === undefined ? undefined : mean(kept.map(apgr)),
      gain: referenceIndex === -1 || referenceIndex === entry ? undefined : interval95(draws[entry]!.map((value, draw) => value - draws[referenceIndex]![draw]!)),
      ece: calibrated?.ece, brier: calibrated?.brier, curve: meanCurve(curves),
    };
  });
}

function outcomesOf({ set, strong, weak }: TwoModelContest, rows: Int32Array, need: Float64Array): TwoModelOutcomes {
  const width = set.candidates.length;
  return { need, weak: Float64Array.from(rows, (row) => set.quality[row * width + weak]!), strong: Float64Array.from(rows, (row) => set.quality[row * width + strong]!) };
}

function calibrationOf(set: TrainingSet, folds: TwoModelEntry['folds']): { readonly ece: number; readonly brier: number } {
  const width = set.candidates.length;
  const predicted = folds.flatMap((fold) => [...(fold.predicted ?? [])]);
  return calibration(predicted, folds.flatMap(({ rows }) => [...rows].flatMap((row) => [...set.quality.subarray(row * width, (row + 1) * width)])));
}

function meanCurve(curves: readonly QualityCurve[]): number[] {
  return Array.from({ length: 101 }, (_, percent) => mean(curves.map((curve) => qualityAt(curve, percent / 100))));
}

function qualityAt({ strongShare, quality }: QualityCurve, share: number): number {
  let point = 1;
  while (point < strongShare.length - 1 && strongShare[point]! < share) point += 1;
  const width = strongShare[point]! - strongShare[point - 1]!;
  const along = width === 0 ? 1 : Math.min(1, (share - strongShare[point - 1]!) / width);
  return quality[point - 1]! + along * (quality[point]! - quality[point - 1]!);
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
