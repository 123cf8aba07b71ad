import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ELEMENT, mixedHead, node, onnxModel, temporaryDirectory, tensor, valueInfo } from '@pointsman/testing';
import { describe, expect, test } from 'vitest';
import type { PromptFeatures } from '../features/prompt-features.ts';
import { lengthHead, writeGeneration, type ArtifactParts } from './artifact.fixture.ts';
import { loadRouterModel, type LoadRouterModelOptions } from './load-router-model.ts';
import type { RouterModel } from './router-model.ts';

const features = (parts: Partial<PromptFeatures> = {}): PromptFeatures => ({ text: Float32Array.of(100, 1), ngramIndex: Int32Array.of(0), ngramValue: Float32Array.of(0), embedding: new Float32Array(0), ...parts });

async function withModel(parts: ArtifactParts, options: Partial<LoadRouterModelOptions>, use: (model: RouterModel) => Promise<void>): Promise<void> {
  await using directory = await temporaryDirectory();
  const { directory: generation } = await writeGeneration(directory.path, parts);
  const model = await loadRouterModel(generation, { maxBytes: 10_000_000, ...options });
  try {
    await use(model);
  } finally {
    await model.close();
  }
}

/** `scores = log(text)`: NaN below zero, -infinity at zero. */
const logHead = onnxModel({ nodes: [node({ op: 'Log', inputs: ['text'], outputs: ['scores'] })], inputs: [valueInfo('text', ELEMENT.float, [1, 2])], outputs: [valueInfo('scores', ELEMENT.float, [1, 2])] });

describe.each(['caller', 'thread'] as const)('in the %s', (placement) => {
  test('a head is fed the inputs that it declares and answers one score per candidate', async () => {
    await withModel({}, { placement }, async (model) => {
      expect(model).toMatchObject({ revision: expect.stringMatching(/^v1-[0-9a-f]{12}$/), bytes: 24 });
      const scores = await model.predict(features());
      expect([...scores]).toEqual([expect.closeTo(0.25), expect.closeTo(0.35)]);
    });
    const head = mixedHead({ textFeatures: 2, embedding: 3, hidden: 4, buckets: 8, columns: 2, weight: 0.5 });
    const manifest = { features: { version: 1, embedder: { name: 'static' as const, sha256: 'b'.repeat(64), dimensions: 3 } } };
    await withModel({ head, manifest }, { placement }, async (model) => {
      const scores = await model.predict(features({ text: Float32Array.of(1, 1), embedding: Float32Array.of(1, 0, 0), ngramIndex: Int32Array.of(1, 5), ngramValue: Float32Array.of(1, 3) }));
      // relu(0.5·3 + 0.5) = 2 in each of 4 hidden units, times 0.5, and 0.5 · (1 + 3) of the n-grams.
      expect([...scores]).toEqual([expect.closeTo(6), expect.closeTo(6)]);
    });
  });

  test('an answer belongs to whoever asked, however many ask at once', async () => {
    await withModel({}, { placement }, async (model) => {
      const lengths = Array.from({ length: 200 }, (_, index) => index);
      const all = await Promise.all(lengths.map((length) => model.predict(features({ text: Float32Array.of(length, 1) }))));
      expect(all.map((scores) => scores[1])).toEqual(lengths.map((length) => expect.closeTo(0.25 + length / 1000, 4)));
      expect(new Set(all.map(({ buffer }) => buffer)).size).toBe(200);
    });
  });

  test('NaN and infinity are refused, and the next question is answered', async () => {
    await withModel({ head: logHead }, { placement }, async (model) => {
      await expect(model.predict(features({ text: Float32Array.of(-1, 1) }))).rejects.toMatchObject({ refusal: 'bad_output', message: expect.stringContaining('NaN') });
      await expect(model.predict(features({ text: Float32Array.of(0, 1) }))).rejects.toMatchObject({ refusal: 'bad_output', message: expect.stringContaining('-Infinity') });
      expect([...(await model.predict(features({ text: Float32Array.of(1, 1) })))]).toEqual([0, 0]);
    });
  });

  test('features of another width are refused', async () => {
    await withModel({}, { placement }, async (model) => {
      await expect(model.predict(features({ text: Float32Array.of(1, 2, 3) }))).rejects.toMatchObject({ refusal: 'load_failed' });
    });
  });

  test('n-grams outside of the table are refused, not read', async () => {
    const manifest = { features: { version: 1, embedder: { name: 'static' as const, sha256: 'b'.repeat(64), dimensions: 3 } } };
    await withModel({ head: mixedHead({ textFeatures: 2, embedding: 3, hidden: 4, buckets: 8, columns: 2 }), manifest }, { placement }, async (model) => {
      await expect(model.predict(features({ embedding: new Float32Array(3), ngramIndex: Int32Array.of(2 ** 30) }))).rejects.toMatchObject({ refusal: 'load_failed' });
    });
  });

  test('an output without a declared shape is held to the number of candidates when it comes', async () => {
    const head = onnxModel({ nodes: [node({ op: 'Identity', inputs: ['text'], outputs: ['scores'] })], inputs: [valueInfo('text', ELEMENT.float, [1, 'F'])], outputs: [valueInfo('scores', ELEMENT.float, [1, 'F'])] });
    await withModel({ head }, { placement }, async (model) => {
      await expect(model.predict(features({ text: Float32Array.of(1, 2, 3) }))).rejects.toMatchObject({ refusal: 'bad_output', message: expect.stringContaining('[1, 3]') });
    });
  });

  test('closing waits for what runs, answers it, and refuses what comes later', async () => {
    await using directory = await temporaryDirectory();
    const { directory: generation } = await writeGeneration(directory.path);
    const model = await loadRouterModel(generation, { maxBytes: 10_000_000, placement });
    const running = Array.from({ length: 20 }, () => model.predict(features()));
    await Promise.all([model.close(), model.close()]);
    expect(await Promise.all(running)).toHaveLength(20);
    await expect(model.predict(features())).rejects.toThrow('closed');
  });
});

