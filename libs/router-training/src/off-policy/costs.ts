import type { DecisionLog } from './decision-log.ts';
import type { Policy } from './policy.ts';

export interface CostModel {
  /** Expected cost of a request by model, USD. The highest known one where nothing is known of a model: nobody saves money on a guess. */
  readonly perModel: Float64Array;
  /** Models whose cost nobody observed. */
  readonly unknown: readonly string[];
}

/** Mean cost of each model's requests, each weighted by its inverse propensity: a model that mostly gets short prompts is not cheap for that. */
export function fitCosts({ decisions, models, action, sampleWeight }: DecisionLog): CostModel {
  const sum = new Float64Array(models.length);
  const total = new Float64Array(models.length);
  decisions.forEach(({ costUsd, propensity, copies }, row) => {
    if (costUsd === undefined) return;
    const weight = sampleWeight[row]! / (propensity * copies);
    sum[action[row]!]! += weight * costUsd;
    total[action[row]!]! += weight;
  });
  const known = sum.map((value, model) => (total[model] === 0 ? Number.NaN : value / total[model]!));
  const highest = known.reduce((most, value) => (value > most ? value : most), 0);
  return { perModel: known.map((value) => (Number.isNaN(value) ? highest : value)), unknown: models.filter((_, model) => Number.isNaN(known[model]!)) };
}

/** Mean expected cost of a policy, USD per request: costs of models are taken as known, so that it does not vary with who was selected. */
export function expectedCost({ models, action, sampleWeight }: DecisionLog, policy: Policy, { perModel }: CostModel): number {
  let sum = 0;
  for (let row = 0; row < action.length; row += 1) {
    if (policy.kind === 'logged') sum += sampleWeight[row]! * perModel[action[row]!]!;
    else for (let model = 0; model < models.length; model += 1) sum += sampleWeight[row]! * policy.probability[row * models.length + model]! * perModel[model]!;
  }
  return sum / action.length;
}
