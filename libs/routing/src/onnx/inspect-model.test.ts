import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { attribute, ELEMENT, type Field, graph, linearHead, message, mixedHead, type ModelParts, node, onnxModel, temporaryDirectory, tensor, valueInfo } from '@pointsman/testing';
import { describe, expect, test } from 'vitest';
import { checkHeadInterface } from './check-head-interface.ts';
import { inspectModel, type ModelFacts } from './inspect-model.ts';
import type { ModelRefusal } from './model-refused-error.ts';
import { HEAD_OPERATORS, TRANSFORMER_OPERATORS, type OperatorList } from './operators.ts';

async function inspect(bytes: Uint8Array, { maxBytes = 1_000_000, operators = HEAD_OPERATORS }: { maxBytes?: number; operators?: OperatorList } = {}): Promise<ModelFacts> {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'model.onnx');
  await writeFile(path, bytes);
  return inspectModel(path, { maxBytes, operators });
}

const text = valueInfo('text', ELEMENT.float, [1, 2]);
const scores = valueInfo('scores', ELEMENT.float, [1, 2]);
const identity = node({ op: 'Identity', inputs: ['text'], outputs: ['scores'] });
const model = (parts: Partial<ModelParts> = {}): Uint8Array => onnxModel({ nodes: [identity], inputs: [text], outputs: [scores], ...parts });
const withWeight = (weight: readonly Field[]): Uint8Array => model({ initializers: [weight] });

test('the heads that the trainer writes pass, and their interface and weights are told', async () => {
  const facts = await inspect(mixedHead({ textFeatures: 3, embedding: 4, hidden: 5, buckets: 16, columns: 2 }));
  expect(facts).toMatchObject({ nodes: 10, weightBytes: (7 * 5 + 5 + 5 * 2 + 16 * 2) * 4 + 16 });
  expect(facts.inputs.map(({ name }) => name)).toEqual(['text', 'embedding', 'ngram_index', 'ngram_value']);
  expect(facts.outputs).toEqual([{ name: 'scores', type: 'float32', dims: [1, 2] }]);
});

test('an initializer that is declared as an input too is no input', async () => {
  const w = tensor({ name: 'w', dims: [1], data: Float32Array.of(1) });
  const facts = await inspect(model({ initializers: [w], inputs: [text, valueInfo('w', ELEMENT.float, [1])] }));
  expect(facts.inputs.map(({ name }) => name)).toEqual(['text']);
});

test('typed data is counted like raw data', async () => {
  const packed = Buffer.from(Float32Array.of(1, 2).buffer);
  await expect(inspect(withWeight(tensor({ name: 'w', dims: [2], extra: [[4, packed]] })))).resolves.toMatchObject({ weightBytes: 8 });
  await expect(inspect(withWeight(tensor({ name: 'w', dims: [2], type: ELEMENT.int64, extra: [[7, Uint8Array.of(1, 0x80, 1)]] })))).resolves.toMatchObject({ weightBytes: 16 });
});

