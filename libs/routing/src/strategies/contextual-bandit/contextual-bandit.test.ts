import { expect, test } from 'vitest';
import { candidate, candidates, routingInput } from '../../candidate.fixture.ts';
import type { PromptInput } from '../../features/prompt-features.ts';
import { seededRandom } from '../../seeded-random.ts';
import { strategyConformance } from '../../strategy.conformance.ts';
import { banditFeatures } from './bandit-features.ts';
import { BanditLearner, MAX_ARMS } from './bandit-learner.ts';
import { armOf, createStrategy } from './contextual-bandit.ts';

strategyConformance('contextual-bandit', createStrategy);

const EASY: PromptInput = { text: 'What is the capital of France?', system: '', turns: 1, images: 0, tools: 0, wantsJson: false };
const CODE: PromptInput = { ...EASY, text: 'Write a function:\nfunction f(a) { return a[0]; }\nconst b = { x: [1, 2] };\nreturn f(b.x);\n```js\nclass A { m() { return this; } }\n```' };
const cheap = candidate('cheap', { inputCostPerToken: 1e-7, outputCostPerToken: 4e-7, priorQuality: 0.6 });
const dear = candidate('dear', { inputCostPerToken: 1e-5, outputCostPerToken: 3e-5, priorQuality: 0.6 });
const coder = candidate('coder', { inputCostPerToken: 1e-6, outputCostPerToken: 3e-6, priorQuality: 0.6 });

function learning(seed: number, args: Readonly<Record<string, unknown>> = {}) {
  const learner = new BanditLearner({ now: () => 0 });
  const random = seededRandom(seed);
  return { learner, random, strategy: createStrategy({ random, now: () => 0, args: { quality_cost_tradeoff: 1, ...args }, bandits: { learner: () => learner } }) };
}

/** What is not known to the router: who answers what well. */
function hiddenQuality(id: string, about: PromptInput): number {
  if (about === CODE) return id === 'coder' ? 0.9 : id === 'dear' ? 0.6 : 0.2;
  return id === 'cheap' ? 0.85 : id === 'dear' ? 0.8 : 0.4;
}

test('in a simulated world regret falls: the last thousand requests lose less than a third of what the first thousand do', async () => {
  const { learner, random, strategy } = learning(7);
  const chooses = await strategy;
  const regrets: number[] = [];
  for (let round = 0; round < 4_000; round += 1) {
    const about = random() < 0.5 ? EASY : CODE;
    const { order: [first], features } = await chooses.decide(routingInput([cheap, dear, coder], { about: () => about }));
    const quality = hiddenQuality(first?.id ?? '', about);
    regrets.push(Math.max(...['cheap', 'dear', 'coder'].map((id) => hiddenQuality(id, about))) - quality);
    learner.learn(armOf(first ?? cheap), banditFeatures(features?.text), random() < quality ? 1 : 0);
  }
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const [firstThousand, lastThousand] = [sum(regrets.slice(0, 1_000)), sum(regrets.slice(-1_000))];
  expect(firstThousand).toBeGreaterThan(25);
  expect(lastThousand).toBeLessThan(firstThousand / 3);
});

test('the propensity is the frequency, before, while and after it learns, for each kind of prompt', async () => {
  const { learner, random, strategy } = learning(11, { exploration: 0.05 });
  const chooses = await strategy;
  for (const rounds of [0, 40, 400]) {
    for (let round = 0; round < rounds; round += 1) {
      const about = random() < 0.5 ? EASY : CODE;
      const { order: [first], features } = await chooses.decide(routingInput([cheap, dear, coder], { about: () => about }));
      learner.learn(armOf(first ?? cheap), banditFeatures(features?.text), random() < hiddenQuality(first?.id ?? '', about) ? 1 : 0);
    }
    for (const about of [EASY, CODE]) {
      const promised = new Map<string, number>();
      const counted = new Map<string, number>();
      const draws = 6_000;
      for (let index = 0; index < draws; index += 1) {
        const { order: [first], propensity } = await chooses.decide(routingInput([cheap, dear, coder], { about: () => about }));
        const id = first?.id ?? '';
        promised.set(id, propensity);
        counted.set(id, (counted.get(id) ?? 0) + 1);
      }
      expect([...promised.values()].reduce((total, value) => total + value, 0)).toBeCloseTo(1, 9);
      for (const [id, propensity] of promised) {
        expect(propensity).toBeGreaterThanOrEqual(0.05 / 3);
        const standardError = Math.sqrt(propensity * (1 - propensity) / draws);
        expect(Math.abs((counted.get(id) ?? 0) / draws - propensity)).toBeLessThan(4 * standardError);
      }
    }
  }
});

