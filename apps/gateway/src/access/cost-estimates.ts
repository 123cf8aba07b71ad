import type { JsonObject } from '@pointsman/schemas';
import type { GroupPlan } from '../snapshot/snapshot.ts';

/** How much of the true cost of one more request moves the average. */
const LEARNING_RATE = 1 / 8;

/** What a model takes and writes at most where its facts do not say: about the largest there are. */
const MAX_INPUT_TOKENS = 2_000_000;
const MAX_OUTPUT_TOKENS = 200_000;
/** After so many requests one of them counts as no more than so many times the average: one caller's must not become everybody's. */
const WARM_AFTER = 8;
const MAX_TIMES_AVERAGE = 10;

interface Learned {
  /** USD per token of the dearest deployment; 0 where no price is known. */
  readonly input: number;
  readonly output: number;
  /** USD that one request can come to at these prices; Infinity where none is known. */
  readonly most: number;
  learnedFrom: number;
  /** Average USD of finished requests; undefined before the first. */
  average: number | undefined;
}

/**
 * What a request will cost, before anybody knows: its prompt at the dearest deployment's price, and the average of what requests of its group came to. `max_tokens` is
 * only an upper bound: clients ask for 4,096 and use 100, and reserving that would turn requests away long before a budget is spent.
 */
export class CostEstimates {
  readonly #plans = new WeakMap<GroupPlan, Learned>();

  estimate(plan: GroupPlan, outline: JsonObject, promptTokens: number): number {
    const learned = this.#learned(plan);
    const prompt = promptTokens * learned.input;
    const most = wantedTokens(outline) ?? (learned.output > 0 ? MAX_OUTPUT_TOKENS : undefined);
    const usual = Math.max(prompt, learned.average ?? 0);
    return most === undefined ? usual : Math.max(prompt, Math.min(usual, prompt + most * learned.output));
  }

  /** What is more than a request can cost, or far more than they usually do, is believed only in part: a provider may report anything. */
  learn(plan: GroupPlan, costUsd: number): void {
    if (!Number.isFinite(costUsd)) return;
    const learned = this.#learned(plan);
    const { average } = learned;
    const cost = Math.min(costUsd, learned.most, average !== undefined && learned.learnedFrom >= WARM_AFTER ? average * MAX_TIMES_AVERAGE : Infinity);
    learned.average = average === undefined ? cost : average + (cost - average) * LEARNING_RATE;
    learned.learnedFrom += 1;
  }

  #learned(plan: GroupPlan): Learned {
    let learned = this.#plans.get(plan);
    if (learned === undefined) {
      const input = Math.max(0, ...plan.candidates.map(({ inputCostPerToken }) => inputCostPerToken ?? 0));
      const output = Math.max(0, ...plan.candidates.map(({ outputCostPerToken }) => outputCostPerToken ?? 0));
      const inputTokens = Math.max(0, ...plan.candidates.map(({ maxInputTokens }) => maxInputTokens ?? MAX_INPUT_TOKENS));
      const most = inputTokens * input + MAX_OUTPUT_TOKENS * output;
      learned = { input, output, most: most > 0 ? most : Infinity, learnedFrom: 0, average: undefined };
      this.#plans.set(plan, learned);
    }
    return learned;
  }
}

/** Most tokens a reply may have by its request, for all its choices; undefined where it does not say. */
export function wantedTokens(outline: JsonObject): number | undefined {
  const most = outline['max_completion_tokens'] ?? outline['max_output_tokens'] ?? outline['max_tokens'];
  if (typeof most !== 'number' || !(most >= 0)) return undefined;
  const { n } = outline;
  return most * (typeof n === 'number' && n > 1 ? n : 1);
}
