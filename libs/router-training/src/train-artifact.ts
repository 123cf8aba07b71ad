import { basename } from 'node:path';
import { AppError } from '@pointsman/errors';
import { writeArtifact, type WrittenArtifact } from '@pointsman/model-artifacts';
import { createFeatureExtractor, HEAD_FILE, VERIFIER_STRATEGY, type EmbedderIdentity } from '@pointsman/routing';
import type { ModelManifest } from '@pointsman/schemas';
import { makeVerifier } from './automix/make-verifier.ts';
import { datasetDigest } from './dataset/dataset-digest.ts';
import type { OutcomeRow } from './dataset/outcome-row.ts';
import { readOutcomes } from './dataset/read-outcomes.ts';
import { trainingSetOf } from './dataset/training-set.ts';
import { barePrompt, extractFeatures, stackFeatures } from './features/extract-features.ts';
import type { TrainingSet } from './features/feature-matrix.ts';
import { headGraph, type TrainedHead } from './heads/head.ts';
import { goldenPrompts } from './golden-prompts.ts';
import { modelCard } from './model-card.ts';
import { calibration } from './metrics/calibration.ts';
import { trainableStrategy, trainStrategy, type TrainableStrategy, type TrainingArgs } from './strategies.ts';

/** A file whose rows count more or less than others: outcomes of other models than the ones to route between, for example. */
export interface WeightedFile {
  readonly file: string;
  readonly weight: number;
}

