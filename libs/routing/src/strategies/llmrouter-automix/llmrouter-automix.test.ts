import { LiveValue } from '@pointsman/live-value';
import type { ModelManifest } from '@pointsman/schemas';
import { expect, test } from 'vitest';
import { candidate, routingInput } from '../../candidate.fixture.ts';
import { ANSWER_FEATURES } from '../../compound/answer-features.ts';
import type { Cascade, HeldAnswer } from '../../compound/compound.ts';
import type { RouterModel } from '../../onnx/router-model.ts';
import { seededRandom } from '../../seeded-random.ts';
import { strategyConformance } from '../../strategy.conformance.ts';
import type { Candidate, RouterModels, StrategyParts } from '../../strategy.ts';
import { createStrategy } from './llmrouter-automix.ts';

strategyConformance('llmrouter-automix', createStrategy);

const cheap = candidate('cheap', { inputCostPerToken: 1e-7, outputCostPerToken: 4e-7 });
const twin = candidate('twin', { inputCostPerToken: 1e-7, outputCostPerToken: 4e-7 });
const middle = candidate('middle', { inputCostPerToken: 1e-6, outputCostPerToken: 4e-6 });
const dear = candidate('dear', { inputCostPerToken: 1e-5, outputCostPerToken: 4e-5 });

const parts = (args: StrategyParts['args'] = {}, models?: RouterModels): StrategyParts => ({ random: seededRandom(1), now: () => 0, args, models });

async function cascadeOf(candidates: readonly Candidate[], args?: StrategyParts['args'], models?: RouterModels): Promise<Cascade | undefined> {
  const { compound } = await createStrategy(parts(args, models)).decide(routingInput(candidates));
  return compound as Cascade | undefined;
}

const held = (more: Partial<HeldAnswer> = {}): HeldAnswer => ({ question: 'How many?', answer: 'It is 4.', finishReason: 'stop', isToolCall: false, wantsJson: false, by: cheap, next: dear, ...more });

/** A verifier that predicts the given columns and remembers what it was fed. */
function verifier(columns: readonly string[], scores: readonly number[] | Error, strategy = 'llmrouter-automix') {
  const fed: Float32Array[] = [];
  let borrowed = 0;
  const model: RouterModel = {
    manifest: { name: 'verifier', version: 'v3', strategy, candidates: [...columns], features: { version: 1, embedder: { name: 'none', sha256: '', dimensions: 0 } } } as unknown as ModelManifest, revision: 'v3-0', bytes: 1,
    predict: ({ text }) => {
      fed.push(text);
      return scores instanceof Error ? Promise.reject(scores) : Promise.resolve(Float32Array.from(scores));
    },
    close: () => Promise.resolve(),
  };
  const live = new LiveValue(model, () => undefined);
  const models: RouterModels = {
    acquire: () => {
      const lease = live.acquire();
      borrowed += 1;
      const release = (): void => {
        borrowed -= 1;
        lease.release();
      };
      return { value: lease.value, release, [Symbol.dispose]: release };
    },
    extractor: () => undefined,
  };
  return { models, fed, borrowed: () => borrowed };
}

test('the cheapest is asked first, and what may be asked after it is dearer, in that order', async () => {
  const strategy = createStrategy(parts());
  const decision = await strategy.decide(routingInput([dear, cheap, middle]));
  expect(decision.order.map(({ id }) => id)).toEqual(['cheap', 'middle', 'dear']);
  const cascade = decision.compound as Cascade;
  expect(cascade.dearerThan(cheap).map(({ id }) => id)).toEqual(['middle', 'dear']);
  expect(cascade.dearerThan(dear)).toEqual([]);
});

test('deployments of the same price are no escalation for each other', async () => {
  expect(await cascadeOf([cheap, twin])).toBeUndefined();
  const cascade = await cascadeOf([cheap, twin, dear]);
  expect(cascade?.dearerThan(twin).map(({ id }) => id)).toEqual(['dear']);
});

test('a candidate that is dearer and believed to be no better is only there for when others fail', async () => {
  const [a, bad, b] = [{ ...cheap, priorQuality: 0.6 }, { ...middle, priorQuality: 0.5 }, { ...dear, priorQuality: 0.9 }];
  const decision = await createStrategy(parts()).decide(routingInput([bad, a, b]));
  expect(decision.order.map(({ id }) => id)).toEqual(['cheap', 'dear', 'middle']);
  expect((decision.compound as Cascade).dearerThan(a)).toEqual([b]);
});

