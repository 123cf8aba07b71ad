import { mkdir, mkdtemp, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeArtifact } from '@pointsman/model-artifacts';
import { createLogger } from '@pointsman/telemetry';
import { eventually, temporaryDirectory } from '@pointsman/testing';
import { systemClock } from '@pointsman/timing';
import { expect, test } from 'vitest';
import { modelPreparation } from './model-preparation.ts';
import { createModelStore } from './model-store.ts';

/** `scores = max(ngram_value) · [0.25, 0.5]`, 157 bytes of ONNX; where the two weights lie in it. */
const HEAD = 'CAgSB2ZpeHR1cmU6iQEKHgoLbmdyYW1fdmFsdWUSBG1vc3QiCVJlZHVjZU1heAoWCgRtb3N0CgF3EgZzY29yZXMiA011bBIEaGVhZCoTCAEIAhABQgF3SggAAIA+AAAAP1oaCgtuZ3JhbV92YWx1ZRILCgkIARIFCgMSAU5iGAoGc2NvcmVzEg4KDAgBEggKAggBCgIIAkIECgAQEQ==';
const WEIGHTS_AT = 89;

interface PublishOptions {
  readonly weights: readonly [number, number];
  /** What the manifest says about `hello`; what the weights give by default. */
  readonly golden?: Readonly<Record<string, number>>;
  readonly head?: Uint8Array;
}

/** Writes an artifact as a trainer does and publishes it as model-sync does. */
async function publish(modelsDir: string, version: string, { weights, golden = { small: weights[0], large: weights[1] }, head }: PublishOptions): Promise<string> {
  const bytes = Buffer.from(HEAD, 'base64');
  Buffer.from(Float32Array.of(...weights).buffer).copy(bytes, WEIGHTS_AT);
  const staging = await mkdtemp(join(modelsDir, '.staging-'));
  const { revision } = await writeArtifact(staging, {
    schema_version: 1, name: 'knn', version, strategy: 'llmrouter-hybrid', created_at: '2026-05-01T00:00:00Z', candidates: ['small', 'large'],
    features: { version: 1, embedder: { name: 'none', sha256: '', dimensions: 0 } }, golden: [{ prompt: 'hello', scores: golden, tolerance: 1e-4 }],
    training: { dataset_uri: 'file:///rows', dataset_sha256: 'a'.repeat(64), rows: 1, started_at: '2026-05-01T00:00:00Z', duration_s: 1, seed: 7, metrics: {} },
  }, new Map([['model.onnx', head ?? bytes]]), undefined);
  await rename(staging, join(modelsDir, 'generations', revision));
  const link = join(modelsDir, `.link-${version}`);
  await symlink(join('generations', revision), link);
  await rename(link, join(modelsDir, 'current'));
  return revision;
}

const features = { text: new Float32Array(0), embedding: new Float32Array(0), ngramIndex: Int32Array.of(1), ngramValue: Float32Array.of(1) };

test('real models with the real features are tested in a child, loaded and swapped under predictions without one failure; bad ones change nothing', async () => {
  await using directory = await temporaryDirectory();
  const root = join(directory.path, 'knn');
  await mkdir(join(root, 'generations'), { recursive: true });
  const reasons: string[] = [];
  const store = createModelStore({
    modelsDir: directory.path, clock: systemClock, keepPreviousMs: 0, logger: createLogger({ service: 'test', level: 'silent', write: () => {} }),
    prepare: modelPreparation({ maxBytes: 1_000_000, expect: { featureVersion: 1, embedder: { name: 'none', sha256: '', dimensions: 0 } }, timeoutMs: 30_000 }),
    events: { refused: (_model, _revision, refusal) => reasons.push(refusal) },
  });
  const slot = store.slot('knn', undefined);
  const serving = (): string | undefined => {
    using lease = slot.acquire();
    return lease?.value.revision;
  };
  await publish(root, 'v1', { weights: [0.25, 0.5] });
  await store.want([{ name: 'knn', version: undefined }]);
  const first = serving();
  expect(first).toMatch(/^v1-/);

  let running = true;
  const seen = new Set<number>();
  const load = Promise.all(Array.from({ length: 4 }, async () => {
    while (running) {
      using lease = slot.acquire();
      // A pause, so that the children of the self-tests get their share of the processor.
      await new Promise((resolve) => setTimeout(resolve, 2));
      const scores = await lease!.value.predict(features);
      seen.add(scores[1] ?? NaN);
    }
  }));
  try {
    const second = await publish(root, 'v2', { weights: [0.25, 0.75] });
    await eventually(() => expect(serving()).toBe(second));
    for (const [index, bad] of ([{ weights: [NaN, 1], golden: { small: 1 } }, { weights: [0.5, 0.5], golden: { small: 0.9 } }, { weights: [1, 1], head: Buffer.from('garbage') }] as const).entries()) {
      await publish(root, `v${index + 3}`, bad);
      await eventually(() => expect(reasons).toHaveLength(index + 1));
    }
    expect(reasons).toEqual(['bad_output', 'golden_mismatch', 'not_onnx']);
    expect(serving()).toBe(second);
    expect(store.report()).toMatchObject({ models: [{ name: 'knn', version: 'v2', revision: second }], rejected_models: [{ version: 'v5', reason: expect.stringContaining('not a whole ONNX file') }] });
  } finally {
    running = false;
    await load;
    await store.close();
  }
  expect(seen).toEqual(new Set([0.5, 0.75]));
});

test('a generation whose name or files are not what its manifest says is refused before anything of it runs', async () => {
  await using directory = await temporaryDirectory();
  const root = join(directory.path, 'knn');
  await mkdir(join(root, 'generations'), { recursive: true });
  const prepare = modelPreparation({ maxBytes: 1_000_000, expect: { featureVersion: 1, embedder: { name: 'none', sha256: '', dimensions: 0 } }, timeoutMs: 30_000, extractorModule: '/nowhere.ts' });
  const refusal = (revision: string): Promise<unknown> => prepare(join(root, 'generations', revision), new AbortController().signal).catch((error: unknown) => error);
  const revision = await publish(root, 'v1', { weights: [0.25, 0.5] });
  await rename(join(root, 'generations', revision), join(root, 'generations', 'v1-000000000000'));
  expect(await refusal('v1-000000000000')).toMatchObject({ refusal: 'manifest', message: `The directory v1-000000000000 holds ${revision}.` });
  await rename(join(root, 'generations', 'v1-000000000000'), join(root, 'generations', revision));
  const other = Buffer.from(HEAD, 'base64');
  await writeFile(join(root, 'generations', revision, 'model.onnx'), other.fill(0, WEIGHTS_AT, WEIGHTS_AT + 4));
  expect(await refusal(revision)).toMatchObject({ refusal: 'manifest', message: 'The content of "model.onnx" is not what the manifest says (SHA-256).' });
  await writeFile(join(root, 'generations', revision, 'more'), '');
  expect(await refusal(revision)).toMatchObject({ refusal: 'manifest', message: 'The file "more" is not in the manifest.' });
});
