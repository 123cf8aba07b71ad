import { z } from 'zod';

/** A plain name: a directory under `MODELS_DIR`, a segment of an object key, part of a lock's name. Never a path. */
export const modelNameSchema = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,62}$/i, { error: 'expected a name of letters, digits, dashes and underscores, at most 63 characters' });

/** `v42`. */
export const modelVersionSchema = z.string().regex(/^v[0-9][0-9A-Za-z._-]{0,62}$/, { error: 'expected a version such as v42' });

const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/, { error: 'expected a SHA-256 in 64 lower-case hex digits' });

export const manifestFileSchema = z.object({
  /** Relative to the manifest's folder. Whether it stays inside is for whoever writes it to disk to check. */
  path: z.string().min(1).max(512),
  sha256: sha256Schema,
  bytes: z.number().int().min(0).max(64 * 1024 ** 3),
});

/** `manifest.json` of a router model. Tolerant: a newer trainer may add fields. The signature is over the exact bytes of the file. */
export const modelManifestSchema = z.object({
  schema_version: z.literal(1, { error: 'expected schema_version 1: a newer trainer needs a newer gateway' }),
  name: modelNameSchema,
  version: modelVersionSchema,
  /** The strategy it was trained for: `llmrouter-hybrid`. */
  strategy: z.string().min(1).max(64),
  created_at: z.iso.datetime({ offset: true }),
  /** What each column of the output predicts the quality of: names of `llm_candidates.json`, `model_name`s or `provider/model`. */
  candidates: z.array(z.string().min(1).max(256)).min(1).max(1_000),
  features: z.object({
    /** Of the feature extractor: a model of another version is refused. */
    version: z.number().int().min(1),
    embedder: z.object({ name: z.enum(['none', 'static', 'minilm']), sha256: z.union([sha256Schema, z.literal('')]), dimensions: z.number().int().min(0).max(8_192) }),
  }),
  /** What the model must answer before it may serve. */
  golden: z.array(z.object({ prompt: z.string().max(100_000), scores: z.record(z.string(), z.number()), tolerance: z.number().positive() })).min(1).max(1_000),
  files: z.array(manifestFileSchema).min(1).max(1_000),
  training: z.object({
    dataset_uri: z.string(), dataset_sha256: sha256Schema, rows: z.number().int().min(0), started_at: z.iso.datetime({ offset: true }), duration_s: z.number().min(0), seed: z.number().int(),
    metrics: z.record(z.string(), z.number()),
  }),
  mlflow: z.object({ run_id: z.string(), model_version: z.string() }).optional(),
});
export type ModelManifest = z.infer<typeof modelManifestSchema>;