describe('refused:', () => {
  const static3 = { name: 'static' as const, sha256: 'b'.repeat(64), dimensions: 3 };
  const none = { name: 'none' as const, sha256: '', dimensions: 0 };
  const load = async (parts: ArtifactParts, options: Partial<LoadRouterModelOptions> = {}): Promise<void> => withModel(parts, options, async () => {});

  test('features of another version', async () => {
    await expect(load({}, { expect: { featureVersion: 2, embedder: none } })).rejects.toThrow('trained on features of version 1; this gateway makes version 2');
  });
  test('another embedder, by name and by its weights', async () => {
    const parts = { manifest: { features: { version: 1, embedder: static3 } }, head: mixedHead({ textFeatures: 2, embedding: 3, hidden: 4, buckets: 8, columns: 2 }) };
    await expect(load(parts, { expect: { featureVersion: 1, embedder: none } })).rejects.toMatchObject({ refusal: 'features' });
    await expect(load(parts, { expect: { featureVersion: 1, embedder: { ...static3, sha256: 'c'.repeat(64) } } })).rejects.toMatchObject({ refusal: 'features' });
    await load(parts, { expect: { featureVersion: 1, embedder: static3 } });
  });
  test('a model without an embedding runs beside any embedder', async () => {
    await load({}, { expect: { featureVersion: 1, embedder: static3 } });
  });
  test('what onnxruntime refuses', async () => {
    const head = onnxModel({ nodes: [node({ op: 'MatMul', inputs: ['text', 'missing'], outputs: ['scores'] })], inputs: [valueInfo('text', ELEMENT.float, [1, 2])], outputs: [valueInfo('scores', ELEMENT.float, [1, 2])] });
    await expect(load({ head })).rejects.toMatchObject({ refusal: 'load_failed', message: expect.stringContaining('missing') });
  });
  test('what the inspection refuses, before onnxruntime sees it', async () => {
    const head = onnxModel({ nodes: [node({ op: 'Identity', inputs: ['text'], outputs: ['scores'] })], initializers: [tensor({ name: 'w', dims: [1], extra: [[14, 1]] })], inputs: [valueInfo('text', ELEMENT.float, [1, 2])], outputs: [valueInfo('scores', ELEMENT.float, [1, 2])] });
    await expect(load({ head })).rejects.toMatchObject({ refusal: 'external_data' });
    await expect(load({}, { maxBytes: 10 })).rejects.toMatchObject({ refusal: 'too_large' });
  });
  test('a manifest that is missing, broken or without a head', async () => {
    await using directory = await temporaryDirectory();
    await expect(loadRouterModel(directory.path, { maxBytes: 1 })).rejects.toMatchObject({ refusal: 'unreadable' });
    await writeFile(join(directory.path, 'manifest.json'), '{}');
    await expect(loadRouterModel(directory.path, { maxBytes: 1 })).rejects.toMatchObject({ refusal: 'manifest' });
    await expect(load({ manifest: { files: [{ path: 'other.bin', sha256: 'a'.repeat(64), bytes: 1 }] } })).rejects.toMatchObject({ refusal: 'manifest' });
  });
  test('a load that is stopped, with its reason', async () => {
    await expect(load({}, { signal: AbortSignal.abort(new Error('not wanted')) })).rejects.toThrow('not wanted');
    const stop = new AbortController();
    const loading = load({ head: lengthHead() }, { signal: stop.signal });
    stop.abort(new Error('not wanted any more'));
    await expect(loading).rejects.toThrow('not wanted any more');
  });
});
