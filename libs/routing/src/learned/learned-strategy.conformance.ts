import { LiveValue, type Lease } from '@pointsman/live-value';
import type { ModelManifest } from '@pointsman/schemas';
import { describe, expect, test } from 'vitest';
import { candidate, routingInput } from '../candidate.fixture.ts';
import type { PromptFeatures, PromptInput } from '../features/prompt-features.ts';
import type { RouterModel } from '../onnx/router-model.ts';
import { seededRandom } from '../seeded-random.ts';
import { strategyConformance, type CreateStrategy } from '../strategy.conformance.ts';
import type { Candidate, RouterModels, RoutingDecision } from '../strategy.ts';

export const EASY: PromptInput = { text: 'What is 2 + 2?', system: '', turns: 1, images: 0, tools: 0, wantsJson: false };
export const HARD: PromptInput = { ...EASY, text: 'Prove the Riemann hypothesis.' };

const features: PromptFeatures = { text: new Float32Array(0), ngramIndex: new Int32Array(1), ngramValue: new Float32Array(1), embedding: new Float32Array(0) };

export interface PlayedModel {
  /** What it predicts for a text, one per column. */
  readonly predict: (text: string) => readonly number[];
  readonly columns: readonly string[];
  readonly version?: string;
}

/** Router models whose predictions a test writes down, by `name version`; the lookup falls back to the name alone as the real one does. */
export function playedModels(models: Readonly<Record<string, PlayedModel>>): RouterModels & { readonly borrowed: () => number } {
  let borrowed = 0;
  let asked = '';
  const live = new Map(Object.entries(models).map(([key, { columns, predict, version = 'v1' }]) => {
    const manifest = { name: key.split(' ')[0] ?? '', version, candidates: [...columns], features: { version: 1, embedder: { name: 'none', sha256: '', dimensions: 0 } } } as unknown as ModelManifest;
    const model: RouterModel = { manifest, revision: `${version}-0`, bytes: 1, predict: () => Promise.resolve(Float32Array.from(predict(asked))), close: () => Promise.resolve() };
    return [key, new LiveValue(model, () => undefined)] as const;
  }));
  return {
    borrowed: () => borrowed,
    acquire(name = 'default', version = '') {
      const found = live.get(`${name} ${version}`) ?? live.get(name);
      if (found === undefined) return undefined;
      const lease = found.acquire();
      borrowed += 1;
      const release = (): void => {
        borrowed -= 1;
        lease.release();
      };
      return { value: lease.value, release, [Symbol.dispose]: release } satisfies Lease<RouterModel>;
    },
    extractor: () => ({
      version: 1, embedder: { name: 'none', sha256: '', dimensions: 0 }, close: () => undefined,
      extract: ({ text }) => {
        asked = text;
        return features;
      },
    }),
  };
}

const cheap = candidate('cheap', { model: 'openai/cheap', inputCostPerToken: 1e-7, outputCostPerToken: 4e-7 });
const dear = candidate('dear', { model: 'openai/dear', inputCostPerToken: 1e-5, outputCostPerToken: 3e-5 });

