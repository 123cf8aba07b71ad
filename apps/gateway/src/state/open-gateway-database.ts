import { AppError } from '@pointsman/errors';
import { AlreadyExistsError, RejectedRowsError, type Database } from '@pointsman/database';
import type { DegradedMode } from '@pointsman/gateway-config';
import { PrimaryDeadlineError } from '@pointsman/resilience';
import type { Logger } from '@pointsman/telemetry';
import type { Clock } from '@pointsman/timing';
import type { GatewayMetrics } from '../record/gateway-metrics.ts';
import { Dependency, DependencyAwayError } from './dependency.ts';
import type { DatabaseRunOptions, GatewayDatabase } from './gateway-database.ts';

/** What an admin route waits for at most; the path of a request asks for less. */
const ADMIN_DEADLINE_MS = 5_000;
/** Spend of budgets whose period is over is set back this often. Any replica may do it. */
const RESET_EVERY_MS = 10_000;

export interface OpenGatewayDatabaseOptions {
  /** Makes the door to the database; may take its time, in the background. */
  readonly open: (signal: AbortSignal) => Database | Promise<Database>;
  readonly degradedMode: DegradedMode;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Pick<GatewayMetrics, 'degraded' | 'breakerChanged'>;
}

export interface OpenedGatewayDatabase extends GatewayDatabase {
  /** Resolves when the first try to connect and migrate is over, whatever came of it. */
  readonly firstAttempt: Promise<void>;
  configure(mode: DegradedMode): void;
  close(): Promise<void>;
}

/** Connects and migrates in the background, again and again until it succeeds: a gateway starts and serves what it can without its database. */
export function openGatewayDatabase({ open, degradedMode, clock, logger, metrics }: OpenGatewayDatabaseOptions): OpenedGatewayDatabase {
  let database: Database | undefined;
  const dependency = new Dependency({
    name: 'postgres', clock, logger, metrics, breaker: degradedMode.breaker, isOutage,
    async prepare(signal) {
      database ??= await open(signal);
      const { applied } = await database.migrate(signal);
      logger.info('database ready', { kind: database.kind, migrations_applied: applied.length });
    },
    ping: async (signal) => database?.ping(signal),
  });
  dependency.start();

  const run = async <T>(work: (database: Database, signal: AbortSignal) => Promise<T>, { deadlineMs = ADMIN_DEADLINE_MS, isReport = false }: DatabaseRunOptions = {}): Promise<T> => {
    if (isReport) {
      if (dependency.isAway || !dependency.isPrepared) throw dependency.isAway ? databaseUnavailable() : databaseStarting();
      return withinReportTime((signal) => work(opened(database), signal), deadlineMs);
    }
    try {
      return await dependency.run((signal) => work(opened(database), signal), deadlineMs);
    } catch (error) {
      if (error instanceof DependencyAwayError) throw dependency.isPrepared || dependency.isAway ? databaseUnavailable(error.cause) : databaseStarting();
      throw error;
    }
  };
  let isResetting = false;
  const resets = setInterval(() => {
    if (isResetting || dependency.isAway || !dependency.isPrepared) return;
    isResetting = true;
    void run((open, signal) => open.access.resetDueBudgets(new Date(clock.now()), signal)).catch((error: unknown) => {
      if (!(error instanceof AppError)) logger.oncePerState('budget-resets').change(String(error), 'error', 'budgets not set back', { reason: error });
    }).finally(() => {
      isResetting = false;
    });
  }, RESET_EVERY_MS);
  resets.unref();

  return {
    isConfigured: true,
    get isAway() {
      return dependency.isAway;
    },
    firstAttempt: dependency.firstAttempt,
    configure: ({ breaker }) => dependency.configure(breaker),
    run,
    async close() {
      clearInterval(resets);
      await dependency.close();
      await database?.close();
    },
  };
}

export function databaseUnavailable(cause?: unknown): AppError {
  return new AppError('unavailable', 'database_unavailable', 'The database cannot be reached now. Try again soon.', { retryAfterMs: 1_000, ...(cause === undefined ? {} : { cause }) });
}

/** Nothing has failed yet: the first start of an embedded database takes seconds. */
function databaseStarting(): AppError {
  return new AppError('unavailable', 'database_starting', 'The database is being opened. Try again soon.', { retryAfterMs: 1_000 });
}

/**
 * Without a vote on whether the database is away, neither for nor against it: what a report runs into is its own size. Pings and look-ups of keys notice an outage.
 * @throws AppError `report_too_slow` at the deadline and where one statement took too long; what the work throws otherwise.
 */
async function withinReportTime<T>(work: (signal: AbortSignal) => Promise<T>, deadlineMs: number): Promise<T> {
  const limit = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(reportTooSlow());
      limit.abort(reportTooSlow());
    }, deadlineMs);
  });
  try {
    return await Promise.race([work(limit.signal), late]);
  } catch (error) {
    throw error instanceof AppError && error.code === 'database_timeout' ? reportTooSlow(error) : error;
  } finally {
    clearTimeout(timer);
  }
}

function reportTooSlow(cause?: unknown): AppError {
  return new AppError('unavailable', 'report_too_slow', 'This report takes too long: ask for a shorter span of time, or for single requests by page.', { retryAfterMs: 10_000, ...(cause === undefined ? {} : { cause }) });
}

/** What the database said no to is no outage, and a mistake of ours in a statement is none either: the server is there and answers. */
function isOutage(failure: unknown): boolean {
  if (failure instanceof PrimaryDeadlineError) return true;
  if (failure instanceof AppError) return failure.kind === 'unavailable';
  if (failure instanceof AlreadyExistsError || failure instanceof RejectedRowsError || failure instanceof TypeError) return false;
  const sqlState: unknown = failure instanceof Error && 'code' in failure ? failure.code : undefined;
  return !(typeof sqlState === 'string' && /^(?:22|23|42|0A)[0-9A-Z]{3}$/.test(sqlState));
}

function opened(database: Database | undefined): Database {
  if (database === undefined) throw databaseUnavailable();
  return database;
}
