import { ELEMENT, node, onnxModel, temporaryDirectory, valueInfo } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { tinyLanguageModel, tinySettings, tinyTokenizer, writeCausalLm, type CausalLmArtifact } from './causal-lm.fixture.ts';
import { loadRouterModel } from './load-router-model.ts';
import type { RouterModel } from './router-model.ts';
import { selfTestArtifact } from './self-test.ts';

async function withModel(artifact: CausalLmArtifact, use: (model: RouterModel, directory: string) => Promise<void>): Promise<void> {
  await using directory = await temporaryDirectory();
  const written = await writeCausalLm(directory.path, artifact);
  const model = await loadRouterModel(written.directory, { maxBytes: 1_000_000 });
  try {
    await use(model, written.directory);
  } finally {
    await model.close();
  }
}

/** e / (1 + e): one more of the label's own word. */
const ONE_MORE = 1 / (1 + Math.exp(-1));

test.each([false, true])('the probability of a candidate\'s label as the next token is its score (position ids: %s)', async (positionIds) => {
  await withModel({ head: tinyLanguageModel({ positionIds }) }, async (model) => {
    const scores = await Promise.all(['easy', 'hard', 'easy hard', 'what is this'].map((prompt) => model.predictText?.(prompt)));
    expect(scores.map((pair) => pair?.[0])).toEqual([expect.closeTo(ONE_MORE, 5), expect.closeTo(1 - ONE_MORE, 5), expect.closeTo(0.5, 5), expect.closeTo(0.5, 5)]);
    for (const pair of scores) expect((pair?.[0] ?? 0) + (pair?.[1] ?? 0)).toBeCloseTo(1, 5);
  });
});

test('of a long prompt the beginning and the end are read', async () => {
  await withModel({}, async (model) => {
    const filler = 'word '.repeat(2_000);
    const largeFor = async (prompt: string): Promise<number | undefined> => (await model.predictText?.(prompt))?.[1];
    expect(await largeFor(`hard ${filler}`)).toBeCloseTo(ONE_MORE, 5);
    expect(await largeFor(`${filler} hard`)).toBeCloseTo(ONE_MORE, 5);
    expect(await largeFor(`${filler} hard ${filler}`)).toBeCloseTo(0.5, 5);
  });
});

test('texts of any kind are answered with numbers', async () => {
  await withModel({}, async (model) => {
    for (const prompt of ['', ' \n', '\u{1F600}', '\ud800', 'x'.repeat(1_000_000)]) expect((await model.predictText?.(prompt))?.every(Number.isFinite)).toBe(true);
  });
});

test('the self-test asks it its golden prompts', async () => {
  await using directory = await temporaryDirectory();
  const options = { maxBytes: 1_000_000, memoryLimitBytes: 1_000_000_000, timeoutMs: 60_000 };
  const good = await writeCausalLm(directory.path, { version: 'v1' });
  expect((await selfTestArtifact(good.directory, options)).worstDifference).toBeLessThan(1e-4);
  const wrong = await writeCausalLm(directory.path, { version: 'v2', manifest: { golden: [{ prompt: 'hard', scores: { small: 0.9 }, tolerance: 1e-3 }] } });
  await expect(selfTestArtifact(wrong.directory, options)).rejects.toMatchObject({ refusal: 'golden_mismatch' });
});

const manyLogits = { ...tinySettings, label_tokens: { small: 'small', large: 'small' } };
const echo = (inputs: readonly string[], type: number, dims: readonly (number | string)[]): Uint8Array => onnxModel({
  nodes: [node({ op: 'Identity', inputs: [inputs[0] ?? ''], outputs: ['logits'] })], inputs: inputs.map((name) => valueInfo(name, type, dims)), outputs: [valueInfo('logits', ELEMENT.float, ['b', 't', 'v'])],
});

test.each<[string, string, CausalLmArtifact]>([
  ['no tokenizer', 'manifest', { unnamed: ['tokenizer.json'] }], ['no settings', 'manifest', { unnamed: ['causallm.json'] }],
  ['a template without a place for the prompt', 'manifest', { settings: { ...tinySettings, prompt_template: 'answer :' } }], ['a template longer than what is read', 'manifest', { settings: { ...tinySettings, prompt_template: `${'easy '.repeat(300)}{prompt}` } }],
  ['no label for a candidate', 'manifest', { settings: { ...tinySettings, label_tokens: { small: 'small' } } }], ['a label that is no token', 'manifest', { settings: { ...tinySettings, label_tokens: { small: 'small', large: 'gigantic' } } }],
  ['two labels alike', 'manifest', { settings: manyLogits }], ['a tokenizer that is none', 'load_failed', { tokenizer: {} }], ['a tokenizer of another language', 'manifest', { tokenizer: { ...tinyTokenizer, model: { type: 'WordPiece', vocab: { '[UNK]': 0 }, unk_token: '[UNK]', continuing_subword_prefix: '##' } } }],
  ['inputs of a cache', 'interface', { head: echo(['input_ids', 'past_key_values.0.key'], ELEMENT.int64, ['b', 't']) }], ['ids that are no int64', 'interface', { head: echo(['input_ids'], ELEMENT.float, ['b', 't']) }],
  ['a fixed number of tokens', 'interface', { head: echo(['input_ids'], ELEMENT.int64, [1, 8]) }], ['no ids', 'interface', { head: echo(['attention_mask'], ELEMENT.int64, ['b', 't']) }],
])('%s: refused as %s', async (_, refusal, artifact) => {
  await expect(withModel(artifact, () => Promise.resolve())).rejects.toMatchObject({ refusal });
});
