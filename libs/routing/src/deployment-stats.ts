const MINUTE_MS = 60_000;
/** LiteLLM's `max_latency_list_size`. */
const SAMPLES = 10;
/** What a timeout counts as: LiteLLM's 1000 s per token. */
const TIMEOUT_PENALTY_MS = 1_000_000;
/** LiteLLM keeps the penalty for the whole `ttl` (an hour), so that one bad minute bans a deployment for long. A minute is enough to stay away. */
const TIMEOUT_PENALTY_TTL_MS = 60_000;

/** The last few samples with their age. Fixed size: nothing is allocated when one is added. */
class SampleRing {
  readonly #values = new Float64Array(SAMPLES);
  readonly #expireAfter = new Float64Array(SAMPLES);
  readonly #takenAt = new Float64Array(SAMPLES);
  #next = 0;
  #count = 0;

  add(value: number, nowMs: number, expireAfterMs: number): void {
    this.#values[this.#next] = value;
    this.#takenAt[this.#next] = nowMs;
    this.#expireAfter[this.#next] = expireAfterMs;
    this.#next = (this.#next + 1) % SAMPLES;
    if (this.#count < SAMPLES) this.#count += 1;
  }

  mean(nowMs: number, ttlMs: number): number | undefined {
    let sum = 0;
    let fresh = 0;
    for (let index = 0; index < this.#count; index += 1) {
      const age = nowMs - (this.#takenAt[index] ?? 0);
      if (age > ttlMs || age > (this.#expireAfter[index] ?? 0)) continue;
      sum += this.#values[index] ?? 0;
      fresh += 1;
    }
    return fresh === 0 ? undefined : sum / fresh;
  }
}

export interface FinishedCall {
  /** Wall time in milliseconds. */
  readonly nowMs: number;
  /** From sending the request to the end of the reply; undefined when it says nothing about speed (the client left, no status line). */
  readonly latencyMs: number | undefined;
  /** From sending the request to the first content; undefined when it was no stream. */
  readonly ttftMs: number | undefined;
  /** Prompt and completion together: what counts against tpm. 0 when unknown. */
  readonly tokens: number;
  /** Undefined when unknown: then the call leaves no latency sample. 0 for calls that make no text (embeddings): then a sample is the whole latency. */
  readonly completionTokens?: number | undefined;
  readonly ok: boolean;
  /** It failed by taking too long: ranked behind everything by latency routing for a minute. */
  readonly timedOut?: boolean;
}

/**
 * What this replica saw of one deployment lately. Shared by all snapshots of the configuration, so that a reload
 * forgets nothing. Every call is O(1) and allocates nothing.
 *
 * Windows are fixed minutes of the wall clock, as LiteLLM's. A request counts where it begins, its tokens where it ends.
 * Latency is LiteLLM's measure, milliseconds per completion token, as the mean of the last ten samples; LiteLLM stops at
 * ten and from then on replaces only the last, here they rotate. Time to first token is not divided by the length of the
 * answer as LiteLLM does: what a client waits for does not shrink because the answer is long.
 */
export class DeploymentStats {
  #inFlight = 0;
  #minute = -1;
  #requests = 0;
  #tokens = 0;
  #failures = 0;
  readonly #latency = new SampleRing();
  readonly #ttft = new SampleRing();

  /** Requests sent and not yet ended. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Call when a request is sent to the deployment; every `begin` needs one `end`. */
  begin(nowMs: number): void {
    this.#roll(nowMs);
    this.#inFlight += 1;
    this.#requests += 1;
  }

  /** Call when the reply has ended, well or not. */
  end({ nowMs, latencyMs, ttftMs, tokens, completionTokens, ok, timedOut }: FinishedCall): void {
    this.#roll(nowMs);
    if (this.#inFlight > 0) this.#inFlight -= 1;
    if (tokens > 0) this.#tokens += tokens;
    if (!ok) {
      this.#failures += 1;
      if (timedOut === true) {
        this.#latency.add(TIMEOUT_PENALTY_MS, nowMs, TIMEOUT_PENALTY_TTL_MS);
        this.#ttft.add(TIMEOUT_PENALTY_MS, nowMs, TIMEOUT_PENALTY_TTL_MS);
      }
      return;
    }
    if (isDuration(ttftMs)) this.#ttft.add(ttftMs, nowMs, Number.POSITIVE_INFINITY);
    if (isDuration(latencyMs) && completionTokens !== undefined) {
      this.#latency.add(completionTokens > 0 ? latencyMs / completionTokens : latencyMs, nowMs, Number.POSITIVE_INFINITY);
    }
  }

  requestsThisMinute(nowMs: number): number {
    return this.#isCurrent(nowMs) ? this.#requests : 0;
  }

  tokensThisMinute(nowMs: number): number {
    return this.#isCurrent(nowMs) ? this.#tokens : 0;
  }

  failuresThisMinute(nowMs: number): number {
    return this.#isCurrent(nowMs) ? this.#failures : 0;
  }

  /** Mean milliseconds per completion token over the samples younger than `ttlMs`; undefined when there are none. */
  msPerToken(nowMs: number, ttlMs: number): number | undefined {
    return this.#latency.mean(nowMs, ttlMs);
  }

  /** Mean milliseconds to the first token over the samples younger than `ttlMs`; undefined when there are none. */
  ttftMs(nowMs: number, ttlMs: number): number | undefined {
    return this.#ttft.mean(nowMs, ttlMs);
  }

  #isCurrent(nowMs: number): boolean {
    return Math.floor(nowMs / MINUTE_MS) === this.#minute;
  }

  #roll(nowMs: number): void {
    const minute = Math.floor(nowMs / MINUTE_MS);
    if (minute === this.#minute) return;
    this.#minute = minute;
    this.#requests = 0;
    this.#tokens = 0;
    this.#failures = 0;
  }
}

function isDuration(ms: number | undefined): ms is number {
  return ms !== undefined && Number.isFinite(ms) && ms >= 0;
}
