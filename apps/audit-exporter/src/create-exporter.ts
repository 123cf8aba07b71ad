import { AppError, describeUnknown } from '@pointsman/errors';
import { createRedisLock, type Lock } from '@pointsman/locking';
import { ObjectStoreError, openObjectStore } from '@pointsman/object-store';
import { connectRedis } from '@pointsman/redis';
import { createSyncReporter, type SyncPassContext, type SyncReporter, type SyncResult } from '@pointsman/sync';
import { attribute, metric, type Telemetry } from '@pointsman/telemetry';
import type { Clock } from '@pointsman/timing';
import { createAuditDatabase } from './audit-database.ts';
import { takeTurn } from './export-lock.ts';
import { exportLog } from './export-log.ts';
import type { AuditExporterSettings, DatabasePlace } from './settings.ts';

/** What `revision` of a log without rows is. */
export const NOTHING_EXPORTED = 'empty';
/** Of a segment, and so about of a part: one PUT. */
const PART_BYTES = 8 * 1024 * 1024;
const PAGE_ROWS = 500;
const DAY_MS = 86_400_000;
const REDIS_TIMEOUT_MS = 2_000;

export interface Exporter extends AsyncDisposable {
  readonly storeUrl: string;
  readonly reporter: SyncReporter;
  /** Exports everything there is, when its turn comes within `waitMs`. */
  pass(waitMs: number, signal: AbortSignal): Promise<SyncResult>;
}

export interface ExporterSettings extends AuditExporterSettings {
  readonly database: Exclude<DatabasePlace, { kind: 'none' }>;
}

/** The parts of an exporter. Nothing is asked of the database yet. */
export async function createExporter(settings: ExporterSettings, telemetry: Telemetry, clock: Clock): Promise<Exporter> {
  const { metrics, logger } = telemetry;
  await telemetry.librariesTraced;
  await using opening = new AsyncDisposableStack();
  const store = await openObjectStore(settings.storeUrl, {
    maxAttempts: 3, ...(settings.storeEndpoint === undefined ? {} : { endpoint: settings.storeEndpoint }), ...(settings.sse === undefined ? {} : { sse: settings.sse }),
  });
  opening.defer(() => { store.close(); });
  const database = opening.use(createAuditDatabase(settings.database));
  const lock = openLock(settings.redisUrl, opening);
  if (settings.signingKey === undefined) logger.warn('manifests are not signed: AUDIT_SIGNING_KEY is not set');

  const failures = metrics.counter(metric.AUDIT_EXPORT_FAILURES).labels();
  const rowsTotal = metrics.counter(metric.AUDIT_EXPORT_ROWS).labels();
  const databaseAway = metrics.gauge(metric.GATEWAY_DEGRADED_MODE).labels('postgres');
  databaseAway.set(0);
  const reporter = await createSyncReporter({
    app: 'audit-exporter', telemetry, clock,
    // Asking could take as long as the database is away; the first pass asks.
    published: () => Promise.resolve(undefined),
    isStoreFailure: (failure) => failure instanceof ObjectStoreError,
  });

  /** File names carry it: of two segments, one is later. */
  let stamp = 0;
  const timestamp = (): number => {
    stamp = Math.max(clock.now(), stamp + 1);
    return stamp;
  };
  const limits = { rows: settings.partRows, bytes: PART_BYTES, pageRows: Math.min(PAGE_ROWS, settings.partRows) };
  const retainUntil = (): Date | undefined => (settings.retentionDays === undefined ? undefined : new Date(clock.now() + settings.retentionDays * DAY_MS));

  const run = async ({ logger: line, span }: SyncPassContext, waitMs: number, signal: AbortSignal): Promise<SyncResult> => {
    const { auditExports: exports } = await database.open(signal);
    const current = async (): Promise<string> => (await exports.lastManifest(undefined, signal))?.sha256.slice(0, 12) ?? NOTHING_EXPORTED;
    await using turn = await takeTurn(exports, { lock, ttlMs: settings.lockTtlMs, logger: line }, waitMs, signal);
    if (turn === undefined) {
      line.warn('another exporter is at work');
      return { outcome: 'unchanged', revision: await current() };
    }
    const exportSpan = span.child('audit.export', 'internal');
    try {
      const result = await exportLog({
        exports, store, clock, signingKey: settings.signingKey, retainUntil, span: exportSpan, logger: line,
        written: ({ rows }) => { rowsTotal.inc(rows); },
      }, { limits, timestamp }, AbortSignal.any([signal, turn.signal]));
      exportSpan.set(attribute.AUDIT_EXPORTED_ROWS, result.rows);
      line.info('exported', { rows: result.rows, manifests: result.manifests });
      return { outcome: result.manifests > 0 ? 'published' : 'unchanged', revision: await current() };
    } catch (error) {
      exportSpan.fail(error instanceof Error ? error.name : 'Error', describeUnknown(error));
      throw error;
    } finally {
      exportSpan.end();
    }
  };

  const kept = opening.move();
  return {
    storeUrl: store.url,
    reporter,
    pass: async (waitMs, signal) => {
      try {
        const result = await reporter.pass((context) => run(context, waitMs, signal));
        databaseAway.set(0);
        return result;
      } catch (error) {
        if (!(error instanceof Error && error.name === 'AbortError')) {
          failures.inc();
          databaseAway.set(isDatabaseAway(error) ? 1 : 0);
        }
        throw error;
      }
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

function isDatabaseAway(error: unknown): boolean {
  return error instanceof AppError && ['database_unavailable', 'database_timeout', 'embedded_database_failed'].includes(error.code);
}

function openLock(url: string | undefined, parts: AsyncDisposableStack): Lock | undefined {
  if (url === undefined) return undefined;
  const connection = connectRedis({ url, clientName: 'pointsman-audit-exporter', commandTimeoutMs: REDIS_TIMEOUT_MS, onState: () => undefined });
  parts.defer(() => connection.close());
  return createRedisLock({ connection });
}
