import { digestKey } from './key-store.ts';
import type { BudgetRow, Database, KeyAccess, KeyRow, TeamRow, UserRow } from '@pointsman/database';
import { AppError } from '@pointsman/errors';
import type { GatewayDatabase } from '../state/gateway-database.ts';

const AT = new Date('2026-01-01T00:00:00Z');
const NO_LIMITS = { max_budget: null, soft_budget: null, budget_duration: null, max_parallel_requests: null, tpm_limit: null, rpm_limit: null };

export function tokenOf(key: string): string {
  return digestKey(key).toString('hex');
}

export function keyRow(key: string, change: Partial<KeyRow> = {}): KeyRow {
  return {
    ...NO_LIMITS, token: tokenOf(key), key_name: `sk-...${key.slice(-4)}`, key_alias: null, spend: 0, budget_reset_at: null, model_max_budget: {}, model_rpm_limit: {}, model_tpm_limit: {},
    models: [], aliases: {}, metadata: {}, permissions: {}, config: {}, allowed_routes: [], tags: [], user_id: null, team_id: null, budget_id: null, blocked: false, expires: null,
    created_at: AT, updated_at: AT, created_by: null, updated_by: null, ...change,
  };
}

export function teamRow(change: Partial<TeamRow> = {}): TeamRow {
  return {
    ...NO_LIMITS, team_id: 't1', team_alias: null, models: [], aliases: {}, metadata: {}, members_with_roles: [], model_max_budget: {}, spend: 0, budget_reset_at: null, blocked: false,
    created_at: AT, updated_at: AT, ...change,
  };
}

export function userRow(change: Partial<UserRow> = {}): UserRow {
  return {
    ...NO_LIMITS, user_id: 'u1', user_email: null, user_alias: null, user_role: 'internal_user', models: [], metadata: {}, teams: [], spend: 0, budget_reset_at: null, created_at: AT, updated_at: AT, ...change,
  };
}

export function budgetRow(change: Partial<BudgetRow> = {}): BudgetRow {
  return { ...NO_LIMITS, budget_id: 'b1', model_max_budget: {}, created_at: AT, updated_at: AT, created_by: null, updated_by: null, ...change };
}

export function keyAccess(key: KeyRow, change: Partial<KeyAccess> = {}): KeyAccess {
  return { key, team: undefined, user: undefined, budget: undefined, model_spend: [], grace_until: undefined, ...change };
}

/** A database that holds keys and does what a test says: it can be away, and can be held back. */
export class FakeDatabase implements GatewayDatabase {
  readonly isConfigured = true;
  isAway = false;
  isStarting = false;
  /** It fails questions, and is not known to be away. */
  isBusy = false;
  readonly rows = new Map<string, KeyAccess>();
  readonly asked: string[] = [];
  running = 0;
  mostRunning = 0;
  /** Waited for before every answer. */
  gate: Promise<void> = Promise.resolve();
  /** Answers of `changesSince`, one per question; then nothing changed. */
  readonly changes: (readonly string[] | undefined)[] = [];
  cursors: (string | undefined)[] = [];

  put(access: KeyAccess, token = access.key.token): void {
    this.rows.set(token, access);
  }

  async run<T>(work: (database: Database, signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.isStarting) throw new AppError('unavailable', 'database_starting', 'starting');
    if (this.isAway || this.isBusy) throw new AppError('unavailable', 'database_unavailable', 'away');
    const access = {
      findAccess: async (token: string) => {
        this.asked.push(token);
        this.running += 1;
        this.mostRunning = Math.max(this.mostRunning, this.running);
        const found = this.rows.get(token);
        await this.gate;
        this.running -= 1;
        return found;
      },
      changesSince: (cursor: string | undefined) => {
        this.cursors.push(cursor);
        if (cursor === undefined || this.changes.length === 0) return Promise.resolve({ cursor: `c${String(this.cursors.length)}`, change: undefined });
        return Promise.resolve({ cursor: `c${String(this.cursors.length)}`, change: { tokens: this.changes.shift() } });
      },
    };
    return work({ access } as unknown as Database, new AbortController().signal);
  }
}
