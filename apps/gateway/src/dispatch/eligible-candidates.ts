import type { AppError } from '@pointsman/errors';
import type { Cooldowns } from '@pointsman/resilience';
import { filterCandidates, noCandidateError, type Ability, type Candidate, type FilterResult, type PromptInput } from '@pointsman/routing';
import type { GroupPlan, Snapshot } from '../snapshot/snapshot.ts';

export interface EligibilityQuestion {
  readonly tags: readonly string[] | undefined;
  readonly promptTokens: () => number;
  readonly about: () => PromptInput;
}

/** Which deployments of a group may serve this request now, and why the others may not. */
export function filterPlan(plan: GroupPlan, { config }: Snapshot, cooldowns: Cooldowns, { tags, promptTokens, about }: EligibilityQuestion): FilterResult {
  const { router } = config;
  return filterCandidates(plan.candidates, {
    tagRequest: router.enableTagFiltering ? { tags: tags ?? [], matchAny: router.tagFilteringMatchAny } : undefined,
    // A strategy that compares models by what they answer must not be offered one that cannot read the question.
    checkContextWindow: router.enablePreCallChecks || plan.readsPrompt,
    needs: plan.readsPrompt ? () => needsOf(about()) : undefined,
    enforceRateLimits: plan.enforcesRateLimits,
    isCoolingDown: (id) => cooldowns.isCoolingDown(id),
    promptTokens,
    nowMs: Date.now(),
  });
}

function needsOf({ tools, images, wantsJson }: PromptInput): readonly Ability[] {
  if (tools === 0 && images === 0 && !wantsJson) return NOTHING;
  return [...(tools > 0 ? ['tools' as const] : []), ...(images > 0 ? ['vision' as const] : []), ...(wantsJson ? ['json' as const] : [])];
}

const NOTHING: readonly Ability[] = [];

/** The candidates a strategy may choose from, or the error for when there is none. */
export function eligibleCandidates(plan: GroupPlan, snapshot: Snapshot, cooldowns: Cooldowns, question: EligibilityQuestion): readonly Candidate[] | AppError {
  const { candidates, removed } = filterPlan(plan, snapshot, cooldowns, question);
  if (candidates.length > 0) return candidates;
  const nowMs = Date.now();
  const ends = plan.candidates.map(({ id }) => cooldowns.coolingUntil(id)).filter((until) => until !== undefined);
  return noCandidateError(plan.group, removed, { nowMs, retryAfterMs: ends.length === 0 ? undefined : Math.max(0, Math.min(...ends) - nowMs) });
}
