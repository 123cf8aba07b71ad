import type { Clock } from '@pointsman/timing';

export interface CooldownSettings {
  /** `allowed_fails`. LiteLLM counts single failures only when this is set to something else than its default of 3. */
  readonly allowedFails?: number | undefined;
  /** `cooldown_time`; 0 = no cooldowns. */
  readonly cooldownMs?: number | undefined;
  /** `disable_cooldowns` */
  readonly disabled?: boolean | undefined;
}

export interface CooldownFailure {
  readonly id: string;
  /** The provider's HTTP status; 408 for our own time limit; undefined when no status line came (refused, reset, broken stream). */
  readonly status: number | undefined;
  /** How many deployments the model group has, healthy or not. */
  readonly groupSize: number;
  /** From the provider's `retry-after`. */
  readonly retryAfterMs?: number | undefined;
  /** `cooldown_time` of the deployment; wins over `retry-after` and the router's. */
  readonly cooldownMs?: number | undefined;
  /** What `allowed_fails_policy` allows for this kind of failure. */
  readonly allowedFails?: number | undefined;
}

export interface Cooldown {
  readonly id: string;
  /** Wall time in milliseconds. */
  readonly since: number;
  /** Wall time in milliseconds. */
  readonly until: number;
  readonly reason: CooldownReason;
  readonly status: number | undefined;
}

export type CooldownReason = 'rate_limited' | 'timed_out' | 'refused' | 'failure_share' | 'always_failing' | 'allowed_fails';

const DEFAULT_ALLOWED_FAILS = 3;
const DEFAULT_COOLDOWN_MS = 5_000;
/** A provider may say "tomorrow" (a daily quota); one request an hour finds out when that was wrong. */
const MAX_RETRY_AFTER_MS = 3_600_000;
const WINDOW_MS = 60_000;
const SHARE_LIMIT = 0.5;
const SHARE_MIN_REQUESTS = 5;
/** A lone deployment that fails every time: only this much traffic proves that it is not the requests. */
const ALWAYS_FAILING_MIN_REQUESTS = 1_000;

class Health {
  window = -1;
  successes = 0;
  failures = 0;
  /** Failures since `failsSince`, for `allowed_fails`. */
  fails = 0;
  failsUntil = 0;
  cooldown: Cooldown | undefined;

  /** LiteLLM's counters are fixed minutes of the wall clock. */
  roll(nowMs: number): void {
    const window = Math.floor(nowMs / WINDOW_MS);
    if (window === this.window) return;
    this.window = window;
    this.successes = 0;
    this.failures = 0;
  }
}

/**
 * Which deployments sit out after failures, by LiteLLM's rules (`router_utils/cooldown_handlers.py`):
 *
 * - 401, 402, 404: at once, also the only deployment of a group: the next call cannot go better.
 * - 429 and 408: at once, when the group has another deployment.
 * - everything that is no other 4xx: when more than half of at least five requests of the current minute failed and the
 *   group has another deployment; or when all of at least a thousand failed.
 * - other 4xx: never, and not counted: they are about the request.
 * - with `allowed_fails` (other than 3) or a policy: when more than that many failures fall within one cooldown time,
 *   instead of all of the above.
 *
 * The length: `cooldown_time` of the deployment, else `retry-after`, else `cooldown_time` of the router (5 s).
 *
 * Two differences, on purpose. LiteLLM never counts connection errors; here they count towards the share of failures,
 * because a pod that is gone answers nothing else. And a 408 cools down at once only where an alternative exists.
 *
 * A cooldown is no breaker: it ends by time alone, with full load. Memory is bounded by `retain`.
 */
export class Cooldowns {
  readonly #clock: Clock;
  readonly #health = new Map<string, Health>();
  /** How many cooldowns may still run; 0 makes `isCoolingDown` free. */
  #active = 0;
  #allowedFails: number | undefined;
  #cooldownMs: number;
  #disabled: boolean;

  constructor({ clock, ...settings }: CooldownSettings & { readonly clock: Clock }) {
    this.#clock = clock;
    this.#allowedFails = settings.allowedFails;
    this.#cooldownMs = settings.cooldownMs ?? DEFAULT_COOLDOWN_MS;
    this.#disabled = settings.disabled ?? false;
  }

