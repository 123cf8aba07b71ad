import { join } from 'node:path';
import { openSpool, type SpoolOptions } from '@pointsman/spool';
import { metric, type Metrics } from '@pointsman/telemetry';
import type { Logger } from '@pointsman/telemetry';
import type { Clock } from '@pointsman/timing';
import type { Exchange } from '../http/exchange.ts';
import type { GatewayDatabase } from '../state/gateway-database.ts';
import type { ExchangeRecord } from './exchange-record.ts';
import { openAuditLog } from './audit-log.ts';
import { noAudit, type AuditSink } from './audit-sink.ts';
import { createSpendLedger } from './spend-ledger.ts';

/** Longest time that one batch may take; what is not taken by then comes again. */
const DELIVERY_MS = 20_000;
const MAX_SPEND_BYTES = 512 * 1024 * 1024;
const MAX_AUDIT_BYTES = 128 * 1024 * 1024;
/** How long a stop waits for what is left to be delivered; the rest is delivered by the next start. */
const LAST_DELIVERY_MS = 3_000;

export interface Records {
  readonly audit: AuditSink;
  readonly book: (exchange: Pick<Exchange, 'principal' | 'trace' | 'requestId' | 'elapsedMs'>, record: ExchangeRecord) => void;
  close(): Promise<void>;
}

export interface OpenRecordsOptions {
  readonly database: GatewayDatabase;
  readonly home: string;
  /** Name of the replica in the audit log. */
  readonly pod: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** How long a disk must not have refused a row to count as well again. Default: the spool's. */
  readonly diskCalmMs?: number;
}

/**
 * Ledger and audit log: written ahead to files of this process (to its memory while the disk refuses), delivered to the database when it is there.
 * Without a database nothing is recorded.
 */
export async function openRecords({ database, home, pod, clock, logger, metrics, diskCalmMs }: OpenRecordsOptions): Promise<Records> {
  if (!database.isConfigured) return { audit: noAudit, book: () => undefined, close: () => Promise.resolve() };
  const dropped = metrics.counter(metric.AUDIT_EVENTS_DROPPED).labels();
  const lost = metrics.counter(metric.GATEWAY_SPOOL_ROWS_LOST);
  const options = (name: 'spend' | 'audit', maxBytes: number): Omit<SpoolOptions, 'deliver'> => {
    const losses = logger.oncePerState(`spool ${name} lost`);
    let isLosing = false;
    // The next loss is news again.
    const noLongerLosing = (): void => {
      if (isLosing) losses.change('none', 'info', 'records are no longer lost', { records: name });
      isLosing = false;
    };
    return {
      directory: join(home, 'spool', name), maxBytes, deliverTimeoutMs: DELIVERY_MS, ...(diskCalmMs === undefined ? {} : { diskCalmMs }),
      onDelivery: ({ failing, ...told }) => {
        // An outage of the database has its own line.
        if (failing && !database.isAway) logger.oncePerState(`spool ${name}`).change('failing', 'warn', 'records wait on disk', { records: name, reason: 'reason' in told ? told.reason : undefined });
        else if (!failing) logger.oncePerState(`spool ${name}`).change('delivering', 'debug', 'records are delivered', { records: name });
        if (!failing) noLongerLosing();
      },
      onDisk: (state) => {
        const disk = logger.oncePerState(`spool ${name} disk`);
        if (state.refuses) {
          disk.change('refuses', 'error', 'records wait in memory: the disk refuses them', { records: name, reason: state.reason });
        } else {
          disk.change('well', 'info', 'records are written to disk again', { records: name });
          noLongerLosing();
        }
      },
      onLost: (reason, rows) => {
        if (name === 'audit') dropped.inc(rows);
        lost.labels(name, reason).inc(rows);
        isLosing = true;
        losses.change(reason, 'error', 'records lost: they cannot be written to disk', { records: name, reason, rows });
      },
      onRejected: (rows, reason) => {
        lost.labels(name, 'rejected').inc(rows);
        logger.error('records refused by the database, set aside on disk', { records: name, rows, reason });
      },
    };
  };
  const spend = await openSpool({
    ...options('spend', MAX_SPEND_BYTES),
    deliver: async (lines) => {
      await database.run((open, signal) => open.spend.record(lines, signal), { deadlineMs: DELIVERY_MS });
    },
  });
  const audit = await openAuditLog({
    pod, clock, spool: {
      ...options('audit', MAX_AUDIT_BYTES),
      deliver: async (lines) => {
        await database.run((open, signal) => open.audit.append(lines, signal), { deadlineMs: DELIVERY_MS });
      },
    },
  });
  const [waitingRows, waitingBytes] = [metrics.gauge(metric.GATEWAY_SPOOL_ROWS), metrics.gauge(metric.GATEWAY_SPOOL_BYTES)];
  metrics.onCollect(() => {
    for (const [name, { backlog }] of [['spend', spend], ['audit', audit.spool]] as const) {
      waitingRows.labels(name).set(backlog.rows);
      waitingBytes.labels(name).set(backlog.bytes);
    }
  });
  const ledger = createSpendLedger({ spool: spend });
  return {
    audit: audit.log,
    book(exchange, record) {
      const { principal, trace, requestId } = exchange;
      ledger.book({ requestId, traceId: trace.traceId, principal, record, endedAtMs: clock.now(), durationMs: exchange.elapsedMs(), tags: principal.tags });
    },
    async close() {
      audit.log.close();
      const limit = AbortSignal.timeout(LAST_DELIVERY_MS);
      if (!database.isAway) await Promise.allSettled([spend.flush(limit), audit.spool.flush(limit)]);
      await Promise.all([spend.close(), audit.spool.close()]);
    },
  };
}
