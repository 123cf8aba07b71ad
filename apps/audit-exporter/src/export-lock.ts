import { randomUUID } from 'node:crypto';
import type { AuditExportStore } from '@pointsman/database';
import { LockLostError, LockUnavailableError, type Lock } from '@pointsman/locking';
import type { Logger } from '@pointsman/telemetry';
import { sleep } from '@pointsman/timing';

/** What an exporter holds while it works. The ledger is safe without it: it keeps two from doing the same work. */
export interface ExportTurn extends AsyncDisposable {
  /** Aborts when another may have the turn. */
  readonly signal: AbortSignal;
}

export interface ExportLockOptions {
  /** Of Redis, where there is one; when it is away the lease in the database serves. */
  readonly lock: Lock | undefined;
  readonly ttlMs: number;
  readonly logger: Logger;
}

const LOCK_NAME = 'audit-exporter';
const MOST_PAUSE_MS = 1_000;

/** Waits for the turn; undefined when another had it all the time. */
export async function takeTurn(exports: AuditExportStore, { lock, ttlMs, logger }: ExportLockOptions, waitMs: number, signal: AbortSignal): Promise<ExportTurn | undefined> {
  if (lock !== undefined) {
    try {
      return await lock.acquire(LOCK_NAME, { ttlMs, waitMs, signal });
    } catch (error) {
      if (!(error instanceof LockUnavailableError)) throw error;
      logger.warn('the lock in Redis is not available: the one in the database is taken', { reason: error });
    }
  }
  return takeLease(exports, { ttlMs, waitMs }, signal);
}

async function takeLease(exports: AuditExportStore, { ttlMs, waitMs }: { readonly ttlMs: number; readonly waitMs: number }, signal: AbortSignal): Promise<ExportTurn | undefined> {
  const holder = randomUUID();
  const deadline = performance.now() + waitMs;
  while (!await exports.lease(holder, ttlMs, signal)) {
    const leftMs = deadline - performance.now();
    if (leftMs <= 0) return undefined;
    await sleep(Math.min(leftMs, ttlMs / 4, MOST_PAUSE_MS), signal);
    signal.throwIfAborted();
  }
  return keepLease(exports, holder, ttlMs);
}

function keepLease(exports: AuditExportStore, holder: string, ttlMs: number): ExportTurn {
  const lost = new AbortController();
  const stop = new AbortController();
  const renewing = (async () => {
    let until = performance.now() + ttlMs;
    while (!stop.signal.aborted) {
      await sleep(ttlMs / 3, stop.signal);
      if (stop.signal.aborted) return;
      const askedAt = performance.now();
      try {
        if (!await exports.lease(holder, ttlMs, AbortSignal.any([stop.signal, AbortSignal.timeout(Math.max(1, Math.ceil(until - askedAt)))]))) return lost.abort(new LockLostError(LOCK_NAME, 'another exporter has taken over.'));
        until = askedAt + ttlMs;
      } catch {
        // Away for a moment, perhaps: time says when it is too late.
        if (!stop.signal.aborted && performance.now() >= until) return lost.abort(new LockLostError(LOCK_NAME, 'it could not be renewed in time.'));
      }
    }
  })();
  return {
    signal: lost.signal,
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await renewing;
      // It ends by itself when the database is away.
      if (!lost.signal.aborted) await exports.lease(holder, 0).catch(() => undefined);
    },
  };
}
