import { join } from 'node:path';
import { AppError } from '@pointsman/errors';
import { HEAD_FILE, HEAD_OPERATORS, inspectModel, type FeatureExtractor } from '@pointsman/routing';
import type { ModelManifest } from '@pointsman/schemas';
import { extractFeatures } from '../features/extract-features.ts';
import { selectFeatures, type FeatureMatrix } from '../features/feature-matrix.ts';
import { openArtifact, type OpenedArtifact } from '../score-artifact.ts';
import { comparePolicies, type PolicyComparison } from './compare-policies.ts';
import { fitCosts } from './costs.ts';
import { decisionLog, wasDrawn, type DecisionLog } from './decision-log.ts';
import type { WindowRow } from './logged-decision.ts';
import { columnsOfModels } from './quality-columns.ts';

export interface EvaluateWindowOptions {
  /** Directory of the candidate. */
  readonly artifact: string;
  /** Directory of the router that serves; without it the candidate is compared with what was done. */
  readonly serving?: string | undefined;
  /** Rows that the candidate has not seen: `unseenRows`. */
  readonly rows: readonly WindowRow[];
  /** `quality_cost_tradeoff` that both serve with; 0.5 by default. */
  readonly tradeoff?: number | undefined;
  readonly seed?: number | undefined;
  readonly minilmDirectory?: string | undefined;
  readonly progress?: ((share: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Predicted against observed quality in ten bins, of the models that answered. */
export interface CalibrationBin {
  readonly predicted: number;
  readonly observed: number;
  readonly rows: number;
}

export interface WindowReport extends PolicyComparison {
  readonly candidateManifest: ModelManifest;
  readonly servingManifest: ModelManifest | undefined;
  /** Rows whose choice was certain: they count nowhere here. */
  readonly certain: number;
  readonly calibration: readonly CalibrationBin[];
  /** Models on offer that the candidate has no column for. */
  readonly missing: readonly string[];
}

/** Rows newer than everything the artifacts learned from: `created_at` of what is trained from traces is the time of its newest row. */
export function unseenRows(rows: readonly WindowRow[], manifests: readonly Pick<ModelManifest, 'created_at'>[]): readonly WindowRow[] {
  const newest = Math.max(...manifests.map(({ created_at: at }) => Date.parse(at)));
  return rows.filter(({ decision }) => decision.at > newest);
}

/**
 * What a router would get on the requests of a window, and what the one that serves would: see `comparePolicies`.
 * @throws AppError `nothing_drawn`, `invalid_dataset` for rows whose features another embedder made; else as `loadRouterModel`
 */
export async function evaluateWindow({ artifact, serving, rows, tradeoff, seed, minilmDirectory, progress, signal }: EvaluateWindowOptions): Promise<WindowReport> {
  const drawn = rows.filter(({ decision }) => wasDrawn(decision));
  const candidate = await openArtifact(artifact, minilmDirectory, signal);
  try {
    const incumbent = serving === undefined ? undefined : await openArtifact(serving, minilmDirectory, signal);
    try {
      const features = await extractFeatures(drawn.map(({ outcome }) => outcome), candidate.extractor);
      const log = decisionLog(drawn.map(({ decision }) => decision), features);
      const costs = fitCosts(log).perModel;
      const total = drawn.length * (incumbent === undefined ? 1 : 2);
      const next = await predict(candidate, features, (done) => progress?.(done / total), signal);
      const nextColumns = columnsOfModels(candidate.model.manifest.candidates, log.models, costs);
      const quality = nextColumns.read(next);
      let servingQuality: Float64Array | undefined;
      const warnings = [...await ngramWarning('the candidate', artifact, features)];
      if (incumbent !== undefined) {
        const own = await featuresFor(incumbent.extractor, candidate.extractor, drawn, features);
        const nowColumns = columnsOfModels(incumbent.model.manifest.candidates, log.models, costs);
        servingQuality = nowColumns.read(await predict(incumbent, own, (done) => progress?.((drawn.length + done) / total), signal));
        warnings.push(...await ngramWarning('serving', serving!, own));
        if (nowColumns.missing.length > 0) warnings.push(`serving has no column for ${nowColumns.missing.join(', ')}: 0.5 stands in`);
      }
      if (nextColumns.missing.length > 0) warnings.push(`the candidate has no column for ${nextColumns.missing.join(', ')}: 0.5 stands in`);
      const compared = comparePolicies({ log, candidate: quality, serving: servingQuality, tradeoff, seed });
      progress?.(1);
      return {
        ...compared, warnings: [...warnings, ...compared.warnings], certain: rows.length - drawn.length, missing: nextColumns.missing, calibration: calibrationBins(log, quality),
        candidateManifest: candidate.model.manifest, servingManifest: incumbent?.model.manifest,
      };
    } finally {
      await incumbent?.close();
    }
  } finally {
    await candidate.close();
  }
}

async function featuresFor(extractor: FeatureExtractor, other: FeatureExtractor, rows: readonly WindowRow[], features: FeatureMatrix): Promise<FeatureMatrix> {
  if (extractor.embedder.name === other.embedder.name && extractor.embedder.sha256 === other.embedder.sha256) return features;
  // A model that sees no embedding is content with the text features beside another's.
  if (extractor.embedder.dimensions === 0) return { ...features, embedding: new Float32Array(0), embeddingWidth: 0 };
  if (rows.some(({ outcome }) => outcome.prompt === undefined)) {
    throw new AppError('unprocessable', 'other_features', `The router that serves sees prompts by the embedder ${extractor.embedder.name}, the candidate by ${other.embedder.name}; rows hold one of them. Compare with what was done instead (without a serving artifact), or store prompts.`);
  }
  return await extractFeatures(rows.map(({ outcome }) => outcome), extractor);
}

async function predict({ model }: OpenedArtifact, features: FeatureMatrix, progress: (done: number) => void, signal: AbortSignal | undefined): Promise<Float64Array> {
  const width = model.manifest.candidates.length;
  const result = new Float64Array(features.rows * width);
  const one = new Int32Array(1);
  for (let row = 0; row < features.rows; row += 1) {
    signal?.throwIfAborted();
    one[0] = row;
    const { text, embedding, ngramIndex, ngramValue } = selectFeatures(features, one);
    // A head that asks for n-grams must get at least one: bucket 0 that counts nothing.
    const hasNgrams = ngramIndex.length > 0;
    result.set(await model.predict({ text, embedding, ngramIndex: hasNgrams ? ngramIndex : new Int32Array(1), ngramValue: hasNgrams ? ngramValue : new Float32Array(1) }), row * width);
    if (row % 100 === 0) progress(row);
  }
  return result;
}

async function ngramWarning(who: string, directory: string, features: FeatureMatrix): Promise<readonly string[]> {
  if (features.ngramIndex.length > 0) return [];
  const { inputs } = await inspectModel(join(directory, HEAD_FILE), { maxBytes: 2 ** 31, operators: HEAD_OPERATORS });
  return inputs.some(({ name }) => name === 'ngram_index') ? [`${who} looks at words, which these rows do not hold (store_ngrams): it is worse here than it is when it serves`] : [];
}

function calibrationBins({ action, models, decisions, sampleWeight }: DecisionLog, quality: Float64Array): CalibrationBin[] {
  const bins = Array.from({ length: 10 }, () => ({ predicted: 0, observed: 0, weight: 0, rows: 0 }));
  action.forEach((model, row) => {
    const predicted = Math.min(1, Math.max(0, quality[row * models.length + model]!));
    const bin = bins[Math.min(9, Math.floor(predicted * 10))]!;
    const weight = sampleWeight[row]!;
    bin.predicted += weight * predicted;
    bin.observed += weight * decisions[row]!.reward;
    bin.weight += weight;
    bin.rows += 1;
  });
  return bins.filter(({ rows }) => rows > 0).map(({ predicted, observed, weight, rows }) => ({ predicted: predicted / weight, observed: observed / weight, rows }));
}