  /** New settings from a reload. Disabling ends every cooldown. */
  configure({ allowedFails, cooldownMs, disabled }: CooldownSettings): void {
    this.#allowedFails = allowedFails;
    this.#cooldownMs = cooldownMs ?? DEFAULT_COOLDOWN_MS;
    this.#disabled = disabled ?? false;
    if (!this.#disabled) return;
    for (const health of this.#health.values()) health.cooldown = undefined;
    this.#active = 0;
  }

  succeeded(id: string): void {
    if (this.#disabled) return;
    const health = this.#healthOf(id);
    health.roll(this.#clock.now());
    health.successes += 1;
  }

  /** Counts a failure; returns the cooldown that it started (or made longer), if any. */
  failed(failure: CooldownFailure): Cooldown | undefined {
    const { id, status } = failure;
    if (this.#disabled || !concernsDeployment(status)) return undefined;
    const now = this.#clock.now();
    const health = this.#healthOf(id);
    health.roll(now);
    health.failures += 1;
    const lengthMs = this.#lengthMs(failure);
    if (!(lengthMs > 0)) return undefined;
    const reason = this.#reason(failure, health, now);
    if (reason === undefined) return undefined;

    const running = health.cooldown !== undefined && health.cooldown.until > now ? health.cooldown : undefined;
    if (health.cooldown === undefined) this.#active += 1;
    // Requests that were under way when the cooldown began fail too: they must not shorten it.
    const until = Math.max(now + lengthMs, running?.until ?? 0);
    health.cooldown = { id, since: running?.since ?? now, until, reason, status };
    return health.cooldown;
  }

  isCoolingDown(id: string): boolean {
    return this.#active > 0 && this.#running(id) !== undefined;
  }

  /** Wall time in milliseconds at which the deployment is asked again; undefined when it is not cooling down. */
  coolingUntil(id: string): number | undefined {
    return this.#active > 0 ? this.#running(id)?.until : undefined;
  }

  list(): readonly Cooldown[] {
    const running: Cooldown[] = [];
    for (const id of this.#health.keys()) {
      const cooldown = this.#running(id);
      if (cooldown !== undefined) running.push(cooldown);
    }
    return running;
  }

  /** Forgets every deployment that is not named: call after a reload with the ids in use. */
  retain(ids: ReadonlySet<string>): void {
    for (const [id, health] of this.#health) {
      if (ids.has(id)) continue;
      if (health.cooldown !== undefined) this.#active -= 1;
      this.#health.delete(id);
    }
  }

  #running(id: string): Cooldown | undefined {
    const health = this.#health.get(id);
    const cooldown = health?.cooldown;
    if (health === undefined || cooldown === undefined) return undefined;
    if (cooldown.until > this.#clock.now()) return cooldown;
    health.cooldown = undefined;
    this.#active -= 1;
    return undefined;
  }

  #reason({ status, groupSize, allowedFails }: CooldownFailure, health: Health, now: number): CooldownReason | undefined {
    const limit = allowedFails ?? (this.#allowedFails === DEFAULT_ALLOWED_FAILS ? undefined : this.#allowedFails);
    if (limit !== undefined) {
      // The count lives as long as one cooldown, from its last failure on, as LiteLLM's cache entry does.
      health.fails = now < health.failsUntil ? health.fails + 1 : 1;
      health.failsUntil = now + this.#cooldownMs;
      return health.fails > limit ? 'allowed_fails' : undefined;
    }
    const hasAlternative = groupSize > 1;
    if (status === 401 || status === 402 || status === 404) return 'refused';
    if (status === 429 && hasAlternative) return 'rate_limited';
    if (status === 408 && hasAlternative) return 'timed_out';
    const requests = health.successes + health.failures;
    if (health.successes === 0 && requests >= ALWAYS_FAILING_MIN_REQUESTS) return 'always_failing';
    if (hasAlternative && requests >= SHARE_MIN_REQUESTS && health.failures / requests > SHARE_LIMIT) return 'failure_share';
    return undefined;
  }

  #lengthMs({ cooldownMs, retryAfterMs }: CooldownFailure): number {
    if (cooldownMs !== undefined) return cooldownMs;
    if (retryAfterMs !== undefined && Number.isFinite(retryAfterMs) && retryAfterMs > 0) return Math.min(retryAfterMs, MAX_RETRY_AFTER_MS);
    return this.#cooldownMs;
  }

  #healthOf(id: string): Health {
    let health = this.#health.get(id);
    if (health === undefined) {
      health = new Health();
      this.#health.set(id, health);
    }
    return health;
  }
}

function concernsDeployment(status: number | undefined): boolean {
  if (status === undefined || status < 400 || status >= 500) return true;
  return status === 401 || status === 402 || status === 404 || status === 408 || status === 429;
}
