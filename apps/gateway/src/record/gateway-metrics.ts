import type { ProviderFault } from '@pointsman/providers';
import type { Decision } from '@pointsman/routing';
import { metric, type Metrics } from '@pointsman/telemetry';
import type { Deployment } from '../snapshot/snapshot.ts';
import { ModelArms } from '../experiments/model-arms.ts';
import type { ExchangeRecord } from './exchange-record.ts';
import { failureReason } from './failure-reason.ts';

/** Whose limit it is: a closed set, never an id. */
export type LimitScopeKind = 'key' | 'team' | 'user' | 'global';

/** One line of the outcome of a request on a route, for metrics. */
export interface RequestOutcome {
  readonly route: string;
  readonly status: number;
  readonly durationMs: number;
  /** Undefined for requests that were refused before they became a call, and for routes that call nobody. */
  readonly record: ExchangeRecord | undefined;
  /** The provider of a request that was passed through untouched. */
  readonly passedTo?: string | undefined;
}

/** The gateway's metrics, with every name in one place (`libs/telemetry/src/metric-names.ts`). Model labels come from the configuration only. */
export class GatewayMetrics {
  /** What each version of a router model did. */
  readonly arms: ModelArms;
  readonly #requests;
  readonly #duration;
  readonly #overhead;
  readonly #ttft;
  readonly #tokens;
  readonly #spend;
  readonly #unpriced;
  readonly #attempts;
  readonly #retries;
  readonly #fallbacks;
  readonly #streamsEnded;
  readonly #failed;
  readonly #decisions;
  readonly #decisionDuration;
  readonly #decisionTimeouts;
  readonly #activeStreams;
  readonly #activeStreamsCount;
  readonly #inflight;
  readonly #configInfo;
  readonly #reloads;
  readonly #breakerState;
  readonly #degraded;
  readonly #limited;

  constructor(metrics: Metrics) {
    this.arms = new ModelArms(metrics);
    this.#requests = metrics.counter(metric.GATEWAY_REQUESTS);
    this.#duration = metrics.histogram(metric.GATEWAY_REQUEST_DURATION);
    this.#overhead = metrics.histogram(metric.GATEWAY_OVERHEAD);
    this.#ttft = metrics.histogram(metric.GATEWAY_TIME_TO_FIRST_TOKEN);
    this.#tokens = metrics.counter(metric.GATEWAY_TOKENS);
    this.#spend = metrics.counter(metric.GATEWAY_SPEND_USD);
    this.#unpriced = metrics.counter(metric.GATEWAY_UNPRICED_REQUESTS);
    this.#attempts = metrics.counter(metric.GATEWAY_PROVIDER_ATTEMPTS);
    this.#retries = metrics.counter(metric.GATEWAY_RETRIES);
    this.#fallbacks = metrics.counter(metric.GATEWAY_FALLBACKS);
    this.#streamsEnded = metrics.counter(metric.GATEWAY_STREAMS_ENDED);
    this.#failed = metrics.counter(metric.GATEWAY_FAILED_REQUESTS);
    this.#decisions = metrics.counter(metric.ROUTER_DECISIONS);
    this.#decisionDuration = metrics.histogram(metric.ROUTER_DECISION_DURATION);
    this.#decisionTimeouts = metrics.counter(metric.ROUTER_DECISION_TIMEOUTS);
    this.#activeStreams = metrics.gauge(metric.ACTIVE_LLM_STREAMS).labels();
    this.#activeStreamsCount = metrics.gauge(metric.ACTIVE_STREAMS_COUNT).labels();
    this.#inflight = metrics.gauge(metric.GATEWAY_INFLIGHT_REQUESTS).labels();
    this.#configInfo = metrics.gauge(metric.GATEWAY_CONFIG_INFO);
    this.#reloads = metrics.counter(metric.GATEWAY_CONFIG_RELOADS);
    this.#breakerState = metrics.gauge(metric.CIRCUIT_BREAKER_STATE);
    this.#degraded = metrics.gauge(metric.GATEWAY_DEGRADED_MODE);
    this.#limited = metrics.counter(metric.GATEWAY_RATE_LIMITED);
  }

  streamStarted(): void {
    this.#activeStreams.inc(1);
    this.#activeStreamsCount.inc(1);
  }

  streamEnded(): void {
    this.#activeStreams.inc(-1);
    this.#activeStreamsCount.inc(-1);
  }

