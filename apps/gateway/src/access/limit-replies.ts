import { AppError } from '@pointsman/errors';
import type { LimitCheck, Standing } from '@pointsman/redis';
import type { ScopeKind, ScopeLimits } from './key-limits.ts';

/** LiteLLM's names of scopes: those of a limit per model have one of their own. */
const DESCRIPTORS: Readonly<Record<ScopeKind, string>> = { key: 'api_key', team: 'team', user: 'user', global: 'global' };
const SHOWN: Readonly<Record<ScopeKind, string>> = { key: 'Key', team: 'Team', user: 'User', global: 'Proxy' };
/** Nobody knows when a place of another request is free: soon. */
const PARALLEL_RETRY_MS = 1_000;

/** `requests`, `tokens`, `max_parallel_requests` as LiteLLM calls them; and the model where the limit is for one. */
function typeOf({ kind, name }: LimitCheck): { readonly type: string; readonly model: string | undefined } {
  if (kind === 'parallel') return { type: 'max_parallel_requests', model: undefined };
  const colon = name.indexOf(':');
  return colon < 0 ? { type: name, model: undefined } : { type: name.slice(0, colon), model: name.slice(colon + 1) };
}

/** The refusal of a limit, in LiteLLM's words and with its headers (contract b3). `now` in milliseconds since the epoch. */
export function limitRefused({ check, remaining, resetMs }: Standing, limits: ScopeLimits | undefined, now: number): AppError {
  const kind = limits?.kind ?? 'global';
  const id = limits?.id ?? '';
  const { type, model } = typeOf(check);
  if (check.kind === 'budget') {
    // The limit was reached by what is spent and what runs: the figure that the caller sees is the part that is gone.
    const spent = Math.max(0, check.limit - remaining);
    return new AppError('budget_exceeded', '422', `Budget has been exceeded! ${SHOWN[kind]}=${shortId(kind, id)}${modelOfBudget(check.name)} Current cost: ${String(spent)}, Max budget: ${String(check.limit)}`, {
      type: 'budget_exceeded',
    });
  }
  const retryAfterMs = check.kind === 'parallel' ? PARALLEL_RETRY_MS : Math.max(1, resetMs);
  const resetAt = `${new Date(now + retryAfterMs).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
  const descriptor = model === undefined ? DESCRIPTORS[kind] : `model_per_${kind}`;
  const value = model === undefined ? id : `${id}:${model}`;
  const headers = ['rate_limit_type', type, 'reset_at', resetAt];
  if (check.kind === 'window') headers.push(`x-ratelimit-limit-${type}`, String(check.limit), `x-ratelimit-remaining-${type}`, String(remaining));
  return new AppError('rate_limited', '429', `Rate limit exceeded for ${descriptor}: ${value}. Limit type: ${type}. Current limit: ${String(check.limit)}, Remaining: ${String(remaining)}. Limit resets at: ${resetAt}`, {
    retryAfterMs, headers, details: { scope: kind, type },
  });
}

function shortId(kind: ScopeKind, id: string): string {
  return kind === 'key' ? `${id.slice(0, 12)}…` : id.slice(0, 200);
}

/** `spend.mh1k2j:gpt-4o:1764547200` → ` Model=gpt-4o`. */
function modelOfBudget(name: string): string {
  const model = name.replace(/^spend\.[0-9a-z-]+:?/, '').replace(/(?:^|:)\d+$/, '');
  return model === '' ? '' : ` Model=${model}`;
}

/**
 * Where a caller stands, for the reply: `x-ratelimit-{limit,remaining}-{requests,tokens}` of the limit with least left, and the same per scope as LiteLLM names
 * them, `x-ratelimit-api_key-remaining-requests`. Name, value, name, value.
 */
export function standingHeaders(standings: readonly Standing[], scopeKind: (standing: Standing) => ScopeKind): readonly string[] | undefined {
  const headers: string[] = [];
  let requests: Standing | undefined;
  let tokens: Standing | undefined;
  for (const standing of standings) {
    const { check, remaining } = standing;
    if (check.kind === 'budget') continue;
    const { type, model } = typeOf(check);
    const kind = scopeKind(standing);
    const prefix = model === undefined ? `x-ratelimit-${DESCRIPTORS[kind]}` : `x-ratelimit-model_per_${kind}`;
    headers.push(`${prefix}-limit-${type}`, String(check.limit), `${prefix}-remaining-${type}`, String(remaining));
    if (check.kind !== 'window') continue;
    if (type === 'requests') {
      if (requests === undefined || remaining < requests.remaining) requests = standing;
    } else if (tokens === undefined || remaining < tokens.remaining) tokens = standing;
  }
  if (requests !== undefined) headers.push('x-ratelimit-limit-requests', String(requests.check.limit), 'x-ratelimit-remaining-requests', String(requests.remaining));
  if (tokens !== undefined) headers.push('x-ratelimit-limit-tokens', String(tokens.check.limit), 'x-ratelimit-remaining-tokens', String(tokens.remaining));
  return headers.length === 0 ? undefined : headers;
}
