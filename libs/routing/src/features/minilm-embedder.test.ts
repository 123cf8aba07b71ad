import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ELEMENT, node, onnxModel, type TemporaryDirectory, temporaryDirectory, tensor, valueInfo } from '@pointsman/testing';
import { expect, test } from 'vitest';
import type { MinilmSession } from '../onnx/minilm-session.ts';
import { createFeatureExtractor } from './create-feature-extractor.ts';
import { MinilmEmbedder } from './minilm-embedder.ts';
import { openMinilm } from './open-minilm.ts';

const VOCABULARY = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'red', 'green', 'blue', '##ish'];

/** A sentence transformer of one layer: each token's hidden state is its row of the table. */
function transformer(rows: readonly (readonly number[])[]): Uint8Array {
  const width = rows[0]!.length;
  return onnxModel({
    nodes: [node({ op: 'Gather', inputs: ['table', 'input_ids'], outputs: ['last_hidden_state'] })],
    initializers: [tensor({ name: 'table', dims: [rows.length, width], data: Float32Array.from(rows.flat()) })],
    inputs: ['input_ids', 'attention_mask', 'token_type_ids'].map((name) => valueInfo(name, ELEMENT.int64, ['batch', 'sequence'])),
    outputs: [valueInfo('last_hidden_state', ELEMENT.float, ['batch', 'sequence', width])],
  });
}
const COLOURS = transformer([[9, 9, 9], [0, 0, 0], [0, 0, 0], [0, 0, 0], [3, 0, 0], [0, 3, 0], [0, 0, 4], [0, 0, 8]]);

async function modelDirectory(model: Uint8Array, vocabulary: readonly string[] = VOCABULARY): Promise<TemporaryDirectory> {
  const directory = await temporaryDirectory();
  await writeFile(join(directory.path, 'model.onnx'), model);
  await writeFile(join(directory.path, 'vocab.txt'), `${vocabulary.join('\n')}\n`);
  return directory;
}
const inputOf = (text: string) => ({ text, system: '', turns: 1, images: 0, tools: 0, wantsJson: false });

test('the embedding is the normalised mean of the hidden states, [CLS] and [SEP] included', async () => {
  await using directory = await modelDirectory(COLOURS);
  const extractor = await createFeatureExtractor({ embedder: 'minilm', minilmDirectory: directory.path });
  expect(extractor.embedder).toEqual({ name: 'minilm', sha256: createHash('sha256').update(COLOURS).digest('hex'), dimensions: 3 });
  const { embedding } = await extractor.extract(inputOf('Green, blue'));
  expect([...embedding].map((value) => Number(value.toFixed(6)))).toEqual([0, 0.6, 0.8]);
  const pieces = await extractor.extract(inputOf('redish'));
  expect([...pieces.embedding].map((value) => Number(value.toFixed(4)))).toEqual([0.3511, 0, 0.9363]);
  expect([...(await extractor.extract(inputOf(''))).embedding]).toEqual([0, 0, 0]);
  await extractor.close();
});

test('a session takes a batch of texts of one length', async () => {
  await using directory = await modelDirectory(COLOURS);
  const session = await openMinilm(join(directory.path, 'model.onnx'));
  expect([...(await session.meanPool(BigInt64Array.of(4n, 5n, 6n, 6n), 2))]).toEqual([1.5, 1.5, 0, 0, 0, 4]);
  await session.close();
});

/** Counts runs and answers when told to: chance and time of the real session are replaced, nothing else. */
function countingSession(): MinilmSession & { readonly seen: bigint[][]; fail: boolean } {
  return {
    seen: [],
    fail: false,
    dimensions: 2,
    async meanPool(ids) {
      this.seen.push([...ids]);
      await Promise.resolve();
      if (this.fail) throw new RangeError('no luck');
      return Float32Array.of(ids.length, 0);
    },
    async close() {},
  };
}

test('a text is run once, also when it is asked for twice at the same time, and each reader has its own array', async () => {
  const session = countingSession();
  const embedder = new MinilmEmbedder({ session, vocabulary: VOCABULARY, sha256: '' });
  const [one, other] = await Promise.all([embedder.embed(['red']), embedder.embed(['red'])]);
  one.fill(7);
  expect([...other]).toEqual([1, 0]);
  expect([...(await embedder.embed(['red']))]).toEqual([1, 0]);
  expect(session.seen).toEqual([[2n, 4n, 3n]]);
});

test('a run that failed is not remembered', async () => {
  const session = countingSession();
  const embedder = new MinilmEmbedder({ session, vocabulary: VOCABULARY, sha256: '' });
  session.fail = true;
  await expect(embedder.embed(['red'])).rejects.toThrow('no luck');
  session.fail = false;
  expect([...(await embedder.embed(['red']))]).toEqual([1, 0]);
});

test('a long text is seen by its first and last 127 tokens', async () => {
  const session = countingSession();
  const embedder = new MinilmEmbedder({ session, vocabulary: VOCABULARY, sha256: '' });
  await embedder.embed([`${'red '.repeat(600)}${'blue '.repeat(600)}`]);
  expect(session.seen[0]).toEqual([2n, ...new Array<bigint>(127).fill(4n), ...new Array<bigint>(127).fill(6n), 3n]);
});

test('models that are no sentence transformer are refused', async () => {
  const wrongInput = onnxModel({
    nodes: [node({ op: 'Identity', inputs: ['text'], outputs: ['scores'] })],
    inputs: [valueInfo('text', ELEMENT.float, [1, 2])],
    outputs: [valueInfo('scores', ELEMENT.float, [1, 2])],
  });
  const flat = onnxModel({
    nodes: [node({ op: 'Cast', inputs: ['input_ids'], outputs: ['last_hidden_state'], attributes: [[[1, 'to'], [3, ELEMENT.float], [20, 2]]] })],
    inputs: ['input_ids', 'attention_mask'].map((name) => valueInfo(name, ELEMENT.int64, ['batch', 'sequence'])),
    outputs: [valueInfo('last_hidden_state', ELEMENT.float, ['batch', 'sequence'])],
  });
  for (const [model, vocabulary, message] of [
    [wrongInput, VOCABULARY, /no input input_ids, attention_mask/],
    [flat, VOCABULARY, /float32 of shape \[1, 2\]/],
    [COLOURS, ['red', 'green'], /\[UNK\]/],
    [new Uint8Array([1, 2, 3]), VOCABULARY, /./],
  ] as const) {
    await using directory = await modelDirectory(model, vocabulary);
    await expect(createFeatureExtractor({ embedder: 'minilm', minilmDirectory: directory.path })).rejects.toThrow(message);
  }
});

test('an embedding that is not finite is an error, not a feature', async () => {
  await using directory = await modelDirectory(transformer([[0, 0], [0, 0], [0, 0], [0, 0], [Number.NaN, 0], [Infinity, 0], [1, 1], [1, 1]]));
  const extractor = await createFeatureExtractor({ embedder: 'minilm', minilmDirectory: directory.path });
  await expect(extractor.extract(inputOf('red'))).rejects.toThrow(/not finite/);
  await expect(extractor.extract(inputOf('green'))).rejects.toThrow(/not finite/);
  expect((await extractor.extract(inputOf('blue'))).embedding[0]).toBeCloseTo(Math.SQRT1_2, 6);
  await extractor.close();
});
