import type { FeatureMatrix } from '../features/feature-matrix.ts';
import type { LoggedDecision } from './logged-decision.ts';

/** Decisions as matrices: what estimators work on. Models are columns, in alphabetical order. */
export interface DecisionLog {
  readonly decisions: readonly LoggedDecision[];
  readonly models: readonly string[];
  /** Column of the model that was selected, per decision. */
  readonly action: Int32Array;
  /** decisions × models: 1 where the model was offered. */
  readonly offered: Uint8Array;
  readonly features: FeatureMatrix;
  /** Per decision; mean 1. */
  readonly sampleWeight: Float64Array;
}

export function decisionLog(decisions: readonly LoggedDecision[], features: FeatureMatrix): DecisionLog {
  const models = [...new Set(decisions.flatMap(({ candidates }) => candidates))].sort();
  const column = new Map(models.map((model, index) => [model, index]));
  const offered = new Uint8Array(decisions.length * models.length);
  decisions.forEach(({ candidates }, row) => {
    for (const candidate of candidates) offered[row * models.length + column.get(candidate)!] = 1;
  });
  const total = decisions.reduce((sum, { sampleWeight }) => sum + sampleWeight, 0);
  return {
    decisions, models, offered, features, action: Int32Array.from(decisions, ({ selected }) => column.get(selected)!),
    sampleWeight: Float64Array.from(decisions, ({ sampleWeight }) => (sampleWeight * decisions.length) / total),
  };
}

/**
 * Whether another choice was possible: more than one model was offered and the choice was drawn. What was certain (a conversation that stays with its model, a strategy
 * that never explores) tells nothing of what another policy would have got.
 */
export function wasDrawn({ candidates, propensity }: LoggedDecision): boolean {
  return candidates.length > 1 && propensity < 1;
}
