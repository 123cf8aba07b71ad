import { describeUnknown } from '@pointsman/errors';
import type { SyncHealth } from '@pointsman/schemas';
import { attribute, metric, type Logger, type Span, type Telemetry } from '@pointsman/telemetry';
import type { Clock } from '@pointsman/timing';
import { NoGatewayError } from './apply/gateway-door.ts';
import type { Rejection } from './create-sync.ts';
import type { SyncResult } from './sync-steps.ts';

export interface SyncReporterOptions {
  /** The label of the metrics and the beginning of the span's name. */
  readonly app: (typeof metric.SYNC_APPS)[number];
  readonly telemetry: Pick<Telemetry, 'logger' | 'metrics' | 'traces'>;
  readonly clock: Clock;
  /** What is published: asked at start and after a failure, so that a store that is away, or a gateway that does not answer, is `degraded` and not `starting`. */
  readonly published: () => Promise<string | undefined>;
  /** Whether a failure of a pass means that the store is away: what `gateway_degraded_mode{service="s3"}` shows. */
  readonly isStoreFailure: (failure: unknown) => boolean;
}

/** What a pass may use to tell what it does. */
export interface SyncPassContext {
  readonly span: Span;
  /** Adds the pass's `trace_id` to every line. */
  readonly logger: Logger;
  /** Counts bytes that came from the store. */
  fetched(bytes: number): void;
  /** What the newest content is refused for; undefined when it is served. */
  rejected(rejection: Rejection | undefined): void;
}

/** So long a gateway may take to start beside its sidecars before its absence is worth a warning. */
const GATEWAY_STARTS_WITHIN_MS = 30_000;

/** Tells how a sync loop is doing: one span, one log line where something changed, the metrics, and the body of `/health/<app>`. */
export interface SyncReporter {
  /** Runs one pass, reports it, and settles as it does. */
  pass(run: (context: SyncPassContext) => Promise<SyncResult>): Promise<SyncResult>;
  health(): SyncHealth;
}

export async function createSyncReporter({ app, telemetry, clock, published, isStoreFailure }: SyncReporterOptions): Promise<SyncReporter> {
  const { metrics, traces, logger } = telemetry;
  const passes = metrics.counter(metric.SYNC_PASSES);
  // Shown from the start: an alert on a rate needs the zero before the first failure.
  for (const outcome of metric.SYNC_OUTCOMES) passes.labels(app, outcome);
  const durations = metrics.histogram(metric.SYNC_PASS_DURATION).labels(app);
  const lastSuccess = metrics.gauge(metric.SYNC_LAST_SUCCESS);
  const publishedInfo = metrics.gauge(metric.SYNC_PUBLISHED_INFO);
  const bytesTotal = metrics.counter(metric.SYNC_BYTES_TOTAL).labels(app);
  const storeAway = metrics.gauge(metric.GATEWAY_DEGRADED_MODE).labels('s3');
  storeAway.set(0);
  const states = (line: Logger) => line.oncePerState(`${app} pass`);

  let revision: string | null = null;
  let rejection: Rejection | undefined;
  let lastAttemptAt: string | null = null;
  let lastSuccessAt: string | null = null;
  let failures = 0;
  const startedAt = clock.monotonic();
  const mayStillStart = (failure: unknown): boolean => failure instanceof NoGatewayError && lastSuccessAt === null && clock.monotonic() - startedAt < GATEWAY_STARTS_WITHIN_MS;
  serves(await published());

  function serves(next: string | undefined): void {
    if (next === undefined || next === revision) return;
    if (revision !== null) publishedInfo.remove(app, revision);
    publishedInfo.labels(app, next).set(1);
    revision = next;
  }

  function succeeded(result: SyncResult, span: Span, log: Logger): void {
    failures = 0;
    storeAway.set(0);
    passes.labels(app, result.outcome).inc();
    span.set(attribute.SYNC_OUTCOME, result.outcome);
    span.set(attribute.SYNC_REVISION, result.revision);
    serves(result.serving ?? (result.outcome === 'rejected' ? undefined : result.revision));
    if (result.outcome === 'rejected') return;
    const nowMs = clock.now();
    lastSuccessAt = new Date(nowMs).toISOString();
    lastSuccess.labels(app).set(nowMs / 1000);
    if (result.outcome === 'published') log.info('published', { revision: result.revision });
    states(log).change(`serving ${result.revision}`, 'info', 'in step with the store', { revision: result.revision });
  }

  function failed(failure: unknown, span: Span, log: Logger): void {
    failures += 1;
    passes.labels(app, 'failed').inc();
    storeAway.set(isStoreFailure(failure) ? 1 : 0);
    span.set(attribute.SYNC_OUTCOME, 'failed');
    span.fail(failure instanceof Error ? failure.name : 'Error', describeUnknown(failure));
    const reason = describeUnknown(failure);
    // A store that is away for a night would fill the log with one sentence.
    const isEarly = mayStillStart(failure);
    states(log).change(`failed ${isEarly ? 'early ' : ''}${failure instanceof Error ? failure.message : reason}`, isEarly ? 'info' : 'warn', isEarly ? 'waiting for the gateway to start' : 'pass failed', { reason, consecutive_failures: failures, revision });
  }

  return {
    async pass(run) {
      const span = traces.begin(`${app}.pass`, { kind: 'internal' });
      const log = logger.forSpan(span);
      span.set(attribute.SYNC_APP, app);
      lastAttemptAt = new Date(clock.now()).toISOString();
      const startedAt = clock.monotonic();
      let bytes = 0;
      try {
        const result = await run({
          span, logger: log,
          fetched: (count) => {
            bytes += count;
            bytesTotal.inc(count);
          },
          rejected: (next) => {
            if (next !== undefined && (next.revision !== rejection?.revision || next.reason !== rejection.reason)) log.error('content rejected', { rejected_revision: next.revision, reason: next.reason, serving: revision });
            rejection = next;
          },
        });
        succeeded(result, span, log);
        return result;
      } catch (failure) {
        // Stopping is no failure; a deadline (TimeoutError) is one.
        if (failure instanceof Error && failure.name === 'AbortError') throw failure;
        serves(await published().catch(() => undefined));
        failed(failure, span, log);
        throw failure;
      } finally {
        durations.observe((clock.monotonic() - startedAt) / 1000);
        if (bytes > 0) span.set(attribute.SYNC_BYTES, bytes);
        span.end();
      }
    },
    health() {
      const status = revision === null ? 'starting' : failures > 0 ? 'degraded' : 'ok';
      return {
        status, revision, last_attempt_at: lastAttemptAt, last_success_at: lastSuccessAt, consecutive_failures: failures,
        ...(rejection === undefined ? {} : { rejected: rejection }),
      };
    },
  };
}
