import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeArtifact } from '@pointsman/model-artifacts';
import { createFeatureExtractor, HEAD_FILE, loadRouterModel, type RouterModel } from '@pointsman/routing';
import { constantHead } from '@pointsman/testing';

/** Loads a model that says the same of every prompt: what is in memory afterwards is the runtime. */
export async function loadTrivialModel(): Promise<RouterModel> {
  const directory = await mkdtemp(join(tmpdir(), 'trivial-router-'));
  const extractor = await createFeatureExtractor({ embedder: 'none' });
  try {
    await writeArtifact(directory, {
      schema_version: 1, name: 'trivial', version: 'v1', strategy: 'llmrouter-hybrid', created_at: '2026-01-01T00:00:00Z', candidates: ['strong', 'weak'],
      features: { version: extractor.version, embedder: { ...extractor.embedder } }, golden: [{ prompt: 'How do you do?', scores: { strong: 0.9, weak: 0.1 }, tolerance: 1e-4 }],
      training: { dataset_uri: 'none', dataset_sha256: '0'.repeat(64), rows: 1, started_at: '2026-01-01T00:00:00Z', duration_s: 1, seed: 1, metrics: {} },
    }, new Map([[HEAD_FILE, constantHead([0.9, 0.1])]]), undefined);
    return await loadRouterModel(directory, { maxBytes: 1024 * 1024, expect: { featureVersion: extractor.version, embedder: extractor.embedder } });
  } finally {
    await extractor.close();
    await rm(directory, { recursive: true, force: true });
  }
}
