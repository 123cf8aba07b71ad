import type { Lease } from '@pointsman/live-value';
import type { ModelManifest } from '@pointsman/schemas';
import type { PromptInput } from '../features/prompt-features.ts';
import type { RouterModel } from '../onnx/router-model.ts';
import { numberArg, objectArg, textArg } from '../strategy-args.ts';
import type { Candidate, RoutingDecision, RoutingInput, Strategy, StrategyParts } from '../strategy.ts';
import { believedQuality } from './believed-quality.ts';
import { chooseArm } from './choose-arm.ts';
import { chooseByUtility } from './choose-by-utility.ts';
import { expectedCost, relativeCosts } from './expected-cost.ts';
import { qualityOfCandidates, type QualityOfCandidates } from './quality-of-candidates.ts';
import { costWeight } from './cost-weight.ts';
import { createSessionMemory } from './session-memory.ts';

/** Share of decisions that is drawn where a candidate is there that the model was not trained on. */
const EXPLORATION_OF_THE_UNKNOWN = 0.02;
const MAX_READERS = 64;

/**
 * A strategy that asks a trained model for the quality of each candidate's answer to this prompt and weighs it against the price:
 * score = predicted quality − weight × expected cost / highest expected cost, the weight from `quality_cost_tradeoff`.
 * What differs between such strategies is how their models were trained; here they are one.
 *
 * Without a model (none is there yet, or it was refused and there was none before) it decides by what is believed of the candidates.
 * @throws AppError for arguments out of range.
 */
export function createLearnedStrategy(name: string, { args, random, now, models }: StrategyParts): Strategy {
  const modelName = textArg(args, 'model_name');
  const stable = textArg(args, 'model_version');
  const canaryArgs = objectArg(args, 'canary');
  const canaryVersion = canaryArgs === undefined ? undefined : textArg(canaryArgs, 'model_version');
  const canary = canaryArgs === undefined || canaryVersion === undefined ? undefined : { version: canaryVersion, weight: numberArg(canaryArgs, 'weight', { fallback: 0, min: 0, max: 100 }) };
  const weight = costWeight(numberArg(args, 'quality_cost_tradeoff', { fallback: 0.5, min: 0, max: 1 }));
  const exploration = numberArg(args, 'exploration', { fallback: 0, min: 0, max: 1 });
  const temperature = numberArg(args, 'exploration_temperature', { fallback: 0.05, min: 1e-4, max: 100 });
  const sessions = args['session_affinity'] === false ? undefined : createSessionMemory(now);
  const readers = createReaders();
  const keepsNgrams = args['store_ngrams'] === true;
  const keepsPrompts = args['store_prompts'] === true;

  const choose = (input: RoutingInput, quality: readonly number[], modelVersion: string, isNew: boolean): RoutingDecision => {
    const { candidates } = input;
    const promptTokens = input.promptTokens();
    const costs = candidates.map((candidate) => expectedCost(candidate, promptTokens));
    const shares = relativeCosts(costs);
    const utilities = quality.map((predicted, index) => predicted - weight * (shares[index] ?? 0));
    const session = input.session?.();
    const kept = session?.isContinued === true ? keptCandidate(candidates, sessions?.recall(session.id)) : -1;
    const { order, propensity } = kept >= 0 ? stickTo(kept, utilities) : chooseByUtility({
      utilities, weights: candidates.map((candidate) => candidate.weight ?? 1), temperature, random,
      exploration: isNew ? Math.max(exploration, EXPLORATION_OF_THE_UNKNOWN) : exploration,
    });
    const chosen = candidates[order[0] ?? 0];
    if (session !== undefined && chosen !== undefined) sessions?.remember(session.id, chosen.id);
    return {
      order: order.map((index) => candidates[index] as Candidate),
      scores: order.map((index) => utilities[index] ?? 0),
      strategy: name,
      modelVersion,
      propensity,
      explained: { quality: order.map((index) => quality[index] ?? 0), costUsd: order.map((index) => costs[index]), costWeight: weight, isSticky: kept >= 0 },
    };
  };

  const decideWith = async (lease: Lease<RouterModel>, input: RoutingInput, about: () => PromptInput): Promise<RoutingDecision> => {
    try {
      const model = lease.value;
      const { manifest } = model;
      const { embedder } = manifest.features;
      const extractor = models?.extractor(embedder);
      if (extractor === undefined) throw new Error(`No feature extractor for the embedder ${embedder.name} that ${manifest.name} ${manifest.version} was trained with.`);
      const asked = about();
      const extracted = extractor.extract(asked);
      const features = extracted instanceof Promise ? await extracted : extracted;
      const scores = await (model.predictText === undefined ? model.predict(features) : model.predictText(asked.text));
      const { read, isBelieved } = readers.get(manifest, input.candidates);
      const decision = choose(input, read(scores), manifest.version, isBelieved.includes(true));
      return { ...decision, features, embedder, kept: keepsNgrams || keepsPrompts ? { ngrams: keepsNgrams, prompt: keepsPrompts ? asked.text : undefined } : undefined };
    } finally {
      lease.release();
    }
  };

  return {
    name,
    decide(input) {
      const { about } = input;
      const lease = about === undefined ? undefined : models?.acquire(modelName, chooseArm({ stable, canary }, input.user ?? input.traceId));
      return lease === undefined || about === undefined ? choose(input, believedQuality(input.candidates), '', false) : decideWith(lease, input, about);
    },
  };
}

/** Where the candidate that a conversation was given is now; -1 when it has none, or it cannot serve. */
function keptCandidate(candidates: readonly Candidate[], id: string | undefined): number {
  return id === undefined ? -1 : candidates.findIndex((candidate) => candidate.id === id);
}

function stickTo(kept: number, utilities: readonly number[]): { readonly order: readonly number[]; readonly propensity: number } {
  const rest = utilities.map((_, index) => index).filter((index) => index !== kept).sort((a, b) => (utilities[b] ?? 0) - (utilities[a] ?? 0));
  return { order: [kept, ...rest], propensity: 1 };
}

/** How a model's columns are read, made once for each set of candidates that is met. */
function createReaders(): { get(manifest: ModelManifest, candidates: readonly Candidate[]): QualityOfCandidates } {
  const byManifest = new WeakMap<ModelManifest, Map<string, QualityOfCandidates>>();
  return {
    get(manifest, candidates) {
      let readers = byManifest.get(manifest);
      if (readers === undefined) byManifest.set(manifest, readers = new Map());
      let key = '';
      for (const { id } of candidates) key += `${id}\0`;
      let reader = readers.get(key);
      if (reader === undefined) {
        // Filters make many subsets of a large group: beyond these they are worked out each time.
        if (readers.size >= MAX_READERS) readers.clear();
        readers.set(key, reader = qualityOfCandidates(manifest, candidates));
      }
      return reader;
    },
  };
}
