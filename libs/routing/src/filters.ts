import { AppError } from '@pointsman/errors';
import type { Ability, Candidate } from './strategy.ts';
import { filterByTags, type TagRequest } from './tag-filter.ts';

export type RemovalReason = 'tags' | 'context_window' | 'ability' | 'cooling_down' | 'breaker_open' | 'max_parallel_requests' | 'rpm_limit' | 'tpm_limit';

export interface Removal {
  readonly candidate: Candidate;
  readonly reason: RemovalReason;
}

export interface FilterSettings {
  /** Set when `enable_tag_filtering` is on. */
  readonly tagRequest?: TagRequest | undefined;
  /** `enable_pre_call_checks`: leave out models whose context window the prompt does not fit in. */
  readonly checkContextWindow?: boolean | undefined;
  /** `optional_pre_call_checks: [enforce_model_rate_limits]`, or a strategy that enforces them (`StrategyDefinition`). */
  readonly enforceRateLimits?: boolean | undefined;
  readonly isCoolingDown?: ((id: string) => boolean) | undefined;
  readonly isBreakerOpen?: ((id: string) => boolean) | undefined;
  /** What the request needs: candidates known to lack it are left out, as long as others remain. Called at most once; undefined: not looked at. */
  readonly needs?: (() => readonly Ability[]) | undefined;
  /** A rough token count of the prompt; called at most once, and only when something needs it. */
  readonly promptTokens: () => number;
  /** Wall time in milliseconds. */
  readonly nowMs: number;
}

export interface FilterResult {
  /** Those that may serve, in the order given. The very list given when nothing was removed. */
  readonly candidates: readonly Candidate[];
  /** Every other one with the first reason that spoke against it. */
  readonly removed: readonly Removal[];
}

const NOTHING_REMOVED: readonly Removal[] = Object.freeze([]);

/**
 * Leaves out what cannot serve this request, before a strategy scores the rest. Checks what the operator decided first
 * (tags), then what the request needs, then the state of the deployment, so that the reason recorded is the lasting one.
 * Allocates nothing when nothing is removed and tags are off.
 */
export function filterCandidates(candidates: readonly Candidate[], settings: FilterSettings): FilterResult {
  let tagged = candidates;
  let removed: Removal[] | undefined;
  if (settings.tagRequest !== undefined) {
    tagged = filterByTags(candidates, settings.tagRequest);
    if (tagged.length !== candidates.length) {
      removed = [];
      for (const candidate of candidates) if (!tagged.includes(candidate)) removed.push({ candidate, reason: 'tags' });
    }
  }

  const prompt: PromptSize = { tokens: undefined };
  let kept: Candidate[] | undefined;
  for (let index = 0; index < tagged.length; index += 1) {
    const candidate = tagged[index] as Candidate;
    const reason = removalReason(candidate, settings, prompt);
    if (reason === undefined) {
      kept?.push(candidate);
      continue;
    }
    kept ??= tagged.slice(0, index);
    (removed ??= []).push({ candidate, reason });
  }
  const result = { candidates: kept ?? tagged, removed: removed ?? NOTHING_REMOVED };
  return settings.needs === undefined ? result : withoutUnable(result, settings.needs());
}

/** What is known of abilities is hearsay: it chooses among candidates, and never leaves a request without one. */
function withoutUnable(result: FilterResult, needs: readonly Ability[]): FilterResult {
  if (needs.length === 0) return result;
  const able = result.candidates.filter(({ lacks }) => lacks === undefined || !needs.some((need) => lacks.has(need)));
  if (able.length === 0 || able.length === result.candidates.length) return result;
  const unable = result.candidates.filter((candidate) => !able.includes(candidate));
  return { candidates: able, removed: [...result.removed, ...unable.map((candidate) => ({ candidate, reason: 'ability' as const }))] };
}

interface PromptSize {
  tokens: number | undefined;
}

function removalReason(candidate: Candidate, settings: FilterSettings, prompt: PromptSize): RemovalReason | undefined {
  const { id, stats, maxInputTokens, maxParallelRequests, rpm, tpm } = candidate;
  if (settings.checkContextWindow === true && maxInputTokens !== undefined && promptTokens(settings, prompt) > maxInputTokens) return 'context_window';
  if (settings.isCoolingDown?.(id) === true) return 'cooling_down';
  if (settings.isBreakerOpen?.(id) === true) return 'breaker_open';
  if (maxParallelRequests !== undefined && stats.inFlight >= maxParallelRequests) return 'max_parallel_requests';
  if (settings.enforceRateLimits !== true) return undefined;
  if (rpm !== undefined && stats.requestsThisMinute(settings.nowMs) + 1 > rpm) return 'rpm_limit';
  if (tpm !== undefined && stats.tokensThisMinute(settings.nowMs) + promptTokens(settings, prompt) > tpm) return 'tpm_limit';
  return undefined;
}

function promptTokens(settings: FilterSettings, prompt: PromptSize): number {
  prompt.tokens ??= settings.promptTokens();
  return prompt.tokens;
}

const LIMITS: ReadonlySet<RemovalReason> = new Set(['rpm_limit', 'tpm_limit', 'max_parallel_requests']);

/**
 * The error for a request that nobody is left to serve, in LiteLLM's statuses: 400 `context_length_exceeded` when the
 * prompt fits nowhere, 401 when the tags match nothing, 429 otherwise. `retryAfterMs` is what the caller knows of the
 * soonest cooldown to end; limits of the minute say the rest of the minute.
 */
export function noCandidateError(
  group: string,
  removed: readonly Removal[],
  { nowMs, retryAfterMs }: { readonly nowMs: number; readonly retryAfterMs?: number | undefined },
): AppError {
  const reasons = new Set(removed.map(({ reason }) => reason));
  const details = { group, removed: Object.fromEntries([...reasons].map((reason) => [reason, removed.filter((removal) => removal.reason === reason).length])) };
  if (reasons.size === 1 && reasons.has('tags')) {
    return new AppError('unauthenticated', 'no_deployment_for_tags', `No deployment of '${group}' matches the tags of this request.`, { details });
  }
  if (reasons.has('context_window') && [...reasons].every((reason) => reason === 'context_window' || reason === 'tags')) {
    return new AppError('invalid_request', 'context_length_exceeded', `The prompt is longer than any deployment of '${group}' takes.`, {
      param: 'messages',
      details,
    });
  }
  const isLimited = [...reasons].some((reason) => LIMITS.has(reason));
  return new AppError(
    'rate_limited',
    'no_deployments_available',
    isLimited ? `Every deployment of '${group}' is at its limit.` : `No healthy deployment of '${group}' is available.`,
    { details, retryAfterMs: retryAfterMs ?? (isLimited ? 60_000 - (nowMs % 60_000) : 1_000) },
  );
}