const float = (dims: readonly (number | bigint)[], data?: Float32Array, extra?: readonly Field[]): Uint8Array => withWeight(tensor({ name: 'w', dims, ...(data === undefined ? {} : { data }), ...(extra === undefined ? {} : { extra }) }));
const sub = graph({ nodes: [node({ op: 'Identity', inputs: ['x'], outputs: ['y'] })], initializers: [tensor({ name: 'w', dims: [1], extra: [[14, 1]] })] });
const refusals: readonly (readonly [promise: string, refusal: ModelRefusal, bytes: () => Uint8Array])[] = [
  ['an empty file', 'not_onnx', () => new Uint8Array(0)],
  ['a text', 'not_onnx', () => Buffer.from('this is no model at all')],
  ['a file that is cut short', 'not_onnx', () => model().subarray(0, -5)],
  ['a message without a graph', 'not_onnx', () => message([[1, 8], [8, [[1, ''], [2, 17]]]])],
  ['a message without an operator set', 'not_onnx', () => model({ opsets: [] })],
  ['a field that is longer than its message', 'not_onnx', () => Buffer.concat([model(), Uint8Array.of(0x3a, 0xff, 0xff, 0xff, 0xff, 0x7f)])],
  ['a number that never ends', 'not_onnx', () => Uint8Array.from({ length: 40 }, () => 0xff)],
  ['an operator set of its own', 'operator', () => model({ opsets: [['', 17], ['evil.corp', 1]] })],
  ['an operator of another domain', 'operator', () => model({ nodes: [node({ op: 'Gelu', domain: 'com.microsoft', inputs: ['text'], outputs: ['scores'] })] })],
  ['an operator that nobody knows', 'operator', () => model({ nodes: [node({ op: 'ReadFile', outputs: ['scores'] })] })],
  ['a random operator', 'operator', () => model({ nodes: [node({ op: 'RandomUniform', outputs: ['scores'] })] })],
  ['a subgraph', 'structure', () => model({ nodes: [node({ op: 'If', inputs: ['text'], outputs: ['scores'], attributes: [attribute.graph('then_branch', sub)] })] })],
  ['an If without a branch', 'operator', () => model({ nodes: [node({ op: 'If', inputs: ['text'], outputs: ['scores'] })] })],
  ['external data', 'external_data', () => float([1], undefined, [[13, [[1, 'location'], [2, '/etc/shadow']]]])],
  ['a data location outside', 'external_data', () => float([1], undefined, [[14, 1]])],
  ['external data in a constant', 'external_data', () => model({ nodes: [node({ op: 'Constant', outputs: ['scores'], attributes: [attribute.tensor('value', tensor({ dims: [1], extra: [[14, 1]] }))] })] })],
  ['functions', 'structure', () => model({ modelExtra: [[25, [[1, 'recursive']]]] })],
  ['a training graph', 'structure', () => model({ modelExtra: [[20, [[1, 'x']]]] })],
  ['two graphs', 'structure', () => model({ modelExtra: [[7, graph({ nodes: [identity] })]] })],
  ['sparse weights', 'structure', () => model({ extra: [[15, [[3, 1]]]] })],
  ['nothing to compute', 'structure', () => model({ nodes: [] })],
  ['two weights of one name', 'structure', () => model({ initializers: [0, 1].map(() => tensor({ name: 'w', dims: [1], data: Float32Array.of(1) })) })],
  ['too many nodes', 'structure', () => model({ nodes: Array.from({ length: 20_001 }, () => identity) })],
  ['a shape that is larger than its data', 'tensor', () => float([1000], Float32Array.of(1))],
  ['a shape that is smaller than its data', 'tensor', () => float([1], Float32Array.of(1, 2))],
  ['a shape that overflows', 'tensor', () => float([2 ** 31, 2 ** 31, 2 ** 31], Float32Array.of(1))],
  ['a size beyond everything', 'tensor', () => float([2n ** 62n], Float32Array.of(1))],
  ['a negative size', 'tensor', () => float([-1n], Float32Array.of(1))],
  ['many dimensions', 'tensor', () => float([1, 1, 1, 1, 1, 1, 1, 1, 1], Float32Array.of(1))],
  ['a shape without data', 'tensor', () => float([4])],
  ['texts', 'tensor', () => withWeight(tensor({ name: 'w', dims: [1], type: ELEMENT.string, extra: [[6, 'x']] }))],
  ['an input of 2^40', 'interface', () => model({ inputs: [valueInfo('text', ELEMENT.float, [1, 2 ** 40])] })],
];
describe('refused before any runtime sees it:', () => {
  test.each(refusals)('%s', async (_promise, refusal, bytes) => {
    await expect(inspect(bytes(), { maxBytes: 4_000_000 })).rejects.toMatchObject({ name: 'ModelRefusedError', refusal });
  });
  test('a file above the limit', async () => {
    await expect(inspect(model(), { maxBytes: 10 })).rejects.toMatchObject({ refusal: 'too_large' });
  });
  test('a directory and a file that is not there', () => {
    expect(() => inspectModel('/proc', { maxBytes: 1, operators: HEAD_OPERATORS })).toThrow(/not a whole ONNX file/);
    expect(() => inspectModel('/nowhere/model.onnx', { maxBytes: 1, operators: HEAD_OPERATORS })).toThrow(/cannot be read/);
  });
  test('every one of a thousand damaged files, or it is found whole', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'model.onnx');
    const whole = linearHead({ features: 2, weights: new Float32Array(4), bias: new Float32Array(2) });
    for (let position = 0; position < whole.length; position += 1) {
      for (const flip of [0x01, 0x80, 0xff]) {
        const damaged = Uint8Array.from(whole);
        damaged[position] = (damaged[position] ?? 0) ^ flip;
        await writeFile(path, damaged);
        try {
          inspectModel(path, { maxBytes: 1_000_000, operators: HEAD_OPERATORS });
        } catch (error) {
          expect(error).toMatchObject({ name: 'ModelRefusedError' });
        }
      }
    }
  });
});

