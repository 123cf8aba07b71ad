import { execFile } from 'node:child_process';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { seededRandom } from '../seeded-random.ts';
import { createFeatureExtractor, FEATURE_VERSION } from './create-feature-extractor.ts';
import { MAX_NGRAMS, NGRAM_BUCKETS } from './hash-ngrams.ts';
import type { FeatureExtractor, PromptFeatures, PromptInput } from './prompt-features.ts';
import { TEXT_FEATURES } from './text-features.ts';

const inputOf = (text: string): PromptInput => ({ text, system: '', turns: 1, images: 0, tools: 0, wantsJson: false });
function extractNow(extractor: FeatureExtractor, text: string): PromptFeatures {
  const features = extractor.extract(inputOf(text));
  if (features instanceof Promise) throw new Error('expected an answer at once');
  return features;
}
const bytesOf = (features: PromptFeatures): string[] =>
  [features.text, features.ngramIndex, features.ngramValue, features.embedding].map((values) => Buffer.from(values.buffer).toString('hex'));
function cosine(left: Float32Array, right: Float32Array): number {
  return left.reduce((sum, value, at) => sum + value * right[at]!, 0);
}
function expectSound({ text, ngramIndex, ngramValue, embedding }: PromptFeatures, dimensions: number): void {
  expect(text).toHaveLength(TEXT_FEATURES.length);
  expect(ngramIndex.length).toBeGreaterThan(0);
  expect(ngramIndex.length).toBeLessThanOrEqual(MAX_NGRAMS);
  expect(ngramValue).toHaveLength(ngramIndex.length);
  expect(embedding).toHaveLength(dimensions);
  for (const values of [text, ngramValue, embedding]) expect(values.every(Number.isFinite)).toBe(true);
  expect(text.every((value) => value >= 0 && value < 4)).toBe(true);
  expect(ngramIndex.every((bucket, at) => bucket >= 0 && bucket < NGRAM_BUCKETS && (at === 0 || bucket > ngramIndex[at - 1]!))).toBe(true);
  const length = Math.sqrt(cosine(embedding, embedding));
  expect(length === 0 || Math.abs(length - 1) < 1e-5).toBe(true);
}

const none = await createFeatureExtractor({ embedder: 'none' });
const fixed = await createFeatureExtractor({ embedder: 'static' });

test('each embedder says who it is', async () => {
  expect(none.embedder).toEqual({ name: 'none', sha256: '', dimensions: 0 });
  const { stdout } = await promisify(execFile)('sha256sum', [new URL('../../assets/static-embedder.bin', import.meta.url).pathname]);
  expect(fixed.embedder).toEqual({ name: 'static', sha256: stdout.slice(0, 64), dimensions: 128 });
  expect([none.version, fixed.version]).toEqual([FEATURE_VERSION, FEATURE_VERSION]);
});

const MEGABYTE = 1_000_000;
test.each([
  ['nothing', ''],
  ['one word of 1 MB', 'a'.repeat(MEGABYTE)],
  ['1 MB without spaces', 'aB3-_.é漢'.repeat(MEGABYTE / 8)],
  ['1 MB of emoji', '😀👩‍👩‍👧🇩🇪'.repeat(MEGABYTE / 14)],
  ['1 MB of Chinese', '漢字仮名'.repeat(MEGABYTE / 4)],
  ['200,000 lines', 'x\n'.repeat(200_000)],
  ['200,000 empty lines', '\n'.repeat(200_000)],
  ['1 MB of combining marks', 'e\u0301\u0302'.repeat(MEGABYTE / 3)],
  ['1 MB of dotted capital I', 'İ'.repeat(MEGABYTE)],
  ['1 MB of digits', '1'.repeat(MEGABYTE)],
  ['1 MB of thousands', '1,'.repeat(MEGABYTE / 2)],
  ['lone surrogates', '\ud83d\udc00\udc00 a\ud83d'.repeat(1_000)],
  ['control characters', Array.from({ length: 256 }, (_, at) => String.fromCharCode(at)).join('')],
])('features of %s are finite and bounded', (_, text) => {
  expectSound(extractNow(fixed, text), 128);
});

