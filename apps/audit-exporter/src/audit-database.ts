import { connectDatabase, openEmbeddedDatabase, type ConnectedDatabase } from '@pointsman/database';
import type { DatabasePlace } from './settings.ts';

/** The database of the settings, opened when first asked for and again after a failure. */
export interface AuditDatabase extends AsyncDisposable {
  /** With the schema that the export needs. */
  open(signal: AbortSignal): Promise<ConnectedDatabase>;
}

const QUERY_TIMEOUT_MS = 60_000;
const OPTIONS = { applicationName: 'pointsman-audit-exporter', poolSize: 2, queryTimeoutMs: QUERY_TIMEOUT_MS };

/** The embedded database is the one that the gateway of the same home uses: whoever is first starts it, the others join. */
export function createAuditDatabase(place: Exclude<DatabasePlace, { kind: 'none' }>): AuditDatabase {
  const parts = new AsyncDisposableStack();
  let connected: ConnectedDatabase | undefined;
  let isMigrated = false;

  async function connect(signal: AbortSignal): Promise<ConnectedDatabase> {
    if (place.kind === 'postgres') return connectDatabase({ ...OPTIONS, url: place.url });
    const embedded = await openEmbeddedDatabase({ home: place.home, signal });
    parts.defer(() => embedded.close());
    return connectDatabase({ ...OPTIONS, url: embedded.url, kind: 'embedded' });
  }

  return {
    async open(signal) {
      if (connected === undefined) {
        const database = await connect(signal);
        parts.defer(() => database.close());
        connected = database;
      }
      if (!isMigrated) {
        await connected.migrate(signal);
        isMigrated = true;
      }
      return connected;
    },
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}
