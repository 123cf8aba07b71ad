import type { Candidate } from './strategy.ts';

export interface TagRequest {
  /** Tags of the request: from its body, its headers and its key. A `!tag` excludes, a `&tag` is required. */
  readonly tags: readonly string[];
  /** `tag_filtering_match_any`, LiteLLM's default true: one common tag is enough; false: the deployment has them all. */
  readonly matchAny: boolean;
}

const DEFAULT_TAG = 'default';

/**
 * LiteLLM's tag filtering (`router_strategy/tag_based_routing.py`): who may serve a request with these tags.
 *
 * - no tags: the deployments tagged `default` when there are any, else all
 * - tags: the deployments that match; when none does, those tagged `default`, unless some deployment knows one of the
 *   tags (then the request asked for something that exists and cannot be had)
 * - `!tag` and `&tag` narrow both
 *
 * An empty list is an answer: nobody may. Returns `candidates` itself when all may.
 */
export function filterByTags(candidates: readonly Candidate[], { tags, matchAny }: TagRequest): readonly Candidate[] {
  if (tags.length === 0) return defaultTagged(candidates) ?? candidates;
  const wanted: string[] = [];
  const required: string[] = [];
  const excluded: string[] = [];
  for (const tag of tags) {
    if (tag.startsWith('&')) required.push(tag.slice(1));
    else if (tag.startsWith('!')) excluded.push(tag.slice(1));
    else wanted.push(tag);
  }
  const has = (candidate: Candidate, tag: string): boolean => candidate.tags.includes(tag);
  const isAllowed = (candidate: Candidate): boolean =>
    !excluded.some((tag) => has(candidate, tag)) && required.every((tag) => has(candidate, tag));

  if (wanted.length === 0) {
    const pool = required.length > 0 ? candidates : (defaultTagged(candidates) ?? candidates);
    return pool.filter(isAllowed);
  }
  const allowed = candidates.filter(isAllowed);
  const matching = allowed.filter((candidate) =>
    matchAny ? wanted.some((tag) => has(candidate, tag)) : wanted.every((tag) => has(candidate, tag)),
  );
  if (matching.length > 0) return matching;
  if (candidates.some((candidate) => wanted.some((tag) => has(candidate, tag)))) return [];
  return defaultTagged(allowed) ?? [];
}

function defaultTagged(candidates: readonly Candidate[]): readonly Candidate[] | undefined {
  const tagged = candidates.filter(({ tags }) => tags.includes(DEFAULT_TAG));
  return tagged.length > 0 ? tagged : undefined;
}