test('operators of transformers pass under their list only', async () => {
  const bytes = model({ opsets: [['', 17], ['com.microsoft', 1]], nodes: [node({ op: 'MatMulNBits', domain: 'com.microsoft', inputs: ['text'], outputs: ['scores'] })] });
  await expect(inspect(bytes, { operators: TRANSFORMER_OPERATORS })).resolves.toMatchObject({ nodes: 1 });
  await expect(inspect(bytes)).rejects.toMatchObject({ refusal: 'operator' });
});

const manifest = { candidates: ['small', 'large'], features: { version: 1, embedder: { name: 'none' as const, sha256: '', dimensions: 0 } } };
const interfaces: readonly (readonly [string, ModelRefusal, Partial<ModelParts>])[] = [
  ['an input of another name', 'interface', { inputs: [valueInfo('prompt', ELEMENT.float, [1, 2])] }],
  ['no input', 'interface', { inputs: [] }],
  ['an input of another type', 'interface', { inputs: [valueInfo('text', ELEMENT.double, [1, 2])] }],
  ['an input of another rank', 'interface', { inputs: [valueInfo('text', ELEMENT.float, [2])] }],
  ['a batch', 'interface', { inputs: [valueInfo('text', ELEMENT.float, [4, 2])] }],
  ['a fixed number of n-grams', 'interface', { inputs: [valueInfo('ngram_value', ELEMENT.float, [60])] }],
  ['an embedding without an embedder', 'features', { inputs: [valueInfo('embedding', ELEMENT.float, [1, 128])] }],
  ['an output of another name', 'interface', { outputs: [valueInfo('logits', ELEMENT.float, [1, 2])] }],
  ['two outputs', 'interface', { outputs: [scores, valueInfo('more', ELEMENT.float, [1])] }],
  ['an output of another type', 'interface', { outputs: [valueInfo('scores', ELEMENT.int64, [1, 2])] }],
  ['one column too many', 'interface', { outputs: [valueInfo('scores', ELEMENT.float, [1, 3])] }],
];
describe('a head is refused for', () => {
  test.each(interfaces)('%s', async (_promise, refusal, parts) => {
    const facts = await inspect(model(parts));
    expect(() => checkHeadInterface(facts, manifest)).toThrow(expect.objectContaining({ refusal }));
  });
  test('nothing when symbolic sizes may fit', async () => {
    const facts = await inspect(model({ inputs: [valueInfo('text', ELEMENT.float, ['batch', 'F'])], outputs: [valueInfo('scores', ELEMENT.float, ['batch', 'C'])] }));
    expect(checkHeadInterface(facts, manifest)).toEqual(['text']);
  });
});
