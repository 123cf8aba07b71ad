import type { JsonObject } from '@pointsman/schemas';
import type { GroupPlan } from '../snapshot/snapshot.ts';

/** How much of the true cost of one more request moves the average. */
const LEARNING_RATE = 1 / 8;

interface Learned {
  /** USD per token of the dearest deployment; 0 where no price is known. */
  readonly input: number;
  readonly output: number;
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
    const most = wantedTokens(outline);
    const usual = Math.max(prompt, learned.average ?? 0);
    return most === undefined ? usual : Math.max(prompt, Math.min(usual, prompt + most * learned.output));
  }

  learn(plan: GroupPlan, costUsd: number): void {
    const learned = this.#learned(plan);
    learned.average = learned.average === undefined ? costUsd : learned.average + (costUsd - learned.average) * LEARNING_RATE;
  }

  #learned(plan: GroupPlan): Learned {
    let learned = this.#plans.get(plan);
    if (learned === undefined) {
      learned = {
        input: Math.max(0, ...plan.candidates.map(({ inputCostPerToken }) => inputCostPerToken ?? 0)),
        output: Math.max(0, ...plan.candidates.map(({ outputCostPerToken }) => outputCostPerToken ?? 0)),
        average: undefined,
      };
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
