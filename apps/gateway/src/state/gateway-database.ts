import { AppError } from '@pointsman/errors';
import type { Database } from '@pointsman/database';

export interface DatabaseRunOptions {
  readonly deadlineMs?: number;
  /** Work that may take long by its nature, such as sums over the ledger: that it was too slow says nothing about the database. Then it is 503 `report_too_slow`. */
  readonly isReport?: boolean;
}

/** The database as the rest of the gateway sees it: there, away, or not configured at all. Every call has a deadline and a decided answer. */
export interface GatewayDatabase {
  /** False where there is none: only the master key is accepted then. */
  readonly isConfigured: boolean;
  /** True while calls are refused or fail: keys are served from memory, ledger and audit wait on disk. */
  readonly isAway: boolean;
  /**
   * Runs work on the database.
   * @throws AppError `no_db_connection` (400, LiteLLM's words) where none is configured, `database_unavailable` (503) while it is away or too slow;
   * and what the work itself throws (`AlreadyExistsError`, AppError).
   */
  run<T>(work: (database: Database, signal: AbortSignal) => Promise<T>, options?: DatabaseRunOptions): Promise<T>;
}

export function noDatabaseConfigured(): AppError {
  return new AppError('invalid_request', '400', 'No connected db.', { type: 'no_db_connection' });
}

/** A gateway without state: the master key and nothing else. */
export const noDatabase: GatewayDatabase = { isConfigured: false, isAway: false, run: () => Promise.reject(noDatabaseConfigured()) };