/** What every strategy promises that asks a trained model, whatever the model is. Call it in the strategy's test file. */
export function learnedConformance(name: string, create: CreateStrategy): void {
  // Without a model a strategy decides by beliefs, and keeps every promise all the same.
  strategyConformance(name, create);

  const build = (models: RouterModels, args: Readonly<Record<string, unknown>> = {}, seed = 1) => create({ random: seededRandom(seed), now: () => 0, args, models });
  const ask = async (models: RouterModels, about: PromptInput, { args, candidates = [cheap, dear] }: { readonly args?: Readonly<Record<string, unknown>>; readonly candidates?: readonly Candidate[] } = {}): Promise<RoutingDecision> =>
    (await build(models, args)).decide(routingInput(candidates, { about: () => about }));
  const hardForTheCheap = { columns: ['openai/cheap', 'openai/dear'], predict: (text: string) => (text === HARD.text ? [0.2, 0.9] : [0.95, 0.96]) };

  describe(`${name} asks its model`, () => {
    test('an easy prompt goes to the cheap candidate, a hard one to the dear one, and the decision says why', async () => {
      const models = playedModels({ default: hardForTheCheap });
      const easy = await ask(models, EASY);
      const hard = await ask(models, HARD);
      expect([easy.order[0]?.id, hard.order[0]?.id]).toEqual(['cheap', 'dear']);
      expect(hard).toMatchObject({ strategy: name, modelVersion: 'v1', propensity: 1 });
      expect(hard.explained?.quality[0]).toBeCloseTo(0.9);
      expect(hard.explained?.quality[1]).toBeCloseTo(0.2);
      expect(models.borrowed()).toBe(0);
    });

    test('the tradeoff decides between them: nothing but the price at 0, nothing but the quality at 1', async () => {
      const models = playedModels({ default: hardForTheCheap });
      expect((await ask(models, HARD, { args: { quality_cost_tradeoff: 0 } })).order[0]?.id).toBe('cheap');
      expect((await ask(models, EASY, { args: { quality_cost_tradeoff: 1 } })).order[0]?.id).toBe('dear');
    });

    test('without an extractor for its embedder the decision is rejected, and the model given back', async () => {
      const models = playedModels({ default: hardForTheCheap });
      const broken: RouterModels = { ...models, extractor: () => undefined };
      await expect(ask(broken, EASY)).rejects.toThrow(/extractor/);
      expect(models.borrowed()).toBe(0);
    });

    test('the version it is told to serve serves; a canary serves its share, always the same users', async () => {
      const models = playedModels({ 'knn v1': hardForTheCheap, 'knn v2': { ...hardForTheCheap, version: 'v2' } });
      const args = { model_name: 'knn', model_version: 'v1', canary: { model_version: 'v2', weight: 25 } };
      const strategy = await build(models, args);
      const versionFor = async (user: string): Promise<string> => (await strategy.decide(routingInput([cheap, dear], { about: () => EASY, user }))).modelVersion;
      const users = Array.from({ length: 400 }, (_, index) => `user-${String(index)}`);
      const first = await Promise.all(users.map(versionFor));
      const share = first.filter((version) => version === 'v2').length / users.length;
      expect(share).toBeGreaterThan(0.17);
      expect(share).toBeLessThan(0.33);
      expect(await Promise.all(users.map(versionFor))).toEqual(first);
      const more = await build(models, { ...args, canary: { model_version: 'v2', weight: 60 } });
      for (const [index, user] of users.entries()) {
        if (first[index] === 'v2') expect((await more.decide(routingInput([cheap, dear], { about: () => EASY, user }))).modelVersion).toBe('v2');
      }
    });

    test('a conversation keeps its candidate until that one cannot serve', async () => {
      const models = playedModels({ default: hardForTheCheap });
      const strategy = await build(models);
      const next = (candidates: readonly Candidate[], about: PromptInput, isContinued = true) => strategy.decide(routingInput(candidates, { about: () => about, session: () => ({ id: 'conversation', isContinued }) }));
      expect((await next([cheap, dear], HARD)).order[0]?.id).toBe('dear');
      const second = await next([cheap, dear], EASY);
      expect(second.order[0]?.id).toBe('dear');
      expect(second.explained?.isSticky).toBe(true);
      expect((await next([cheap], EASY)).order[0]?.id).toBe('cheap');
      expect((await next([cheap, dear], EASY)).order[0]?.id).toBe('cheap');
      // The same words again are no conversation.
      expect((await next([cheap, dear], HARD, false)).order[0]?.id).toBe('dear');
    });

    test('a candidate that the model does not know keeps what is believed of it, and is tried now and then', async () => {
      const models = playedModels({ default: { columns: ['openai/cheap', 'openai/dear'], predict: () => [0.6, 0.6] } });
      const fresh = candidate('fresh', { model: 'openai/fresh', priorQuality: 0.4, inputCostPerToken: 1e-7, outputCostPerToken: 4e-7 });
      const strategy = await build(models);
      const seen = new Map<string, number>();
      for (let draw = 0; draw < 2_000; draw += 1) {
        const { order, propensity } = await strategy.decide(routingInput([cheap, dear, fresh], { about: () => EASY }));
        expect(propensity).toBeGreaterThan(0);
        seen.set(order[0]?.id ?? '', (seen.get(order[0]?.id ?? '') ?? 0) + 1);
      }
      expect(seen.get('cheap')).toBeGreaterThan(1_900);
      const decision = await ask(models, EASY, { candidates: [cheap, fresh] });
      expect(decision.explained?.quality[decision.order.indexOf(fresh)]).toBe(0.4);
    });

    test('a model of tiers serves any candidates, by how strong each is believed to be', async () => {
      const models = playedModels({ default: { columns: ['weak', 'strong'], predict: (text) => (text === HARD.text ? [0.2, 0.9] : [0.95, 0.96]) } });
      expect((await ask(models, EASY)).order[0]?.id).toBe('cheap');
      expect((await ask(models, HARD)).order[0]?.id).toBe('dear');
    });
  });
}