test('a single answer at most is no cascade', async () => {
  expect(await cascadeOf([cheap, dear], { max_answers: 1 })).toBeUndefined();
});

test.each([['escalation_threshold', 2], ['max_answers', 0], ['verdict_timeout_ms', 'soon']])('%s: %s is refused', (name, value) => {
  expect(() => createStrategy(parts({ [name]: value }))).toThrow(name);
});

test.each<[string, Partial<HeldAnswer>, boolean]>([
  ['plain', {}, false], ['empty', { answer: ' \n' }, true], ['truncated', { finishReason: 'length' }, true], ['truncated', { finishReason: 'max_tokens' }, true],
  ['refusal', { answer: 'I\'m sorry, but I cannot help with that.' }, true], ['wrong_arithmetic', { answer: '2 + 2 = 5, and 3 * 4 = 13.' }, true],
  ['tool_call', { answer: '', isToolCall: true }, false], ['not_json', { answer: 'Sure! {"a": 1}', wantsJson: true }, true], ['plain', { answer: '{"a": 1}', wantsJson: true }, false],
])('without a verifier: %s', async (reason, more, escalate) => {
  const cascade = await cascadeOf([cheap, dear]);
  expect(await cascade?.judge(held(more))).toEqual({ escalate, reason, gain: undefined, modelVersion: '' });
});

test('a verifier is fed the features of question and answer, and escalates where the gain is above the threshold', async () => {
  const { models, fed, borrowed } = verifier(['openai/cheap', 'openai/dear'], [0.5, 0.75]);
  const args = { model_name: 'verifier' };
  expect(await (await cascadeOf([cheap, dear], args, models))?.judge(held())).toEqual({ escalate: true, reason: 'verifier', gain: 0.25, modelVersion: 'v3' });
  expect(await (await cascadeOf([cheap, dear], { ...args, escalation_threshold: 0.3 }, models))?.judge(held())).toMatchObject({ escalate: false, gain: 0.25 });
  expect(fed[0]).toHaveLength(ANSWER_FEATURES.length);
  expect(borrowed()).toBe(0);
});

test('a verifier of tiers, of other models or of one column serves as well', async () => {
  const args = { model_name: 'verifier' };
  expect(await (await cascadeOf([cheap, dear], args, verifier(['mixtral', 'gpt-4', 'claude'], [0.25, 0.5, 0.75]).models))?.judge(held())).toMatchObject({ gain: 0.5, escalate: true });
  expect(await (await cascadeOf([cheap, dear], args, verifier(['weak', 'strong'], [0.25, 0.75]).models))?.judge(held())).toMatchObject({ gain: 0.5 });
  expect(await (await cascadeOf([cheap, dear], args, verifier(['good'], [0.25]).models))?.judge(held())).toMatchObject({ gain: 0.75 });
});

test('a verifier is not asked about what no model needs to look at', async () => {
  const { models, fed } = verifier(['weak', 'strong'], [1, 0]);
  const cascade = await cascadeOf([cheap, dear], { model_name: 'verifier' }, models);
  expect(await cascade?.judge(held({ answer: '' }))).toMatchObject({ escalate: true, reason: 'empty' });
  expect(await cascade?.judge(held({ isToolCall: true }))).toMatchObject({ escalate: false, reason: 'tool_call' });
  expect(fed).toEqual([]);
});

test('an artifact of another strategy is no verifier, and a verifier that fails is given back', async () => {
  const other = verifier(['weak', 'strong'], [0, 1], 'llmrouter-hybrid');
  expect(await (await cascadeOf([cheap, dear], { model_name: 'x' }, other.models))?.judge(held())).toMatchObject({ reason: 'plain' });
  const broken = verifier(['weak', 'strong'], new Error('NaN'));
  await expect((await cascadeOf([cheap, dear], { model_name: 'x' }, broken.models))?.judge(held())).rejects.toThrow('NaN');
  expect([other.borrowed(), broken.borrowed()]).toEqual([0, 0]);
});
