import type { Candidate, Decision } from '@pointsman/routing';
import type { GroupPlan } from '../snapshot/snapshot.ts';

/** The strategy label of replies that came out of the cache: nobody chose, and such rows must not train anything. */
export const CACHED = 'cache';

/** Says of a cached reply who made it, in the words in which decisions are told. The deployment may be gone from the configuration by now. */
export function cachedDecision({ candidates }: Pick<GroupPlan, 'candidates'>, modelId: string): Decision {
  const maker: Candidate | undefined = candidates.find(({ id }) => id === modelId);
  return { order: maker === undefined ? [] : [maker], scores: maker === undefined ? [] : [0], strategy: CACHED, modelVersion: '', propensity: 1, tookMs: 0, problem: undefined };
}
