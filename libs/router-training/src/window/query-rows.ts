import { join } from 'node:path';
import type { DuckDBConnection, DuckDBValue } from '@duckdb/node-api';
import type { EmbedderIdentity } from '@pointsman/routing';
import { BAD_LINES_SQL, COUNTS_SQL, FEEDBACK_SQL, LABELS_SQL, LINES_SQL, REQUESTS_SQL, ROWS_SQL } from './window-sql.ts';
import type { TraceWindow } from './trace-window.ts';

export interface QueryOptions {
  /** Local files in `directory`. At least one. */
  readonly files: readonly string[];
  /** The only place that the engine may read or write. */
  readonly directory: string;
  readonly window: TraceWindow;
  readonly embedder: EmbedderIdentity;
  readonly featuresWidth: number;
  readonly undisturbed: boolean;
  /** Newest rows kept at most. */
  readonly limit: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
}

/** A row of `ROWS_SQL`. */
export interface QueriedRow {
  readonly request_id: string;
  readonly at_text: string;
  readonly strategy: string;
  readonly model_version: string;
  readonly selected: string;
  readonly served: string | null;
  readonly propensity: number;
  readonly candidates: string;
  readonly features: string | null;
  readonly embedding: string | null;
  readonly ngrams: string | null;
  readonly prompt: string | null;
  readonly cost_usd: number | null;
  readonly quality: number;
  readonly fallback_quality: number | null;
  readonly source: LabelSource;
}

/** Who told the quality: a person, a judge, or the course of the request. */
export type LabelSource = 'feedback' | 'judge' | 'failure' | 'asked-again' | 'fallback' | 'undisturbed';

export interface QueryResult {
  readonly counts: Readonly<Record<string, number>>;
  /** Lines that are no rows, by file. */
  readonly badLines: ReadonlyMap<string, number>;
  readonly rows: readonly QueriedRow[];
}

/** Runs the SQL of a window in DuckDB: in memory up to a bound, then in files up to another; nothing but the given directory can be read, and no extension is fetched. */
export async function queryRows({ files, directory, window, embedder, featuresWidth, undisturbed, limit, memoryBytes, diskBytes }: QueryOptions): Promise<QueryResult> {
  const { DuckDBInstance, listValue } = await import('@duckdb/node-api');
  const instance = await DuckDBInstance.create(':memory:', {
    threads: '2', memory_limit: `${String(Math.floor(memoryBytes / 1e6))}MB`, temp_directory: join(directory, 'engine'), max_temp_directory_size: `${String(Math.floor(diskBytes / 1e6))}MB`,
    autoinstall_known_extensions: 'false', autoload_known_extensions: 'false', preserve_insertion_order: 'false',
  });
  try {
    const connection = await instance.connect();
    try {
      for (const setting of [`allowed_directories=['${directory.replaceAll("'", "''")}']`, 'enable_external_access=false', 'lock_configuration=true']) await connection.run(`SET ${setting}`);
      await connection.run(LINES_SQL, { files: listValue(files) });
      const badLines = new Map((await read<{ file: string; lines: number }>(connection, BAD_LINES_SQL)).map(({ file, lines }) => [file, lines]));
      await connection.run(REQUESTS_SQL, { from: timestamp(window.from), to: timestamp(window.to) });
      await connection.run(FEEDBACK_SQL);
      await connection.run(LABELS_SQL, { undisturbed, features_width: featuresWidth, embedder: embedder.name, embedder_sha256: embedder.sha256, embedder_dimensions: embedder.dimensions });
      const [counts = {}] = await read<Record<string, number>>(connection, COUNTS_SQL);
      return { counts, badLines, rows: await read<QueriedRow>(connection, ROWS_SQL, { limit }) };
    } finally {
      connection.closeSync();
    }
  } finally {
    instance.closeSync();
  }
}

async function read<T>(connection: DuckDBConnection, sql: string, values?: Record<string, DuckDBValue>): Promise<T[]> {
  const result = await connection.stream(sql, values);
  const rows: T[] = [];
  for await (const chunk of result.yieldRowObjects()) for (const row of chunk) rows.push(Object.fromEntries(Object.entries(row).map(([name, value]) => [name, typeof value === 'bigint' ? Number(value) : value])) as T);
  return rows;
}

/** ISO without its Z: the engine's timestamps have no zone, and all of them are UTC. */
function timestamp(date: Date): string {
  return date.toISOString().slice(0, -1);
}