test('features of seeded random text of all kinds are finite, bounded and the same twice', () => {
  const random = seededRandom(11);
  for (let round = 0; round < 150; round += 1) {
    const size = Math.floor(random() ** 3 * 20_000);
    const units = Uint16Array.from({ length: size }, () => (random() < 0.7 ? 32 + random() * 95 : random() * 65_536));
    const text = Array.from(units, (unit) => String.fromCharCode(unit)).join('');
    const features = extractNow(fixed, text);
    expectSound(features, 128);
    expect(bytesOf(extractNow(fixed, text))).toEqual(bytesOf(features));
  }
});

test('results belong to their reader: the next prompt does not change them', () => {
  const first = extractNow(fixed, 'What is the capital of France?');
  const copy = structuredClone(first);
  extractNow(fixed, 'Something else entirely, with more words than the first one had.');
  expect(first).toEqual(copy);
});

test('another process gives the same bytes', async () => {
  const script = `
    import { createFeatureExtractor } from ${JSON.stringify(new URL('./create-feature-extractor.ts', import.meta.url).href)};
    const extractor = await createFeatureExtractor({ embedder: 'static' });
    const f = extractor.extract({ text: 'Prove that √2 is not rational. 漢字 😀', system: 's', turns: 3, images: 1, tools: 2, wantsJson: true });
    console.log(JSON.stringify([f.text, f.ngramIndex, f.ngramValue, f.embedding].map((a) => Buffer.from(a.buffer).toString('hex'))));`;
  const run = async (): Promise<string> => (await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script])).stdout;
  const [one, other] = [await run(), await run()];
  expect(one).toBe(other);
  const here = await fixed.extract({ text: 'Prove that √2 is not rational. 漢字 😀', system: 's', turns: 3, images: 1, tools: 2, wantsJson: true });
  expect(JSON.parse(one)).toEqual(bytesOf(here));
});

test('the static embedding puts what means the same nearer than what does not', () => {
  const of = (text: string): Float32Array => extractNow(fixed, text).embedding;
  const doctor = of('The doctor treated the patient in the hospital.');
  expect(cosine(doctor, of('A physician cared for someone at the clinic.'))).toBeGreaterThan(cosine(doctor, of('The function returns an array of integers.')) + 0.2);
});

test('a missing or damaged table is refused with a reason, and found once it is there', async () => {
  await using directory = await temporaryDirectory();
  const asset = new URL('../../assets/static-embedder.bin', import.meta.url);
  const target = join(directory.path, 'static-embedder.bin');
  const load = (): Promise<FeatureExtractor> => createFeatureExtractor({ embedder: 'static', assetsDirectory: directory.path });
  await expect(load()).rejects.toThrow(/ENOENT/);
  const whole = await readFile(asset);
  await writeFile(target, whole.subarray(0, 1_000_000));
  await expect(load()).rejects.toThrow(/holds 1000000 bytes/);
  await writeFile(target, Buffer.concat([Buffer.from('GGUF'), whole]));
  await expect(load()).rejects.toThrow(/PMEMBED1/);
  await copyFile(asset, target);
  expect((await load()).embedder).toEqual(fixed.embedder);
});

test('minilm without a directory is refused', async () => {
  await expect(createFeatureExtractor({ embedder: 'minilm' })).rejects.toThrow(/directory/);
});

test('importing the library loads no ONNX Runtime and reads no table', async () => {
  const script = `
    await import(${JSON.stringify(new URL('../index.ts', import.meta.url).href)});
    const { createFeatureExtractor } = await import(${JSON.stringify(new URL('./create-feature-extractor.ts', import.meta.url).href)});
    await createFeatureExtractor({ embedder: 'none' });
    console.log(JSON.stringify(process.report.getReport().sharedObjects.filter((name) => name.includes('onnxruntime'))));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
  expect(stdout.trim()).toBe('[]');
});
