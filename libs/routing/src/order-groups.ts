import type { Candidate } from './strategy.ts';

/**
 * The candidates by `litellm_params.order`, lowest first, those without one last; undefined when all are alike, which is
 * the common case and allocates nothing.
 */
export function orderGroups(candidates: readonly Candidate[]): readonly (readonly Candidate[])[] | undefined {
  const first = candidates[0]?.order;
  let alike = true;
  for (let index = 1; index < candidates.length && alike; index += 1) alike = candidates[index]?.order === first;
  if (alike) return undefined;

  const groups = new Map<number, Candidate[]>();
  for (const candidate of candidates) {
    const rank = candidate.order ?? Number.POSITIVE_INFINITY;
    const group = groups.get(rank);
    if (group === undefined) groups.set(rank, [candidate]);
    else group.push(candidate);
  }
  return [...groups].sort(([left], [right]) => (left < right ? -1 : 1)).map(([, group]) => group);
}