export interface TrainArtifactOptions {
  /** `llmrouter-hybrid`, or without the prefix; `llmrouter-automix` trains a verifier of answers. */
  readonly strategy: string;
  /** JSON Lines, gzipped or not, in any of the forms that `readOutcomes` takes. */
  readonly dataFiles?: readonly (string | WeightedFile)[] | undefined;
  /** Rows that were read already, after those of files. */
  readonly rows?: readonly OutcomeRow[] | undefined;
  /** Empty or not there yet. */
  readonly outDirectory: string;
  readonly name: string;
  /** `v42`. */
  readonly version: string;
  readonly seed?: number | undefined;
  /** Rows read at most. */
  readonly limit?: number | undefined;
  readonly args?: TrainingArgs | undefined;
  /** PEM of an Ed25519 private key; without it the artifact is not signed. */
  readonly signKey?: string | undefined;
  readonly embedder?: EmbedderIdentity['name'] | undefined;
  readonly minilmDirectory?: string | undefined;
  /** Names for the columns, instead of those the data has (`{gpt4: 'strong', mixtral: 'weak'}`). */
  readonly rename?: Readonly<Record<string, string>> | undefined;
  /** Columns to predict, after renaming; without it every model that the data names. Rows that know none of them are left out. */
  readonly candidates?: readonly string[] | undefined;
  /** Where the data came from, for the manifest; without it the file names. */
  readonly datasetUri?: string | undefined;
  /** ISO time for `created_at`. Without it the newest row's time, else 1970: a manifest says nothing that differs from run to run. */
  readonly createdAt?: string | undefined;
  /** Phase and share done, 0 to 1. */
  readonly progress?: ((phase: 'read' | 'features' | 'train' | 'write', share: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface TrainedArtifact extends WrittenArtifact {
  readonly rows: number;
  readonly candidates: readonly string[];
  /** Bytes of `model.onnx`. */
  readonly modelBytes: number;
}

const GOLDEN_ROWS = 12;
/** Trainer and gateway add in another order, in double and single precision. */
const GOLDEN_TOLERANCE = 2e-3;
const EPOCH = '1970-01-01T00:00:00Z';

/**
 * Reads outcomes, trains a head, and writes the artifact: `model.onnx`, `manifest.json` (signed when a key is given) and a model card. The same data, strategy and
 * seed give the same bytes, hence the same digest. Durations are therefore not in the manifest; whoever calls knows them.
 * Throws an AppError for data that cannot be read, an unknown strategy, or fewer than ten usable rows.
 */
export async function trainArtifact(options: TrainArtifactOptions): Promise<TrainedArtifact> {
  const { seed = 1, embedder = 'static', args = {}, progress, signal } = options;
  const strategy = [VERIFIER_STRATEGY, 'automix'].includes(options.strategy) ? VERIFIER_STRATEGY : trainableStrategy(options.strategy);
  progress?.('read', 0);
  const files = (options.dataFiles ?? []).map((file) => (typeof file === 'string' ? { file, weight: 1 } : file));
  const read: OutcomeRow[] = [];
  for (const { file, weight } of files) {
    const rows = await readOutcomes([file], { limit: options.limit === undefined ? undefined : options.limit - read.length, signal });
    for (const row of rows) read.push(weight === 1 ? row : { ...row, weight: row.weight * weight });
  }
  for (const row of options.rows ?? []) read.push(row);
  const rows = withColumns(read, options.rename ?? {}, options.candidates);
  if (rows.length === 0) throw new AppError('invalid_request', 'too_few_rows', 'The data holds no row with a known quality.');
  progress?.('read', 1);
  const trained = strategy === VERIFIER_STRATEGY ? verifierParts(rows, seed) : await routerParts(strategy, rows, { ...options, seed, embedder, args });
  signal?.throwIfAborted();
  progress?.('write', 0);
  const { head, set } = trained;
  const model = headGraph(head, set);
  const createdAt = options.createdAt ?? newest(rows) ?? EPOCH;
  const manifest = {
    schema_version: 1 as const, name: options.name, version: options.version, strategy, created_at: createdAt, candidates: [...set.candidates], features: trained.features,
    golden: goldenRows(trained, set.candidates),
    training: {
      dataset_uri: options.datasetUri ?? files.map(({ file }) => basename(file)).join(','), dataset_sha256: datasetDigest(rows), rows: rows.length,
      started_at: createdAt, duration_s: 0, seed, metrics: trainingMetrics(head, set),
    },
  };
  const card = modelCard({ ...manifest, modelBytes: model.length });
  const written = await writeArtifact(options.outDirectory, manifest, new Map<string, Uint8Array>([[HEAD_FILE, model], ['MODEL_CARD.md', Buffer.from(card)]]), options.signKey);
  progress?.('write', 1);
  return { ...written, rows: rows.length, candidates: set.candidates, modelBytes: model.length };
}

interface TrainedParts {
  readonly set: TrainingSet;
  readonly head: TrainedHead;
  readonly features: ModelManifest['features'];
  readonly goldenPrompts: readonly string[];
  /** Row by row, candidate by candidate. */
  readonly goldenScores: Float64Array;
}

function verifierParts(rows: readonly OutcomeRow[], seed: number): TrainedParts {
  return makeVerifier(rows, seed, GOLDEN_ROWS);
}

async function routerParts(strategy: TrainableStrategy, rows: readonly OutcomeRow[], { seed, embedder, minilmDirectory, args, progress, signal }: TrainArtifactOptions & { readonly seed: number; readonly embedder: EmbedderIdentity['name']; readonly args: TrainingArgs }): Promise<TrainedParts> {
  const extractor = await createFeatureExtractor({ embedder, ...(minilmDirectory === undefined ? {} : { minilmDirectory }) });
  try {
    const set = trainingSetOf(rows, await extractFeatures(rows, extractor, (share) => progress?.('features', share)));
    progress?.('features', 1);
    signal?.throwIfAborted();
    const head = trainStrategy(strategy, set, args, { seed, progress: (share) => progress?.('train', share) });
    const prompts = goldenPrompts(GOLDEN_ROWS, seed);
    const features = [];
    for (const prompt of prompts) features.push(await extractor.extract(barePrompt(prompt)));
    return { set, head, features: { version: extractor.version, embedder: { ...extractor.embedder } }, goldenPrompts: prompts, goldenScores: head.predict(stackFeatures(features, extractor.embedder.dimensions)) };
  } finally {
    await extractor.close();
  }
}

function withColumns(rows: readonly OutcomeRow[], names: Readonly<Record<string, string>>, candidates: readonly string[] | undefined): readonly OutcomeRow[] {
  if (Object.keys(names).length === 0 && candidates === undefined) return rows;
  return rows.flatMap((row) => {
    const quality = [...row.quality].map(([model, value]) => [Object.hasOwn(names, model) ? names[model]! : model, value] as const).filter(([model]) => candidates?.includes(model) ?? true);
    return quality.length === 0 ? [] : [{ ...row, quality: new Map(quality) }];
  });
}

function newest(rows: readonly OutcomeRow[]): string | undefined {
  return rows.reduce<string | undefined>((latest, { at }) => (at !== undefined && (latest === undefined || Date.parse(at) > Date.parse(latest)) ? at : latest), undefined);
}

function goldenRows({ goldenPrompts: prompts, goldenScores }: TrainedParts, candidates: readonly string[]): ModelManifest['golden'] {
  return prompts.map((prompt, row) => ({
    prompt, tolerance: GOLDEN_TOLERANCE,
    scores: Object.fromEntries(candidates.map((candidate, column) => [candidate, Number(goldenScores[row * candidates.length + column]!.toFixed(6))])),
  }));
}

/** On the rows it was trained on: tells that training worked, not how good the router is. `evaluate` tells that. */
function trainingMetrics(head: TrainedHead, set: TrainingSet): Record<string, number> {
  const { ece, brier } = calibration(head.predict(set.features), set.quality);
  return { training_ece: round(ece), training_brier: round(brier) };
}

function round(value: number): number {
  return Number.isFinite(value) ? Number(value.toFixed(6)) : 0;
}
