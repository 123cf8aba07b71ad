import { AppError } from '@pointsman/errors';
import { AlreadyExistsError, type AccessStore, type Database } from '../database.ts';
import { readLiteLlm, type LiteLlmEntry, type LiteLlmKind, type LiteLlmNote } from './read-litellm.ts';

export interface LiteLlmImportOptions {
  /** URL of the LiteLLM database, as its DATABASE_URL has it. It is only read. */
  readonly from: string;
  readonly into: Database;
  /** Reads and checks everything, writes nothing. */
  readonly dryRun?: boolean;
  /** What is here already becomes as it is there; otherwise it is left. */
  readonly overwrite?: boolean;
  readonly onProgress?: (done: LiteLlmCounts) => void;
  readonly signal: AbortSignal;
}

export interface LiteLlmCount {
  read: number;
  /** New here, or overwritten; with `dryRun`: what would be. */
  taken: number;
  /** Was here already and was left. */
  present: number;
  refused: number;
}
export type LiteLlmCounts = Record<LiteLlmKind, LiteLlmCount>;

export interface LiteLlmImport {
  readonly counts: LiteLlmCounts;
  /** What could not be taken, and why. */
  readonly refused: readonly LiteLlmNote[];
  /** What was taken otherwise than it stood there. */
  readonly adjusted: readonly LiteLlmNote[];
}

const PROGRESS_EVERY = 100;

/** Takes keys, teams, users and budgets over from a LiteLLM database. Running it again changes nothing, so that it can be repeated until the day of the move. */
export async function importLiteLlm({ from, into, dryRun = false, overwrite = false, onProgress, signal }: LiteLlmImportOptions): Promise<LiteLlmImport> {
  const empty = (): LiteLlmCount => ({ read: 0, taken: 0, present: 0, refused: 0 });
  const counts: LiteLlmCounts = { budget: empty(), team: empty(), user: empty(), key: empty() };
  const refused: LiteLlmNote[] = [];
  const adjusted: LiteLlmNote[] = [];
  let done = 0;
  for await (const entry of readLiteLlm(from, signal)) {
    signal.throwIfAborted();
    const kind = entry.kind === 'refused' ? entry.refusal.kind : entry.kind;
    const count = counts[kind];
    count.read += 1;
    if (entry.kind === 'refused') {
      count.refused += 1;
      refused.push(entry.refusal);
    } else {
      try {
        const outcome = await take(into.access, entry, { dryRun, overwrite });
        count[outcome.done] += 1;
        if (outcome.done === 'taken') adjusted.push(...entry.notes, ...outcome.notes);
      } catch (error) {
        // One row that cannot be stored must not keep thousands of keys from moving.
        if (!(error instanceof AppError) || error.kind !== 'invalid_request') throw error;
        count.refused += 1;
        refused.push({ kind, name: entry.name, reason: error.message });
      }
    }
    done += 1;
    if (done % PROGRESS_EVERY === 0) onProgress?.(structuredClone(counts));
  }
  onProgress?.(structuredClone(counts));
  return { counts, refused, adjusted };
}

type Taken = Exclude<LiteLlmEntry, { kind: 'refused' }>;

async function take(access: AccessStore, entry: Taken, { dryRun, overwrite }: { dryRun: boolean; overwrite: boolean }): Promise<{ done: 'taken' | 'present'; notes: LiteLlmNote[] }> {
  const found = await find(access, entry);
  const present = found !== undefined;
  if (present && (!overwrite || found === 'rotated')) return { done: 'present', notes: [] };
  const write = present ? update : insert;
  // A database of LiteLLM may hold an alias twice.
  const twice = { kind: entry.kind, name: entry.name, reason: 'Its alias is taken by another key: it has none now.' };
  if (dryRun) {
    const other = entry.kind === 'key' && entry.row.key_alias !== null ? await access.findKeyByAlias(entry.row.key_alias) : undefined;
    return { done: 'taken', notes: other !== undefined && entry.kind === 'key' && other.token !== entry.row.token ? [twice] : [] };
  }
  try {
    await write(access, entry);
    return { done: 'taken', notes: [] };
  } catch (error) {
    if (!(error instanceof AlreadyExistsError)) throw error;
    if (error.field !== 'key_alias' || entry.kind !== 'key') return { done: 'present', notes: [] };
    await write(access, { ...entry, row: { ...entry.row, key_alias: null } });
    return { done: 'taken', notes: [twice] };
  }
}

async function find(access: AccessStore, entry: Taken): Promise<object | 'rotated' | undefined> {
  switch (entry.kind) {
    case 'budget': return access.findBudget(entry.row.budget_id);
    case 'team': return access.findTeam(entry.row.team_id);
    case 'user': return access.findUser(entry.row.user_id);
    // A key that was rotated here since the last import has another hash: it is here all the same, and must not come back.
    case 'key': return await access.findKey(entry.row.token) ?? (await access.findAccess(entry.row.token) === undefined ? undefined : 'rotated');
  }
}

async function insert(access: AccessStore, entry: Taken): Promise<void> {
  switch (entry.kind) {
    case 'budget': await access.insertBudget(entry.row); break;
    case 'team': await access.insertTeam(entry.row); break;
    case 'user': await access.insertUser(entry.row); break;
    case 'key': await access.insertKey(entry.row); break;
  }
}

async function update(access: AccessStore, entry: Taken): Promise<void> {
  switch (entry.kind) {
    case 'budget': await access.updateBudget(entry.row.budget_id, entry.row); break;
    case 'team': await access.updateTeam(entry.row.team_id, entry.row); break;
    case 'user': await access.updateUser(entry.row.user_id, entry.row); break;
    case 'key': await access.updateKey(entry.row.token, entry.row); break;
  }
}
