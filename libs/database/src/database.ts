import type { AuditExportStore } from './audit-exports.ts';
import type { ModelDeploymentStore } from './model-deployments.ts';
import type { BudgetRow, KeyAccess, KeyRow, TeamRow, UserRow } from './rows.ts';

/** A page of a list, newest first. `next` goes into the next question; undefined at the end. */
export interface Page<T> {
  readonly rows: readonly T[];
  readonly total: number;
}

export interface PageQuestion {
  /** From 1. */
  readonly page: number;
  /** 1 to 500. */
  readonly size: number;
}

/** What one change of keys, teams, users or budgets means for replicas that hold them in memory: ask again for these keys. */
export interface AccessChange {
  /** Hashes of keys, or `undefined` for "forget all you know": a team or budget with many keys changed. */
  readonly tokens: readonly string[] | undefined;
}

/** Where a cursor of `changesSince` stands. Opaque; JSON-serialisable. */
export type ChangeCursor = string;

export interface AccessStore {
  /** A key by its hash, with team, user and budget; also by the old hash of a rotated key within its grace period. One query. */
  findAccess(token: string, signal?: AbortSignal): Promise<KeyAccess | undefined>;
  /**
   * What changed since a cursor (undefined: from now on). Cheap enough to be asked every second by every replica; a change whose transaction commits late is not missed.
   */
  changesSince(cursor: ChangeCursor | undefined, signal?: AbortSignal): Promise<{ readonly cursor: ChangeCursor; readonly change: AccessChange | undefined }>;

  insertKey(row: KeyRow): Promise<KeyRow>;
  updateKey(token: string, change: Partial<Omit<KeyRow, 'token' | 'created_at'>>): Promise<KeyRow | undefined>;
  /** Deletes keys; returns the rows that were there. Their spend stays in the ledger. */
  deleteKeys(tokens: readonly string[]): Promise<KeyRow[]>;
  /** Gives a key a new hash; the old one works until `graceUntil`, or not at all. */
  rotateKey(token: string, next: { readonly token: string; readonly key_name: string; readonly graceUntil: Date | undefined }, change?: Partial<Omit<KeyRow, 'token' | 'created_at'>>): Promise<KeyRow | undefined>;
  findKey(token: string): Promise<KeyRow | undefined>;
  findKeyByAlias(alias: string): Promise<KeyRow | undefined>;
  listKeys(filter: { readonly user_id?: string; readonly team_id?: string; readonly key_alias?: string; readonly token?: string }, page: PageQuestion): Promise<Page<KeyRow>>;

  insertTeam(row: TeamRow): Promise<TeamRow>;
  updateTeam(teamId: string, change: Partial<Omit<TeamRow, 'team_id' | 'created_at'>>): Promise<TeamRow | undefined>;
  /**
   * Changes who is in a team, in one step: two changes at the same moment come one after the other, so that none is lost. `change` gets the members as they are then;
   * what it throws is thrown here, and then nothing is changed; nor is it when it returns the same list. Undefined: no such team.
   */
  changeTeamMembers(teamId: string, change: (members: TeamRow['members_with_roles']) => TeamRow['members_with_roles']): Promise<{ readonly before: TeamRow; readonly after: TeamRow } | undefined>;
  /** Deletes teams and their keys; returns what was there. */
  deleteTeams(teamIds: readonly string[]): Promise<{ readonly teams: TeamRow[]; readonly keys: KeyRow[] }>;
  findTeam(teamId: string): Promise<TeamRow | undefined>;
  listTeams(filter: { readonly user_id?: string; readonly team_alias?: string }, page: PageQuestion): Promise<Page<TeamRow>>;

  insertUser(row: UserRow): Promise<UserRow>;
  updateUser(userId: string, change: Partial<Omit<UserRow, 'user_id' | 'created_at'>>): Promise<UserRow | undefined>;
  /** The teams that stand in a user's row; otherwise as `changeTeamMembers`. */
  changeUserTeams(userId: string, change: (teams: UserRow['teams']) => UserRow['teams']): Promise<{ readonly before: UserRow; readonly after: UserRow } | undefined>;
  deleteUsers(userIds: readonly string[]): Promise<{ readonly users: UserRow[]; readonly keys: KeyRow[] }>;
  findUser(userId: string): Promise<UserRow | undefined>;
  listUsers(filter: { readonly role?: string; readonly user_email?: string }, page: PageQuestion): Promise<Page<UserRow>>;

  insertBudget(row: BudgetRow): Promise<BudgetRow>;
  updateBudget(budgetId: string, change: Partial<Omit<BudgetRow, 'budget_id' | 'created_at'>>): Promise<BudgetRow | undefined>;
  deleteBudgets(budgetIds: readonly string[]): Promise<BudgetRow[]>;
  findBudget(budgetId: string): Promise<BudgetRow | undefined>;
  listBudgets(page: PageQuestion): Promise<Page<BudgetRow>>;
  /** How many keys have their limits from a budget. */
  countKeysOfBudget(budgetId: string): Promise<number>;

