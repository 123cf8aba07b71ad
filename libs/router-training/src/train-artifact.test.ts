import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkSignature, generateSigningKeys, MANIFEST_FILE, readPublicKeys, SIGNATURE_FILE } from '@pointsman/model-artifacts';
import { createFeatureExtractor, loadRouterModel } from '@pointsman/routing';
import { temporaryDirectory } from '@pointsman/testing';
import { beforeAll, describe, expect, test } from 'vitest';
import { toFloat16Bits } from './dataset/float16.ts';
import { readOutcomes } from './dataset/read-outcomes.ts';
import { trainingSetOf } from './dataset/training-set.ts';
import { evaluateArtifact } from './evaluate-artifact.ts';
import { barePrompt, extractFeatures } from './features/extract-features.ts';
import type { TrainingSet } from './features/feature-matrix.ts';
import { apgr, qualityCurve } from './metrics/two-models.ts';
import { scoreArtifact } from './score-artifact.ts';
import { trainableStrategies, trainStrategy } from './strategies.ts';
import { gzipLines, syntheticRows } from './synthetic-outcomes.fixture.ts';
import { trainArtifact } from './train-artifact.ts';

const SMALL = { landmarks: 60, hidden: 12, networks: 1, epochs: 6, dimensions: 8, neighbours: 30 };
const CONSTANT = ['llmrouter-smallest', 'llmrouter-largest'];

async function syntheticSet(count: number, seed: number, models?: readonly string[]): Promise<TrainingSet> {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'data.jsonl.gz');
  await writeFile(file, gzipLines(syntheticRows(count, seed, models === undefined ? {} : { models })));
  const rows = await readOutcomes([file]);
  const extractor = await createFeatureExtractor({ embedder: 'static' });
  try {
    return trainingSetOf(rows, await extractFeatures(rows, extractor));
  } finally {
    await extractor.close();
  }
}

describe('every strategy', () => {
  let training: TrainingSet;
  let fresh: TrainingSet;
  let many: TrainingSet;
  beforeAll(async () => {
    training = await syntheticSet(400, 1);
    fresh = await syntheticSet(300, 2);
    many = await syntheticSet(250, 3, ['code', 'strong', 'weak']);
  });

  test.each(trainableStrategies.filter((strategy) => !CONSTANT.includes(strategy)))('%s finds the known optimum on questions it has not seen, far better than chance', (strategy) => {
    const predicted = trainStrategy(strategy, training, SMALL, { seed: 1 }).predict(fresh.features);
    const column = (candidate: number) => Float64Array.from({ length: fresh.features.rows }, (_, row) => fresh.quality[row * 2 + candidate]!);
    const need = Float64Array.from({ length: fresh.features.rows }, (_, row) => predicted[row * 2]! - predicted[row * 2 + 1]!);
    // A perfect knowledge of what is hard reaches about 0.75 here: the rest is noise in the outcomes.
    expect(apgr(qualityCurve({ strong: column(0), weak: column(1), need }))).toBeGreaterThan(0.66);
  });

  test.each(trainableStrategies.filter((strategy) => !CONSTANT.includes(strategy)))('%s learns from rows that know one of three models each', (strategy) => {
    const quality = many.quality.map((value, at) => (Math.floor(at / 3) % 3 === at % 3 ? value : Number.NaN));
    const predicted = trainStrategy(strategy, { ...many, quality }, SMALL, { seed: 1 }).predict(fresh.features);
    expect(predicted).toHaveLength(fresh.features.rows * 3);
    expect(predicted.every(Number.isFinite)).toBe(true);
  });

  test('smallest and largest take the sizes they are given', () => {
    const sizes = { strong: 9, weak: 1 };
    const choice = (strategy: 'llmrouter-smallest' | 'llmrouter-largest') => [...trainStrategy(strategy, training, { sizes }, { seed: 1 }).predict(fresh.features).subarray(0, 2)];
    expect(choice('llmrouter-smallest')).toEqual([0.5, 1]);
    expect(choice('llmrouter-largest')).toEqual([1, 0.5]);
  });
});

