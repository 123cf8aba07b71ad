import { sql } from 'kysely';
import type { Connections } from './connections.ts';
import { migrations as ours, type Migration } from './migrations/index.ts';
import { sqlStateOf } from './sql-errors.ts';

/** Any number will do, as long as it is ours alone in the databases we share. */
const MIGRATION_LOCK = '7241883190442157';
/** An index on a large ledger takes its time, and so does waiting for the replica that makes it. */
const MIGRATION_TIMEOUT_MS = 30 * 60_000;

/**
 * Brings the schema up to date. All in one transaction that holds an advisory lock: of many replicas that start at once one does the work, the others
 * wait and find it done; one that is killed in the middle leaves nothing behind. Migrations this code does not know are a newer image's, which was rolled back: accepted.
 */
export async function migrate(connections: Connections, signal: AbortSignal, migrations: readonly Migration[] = ours): Promise<{ applied: readonly string[] }> {
  const limits = { signal, timeoutMs: MIGRATION_TIMEOUT_MS };
  if ((await missing(connections, migrations, signal)).length === 0) return { applied: [] };
  return connections.transaction(async (session) => {
    await session.run(sql`SELECT pg_advisory_xact_lock(${MIGRATION_LOCK}::bigint)`);
    // CREATE SCHEMA IF NOT EXISTS asks for the right to create one even when it is there, made by somebody with more rights than we have.
    const [schema] = await session.run(sql`SELECT 1 FROM pg_namespace WHERE nspname = 'pointsman'`);
    if (schema === undefined) await session.script('CREATE SCHEMA pointsman');
    await session.script('CREATE TABLE IF NOT EXISTS pointsman.schema_migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())');
    const done = new Set((await session.run(sql<{ name: string }>`SELECT name FROM pointsman.schema_migrations`)).map(({ name }) => name));
    const applied: string[] = [];
    for (const { name, sql: text } of migrations) {
      if (done.has(name)) continue;
      await session.script(text);
      await session.run(sql`INSERT INTO pointsman.schema_migrations (name) VALUES (${name})`);
      applied.push(name);
    }
    return { applied };
  }, limits);
}

/** The usual start finds everything done, and then fifty replicas need not queue for a lock. */
async function missing(connections: Connections, migrations: readonly Migration[], signal: AbortSignal): Promise<Migration[]> {
  try {
    const done = new Set((await connections.run(sql<{ name: string }>`SELECT name FROM pointsman.schema_migrations`, { signal })).map(({ name }) => name));
    return migrations.filter(({ name }) => !done.has(name));
  } catch (error) {
    const undefinedTable = '42P01';
    if (sqlStateOf(error) === undefinedTable) return [...migrations];
    throw error;
  }
}
