import type { DecisionLog } from './decision-log.ts';

/** What a router would do: probabilities of the models per decision, decisions × models, zero for what was not offered. `logged`: what was done. */
export type Policy = { readonly kind: 'model'; readonly probability: Float64Array } | { readonly kind: 'logged' };

export const LOGGED_POLICY: Policy = { kind: 'logged' };

/** Scores closer than this are equal. */
const SAME = 1e-9;
/** The best of quality − weight · cost / highest cost among the models on offer, as the gateway chooses without exploring; equals share. */
export function greedyPolicy({ decisions, models, offered }: Pick<DecisionLog, 'decisions' | 'models' | 'offered'>, quality: Float64Array, cost: Float64Array, weight: number): Policy {
  const width = models.length;
  const probability = new Float64Array(decisions.length * width);
  for (let row = 0; row < decisions.length; row += 1) {
    let highest = 0;
    for (let model = 0; model < width; model += 1) if (offered[row * width + model] === 1) highest = Math.max(highest, cost[model]!);
    const utility = (model: number): number => quality[row * width + model]! - (highest === 0 ? 0 : (weight * cost[model]!) / highest);
    let best = -Infinity;
    for (let model = 0; model < width; model += 1) if (offered[row * width + model] === 1) best = Math.max(best, utility(model));
    let equals = 0;
    for (let model = 0; model < width; model += 1) if (offered[row * width + model] === 1 && best - utility(model) <= SAME) equals += 1;
    for (let model = 0; model < width; model += 1) if (offered[row * width + model] === 1 && best - utility(model) <= SAME) probability[row * width + model] = 1 / equals;
  }
  return { kind: 'model', probability };
}

/** One policy for a share of the decisions, another for the rest. */
export function mixPolicies(first: Policy, second: Policy, firstShare: number): Policy {
  if (first.kind === 'logged' || second.kind === 'logged') throw new TypeError('Only policies of models can be mixed.');
  return { kind: 'model', probability: first.probability.map((value, at) => firstShare * value + (1 - firstShare) * second.probability[at]!) };
}
