import { createFeatureExtractor, TEXT_FEATURES, type EmbedderIdentity, type FeatureExtractor } from '@pointsman/routing';
import { trainVerifier, verifierSet } from '../automix/verifier.ts';
import { datasetDigest } from '../dataset/dataset-digest.ts';
import { trainingSetOf } from '../dataset/training-set.ts';
import { extractFeatures } from '../features/extract-features.ts';
import type { FeatureMatrix, TrainingSet } from '../features/feature-matrix.ts';
import { meanQuality } from '../heads/head.ts';
import { trainStrategy, type TrainableStrategy, type TrainingArgs } from '../strategies.ts';
import { crossValidate, heldRows, type CrossValidation, type FoldPrediction, type PredictionStore, type Remembered } from './cross-validate.ts';
import { compareManyModels, bestOutside, type ManyModelRow } from './many-model-report.ts';
import type { RoutingData } from './routing-data.ts';
import { compareTwoModels, entryOf, type TwoModelEntry, type TwoModelRow } from './two-model-report.ts';

export interface EvaluateRoutingOptions {
  readonly data: readonly RoutingData[];
  readonly strategies: readonly TrainableStrategy[];
  readonly embedder: EmbedderIdentity['name'];
  readonly minilmDirectory?: string | undefined;
  readonly seed: number;
  readonly folds?: number | undefined;
  /** Bootstrap draws, at least 1000 for the intervals to mean something. */
  readonly draws?: number | undefined;
  readonly args?: TrainingArgs | undefined;
  /** Predictions of an earlier run by the same trainer: what is there is not trained again. Embeddings of a network are kept there too: they take longest. */
  readonly store?: PredictionStore | undefined;
  /** Heads trained so far, of all. */
  readonly progress?: ((done: number, total: number, what: string) => void) | undefined;
}

export type DataReport =
  | { readonly kind: 'two-models'; readonly name: string; readonly rows: number; readonly weak: string; readonly strong: string; readonly weakQuality: number; readonly strongQuality: number; readonly table: readonly TwoModelRow[] }
  | { readonly kind: 'many-models'; readonly name: string; readonly rows: number; readonly models: number; readonly bestSingle: string; readonly bestSingleQuality: number; readonly oracle: number; readonly table: readonly ManyModelRow[] };

/** The recorded strong model failed on the format of nearly all answers of this subject: figures with and without it. */
const ARTEFACT_SUBJECT = 'high_school_mathematics';
const FEW_ROWS = 1_500;

/** Cross-validates strategies on every set, next to random order, prompt length, the best single model and the oracle. Seeded; nothing held out is ever trained on. */
export async function evaluateRouting(options: EvaluateRoutingOptions): Promise<DataReport[]> {
  const { data, strategies, seed, folds = 5, draws = 1_000, args = {}, progress } = options;
  const extractor = await createFeatureExtractor({ embedder: options.embedder, ...(options.minilmDirectory === undefined ? {} : { minilmDirectory: options.minilmDirectory }) });
  const total = data.length * strategies.length * folds;
  let done = 0;
  const reports: DataReport[] = [];
  try {
    for (const { name, rows, prices } of data) {
      const remember = (what: string) => (options.store === undefined ? undefined : { store: options.store, key: `${name}-${datasetDigest(rows).slice(0, 16)}-${options.embedder}-${extractor.version}-${what}` });
      const set = trainingSetOf(rows, await featuresOf(rows, extractor, options.embedder === 'minilm' ? remember(`embeddings-${extractor.embedder.sha256.slice(0, 16)}`) : undefined));
      const means = meanQuality(set);
      const priceList = set.candidates.map((candidate) => prices.get(candidate));
      const sizes = Object.fromEntries(set.candidates.map((candidate, index) => [candidate, priceList[index] ?? means[index]!]));
      const plan: CrossValidation = { set, strata: rows.map(({ subject }) => subject), folds, seed };
      const trained = strategies.map((strategy) => ({
        router: strategy as string,
        folds: crossValidate(plan, (part) => {
          const head = trainStrategy(strategy, part, { sizes, ...args }, { seed });
          done += 1;
          progress?.(done, total, `${name} ${strategy}`);
          return head;
        }, remember(strategy)),
      }));
      if (set.candidates.length === 2) {
        reports.push(twoModels({ name, plan, rows, means, trained, draws, strategies, args, seed, remember }));
      } else {
        const held = heldRows(plan);
        const entries = [{ router: 'random', folds: held.map((chosen) => predictionOf(set, chosen, () => 0)) }, ...trained, { router: 'best single', folds: held.map((chosen) => singlePrediction(set, chosen)) }, { router: 'oracle', folds: held.map((chosen) => predictionOf(set, chosen, (row, candidate) => set.quality[row * set.candidates.length + candidate]!)) }];
        const table = compareManyModels({ set, prices: priceList.every((price) => price !== undefined) ? priceList : undefined, draws, seed }, entries);
        const best = means.indexOf(means.reduce((a, b) => (b > a ? b : a)));
        reports.push({ kind: 'many-models', name, rows: rows.length, models: set.candidates.length, bestSingle: set.candidates[best]!, bestSingleQuality: means[best]!, oracle: table.at(-1)!.score, table });
      }
    }
  } finally {
    await extractor.close();
  }
  return reports;
}