describe('an artifact', () => {
  test.each(trainableStrategies)('of %s predicts in the runtime what the trainer predicts, and the same data and seed give the same digest', async (strategy) => {
    await using directory = await temporaryDirectory();
    const data = join(directory.path, 'data.jsonl.gz');
    await writeFile(data, gzipLines(syntheticRows(160, 4, { models: ['code', 'strong', 'weak'] })));
    const train = (name: string, seed: number) => trainArtifact({ strategy, dataFiles: [data], outDirectory: join(directory.path, name), name: 'made-up', version: 'v1', seed, args: SMALL });
    const first = await train('first', 1);
    const second = await train('second', 1);
    expect(second.revision).toBe(first.revision);
    expect(first.manifest).toMatchObject({ strategy, candidates: ['code', 'strong', 'weak'], training: { rows: 160, seed: 1 } });

    const extractor = await createFeatureExtractor({ embedder: 'static' });
    const model = await loadRouterModel(join(directory.path, 'first'), { maxBytes: 64e6, expect: { featureVersion: extractor.version, embedder: extractor.embedder } });
    try {
      for (const { prompt, scores } of first.manifest.golden) {
        const predicted = await model.predict(await extractor.extract(barePrompt(prompt)));
        first.candidates.forEach((candidate, column) => expect(Math.abs(predicted[column]! - scores[candidate]!)).toBeLessThan(1e-4));
      }
    } finally {
      await model.close();
      await extractor.close();
    }
  });

  test('is signed over the manifest that was written, differs with the seed, scores a file and is evaluated', async () => {
    await using directory = await temporaryDirectory();
    const data = join(directory.path, 'data.jsonl.gz');
    const rows = syntheticRows(300, 5);
    await writeFile(data, gzipLines(rows));
    const keys = generateSigningKeys();
    const out = join(directory.path, 'signed');
    const phases = new Set<string>();
    const options = { strategy: 'mlp', dataFiles: [data], name: 'made-up', version: 'v1', args: SMALL };
    const signed = await trainArtifact({ ...options, outDirectory: out, signKey: keys.privateKeyPem, rename: { strong: 'large' }, progress: (phase) => phases.add(phase) });
    expect([...phases]).toEqual(['read', 'features', 'train', 'write']);
    expect(signed.candidates).toEqual(['large', 'weak']);
    expect(checkSignature(await readFile(join(out, MANIFEST_FILE)), await readFile(join(out, SIGNATURE_FILE)), readPublicKeys(keys.publicKeyPem, 'test'))).toBeDefined();
    const other = await trainArtifact({ ...options, outDirectory: join(directory.path, 'other'), seed: 2 });
    expect(other.revision).not.toBe(signed.revision);

    const outFile = join(directory.path, 'scores.jsonl');
    expect(await scoreArtifact({ artifact: out, dataFile: data, outFile })).toEqual({ rows: 300 });
    const scored = (await readFile(outFile, 'utf8')).trim().split('\n').map((line) => JSON.parse(line) as { id: string; scores: Record<string, number>; latency_us: number });
    expect(scored.map(({ id }) => id)).toEqual(rows.map(({ id }) => id));
    expect(Object.keys(scored[0]!.scores)).toEqual(['large', 'weak']);
    expect(scored[0]!.latency_us).toBeGreaterThan(0);

    const report = await evaluateArtifact({ artifact: join(directory.path, 'other'), dataFiles: [data], draws: 100 });
    if (report.kind !== 'two-models') throw new Error('two candidates make a report of two models');
    expect(report).toMatchObject({ rows: 300, strong: 'strong', weak: 'weak' });
    const [random, , router] = report.table;
    expect(random!.apgr).toBeCloseTo(0.5);
    expect(router!.apgr).toBeGreaterThan(0.65);
  });

  test('of a verifier tells sound answers from unsound ones, and scores the answers of a file', async () => {
    await using directory = await temporaryDirectory();
    const data = join(directory.path, 'data.jsonl.gz');
    // The weak model is wrong exactly where its own sum does not come out.
    const rows = Array.from({ length: 120 }, (_, index) => ({
      id: `sum/${index}`, prompt: `What is ${index} plus 5?`, strong_correct: 1, weak_correct: index % 2, weak_response: `${index} + 5 = ${index + (index % 2 === 1 ? 5 : 9)}\n#### ${index + (index % 2 === 1 ? 5 : 9)}`,
    }));
    await writeFile(data, gzipLines(rows));
    const out = join(directory.path, 'verifier');
    const { manifest } = await trainArtifact({ strategy: 'automix', dataFiles: [data], outDirectory: out, name: 'made-up', version: 'v1' });
    expect(manifest).toMatchObject({ strategy: 'llmrouter-automix', candidates: ['weak', 'strong'], features: { embedder: { name: 'none' } } });
    const outFile = join(directory.path, 'scores.jsonl');
    await scoreArtifact({ artifact: out, dataFile: data, outFile });
    const scores = (await readFile(outFile, 'utf8')).trim().split('\n').map((line) => (JSON.parse(line) as { scores: { weak: number } }).scores.weak);
    const right = scores.filter((_, index) => index % 2 === 1);
    expect(Math.min(...right)).toBeGreaterThan(Math.max(...scores.filter((_, index) => index % 2 === 0)));

    await writeFile(data, gzipLines(syntheticRows(30, 8)));
    await expect(trainArtifact({ strategy: 'automix', dataFiles: [data], outDirectory: join(directory.path, 'none'), name: 'made-up', version: 'v1' })).rejects.toMatchObject({ code: 'no_answers' });
  });

  test('is made from stored features alone: no prompt, one outcome per row, a time that comes from the data', async () => {
    await using directory = await temporaryDirectory();
    const extractor = await createFeatureExtractor({ embedder: 'static' });
    const stored = [];
    for (const [index, { prompt, scores, hard }] of syntheticRows(200, 6).entries()) {
      const { text, embedding } = await extractor.extract(barePrompt(prompt));
      const model = index % 2 === 0 ? 'strong' : 'weak';
      stored.push({
        schema_version: 1, request_id: `r${index}`, trace_id: '0af7651916cd43dd8448eb211c80319c', strategy: 'llmrouter-knn', model_version: 'v1', candidates: ['strong', 'weak'], scores: [1, 0], at: `2026-01-01T00:00:${String(index % 60).padStart(2, '0')}Z`, embedding: Buffer.from(toFloat16Bits(embedding).buffer).toString('base64'),
        features: [...text], selected_model: model, propensity: 0.5, outcome: { status: 200, latency_ms: 1, feedback_score: scores[model], hard },
      });
    }
    await extractor.close();
    await mkdir(join(directory.path, 'traces'));
    const data = join(directory.path, 'traces', 'part.jsonl.gz');
    await writeFile(data, gzipLines(stored));
    const out = join(directory.path, 'out');
    const { manifest } = await trainArtifact({ strategy: 'llmrouter-hybrid', dataFiles: [data], outDirectory: out, name: 'made-up', version: 'v1', args: SMALL });
    expect(manifest).toMatchObject({ created_at: '2026-01-01T00:00:59Z', candidates: ['strong', 'weak'], training: { rows: 200 } });
  });

  test.each([
    ['an unknown strategy', { strategy: 'crystal-ball' }, 'unknown_strategy'],
    ['too few rows', { limit: 5 }, 'too_few_rows'],
  ])('is not written for %s', async (_, change, code) => {
    await using directory = await temporaryDirectory();
    const data = join(directory.path, 'data.jsonl.gz');
    await writeFile(data, gzipLines(syntheticRows(30, 7)));
    await expect(trainArtifact({ strategy: 'knn', dataFiles: [data], outDirectory: join(directory.path, 'out'), name: 'made-up', version: 'v1', ...change })).rejects.toMatchObject({ code });
  });
});
