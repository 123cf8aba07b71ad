import { linearHead, temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { candidate } from '../candidate.fixture.ts';
import { writeGeneration } from '../onnx/artifact.fixture.ts';
import { loadRouterModel } from '../onnx/load-router-model.ts';
import { selfTestArtifact } from '../onnx/self-test.ts';
import { ANSWER_FEATURES, answerFeatures } from './answer-features.ts';
import { judgeAnswer } from './judge-answer.ts';
import { ANSWER_SEPARATOR, createVerifierExtractor, verifierFeatures } from './verifier-extractor.ts';

const FEATURES = ANSWER_FEATURES.length;
const MISTRUSTED = ANSWER_FEATURES.indexOf('final_is_fraction');

/** Two columns: the strong one is always right, the weak one where its result is a whole number. */
function fractionVerifier(): Uint8Array {
  const weights = new Float32Array(FEATURES * 2);
  weights[MISTRUSTED * 2] = -0.5;
  return linearHead({ features: FEATURES, weights, bias: Float32Array.of(1, 1) });
}

const manifest = (weak: number) => ({
  strategy: 'llmrouter-automix', candidates: ['weak', 'strong'], golden: [{ prompt: `How many?${ANSWER_SEPARATOR}#### 2.5`, scores: { weak, strong: 1 }, tolerance: 1e-4 }],
});

test('a question and an answer in one text are taken apart; a text without separator is a question', () => {
  const { extract } = createVerifierExtractor();
  const input = { system: '', turns: 1, images: 0, tools: 0, wantsJson: false };
  expect(extract({ ...input, text: `a?${ANSWER_SEPARATOR}b` })).toEqual(verifierFeatures('a?', 'b'));
  expect(extract({ ...input, text: 'a?' })).toEqual(verifierFeatures('a?', ''));
  expect(verifierFeatures('a?', 'b').text).toEqual(answerFeatures('a?', 'b'));
});

test('an artifact of a verifier is tried on answers before it serves, and judges them', async () => {
  await using directory = await temporaryDirectory();
  const options = { maxBytes: 1_000_000, memoryLimitBytes: 1_000_000_000, timeoutMs: 60_000 };
  const good = await writeGeneration(directory.path, { head: fractionVerifier(), manifest: manifest(0.5) });
  expect((await selfTestArtifact(good.directory, options)).worstDifference).toBeLessThan(1e-4);
  const wrong = await writeGeneration(directory.path, { version: 'v2', head: fractionVerifier(), manifest: manifest(0.9) });
  await expect(selfTestArtifact(wrong.directory, options)).rejects.toMatchObject({ refusal: 'golden_mismatch' });

  const model = await loadRouterModel(good.directory, { maxBytes: 1_000_000 });
  try {
    const held = { question: 'How many?', finishReason: 'stop', isToolCall: false, wantsJson: false, by: candidate('a', { inputCostPerToken: 1 }), next: candidate('b', { inputCostPerToken: 9 }) };
    expect(await judgeAnswer(model, { ...held, answer: '#### 2.5' }, 0.2)).toEqual({ escalate: true, reason: 'verifier', gain: expect.closeTo(0.5) as number, modelVersion: 'v1' });
    expect(await judgeAnswer(model, { ...held, answer: '#### 2' }, 0.2)).toMatchObject({ escalate: false });
  } finally {
    await model.close();
  }
});