  inflight(count: number): void {
    this.#inflight.set(count);
  }

  attemptEnded({ configured }: Deployment, outcome: 'ok' | ProviderFault | 'abandoned'): void {
    this.#attempts.labels(configured.group, configured.provider, outcome === 'abandoned' ? 'cancelled' : outcome).inc(1);
  }

  retried(group: string, reason: ProviderFault): void {
    this.#retries.labels(group, reason).inc(1);
  }

  fellBack(from: string, to: string): void {
    this.#fallbacks.labels(from, to).inc(1);
  }

  decided({ strategy, modelVersion, order, tookMs }: Decision): void {
    const first = order[0];
    // Under a wildcard the model's name is the client's: made-up names would fill the bound of the metric.
    this.#decisions.labels(strategy, modelVersion, first?.pattern ?? first?.model ?? 'none').inc(1);
    this.#decisionDuration.labels(strategy).observe(tookMs / 1000);
  }

  decisionTimedOut(strategy: string): void {
    this.#decisionTimeouts.labels(strategy).inc(1);
  }

  configApplied(previous: string, revision: string): void {
    if (previous !== '') this.#configInfo.remove(previous);
    this.#configInfo.labels(revision).set(1);
  }

  reloaded(outcome: 'applied' | 'rejected' | 'unchanged'): void {
    this.#reloads.labels(outcome).inc(1);
  }

  breakerChanged(target: string, state: 'closed' | 'open' | 'half-open'): void {
    this.#breakerState.labels(target).set(metric.BREAKER_STATES[state === 'half-open' ? 'half_open' : state]);
  }

  degraded(service: metric.DegradedService, isAway: boolean): void {
    this.#degraded.labels(service).set(isAway ? 1 : 0);
  }

  /** A request that a limit of ours refused. */
  limited(scope: LimitScopeKind, kind: 'requests' | 'tokens' | 'parallel' | 'budget'): void {
    this.#limited.labels(scope, kind).inc(1);
  }

  /** Counts a request at its end, on every path. */
  requestEnded({ route, status, durationMs, record, passedTo }: RequestOutcome): void {
    const deployment = record?.deployment;
    const model = record === undefined || record.group === '' ? 'none' : record.group;
    const provider = deployment?.configured.provider ?? passedTo ?? 'none';
    this.#requests.labels(route, model, provider, String(status)).inc(1);
    this.#duration.labels(route, model).observe(durationMs / 1000);
    if (record === undefined) {
      if (status >= 500) this.#failed.labels(route, model, status === 503 ? 'unavailable' : 'internal').inc(1);
      return;
    }
    const failure = record.error === undefined ? undefined : failureReason(record.error);
    if (failure !== undefined) this.#failed.labels(route, model, failure).inc(1);
    const { usage, ttftMs } = record;
    if (deployment !== undefined && !record.stream && record.operation !== 'passthrough') this.#overhead.labels(route).observe(Math.max(0, durationMs - record.upstreamMs) / 1000);
    if (record.stream) {
      if (ttftMs !== undefined) {
        this.#ttft.labels(model, provider).observe(ttftMs / 1000);
        this.#overhead.labels(route).observe(Math.max(0, ttftMs - record.upstreamMs) / 1000);
      }
      const outcome = record.clientGone ? 'client_gone' : record.error !== undefined ? 'error' : record.recovered ? 'recovered' : 'complete';
      this.#streamsEnded.labels(model, outcome).inc(1);
    }
    if (usage !== undefined && !record.cacheHit) {
      this.#tokens.labels(model, 'prompt').inc(usage.promptTokens);
      this.#tokens.labels(model, 'completion').inc(usage.completionTokens);
      if (usage.cachedTokens > 0) this.#tokens.labels(model, 'cached').inc(usage.cachedTokens);
      if (usage.cacheCreationTokens > 0) this.#tokens.labels(model, 'cache_creation').inc(usage.cacheCreationTokens);
      if (usage.reasoningTokens > 0) this.#tokens.labels(model, 'reasoning').inc(usage.reasoningTokens);
    }
    if (record.costUsd === undefined && usage !== undefined && usage.totalTokens > 0) this.#unpriced.labels(model).inc(1);
    if (record.costUsd !== undefined && record.costUsd > 0) this.#spend.labels(model).inc(record.costUsd);
  }
}
