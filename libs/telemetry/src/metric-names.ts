import { defineCounter, defineGauge, defineHistogram } from './metric-definition.ts';

// One definition per metric: name with its unit, help, the closed list of label names. Never a user, a key or a prompt as a label.
// Label values come from the configuration (routes, models, providers) or from the lists below.

export const TOKEN_TYPES = ['prompt', 'completion', 'cached', 'cache_creation', 'reasoning'] as const;
export type TokenType = (typeof TOKEN_TYPES)[number];
/** `circuit_breaker_state`: 0 closed, 1 half open, 2 open. */
export const BREAKER_STATES = { closed: 0, half_open: 1, open: 2 } as const;
export type BreakerState = keyof typeof BREAKER_STATES;
export const DEGRADED_SERVICES = ['redis', 'postgres', 's3', 'model', 'config'] as const;
export type DegradedService = (typeof DEGRADED_SERVICES)[number];
export const SYNC_APPS = ['config-sync', 'model-sync', 'audit-exporter'] as const;
export const SYNC_OUTCOMES = ['unchanged', 'published', 'rejected', 'failed'] as const;
export type SyncOutcomeLabel = (typeof SYNC_OUTCOMES)[number];
/** `gateway_retries_total{reason}` and `gateway_provider_attempts_total{outcome}`: `ok`, or the fault of the attempt. */
export const ATTEMPT_OUTCOMES = ['ok', 'unreachable', 'timeout', 'rate_limited', 'overloaded', 'server_error', 'auth', 'not_found', 'bad_request', 'context_window', 'content_policy', 'bad_reply', 'truncated', 'stream_error', 'cancelled'] as const;

/** 1 ms to 120 s: from an answer out of the cache to a long generation. */
const REQUEST_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120] as const;
/** 50 µs to 1 s: what the gateway itself adds. */
const OVERHEAD_SECONDS = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1] as const;

