import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { generateSigningKeys, writeArtifact } from '@pointsman/model-artifacts';
import { HEAD_FILE } from '@pointsman/routing';
import type { ModelManifest } from '@pointsman/schemas';
import { constantHead } from '@pointsman/testing';

/** Whoever signs router models, and somebody who must not. */
export interface Signers {
  /** PEM file of the key that pods trust. */
  readonly publicKeyFile: string;
  readonly privateKey: string;
  readonly strangersKey: string;
}

export async function makeSigners(directory: string): Promise<Signers> {
  const [own, stranger] = [generateSigningKeys(), generateSigningKeys()];
  const publicKeyFile = join(directory, 'models.pub.pem');
  await writeFile(publicKeyFile, own.publicKeyPem);
  return { publicKeyFile, privateKey: own.privateKeyPem, strangersKey: stranger.privateKeyPem };
}

export interface ArtifactQuestion {
  readonly name: string;
  readonly version: string;
  /** What it predicts for every prompt, by candidate. */
  readonly scores: Readonly<Record<string, number>>;
  readonly privateKey: string | undefined;
  /** Another head than one that says `scores`. */
  readonly head?: Uint8Array;
  /** Bytes of a second file, for a download that takes its time. */
  readonly paddingBytes?: number;
  readonly manifest?: Partial<ModelManifest>;
}

/** Writes a router model that says the same of every prompt, signed; resolves to its revision. */
export async function makeArtifact(directory: string, { name, version, scores, privateKey, head, paddingBytes, manifest = {} }: ArtifactQuestion): Promise<string> {
  const files = new Map<string, Uint8Array>([[HEAD_FILE, head ?? constantHead(Object.values(scores))]]);
  if (paddingBytes !== undefined) files.set('padding.bin', Buffer.alloc(paddingBytes, `${name} ${version} `));
  const { revision } = await writeArtifact(directory, {
    schema_version: 1, name, version, strategy: 'llmrouter-hybrid', created_at: '2026-05-01T00:00:00Z', candidates: Object.keys(scores),
    features: { version: 1, embedder: { name: 'none', sha256: '', dimensions: 0 } }, golden: [{ prompt: 'How do you do?', scores: { ...scores }, tolerance: 1e-4 }],
    training: { dataset_uri: 'file:///rows', dataset_sha256: 'a'.repeat(64), rows: 1, started_at: '2026-05-01T00:00:00Z', duration_s: 1, seed: 7, metrics: {} }, ...manifest,
  }, files, privateKey);
  return revision;
}

/** Puts an artifact into the store as it lies in a directory; `change` may spoil what arrives. */
export async function uploadArtifact(store: { put(key: string, body: Buffer): Promise<unknown> }, directory: string, folder: string, change: (file: string, bytes: Buffer) => Buffer | undefined = (_file, bytes) => bytes): Promise<void> {
  // The manifest last, as an upload that is whole before it is found.
  const names = (await readdir(directory)).toSorted((a, b) => Number(a.startsWith('manifest')) - Number(b.startsWith('manifest')));
  for (const name of names) {
    const bytes = change(name, await readFile(join(directory, name)));
    if (bytes !== undefined) await store.put(`models/${folder}/${name}`, bytes);
  }
}
