import { createFeatureExtractor } from '../../features/create-feature-extractor.ts';
import type { EmbedderIdentity, FeatureExtractor, PromptFeatures } from '../../features/prompt-features.ts';
import { believedQuality } from '../../learned/believed-quality.ts';
import { expectedCost, relativeCosts } from '../../learned/expected-cost.ts';
import { costWeight } from '../../learned/cost-weight.ts';
import { createSessionMemory } from '../../learned/session-memory.ts';
import { numberArg } from '../../strategy-args.ts';
import type { Candidate, RouterModels, RoutingDecision, RoutingInput, Strategy, StrategyParts } from '../../strategy.ts';
import { BANDIT_DIMENSIONS, banditFeatures, designVector } from './bandit-features.ts';
import { BanditLearner } from './bandit-learner.ts';
import { selectionProbabilities } from './selection-probabilities.ts';

const NAME = 'contextual-bandit';
const HOUR_MS = 3_600_000;

/** The learners of a process, by model group. Without them a strategy learns nothing that anybody could keep. */
export interface BanditLearners {
  learner(group: string): BanditLearner;
}

/**
 * Linear Thompson sampling (see `LinearPosterior`): each candidate's quality for this prompt is a normal belief, the choice is drawn with the probability that
 * the candidate is the best of them once prices are counted: score = quality − weight × expected cost / highest expected cost. What feedback says moves the beliefs.
 * The choice is drawn from computed probabilities, so that `propensity` is exact; a share `exploration` is drawn evenly, so that none is ever 0.
 * Arguments: quality_cost_tradeoff, exploration (0.01), posterior_scale (0.25), forgetting_half_life_h (168; 0: never forgets), session_affinity.
 * @throws AppError for arguments out of range.
 */
export async function createStrategy({ args, random, now, models, bandits }: StrategyParts): Promise<Strategy> {
  const weight = costWeight(numberArg(args, 'quality_cost_tradeoff', { fallback: 0.5, min: 0, max: 1 }));
  const exploration = numberArg(args, 'exploration', { fallback: 0.01, min: 0, max: 1 });
  const scale = numberArg(args, 'posterior_scale', { fallback: 0.25, min: 0, max: 10 });
  const halfLifeMs = numberArg(args, 'forgetting_half_life_h', { fallback: 168, min: 0, max: 87_600 }) * HOUR_MS;
  const sessions = args['session_affinity'] === false ? undefined : createSessionMemory(now);
  const keepsNgrams = args['store_ngrams'] === true;
  const keepsPrompts = args['store_prompts'] === true;
  const alone = new BanditLearner({ now });
  const textOnly = await createFeatureExtractor({ embedder: 'none' });
  const design = new Float64Array(BANDIT_DIMENSIONS);

  const choose = (input: RoutingInput, features: PromptFeatures | undefined): RoutingDecision => {
    const { candidates } = input;
    const learner = bandits?.learner(candidates[0]?.group ?? '') ?? alone;
    if (learner.halfLifeMs !== halfLifeMs) learner.halfLifeMs = halfLifeMs;
    const x = designVector(banditFeatures(features?.text), design);
    const promptTokens = input.promptTokens();
    const costs = candidates.map((candidate) => expectedCost(candidate, promptTokens));
    const shares = relativeCosts(costs);
    const believed = believedQuality(candidates);
    const quality: number[] = [];
    const utilities: number[] = [];
    const deviations: number[] = [];
    for (let index = 0; index < candidates.length; index += 1) {
      const posterior = learner.posterior(armOf(candidates[index] as Candidate));
      const mean = posterior.mean(x, believed[index] ?? 0.5);
      quality.push(Math.min(1, Math.max(0, mean)));
      utilities.push(mean - weight * (shares[index] ?? 0));
      deviations.push(scale * posterior.spread(x));
    }
    const session = input.session?.();
    const keptId = session?.isContinued === true ? sessions?.recall(session.id) : undefined;
    const kept = keptId === undefined ? -1 : candidates.findIndex(({ id }) => id === keptId);
    const { chosen, propensity } = kept >= 0 ? { chosen: kept, propensity: 1 } : draw(selectionProbabilities(utilities, deviations), exploration, random());
    const order = candidates.map((_, index) => index).sort((left, right) => (utilities[right] ?? 0) - (utilities[left] ?? 0));
    order.splice(order.indexOf(chosen), 1);
    order.unshift(chosen);
    if (session !== undefined) sessions?.remember(session.id, candidates[chosen]?.id ?? '');
    return {
      order: order.map((index) => candidates[index] as Candidate),
      scores: order.map((index) => utilities[index] ?? 0),
      strategy: NAME,
      modelVersion: '',
      propensity,
      explained: { quality: order.map((index) => quality[index] ?? 0), costUsd: order.map((index) => costs[index]), costWeight: weight, isSticky: kept >= 0 },
    };
  };

  return {
    name: NAME,
    decide(input) {
      const asked = input.about?.();
      if (asked === undefined) return choose(input, undefined);
      const extractor = extractorOf(models) ?? textOnly;
      const { embedder } = extractor;
      const kept = keepsNgrams || keepsPrompts ? { ngrams: keepsNgrams, prompt: keepsPrompts ? asked.text : undefined } : undefined;
      const decided = (features: PromptFeatures): RoutingDecision => ({ ...choose(input, features), features, embedder, kept });
      const features = extractor.extract(asked);
      return features instanceof Promise ? features.then(decided) : decided(features);
    },
  };
}

/** By what a candidate is learned about: its model as configured, so that clients who fill a wildcard invent no candidates. Deployments of one model share what is known. */
export function armOf({ model, pattern }: Pick<Candidate, 'model' | 'pattern'>): string {
  return pattern ?? model;
}

/** The extractor of the model that ships with the product: its embedding is not decided by here, but what is recorded of the request can train other strategies. */
function extractorOf(models: RouterModels | undefined): FeatureExtractor | undefined {
  const lease = models?.acquire(undefined, undefined);
  if (lease === undefined) return undefined;
  const embedder: EmbedderIdentity = lease.value.manifest.features.embedder;
  lease.release();
  return embedder.name === 'minilm' ? undefined : models?.extractor(embedder);
}

/** Draws by the probabilities, mixed with an even share, and says with which probability the drawn one was drawn. */
function draw(probabilities: Float64Array, exploration: number, random: number): { readonly chosen: number; readonly propensity: number } {
  const count = probabilities.length;
  let chosen = 0;
  let propensity = 0;
  let sum = 0;
  for (let index = 0; index < count; index += 1) {
    const share = (1 - exploration) * (probabilities[index] ?? 0) + exploration / count;
    if (share <= 0) continue;
    chosen = index; // the last possible one catches what rounding leaves
    propensity = share;
    sum += share;
    if (random < sum) break;
  }
  return { chosen, propensity: Math.min(1, propensity) };
}
