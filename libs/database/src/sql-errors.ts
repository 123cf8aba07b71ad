import { AppError } from '@pointsman/errors';
import pg from 'pg';
import { AlreadyExistsError } from './database.ts';

/** Classes of SQLSTATE (first two characters) that say: this server cannot serve now. See the appendix "PostgreSQL Error Codes". */
const AWAY = new Set(['08', '53', '57', '58']);
/** Another statement was in the way; the same transaction may succeed at once. */
const COLLISIONS = new Set(['40001', '40P01']);
/** A standby, or a primary that was demoted: whoever connects again finds the new one. */
const READ_ONLY = '25006';
/** Longer than an index entry may be. */
const PROGRAM_LIMIT = '54000';

export function sqlStateOf(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

/** Whether a connection that failed like this must not be used again. An ERROR of a statement leaves it whole. */
export function isConnectionSpoiled(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return !(error instanceof AlreadyExistsError || error instanceof AppError);
  return error.severity !== 'ERROR' || error.code === READ_ONLY || AWAY.has(String(error.code).slice(0, 2)) && error.code !== '57014';
}

export function isCollision(error: unknown): boolean {
  return COLLISIONS.has(sqlStateOf(error) ?? '');
}

/** SQLSTATE class 22 (data exception) and 23 (integrity): the rows are the reason. */
export function isAboutTheData(error: unknown): boolean {
  const state = sqlStateOf(error) ?? (error instanceof Error ? sqlStateOf(error.cause) : undefined) ?? '';
  return state.startsWith('22') || state.startsWith('23') || state === PROGRAM_LIMIT;
}

/** What the rest of the program sees: taken names, values that cannot be stored, a database that is away. Anything else is a fault of ours and stays as it is. */
export function translateError(error: unknown): unknown {
  if (error instanceof AppError || error instanceof AlreadyExistsError) return error;
  if (error instanceof pg.DatabaseError) {
    const state = String(error.code);
    if (state === '23505') return new AlreadyExistsError(takenField(error), { cause: error });
    if (isAboutTheData(error)) return new AppError('invalid_request', 'invalid_value', `The database cannot store this value: ${error.message}.`, { cause: error });
    if (state === '57014') return new AppError('unavailable', 'database_timeout', 'The database did not finish in time.', { cause: error });
    if (AWAY.has(state.slice(0, 2)) || state === READ_ONLY || state === '25P03' || error.severity === 'FATAL') return away(error);
    return error;
  }
  // Errors of sockets and of the driver ("Connection terminated unexpectedly") have no SQLSTATE.
  return error instanceof Error && !(error instanceof TypeError) ? away(error) : error;
}

function away(cause: unknown): AppError {
  return new AppError('unavailable', 'database_unavailable', 'The database cannot be reached.', { cause });
}

/** `Key (key_alias)=(x) already exists.` */
function takenField(error: pg.DatabaseError): string {
  return /^Key \(([^)]+)\)=/.exec(error.detail ?? '')?.[1] ?? 'id';
}