  /** Sets spend back to 0 where `budget_reset_at` has passed and moves that date on. Safe to call from many replicas at once. Returns how many were reset. */
  resetDueBudgets(now: Date, signal?: AbortSignal): Promise<number>;
}

/** One request of the ledger as `/spend/logs` shows it. */
export interface SpendLog {
  readonly id: string;
  readonly request_id: string;
  readonly trace_id: string;
  readonly call_type: string;
  readonly api_key: string;
  readonly user_id: string | null;
  readonly team_id: string | null;
  readonly end_user: string | null;
  readonly requested_model: string;
  readonly model_group: string;
  readonly model: string | null;
  readonly model_id: string | null;
  readonly provider: string | null;
  readonly spend: number;
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly cached_tokens: number;
  readonly reasoning_tokens: number;
  readonly usage_estimated: boolean;
  readonly cache_hit: boolean;
  readonly stream: boolean;
  readonly status: string;
  readonly error_code: string | null;
  readonly tags: string[];
  readonly start_time: Date;
  readonly completion_start_time: Date | null;
  readonly end_time: Date;
}

export interface SpendFilter {
  readonly api_key?: string;
  readonly user_id?: string;
  readonly team_id?: string;
  readonly request_id?: string;
  readonly from?: Date;
  readonly to?: Date;
}

export interface SpendSum {
  /** The key hash, user id, team id, tag or model the sum is of. */
  readonly of: string;
  readonly spend: number;
  readonly requests: number;
  readonly total_tokens: number;
}

/** Reports (`logs`, `sums`, `total`) have a few connections of their own, so that however many run, keys are found meanwhile. */
export interface SpendStore {
  /**
   * Takes lines of the ledger (JSON texts of `SpendLine`) in one transaction: new ones are stored and added to the spend of their key, team and user and to the
   * per-model spend; ids that are there already change nothing. Returns how many were new.
   * @throws RejectedRowsError when the rows themselves are the reason, so that trying again cannot help.
   */
  record(lines: readonly string[], signal?: AbortSignal): Promise<number>;
  logs(filter: SpendFilter, page: PageQuestion): Promise<Page<SpendLog>>;
  sums(by: 'api_key' | 'user_id' | 'team_id' | 'model_group' | 'tag' | 'provider', filter: SpendFilter, limit: number): Promise<SpendSum[]>;
  total(filter: SpendFilter): Promise<{ readonly spend: number; readonly requests: number }>;
}

export interface AuditStore {
  /** Appends audit rows (JSON texts of `AuditRecord` of @pointsman/audit) in one transaction; rows whose (chain, seq) is there already change nothing. */
  append(lines: readonly string[], signal?: AbortSignal): Promise<number>;
  /** Rows in order of arrival, for export and verification: those after `cursor`. */
  read(cursor: string | undefined, limit: number, signal?: AbortSignal): Promise<{ readonly rows: readonly unknown[]; readonly cursor: string | undefined }>;
}

/** The one door to Postgres, embedded or not. */
export interface Database {
  readonly kind: 'postgres' | 'embedded';
  readonly access: AccessStore;
  readonly spend: SpendStore;
  readonly audit: AuditStore;
  /** Brings the schema up to date under an advisory lock: many replicas may start at once. Forward only; a newer schema than this code knows is left alone. */
  migrate(signal: AbortSignal): Promise<{ readonly applied: readonly string[] }>;
  ping(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** What `connectDatabase` gives: more than most of the program needs. */
export interface ConnectedDatabase extends Database {
  /** What of the audit log is exported. */
  readonly auditExports: AuditExportStore;
  /** Which version of a router model got traffic when, and by whom. */
  readonly modelDeployments: ModelDeploymentStore;
}

export interface DatabaseOptions {
  /** `postgres://…`; also a unix socket (`postgres:///db?host=/dir`). */
  readonly url: string;
  /** Shown in pg_stat_activity. */
  readonly applicationName: string;
  readonly poolSize?: number;
  /** Longest time a connection or a query may take, in milliseconds; then the connection is given up. */
  readonly connectTimeoutMs?: number;
  readonly queryTimeoutMs?: number;
}

/** Rows that the database will never take, whatever the number of tries: wrong types, broken JSON. */
export class RejectedRowsError extends Error {
  /** The lines that were refused; the others of the same call were taken. Undefined when that is not known. */
  readonly lines: readonly string[] | undefined;

  constructor(message: string, options?: ErrorOptions & { readonly lines?: readonly string[] }) {
    super(message, options);
    this.name = 'RejectedRowsError';
    this.lines = options?.lines;
  }
}

/** A uniqueness rule of the schema said no: an alias or id that is taken. */
export class AlreadyExistsError extends Error {
  readonly field: string;

  constructor(field: string, options?: ErrorOptions) {
    super(`There is one with this ${field} already.`, options);
    this.name = 'AlreadyExistsError';
    this.field = field;
  }
}
