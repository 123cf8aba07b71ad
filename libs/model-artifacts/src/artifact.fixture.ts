import type { ModelManifest } from '@pointsman/schemas';
import { generateSigningKeys, readPublicKeys } from './signature.ts';

const pair = generateSigningKeys();
const other = generateSigningKeys();

export const privateKeyPem = pair.privateKeyPem;
export const publicKeys = readPublicKeys(pair.publicKeyPem, 'test');
export const publicKeyPem = pair.publicKeyPem;
export const otherPrivateKeyPem = other.privateKeyPem;
export const otherPublicKeys = readPublicKeys(other.publicKeyPem, 'test');

/** A manifest without files: what a trainer would say. */
export function manifestOf(name = 'knn-router', version = 'v42'): Omit<ModelManifest, 'files'> {
  return {
    schema_version: 1, name, version, strategy: 'llmrouter-knn', created_at: '2026-05-01T00:00:00Z', candidates: ['small', 'large'],
    features: { version: 1, embedder: { name: 'none', sha256: '', dimensions: 0 } },
    golden: [{ prompt: 'hi', scores: { small: 0.4, large: 0.6 }, tolerance: 0.01 }],
    training: { dataset_uri: 's3://b/d', dataset_sha256: 'a'.repeat(64), rows: 1, started_at: '2026-05-01T00:00:00Z', duration_s: 1, seed: 7, metrics: { auc: 0.9 } },
  };
}
