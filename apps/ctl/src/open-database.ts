import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { AppError, describeUnknown } from '@pointsman/errors';
import { connectDatabase, openEmbeddedDatabase, type AuditExportStore, type Database, type ModelDeploymentStore } from '@pointsman/database';
import type { CommandContext } from './command-context.ts';

export interface OpenedDatabase extends AsyncDisposable {
  readonly database: Database;
  /** What of its audit log is exported. */
  readonly exports: AuditExportStore;
  readonly deployments: ModelDeploymentStore;
  /** Where it is, without credentials. */
  readonly place: string;
}

export interface OpenDatabaseOptions {
  /** `postgres://…` or `embedded`; without it `DATABASE_URL`, without that the embedded database. */
  readonly url: string | undefined;
  /** The option that `url` was given by, for messages. */
  readonly option: string;
  readonly env: CommandContext['env'];
  /** Makes an embedded database that is not there yet. */
  readonly create: boolean;
  readonly signal: AbortSignal;
}

const QUERY_TIMEOUT_MS = 60_000;

/** The database that a command works on, the same one that a gateway with this environment uses. Nothing is asked yet. */
export async function openDatabase({ url, option, env, create, signal }: OpenDatabaseOptions): Promise<OpenedDatabase> {
  const fromEnvironment = env['DATABASE_URL'];
  const chosen = url ?? (fromEnvironment === undefined || fromEnvironment === '' ? 'embedded' : fromEnvironment);
  const source = url === undefined ? 'DATABASE_URL' : option;
  if (chosen === 'none') throw new AppError('invalid_request', 'no_database', `${source} is "none": name a database with ${option} postgres://…`);
  if (chosen !== 'embedded') {
    const place = placeOf(chosen, source);
    const database = connectDatabase({ url: chosen, applicationName: 'pointsman-ctl', poolSize: 2, queryTimeoutMs: QUERY_TIMEOUT_MS });
    return { database, exports: database.auditExports, deployments: database.modelDeployments, place, [Symbol.asyncDispose]: () => database.close() };
  }
  const home = resolve(env['POINTSMAN_HOME'] ?? '.pointsman');
  const place = `the embedded database under ${home}`;
  if (!create && !existsSync(join(home, 'postgres'))) throw new AppError('not_found', 'no_database', `there is no embedded database under ${home}: name another with ${option} postgres://…, or set POINTSMAN_HOME`);
  const embedded = await openEmbeddedDatabase({ home, signal });
  const database = connectDatabase({ url: embedded.url, kind: 'embedded', applicationName: 'pointsman-ctl', poolSize: 2, queryTimeoutMs: QUERY_TIMEOUT_MS });
  return {
    database, exports: database.auditExports, deployments: database.modelDeployments, place,
    [Symbol.asyncDispose]: async () => {
      await database.close();
      await embedded.close();
    },
  };
}

/** `host:port/database` of a URL: what may be shown of it. @throws AppError that does not repeat the URL, which holds a password. */
export function placeOf(url: string, source: string): string {
  const parsed = URL.parse(url);
  if (parsed === null || !/^postgres(ql)?:$/.test(parsed.protocol)) {
    throw new AppError('invalid_request', 'invalid_database_url', `${source} expects postgres://user:password@host:port/database; characters such as @ : / # in the password must be written as %40 %3A %2F %23`);
  }
  return `${parsed.host === '' ? (parsed.searchParams.get('host') ?? 'localhost') : parsed.host}${parsed.pathname}`;
}

/** Does the work and says of what goes wrong where it went wrong and why, in words that never hold a password. */
export async function atDatabase<T>(place: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof AppError && error.kind !== 'unavailable') throw error;
    const reason = error instanceof AppError && error.cause !== undefined ? describeUnknown(error.cause) : describeUnknown(error);
    const hint = /relation .* does not exist/.test(reason) ? ': no Pointsman gateway has used this database yet' : '';
    throw new AppError('unavailable', 'database_failed', `${place}: ${reason.replaceAll(/\/\/[^\s/@]*@/g, '//***@')}${hint}`, { cause: error });
  }
}
