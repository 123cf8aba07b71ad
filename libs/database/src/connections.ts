import { AppError } from '@pointsman/errors';
import { DummyDriver, Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler, type RawBuilder } from 'kysely';
import pg from 'pg';
import type { DatabaseOptions } from './database.ts';
import { isConnectionSpoiled, translateError } from './sql-errors.ts';

/** Kysely writes the SQL (every value a parameter); running it is ours, since deadlines and broken connections are the point here. */
const builder = new Kysely<Record<string, never>>({
  dialect: {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  },
});

export interface RunOptions {
  readonly signal?: AbortSignal | undefined;
  /** Time for everything, waiting for a connection included; default: the `queryTimeoutMs` of the pool. */
  readonly timeoutMs?: number;
}

/** Runs SQL on one connection. */
export interface Session {
  run<Row>(query: RawBuilder<Row>): Promise<Row[]>;
  /** Several statements without parameters. */
  script(text: string): Promise<void>;
}

export interface Connections {
  /** One statement, in a transaction of its own. */
  run<Row>(query: RawBuilder<Row>, options?: RunOptions): Promise<Row[]>;
  /** Several statements that become true together or not at all. The server gives up on it, too, when the time is over. */
  transaction<T>(work: (session: Session) => Promise<T>, options?: RunOptions & { readonly readOnly?: boolean }): Promise<T>;
  close(): Promise<void>;
}

const DEFAULTS = { poolSize: 5, connectTimeoutMs: 5_000, queryTimeoutMs: 5_000 };
const IDLE_CONNECTION_MS = 60_000;

/**
 * A pool whose callers are never held: each call has a deadline that covers waiting for a connection, connecting, and every query.
 * A connection that missed it is destroyed, since what it still answers would be taken for the reply to somebody else's question.
 *
 * Keeps to what PgBouncer's transaction mode allows: no named statements, no session settings, no startup parameters of the server.
 */
export function openConnections(options: DatabaseOptions): Connections {
  const { poolSize, connectTimeoutMs, queryTimeoutMs } = { ...DEFAULTS, ...definedOnly(options) };
  const pool = new pg.Pool({
    connectionString: options.url,
    application_name: options.applicationName,
    max: poolSize,
    connectionTimeoutMillis: connectTimeoutMs,
    idleTimeoutMillis: IDLE_CONNECTION_MS,
    keepAlive: true,
    types: { getTypeParser },
  });
  // A connection that breaks while nobody uses it is dropped by the pool; without listeners it would end the process.
  const dropped = (): void => undefined;
  pool.on('error', dropped);
  pool.on('connect', (client) => client.on('error', dropped));

  function use<T>(work: (client: pg.PoolClient) => Promise<T>, { signal, timeoutMs = queryTimeoutMs }: RunOptions): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let client: pg.PoolClient | undefined;
      let settled = false;
      const settle = (): void => {
        settled = true;
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
      };
      const giveUp = (reason: unknown): void => {
        if (settled) return;
        settle();
        client?.release(true);
        reject(reason);
      };
      const onAbort = (): void => giveUp(signal?.reason);
      const timer = setTimeout(() => giveUp(new AppError('unavailable', 'database_timeout', `The database did not answer within ${timeoutMs} ms.`)), timeoutMs);
      if (signal?.aborted === true) return giveUp(signal.reason);
      signal?.addEventListener('abort', onAbort, { once: true });
      pool.connect().then((acquired) => {
        if (settled) return acquired.release();
        client = acquired;
        work(acquired).then((value) => {
          if (settled) return;
          settle();
          acquired.release();
          resolve(value);
        }, (error: unknown) => {
          if (settled) return;
          settle();
          acquired.release(isConnectionSpoiled(error));
          reject(translateError(error));
        });
      }, (error: unknown) => {
        if (settled) return;
        settle();
        reject(translateError(error));
      });
    });
  }

  const session = (client: pg.PoolClient): Session => ({
    run: async <Row>(query: RawBuilder<Row>) => {
      const { sql, parameters } = query.compile(builder);
      const { rows } = await client.query({ text: sql, values: [...parameters] });
      return rows as Row[];
    },
    script: async (text) => {
      await client.query(text);
    },
  });

  return {
    run: (query, runOptions = {}) => use((client) => session(client).run(query), runOptions),
    transaction: (work, { readOnly = false, ...runOptions } = {}) => use(async (client) => {
      const limit = Math.ceil(runOptions.timeoutMs ?? queryTimeoutMs);
      // SET LOCAL ends with the transaction, so the next user of a pooled connection does not inherit it. A replica that is frozen must not keep its row locks.
      await client.query(`BEGIN${readOnly ? ' READ ONLY' : ''}; SET LOCAL statement_timeout = ${limit}; SET LOCAL idle_in_transaction_session_timeout = ${limit}`);
      try {
        const value = await work(session(client));
        await client.query('COMMIT');
        return value;
      } catch (error) {
        if (!isConnectionSpoiled(error)) await client.query('ROLLBACK');
        throw error;
      }
    }, runOptions),
    close: () => pool.end(),
  };
}

const INT8 = 20;
const NUMERIC = 1_700;

/** Counts and sums come as text, since they may exceed a double; ours do not. Timestamps become Date and json is parsed as pg does by itself. */
function getTypeParser(...[oid, format]: Parameters<typeof pg.types.getTypeParser>): (value: string) => unknown {
  if (oid === INT8 || oid === NUMERIC) return Number;
  return pg.types.getTypeParser(oid, format) as (value: string) => unknown;
}

function definedOnly<T extends object>(value: T): Partial<T> {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as Partial<T>;
}