export const GATEWAY_REQUESTS = defineCounter('gateway_requests_total', 'Requests answered, by route, model group, provider and HTTP status.', ['route', 'model', 'provider', 'status']);
export const GATEWAY_REQUEST_DURATION = defineHistogram('gateway_request_duration_seconds', 'Seconds from the first byte of a request to the last byte of its reply.', ['route', 'model'], REQUEST_SECONDS);
export const GATEWAY_OVERHEAD = defineHistogram('gateway_overhead_seconds', 'Seconds of the request that the gateway itself took: total time without the time spent waiting for providers.', ['route'], OVERHEAD_SECONDS);
export const GATEWAY_TIME_TO_FIRST_TOKEN = defineHistogram('gateway_time_to_first_token_seconds', 'Seconds from the first byte of a request to the first content byte of its streamed reply.', ['model', 'provider'], REQUEST_SECONDS);
export const GATEWAY_TOKENS = defineCounter('gateway_tokens_total', 'Tokens used, by model and type; cached tokens are also in prompt, reasoning tokens also in completion.', ['model', 'type']);
export const GATEWAY_SPEND_USD = defineCounter('gateway_spend_usd_total', 'USD spent at providers, by model.', ['model']);
export const GATEWAY_UNPRICED_REQUESTS = defineCounter('gateway_unpriced_requests_total', 'Requests that used tokens of a model without a known price, by model: they count nothing against budgets.', ['model']);
export const ACTIVE_LLM_STREAMS = defineGauge('active_llm_streams', 'Streamed replies being sent now.', []);
export const ACTIVE_STREAMS_COUNT = defineGauge('active_streams_count', 'Streamed replies being sent now; the name that autoscalers read.', []);
export const GATEWAY_INFLIGHT_REQUESTS = defineGauge('gateway_inflight_requests', 'Requests being served now.', []);
export const GATEWAY_PROVIDER_ATTEMPTS = defineCounter('gateway_provider_attempts_total', 'Calls to providers, by model, provider and outcome.', ['model', 'provider', 'outcome']);
export const GATEWAY_RETRIES = defineCounter('gateway_retries_total', 'Calls beyond the first of a request, by model group and the fault that caused them.', ['model', 'reason']);
export const GATEWAY_FALLBACKS = defineCounter('gateway_fallbacks_total', 'Requests that moved to another model group.', ['from', 'to']);
/** `gateway_failed_requests_total{reason}`: whose fault it was that a request failed; never the caller's. */
export const FAILURE_REASONS = ['upstream', 'no_deployment', 'timeout', 'unavailable', 'internal'] as const;
export type FailureReason = (typeof FAILURE_REASONS)[number];
export const GATEWAY_FAILED_REQUESTS = defineCounter('gateway_failed_requests_total', 'Requests that failed through no fault of their caller, whatever status they got: also streams that broke after they began, and 429 where no deployment was left.', ['route', 'model', 'reason']);
export const GATEWAY_STREAMS_ENDED = defineCounter('gateway_streams_ended_total', 'Streamed replies, by how they ended: complete, error, client_gone, recovered.', ['model', 'outcome']);
export const GATEWAY_CACHE = defineCounter('gateway_cache_requests_total', 'Look-ups in the response cache, by result: hit, miss, skipped.', ['result']);
export const GATEWAY_RATE_LIMITED = defineCounter('gateway_rate_limited_total', 'Requests refused by a limit of ours, by the scope and kind of the limit.', ['scope', 'kind']);
export const ROUTER_DECISIONS = defineCounter('router_decisions_total', 'Routing decisions, by strategy, its model version and the chosen model.', ['strategy', 'model_version', 'selected_model']);
export const ROUTER_DECISION_DURATION = defineHistogram('router_decision_duration_seconds', 'Seconds that a routing decision took.', ['strategy'], OVERHEAD_SECONDS);
export const ROUTER_DECISION_TIMEOUTS = defineCounter('router_decision_timeouts_total', 'Routing decisions that missed their deadline and took the default candidate.', ['strategy']);
export const ROUTER_FEEDBACK = defineCounter('router_feedback_total', 'Feedback scores received, by strategy and model version.', ['strategy', 'model_version']);
export const ROUTER_BANDIT_REWARDS = defineCounter('router_bandit_rewards_total', 'Rewards that the contextual bandit learned from, by source: feedback, judge, error.', ['source']);
export const ROUTER_JUDGE_VERDICTS = defineCounter('router_judge_verdicts_total', 'Requests sampled for the judge, by outcome: judged, bad_reply (no strict JSON), no_answer (the second candidate), judge_failed, over_budget, busy, unpriced, aborted.', ['outcome']);
export const ROUTER_JUDGE_SPEND = defineCounter('router_judge_spend_usd_total', 'USD that the judge and the second answers cost.', []);
/** `router_arm_*{measure}`: what versions of a router model are compared by. */
export const ARM_MEASURES = ['request_seconds', 'decision_seconds', 'cost_usd', 'feedback', 'judge'] as const;
export type ArmMeasureLabel = (typeof ARM_MEASURES)[number];
export const ROUTER_ARM_REQUESTS = defineCounter('router_arm_requests_total', 'Requests that a version of a router model decided, by outcome: ok, failed (through no fault of their caller), refused (through their caller\u2019s).', ['router_model', 'model_version', 'outcome']);
export const ROUTER_ARM_OBSERVATIONS = defineCounter('router_arm_observations_total', 'Values observed of requests that a version of a router model decided, by measure: request_seconds, decision_seconds, cost_usd, feedback, judge.', ['router_model', 'model_version', 'measure']);
export const ROUTER_ARM_SUM = defineCounter('router_arm_sum_total', 'Sum of those values, in the unit of the measure; divided by router_arm_observations_total the mean.', ['router_model', 'model_version', 'measure']);
export const ROUTER_ARM_SQUARES = defineCounter('router_arm_squares_total', 'Sum of the squares of those values: what an interval around the mean is made from.', ['router_model', 'model_version', 'measure']);
export const GATEWAY_DEGRADED_MODE = defineGauge('gateway_degraded_mode', '1 while a service is away and its fallback serves, else 0.', ['service']);
export const CIRCUIT_BREAKER_STATE = defineGauge('circuit_breaker_state', 'State of a circuit breaker: 0 closed, 1 half open, 2 open.', ['target']);
export const GATEWAY_CONFIG_INFO = defineGauge('gateway_config_info', '1 for the configuration revision that serves.', ['revision']);
export const GATEWAY_CONFIG_RELOADS = defineCounter('gateway_config_reloads_total', 'Configuration reloads, by outcome: applied, rejected, unchanged.', ['outcome']);
export const GATEWAY_MODEL_INFO = defineGauge('gateway_model_info', '1 for each router model and version that is loaded.', ['name', 'version']);
export const ROUTER_MODEL_LOADS = defineCounter('router_model_loads_total', 'Generations of router models that began to serve, by model name.', ['name']);
export const ROUTER_MODEL_LOAD_FAILURES = defineCounter('router_model_load_failures_total', 'Generations of router models that were refused, by reason; the previous one serves on.', ['reason']);
export const SYNC_PASSES = defineCounter('sync_passes_total', 'Passes of a sync loop, by app and outcome.', ['app', 'outcome']);
export const SYNC_PASS_DURATION = defineHistogram('sync_pass_duration_seconds', 'Seconds that a pass of a sync loop took.', ['app'], REQUEST_SECONDS);
export const SYNC_LAST_SUCCESS = defineGauge('sync_last_success_timestamp_seconds', 'When a sync loop last succeeded, in seconds since the epoch.', ['app']);
export const SYNC_PUBLISHED_INFO = defineGauge('sync_published_info', '1 for the revision that is published.', ['app', 'revision']);
export const SYNC_BYTES_TOTAL = defineCounter('sync_bytes_total', 'Bytes fetched by a sync loop.', ['app']);
/** `model_sync_fetches_total{source}`: where the files of a model came from. `outcome`: `ok`, `rejected`, `failed`. */
export const MODEL_SOURCES = ['origin', 'cache'] as const;
export const MODEL_SYNC_FETCHES = defineCounter('model_sync_fetches_total', 'Router models downloaded, by source (origin, cache) and outcome (ok, rejected, failed).', ['source', 'outcome']);
export const MODEL_SYNC_LOCK_WAIT = defineHistogram('model_sync_lock_wait_seconds', 'Seconds spent waiting for the lock of a router model, or for the holder to fill the cache.', [], REQUEST_SECONDS);
export const MODEL_SYNC_REJECTIONS = defineCounter('model_sync_rejections_total', 'Router models refused, by reason: a fault of the artifact, or gateway where its self-test refused it.', ['reason']);
export const AUDIT_EXPORT_FAILURES = defineCounter('audit_export_failures_total', 'Audit exports that failed.', []);
export const AUDIT_EXPORT_ROWS = defineCounter('audit_export_rows_total', 'Audit rows that were written to the object store.', []);
export const AUDIT_EVENTS_DROPPED = defineCounter('audit_events_dropped_total', 'Audit events that were lost because they could not be written to disk.', []);
export const GATEWAY_SPOOL_BYTES = defineGauge('gateway_spool_bytes', 'Bytes on disk that wait for the database, by what they are: spend, audit.', ['records']);
export const GATEWAY_SPOOL_ROWS = defineGauge('gateway_spool_rows', 'Rows that wait for the database, on disk or, while the disk refuses them, in memory, by what they are.', ['records']);
export const GATEWAY_SPOOL_ROWS_LOST = defineCounter('gateway_spool_rows_lost_total', 'Rows that could not be kept (full: the bound on disk is reached; disk: it refused and the memory for such rows is full) or that the database refuses for good (rejected, set aside on disk).', ['records', 'reason']);
export const TRACE_ROWS = defineCounter('trace_exporter_rows_total', 'Training rows, by outcome: written, duplicate (a span that was sent again), skipped (nobody chose, or no row can be made of it).', ['outcome']);
export const TRACE_ROWS_DROPPED = defineCounter('trace_rows_dropped_total', 'Training rows lost, by reason: spool_full (the oldest give way), unreadable (a file of the spool was damaged or deleted), too_large (one request alone is larger than the spool may be).', ['reason']);
export const TRACE_FEEDBACK = defineCounter('trace_exporter_feedback_total', 'Feedback, by outcome: joined to the row of its request, late (written as a row of its own).', ['outcome']);
export const TRACE_SPOOL_ROWS = defineGauge('trace_spool_rows', 'Training rows on disk that wait to be written to the object store.', []);
export const TRACE_SPOOL_BYTES = defineGauge('trace_spool_bytes', 'Bytes of training rows on disk.', []);
export const TRACE_SPOOL_OLDEST_SECONDS = defineGauge('trace_spool_oldest_seconds', 'Age of the oldest training row that waits, in seconds.', []);
export const TRACE_UPLOADS = defineCounter('trace_exporter_uploads_total', 'Objects of training rows, by outcome: written, present (a repeat after a crash), failed (it is tried again).', ['outcome']);
export const TRACE_RECEIVED = defineCounter('trace_exporter_requests_total', 'OTLP requests received, by signal (traces, metrics, logs) and outcome: ok, refused (not OTLP, too large), busy (told to come again).', ['signal', 'outcome']);
export const TRACE_FORWARDS = defineCounter('trace_exporter_forwards_total', 'OTLP requests to forward, by signal and outcome: ok, failed, queue_full.', ['signal', 'outcome']);
export const TRACE_LAST_SUCCESS = defineGauge('trace_export_last_success_timestamp_seconds', 'When training rows were last written to the object store, in seconds since the epoch.', []);
export const TELEMETRY_SPANS_DROPPED = defineCounter('telemetry_spans_dropped_total', 'Spans lost, by reason: queue_full, export_failed, shutdown.', ['reason']);
export const TELEMETRY_SPANS_EXPORTED = defineCounter('telemetry_spans_exported_total', 'Spans that the receiver accepted.', []);
export const TELEMETRY_SERIES_OVERFLOW = defineCounter('telemetry_series_overflow_total', 'Times a label combination beyond the bound of its metric went to the series "other".', ['metric']);
export const TELEMETRY_LOG_LINES_DROPPED = defineCounter('telemetry_log_lines_dropped_total', 'Log lines lost because nobody read standard output.', []);
