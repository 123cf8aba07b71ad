import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { artifactRevision, MANIFEST_FILE } from '@pointsman/model-artifacts';
import type { ModelManifest } from '@pointsman/schemas';
import { linearHead } from '@pointsman/testing';
import { HEAD_FILE } from './router-model.ts';

export interface ArtifactParts {
  readonly version?: string;
  readonly head?: Uint8Array;
  readonly manifest?: Partial<ModelManifest>;
  /** Makes the content, and so the revision, another one. */
  readonly seed?: number;
}

/** URL of an extractor without any knowledge: two text features, the prompt's length and 1. */
export const trivialExtractor = new URL('./trivial-extractor.fixture.ts', import.meta.url).href;

/** A head over `trivialExtractor`: `small` always scores `offset`, `large` scores `offset` + length / 1000. */
export function lengthHead(offset = 0.25): Uint8Array {
  return linearHead({ features: 2, weights: Float32Array.of(0, 0.001, 0, 0), bias: Float32Array.of(offset, offset) });
}

/**
 * Writes an artifact as model-sync publishes it, into `generations/{version}-{digest}` under `modelDirectory`; resolves to the revision and its directory.
 * Nothing points to it yet.
 */
export async function writeGeneration(modelDirectory: string, { version = 'v1', head = lengthHead(), manifest = {}, seed = 7 }: ArtifactParts = {}): Promise<{ readonly revision: string; readonly directory: string }> {
  const sha256 = createHash('sha256').update(head).digest('hex');
  const whole: ModelManifest = {
    schema_version: 1, name: 'length-router', version, strategy: 'llmrouter-hybrid', created_at: '2026-05-01T00:00:00Z', candidates: ['small', 'large'],
    features: { version: 1, embedder: { name: 'none', sha256: '', dimensions: 0 } },
    golden: [{ prompt: 'x'.repeat(100), scores: { small: 0.25, large: 0.35 }, tolerance: 1e-4 }],
    files: [{ path: HEAD_FILE, sha256, bytes: head.length }],
    training: { dataset_uri: 'file:///rows', dataset_sha256: 'a'.repeat(64), rows: 1, started_at: '2026-05-01T00:00:00Z', duration_s: 1, seed, metrics: {} },
    ...manifest,
  };
  const bytes = Buffer.from(JSON.stringify(whole));
  const revision = artifactRevision(whole, bytes);
  const directory = join(modelDirectory, 'generations', revision);
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, HEAD_FILE), head);
  await writeFile(join(directory, MANIFEST_FILE), bytes);
  return { revision, directory };
}
