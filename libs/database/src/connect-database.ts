import { sql } from 'kysely';
import { createAccessStore } from './access/access-store.ts';
import { createAuditExportStore } from './audit-export-store.ts';
import { createAuditStore } from './audit-store.ts';
import { openConnections } from './connections.ts';
import type { ConnectedDatabase, Database, DatabaseOptions } from './database.ts';
import { migrate } from './migrate.ts';
import { createModelDeploymentStore } from './model-deployments.ts';
import { createSpendStore } from './spend-store.ts';

/** Reports may run for seconds: no more of them at once than this, and none on a connection that a look-up of a key waits for. */
const REPORT_CONNECTIONS = 2;

/**
 * Opens a pool to Postgres, or to the embedded database, which speaks the same protocol. Connects when first asked something, so a server that is away does not stop a start.
 * What it throws: AppError `unavailable` when the server cannot be reached or does not answer in time, AppError `invalid_request` for values no column can hold,
 * AlreadyExistsError, RejectedRowsError; the reason of the caller's signal when that was first.
 */
export function connectDatabase(options: DatabaseOptions & { readonly kind?: Database['kind'] }): ConnectedDatabase {
  const connections = openConnections(options);
  // Connects when first asked: who wants no report has no more connections than before.
  const reports = openConnections({ ...options, poolSize: REPORT_CONNECTIONS });
  return {
    kind: options.kind ?? 'postgres',
    access: createAccessStore(connections),
    spend: createSpendStore(connections, reports),
    audit: createAuditStore(connections),
    auditExports: createAuditExportStore(connections),
    modelDeployments: createModelDeploymentStore(connections),
    migrate: (signal) => migrate(connections, signal),
    ping: async (signal) => {
      await connections.run(sql`SELECT 1`, { signal });
    },
    close: async () => {
      await Promise.all([connections.close(), reports.close()]);
    },
  };
}