/** A network is asked once per prompt, whatever runs follow: it takes longer than everything else together. */
async function featuresOf(rows: RoutingData['rows'], extractor: FeatureExtractor, remembered: Remembered | undefined): Promise<FeatureMatrix> {
  const { dimensions } = extractor.embedder;
  const known = remembered?.store.get(remembered.key);
  if (known?.length === rows.length * dimensions) {
    const others = await createFeatureExtractor({ embedder: 'none' });
    return { ...(await extractFeatures(rows, others)), embeddingWidth: dimensions, embedding: Float32Array.from(known) };
  }
  const features = await extractFeatures(rows, extractor);
  remembered?.store.set(remembered.key, Float64Array.from(features.embedding));
  return features;
}

interface TwoModelInput {
  readonly name: string;
  readonly plan: CrossValidation;
  readonly rows: RoutingData['rows'];
  readonly means: Float64Array;
  readonly trained: readonly { readonly router: string; readonly folds: readonly FoldPrediction[] }[];
  readonly draws: number;
  readonly strategies: readonly TrainableStrategy[];
  readonly args: TrainingArgs;
  readonly seed: number;
  readonly remember: (what: string) => Remembered | undefined;
}

function twoModels({ name, plan, rows, means, trained, draws, strategies, args, seed, remember }: TwoModelInput): DataReport {
  const { set } = plan;
  const strong = means[1]! > means[0]! ? 1 : 0;
  const weak = 1 - strong;
  const contest = { set, rows, strong, weak, without: rows.some(({ subject }) => subject === ARTEFACT_SUBJECT) ? ARTEFACT_SUBJECT : undefined, draws, seed };
  const held = heldRows(plan);
  const byRow = (router: string, need: (row: number) => number): TwoModelEntry => ({ router, folds: held.map((chosen) => ({ rows: chosen, predicted: undefined, need: Float64Array.from(chosen, need) })) });
  const length = TEXT_FEATURES.indexOf('characters');
  const entries = [
    byRow('random', () => 0), byRow('prompt length alone', (row) => set.features.text[row * set.features.textWidth + length]!),
    ...trained.map(({ router, folds }) => entryOf(router, folds, contest)),
  ];
  const [first] = strategies;
  if (first !== undefined && rows.length > 2 * FEW_ROWS) {
    entries.push(entryOf(`${first}, trained on ${FEW_ROWS} rows`, crossValidate({ ...plan, trainingRows: FEW_ROWS }, (part) => trainStrategy(first, part, args, { seed }), remember(first)), contest));
  }
  const cheap = set.candidates[weak]!;
  if (rows.every(({ answers }) => answers.has(cheap))) {
    const seen = verifierSet(rows);
    const columns = { set: seen, weak: seen.candidates.indexOf(cheap), strong: seen.candidates.indexOf(set.candidates[strong]!) };
    entries.push(entryOf('llmrouter-automix (sees the weak answer)', swapped(crossValidate({ ...plan, set: seen }, (part) => trainVerifier(part, seed), remember('verifier')), columns, { weak, strong }), contest));
  }
  entries.push(byRow('oracle', (row) => set.quality[row * 2 + strong]! - set.quality[row * 2 + weak]!));
  return {
    kind: 'two-models', name, rows: rows.length, weak: cheap, strong: set.candidates[strong]!, weakQuality: means[weak]!, strongQuality: means[strong]!,
    table: compareTwoModels(contest, entries, 'prompt length alone'),
  };
}

/** Predictions with the columns of another set's order. */
function swapped(folds: readonly FoldPrediction[], from: { readonly weak: number; readonly strong: number }, to: { readonly weak: number; readonly strong: number }): FoldPrediction[] {
  return folds.map(({ rows, predicted }) => {
    const result = new Float64Array(predicted.length);
    for (let start = 0; start < predicted.length; start += 2) {
      result[start + to.weak] = predicted[start + from.weak]!;
      result[start + to.strong] = predicted[start + from.strong]!;
    }
    return { rows, predicted: result };
  });
}

function predictionOf(set: TrainingSet, rows: Int32Array, predict: (row: number, candidate: number) => number): FoldPrediction {
  const width = set.candidates.length;
  return { rows, predicted: Float64Array.from({ length: rows.length * width }, (_, at) => predict(rows[Math.floor(at / width)]!, at % width)) };
}

function singlePrediction(set: TrainingSet, rows: Int32Array): FoldPrediction {
  const best = bestOutside(set, rows);
  return predictionOf(set, rows, (_, candidate) => (candidate === best ? 1 : 0));
}