test('before anybody said anything it goes by quality_score and price; a new candidate begins there and is tried', async () => {
  const strategy = await createStrategy({ random: seededRandom(1), now: () => 0, args: { quality_cost_tradeoff: 0 } });
  const fresh = candidate('fresh', { ...cheap, id: 'fresh', model: 'openai/fresh', priorQuality: 0.9 });
  const decision = await strategy.decide(routingInput([dear, cheap], { about: () => EASY }));
  expect(decision.order[0]?.id).toBe('cheap');
  const { learner, strategy: taught } = learning(5);
  const chooses = await taught;
  const x = banditFeatures((await chooses.decide(routingInput([cheap, dear], { about: () => EASY }))).features?.text);
  for (let round = 0; round < 200; round += 1) for (const one of [cheap, dear]) learner.learn(armOf(one), x, 0.7);
  const { explained, order } = await chooses.decide(routingInput([cheap, dear, fresh], { about: () => EASY }));
  expect(explained?.quality[order.indexOf(fresh)]).toBeCloseTo(0.9, 6);
  expect(explained?.quality[order.indexOf(cheap)]).toBeCloseTo(0.7, 2);
  expect(order[0]?.id === 'fresh' || (await Promise.all(Array.from({ length: 30 }, () => chooses.decide(routingInput([cheap, dear, fresh], { about: () => EASY }))))).some((next) => next.order[0] === fresh)).toBe(true);
});

test('what was learned fades to half in the half-life, and what the half-life is not given for stays', () => {
  let now = 0;
  const learner = new BanditLearner({ now: () => now });
  learner.halfLifeMs = 1_000;
  const x = new Uint8Array(31).fill(100);
  learner.learn('a', x, 1);
  now = 1_000;
  learner.learn('a', x, 0);
  expect(learner.totals().get('a')?.count).toBeCloseTo(1.5, 12);
  expect(learner.totals().get('a')?.b[0]).toBeCloseTo(0.5, 12);
  const uncertain = learner.posterior('a').spread(new Float64Array(32).fill(0.3));
  now = 20_000;
  learner.refresh();
  expect(learner.posterior('a').spread(new Float64Array(32).fill(0.3))).toBeGreaterThan(uncertain);
});

test('a reward that is no share of one, and a candidate beyond the bound, are not learned from', () => {
  const learner = new BanditLearner({ now: () => 0 });
  const x = new Uint8Array(31);
  for (const reward of [NaN, -0.1, 1.1, Infinity]) expect(learner.learn('a', x, reward)).toBe(false);
  for (let index = 0; index < MAX_ARMS; index += 1) expect(learner.learn(`arm ${String(index)}`, x, 1)).toBe(true);
  expect(learner.learn('one too many', x, 1)).toBe(false);
  expect(learner.totals().size).toBe(MAX_ARMS);
});

test('what is on its way is the same until it has arrived, and rewards meanwhile wait for the next time', () => {
  const learner = new BanditLearner({ now: () => 0 });
  const x = new Uint8Array(31).fill(255);
  learner.learn('a', x, 1);
  const first = learner.beginDelivery();
  learner.learn('a', x, 0.5);
  expect(learner.beginDelivery().get('a')?.count).toBe(1);
  learner.adopt(first);
  learner.delivered();
  expect(learner.totals().get('a')?.count).toBe(2);
  expect(learner.totals().get('a')?.b[0]).toBe(1.5);
  expect(learner.beginDelivery().get('a')?.b[0]).toBe(0.5);
});

test('a conversation keeps its candidate', async () => {
  const strategy = await createStrategy({ random: seededRandom(3), now: () => 0, args: {} });
  const turn = (isContinued: boolean) => strategy.decide(routingInput(candidates(8), { about: () => EASY, session: () => ({ id: 's', isContinued }) }));
  const { order: [first] } = await turn(false);
  for (let index = 0; index < 20; index += 1) expect(await turn(true)).toMatchObject({ propensity: 1, order: expect.objectContaining({ 0: first }) as unknown });
});

test('arguments out of range are refused by name', async () => {
  await expect(createStrategy({ random: Math.random, now: () => 0, args: { forgetting_half_life_h: -1 } })).rejects.toThrow(/forgetting_half_life_h/);
  await expect(createStrategy({ random: Math.random, now: () => 0, args: { posterior_scale: 'wide' } })).rejects.toThrow(/posterior_scale/);
});
