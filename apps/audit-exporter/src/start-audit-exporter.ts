import { startHealthServer, type HealthReport } from '@pointsman/service';
import { runSyncLoop } from '@pointsman/sync';
import type { Telemetry } from '@pointsman/telemetry';
import { systemClock } from '@pointsman/timing';
import { createExporter, NOTHING_EXPORTED, type Exporter } from './create-exporter.ts';
import type { AuditExporterSettings } from './settings.ts';

/** What is left by a pass that ran out of time is done by the next. */
const PASS_TIMEOUT_MS = 3_600_000;
/** A daily export that failed is tried again in minutes, not in a day. */
const MOST_RETRY_MS = 300_000;
const MOST_WAIT_MS = 600_000;

export interface RunningAuditExporter {
  /** Of the health server. */
  readonly url: string;
  /** Resolves when the signal has ended the loop. */
  readonly ended: Promise<void>;
  close(): Promise<void>;
}

/** Builds the parts, serves health and metrics, and exports until the signal. */
export async function startAuditExporter(settings: AuditExporterSettings, telemetry: Telemetry, signal: AbortSignal): Promise<RunningAuditExporter> {
  const { logger, metrics } = telemetry;
  const { database } = settings;
  const exporter = database.kind === 'none' ? undefined : await createExporter({ ...settings, database }, telemetry, systemClock);
  const health = await startHealthServer({
    port: settings.healthPort, ...(settings.healthHost === undefined ? {} : { host: settings.healthHost }), path: '/health/audit-exporter', metrics,
    status: () => (exporter === undefined ? { status: 'ok', revision: null, note: 'DATABASE_URL is none: there is no audit log' } : healthOf(exporter)),
  });
  logger.info('listening', { url: health.url, port: health.port, database: database.kind, ...(exporter === undefined ? {} : { store: exporter.storeUrl, interval_ms: settings.intervalMs }) });
  const ended = exporter === undefined ? untilAborted(signal) : runPasses(exporter, settings, signal);
  return {
    url: health.url,
    ended,
    async close() {
      await exporter?.[Symbol.asyncDispose]();
      await health.close();
    },
  };
}

async function runPasses(exporter: Exporter, { intervalMs }: AuditExporterSettings, signal: AbortSignal): Promise<void> {
  let hasFailed = false;
  await runSyncLoop((passSignal) => exporter.pass(Math.min(intervalMs, MOST_WAIT_MS), passSignal), {
    intervalMs: () => (hasFailed ? Math.min(intervalMs, MOST_RETRY_MS) : intervalMs),
    // ±1 %: who exports daily wants it to stay about the same hour.
    passTimeoutMs: PASS_TIMEOUT_MS, random: () => 0.475 + Math.random() * 0.05, now: () => systemClock.monotonic(),
  }, { onPass: (pass) => { hasFailed = 'failure' in pass; } }, signal);
}

function healthOf({ reporter }: Exporter): HealthReport {
  const { revision, ...report } = reporter.health();
  return { ...report, revision: revision === NOTHING_EXPORTED ? null : revision };
}

async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => { resolve(); }, { once: true }));
}
