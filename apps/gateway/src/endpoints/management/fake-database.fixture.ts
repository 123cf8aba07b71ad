import { AppError } from '@pointsman/errors';
import { AlreadyExistsError, type AccessStore, type BudgetRow, type Database, type KeyAccess, type KeyRow, type Page, type PageQuestion, type SpendFilter, type SpendLog, type SpendStore, type SpendSum, type TeamRow, type UserRow } from '@pointsman/database';
import { readKeyLimits } from '../../access/key-limits.ts';
import { MasterKeyStore, type KeyStore } from '../../access/key-store.ts';
import type { Principal, Role } from '../../access/principal.ts';
import type { AuditEvent } from '../../record/audit-sink.ts';
import { startFakeGateway, chatConfig, TEST_KEY, type FakeGateway, type FakeGatewayOptions } from '../../fake-gateway.fixture.ts';
import { noDatabaseConfigured, type GatewayDatabase } from '../../state/gateway-database.ts';

/** Keys, teams, users, budgets and a ledger in memory, with the rules of uniqueness that the real database has. */
export class FakeDatabase implements Database {
  readonly kind = 'embedded';
  readonly keys = new Map<string, KeyRow>();
  readonly teams = new Map<string, TeamRow>();
  readonly users = new Map<string, UserRow>();
  readonly budgets = new Map<string, BudgetRow>();
  /** Old hash → key and the end of its grace. */
  readonly rotated = new Map<string, { readonly token: string; readonly graceUntil: Date | undefined }>();
  readonly ledger: SpendLog[] = [];
  /** Filters that the ledger was asked with. */
  readonly asked: SpendFilter[] = [];
  /** Spend per model of every key. */
  modelSpend: KeyAccess['model_spend'] = [];
  /** Sums that have begun wait for this. */
  reading: Promise<void> = Promise.resolve();
  readonly audit = { append: () => Promise.resolve(0), read: () => Promise.resolve({ rows: [], cursor: undefined }) };

  /** All that is stored, as text: two of them are equal when nothing changed. */
  snapshot(): string {
    return JSON.stringify([this.keys, this.teams, this.users, this.budgets, this.rotated].map((table) => [...table]));
  }

  readonly access: AccessStore = {
    findAccess: (token) => Promise.resolve(this.#access(token)),
    changesSince: () => Promise.resolve({ cursor: '', change: undefined }),
    insertKey: (row) => {
      if (row.key_alias !== null && [...this.keys.values()].some(({ key_alias }) => key_alias === row.key_alias)) return Promise.reject(new AlreadyExistsError('key_alias'));
      return insert(this.keys, 'token', row);
    },
    updateKey: (token, change) => update(this.keys, token, change),
    deleteKeys: (tokens) => Promise.resolve(remove(this.keys, tokens)),
    rotateKey: (token, { token: next, key_name, graceUntil }, change) => {
      const row = this.keys.get(token);
      if (row === undefined) return Promise.resolve(undefined);
      const rotated = { ...row, ...change, token: next, key_name };
      this.keys.delete(token);
      this.keys.set(next, rotated);
      for (const [old, grace] of this.rotated) if (grace.token === token) this.rotated.set(old, { ...grace, token: next });
      this.rotated.set(token, { token: next, graceUntil });
      return Promise.resolve(structuredClone(rotated));
    },
    findKey: (token) => Promise.resolve(structuredClone(this.keys.get(token))),
    findKeyByAlias: (alias) => Promise.resolve(structuredClone([...this.keys.values()].find(({ key_alias }) => key_alias === alias))),
    listKeys: (filter, question) => Promise.resolve(pageOf([...this.keys.values()].filter((row) => matches(row, filter)), question)),
    insertTeam: (row) => insert(this.teams, 'team_id', row),
    updateTeam: (id, change) => update(this.teams, id, change),
    changeTeamMembers: (id, change) => changeColumn(this.teams, id, 'members_with_roles', change),
    deleteTeams: (ids) => Promise.resolve({ keys: remove(this.keys, [...this.keys.values()].filter(({ team_id }) => team_id !== null && ids.includes(team_id)).map(({ token }) => token)), teams: remove(this.teams, ids) }),
    findTeam: (id) => Promise.resolve(structuredClone(this.teams.get(id))),
    listTeams: ({ user_id, ...filter }, question) => Promise.resolve(pageOf([...this.teams.values()].filter((row) => matches(row, filter) && (user_id === undefined || row.members_with_roles.some((member) => member.user_id === user_id))), question)),
    insertUser: (row) => insert(this.users, 'user_id', row),
    updateUser: (id, change) => update(this.users, id, change),
    changeUserTeams: (id, change) => changeColumn(this.users, id, 'teams', change),
    deleteUsers: (ids) => Promise.resolve({ keys: remove(this.keys, [...this.keys.values()].filter(({ user_id }) => user_id !== null && ids.includes(user_id)).map(({ token }) => token)), users: remove(this.users, ids) }),
    findUser: (id) => Promise.resolve(structuredClone(this.users.get(id))),
    listUsers: ({ role, user_email }, question) => Promise.resolve(pageOf([...this.users.values()].filter((row) => matches(row, { user_role: role, user_email })), question)),
    insertBudget: (row) => insert(this.budgets, 'budget_id', row),
    updateBudget: (id, change) => update(this.budgets, id, change),
    deleteBudgets: (ids) => Promise.resolve(remove(this.budgets, ids)),
    findBudget: (id) => Promise.resolve(structuredClone(this.budgets.get(id))),
    listBudgets: (question) => Promise.resolve(pageOf([...this.budgets.values()], question)),
    countKeysOfBudget: (id) => Promise.resolve([...this.keys.values()].filter(({ budget_id }) => budget_id === id).length),
    resetDueBudgets: () => Promise.resolve(0),
  };

  readonly spend: SpendStore = {
    record: () => Promise.resolve(0),
    logs: (filter, question) => {
      this.asked.push(filter);
      return Promise.resolve(pageOf(this.#lines(filter), question));
    },
    sums: (by, filter, limit) => {
      const sums = new Map<string, SpendSum>();
      for (const line of this.#lines(filter)) {
        const names = by === 'tag' ? line.tags : [line[by]];
        for (const of of names) {
          if (of === null) continue;
          const sum = sums.get(of) ?? { of, spend: 0, requests: 0, total_tokens: 0 };
          sums.set(of, { of, spend: sum.spend + line.spend, requests: sum.requests + 1, total_tokens: sum.total_tokens + line.total_tokens });
        }
      }
      return Promise.resolve([...sums.values()].sort((a, b) => b.spend - a.spend).slice(0, limit));
    },
    total: async (filter) => {
      this.asked.push(filter);
      await this.reading;
      const lines = this.#lines(filter);
      return { spend: lines.reduce((sum, { spend }) => sum + spend, 0), requests: lines.length };
    },
  };

  migrate(): Promise<{ applied: readonly string[] }> {
    return Promise.resolve({ applied: [] });
  }

  ping(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #access(token: string): KeyAccess | undefined {
    const old = this.rotated.get(token);
    if (old !== undefined && (old.graceUntil === undefined || old.graceUntil.getTime() < Date.now())) return undefined;
    const key = this.keys.get(old?.token ?? token);
    if (key === undefined) return undefined;
    return structuredClone({
      key, team: this.teams.get(key.team_id ?? ''), user: this.users.get(key.user_id ?? ''), budget: this.budgets.get(key.budget_id ?? ''), model_spend: this.modelSpend, grace_until: old?.graceUntil,
    });
  }

  #lines({ from, to, ...filter }: SpendFilter): SpendLog[] {
    return this.ledger.filter((line) => matches(line, filter) && (from === undefined || line.start_time >= from) && (to === undefined || line.start_time < to));
  }
}

function insert<Row extends object>(table: Map<string, Row>, idColumn: string & keyof Row, row: Row): Promise<Row> {
  const id = String(row[idColumn]);
  if (table.has(id)) return Promise.reject(new AlreadyExistsError(idColumn));
  table.set(id, structuredClone(row));
  return Promise.resolve(structuredClone(row));
}

function update<Row extends object>(table: Map<string, Row>, id: string, change: Partial<NoInfer<Row>>): Promise<Row | undefined> {
  const row = table.get(id);
  if (row === undefined) return Promise.resolve(undefined);
  table.set(id, structuredClone({ ...row, ...change }));
  return Promise.resolve(structuredClone(table.get(id)));
}

/** Nothing else runs between reading and writing. */
async function changeColumn<Row extends object, Column extends keyof Row>(table: Map<string, Row>, id: string, column: Column, change: (value: Row[Column]) => Row[Column]): Promise<{ before: Row; after: Row } | undefined> {
  const before = structuredClone(table.get(id));
  if (before === undefined) return undefined;
  const value = change(before[column]);
  table.set(id, structuredClone({ ...before, [column]: value }));
  return Promise.resolve({ before, after: structuredClone({ ...before, [column]: value }) });
}

function remove<Row>(table: Map<string, Row>, ids: readonly string[]): Row[] {
  return ids.flatMap((id) => {
    const row = table.get(id);
    table.delete(id);
    return row === undefined ? [] : [row];
  });
}

function matches<Row extends object>(row: Row, filter: { readonly [Column in keyof Row]?: unknown }): boolean {
  return Object.entries(filter).every(([column, value]) => value === undefined || row[column as keyof Row] === value);
}

function pageOf<Row>(rows: readonly Row[], { page, size }: PageQuestion): Page<Row> {
  return { rows: structuredClone(rows.slice((page - 1) * size, page * size)), total: rows.length };
}

const ROLES: Readonly<Record<string, Role>> = { proxy_admin: 'admin', proxy_admin_viewer: 'viewer' };

/** Finds the callers in a fake database, and the master key. */
class FakeKeyStore implements KeyStore {
  readonly hasKeys = true;
  readonly #master = new MasterKeyStore(TEST_KEY);
  readonly #database: FakeDatabase;

  constructor(database: FakeDatabase) {
    this.#database = database;
  }

  async find(digest: Buffer): Promise<Principal | undefined> {
    const master = this.#master.find(digest);
    if (master !== undefined) return master;
    const access = await this.#database.access.findAccess(digest.toString('hex'));
    if (access === undefined || access.key.blocked) return undefined;
    const { key, user } = access;
    return {
      keyHash: digest.toString('hex'), keyAlias: key.key_alias ?? undefined, role: ROLES[user?.user_role ?? ''] ?? 'user', models: undefined, aliases: undefined,
      userId: key.user_id ?? undefined, teamId: key.team_id ?? undefined, tags: key.tags, access, limits: readKeyLimits(access, Date.now()),
    };
  }
}

export interface ManagedGateway extends AsyncDisposable {
  readonly gateway: FakeGateway;
  readonly database: FakeDatabase;
  readonly audited: readonly (AuditEvent & { readonly reason?: string })[];
  /** What `accessChanged` was told. */
  readonly changed: readonly (readonly string[] | undefined)[];
  /** `away`: every call fails as while Postgres is down; `none`: nothing is configured. */
  state: 'there' | 'away' | 'none';
  post(path: string, body: unknown, key?: string): Promise<{ readonly status: number; readonly body: Record<string, unknown>; readonly headers: Headers }>;
  get(path: string, key?: string): Promise<{ readonly status: number; readonly body: Record<string, unknown>; readonly headers: Headers }>;
}

/** A gateway with its real routes over a fake database. Without a key of their own, calls are the master key's. */
export async function startManagedGateway(config = '', options: FakeGatewayOptions = {}): Promise<ManagedGateway> {
  const database = new FakeDatabase();
  const audited: (AuditEvent & { reason?: string })[] = [];
  const changed: (readonly string[] | undefined)[] = [];
  const state: GatewayDatabase = {
    isConfigured: true, isAway: false,
    run: (work) => {
      if (managed.state === 'none') return Promise.reject(noDatabaseConfigured());
      if (managed.state === 'away') return Promise.reject(new AppError('unavailable', 'database_unavailable', 'The database is away.'));
      return work(database, new AbortController().signal);
    },
  };
  const gateway = await startFakeGateway(`${chatConfig(['a'])}${config}`, {
    ...options, database: state, keys: new FakeKeyStore(database), accessChanged: (tokens) => void changed.push(tokens),
    audit: { record: (event) => void audited.push(event), denied: (event) => void audited.push({ ...event, action: 'denied' }) },
  });
  const read = async (reply: Response): Promise<{ status: number; body: Record<string, unknown>; headers: Headers }> => ({ status: reply.status, headers: reply.headers, body: await reply.json() as Record<string, unknown> });
  const managed: ManagedGateway = {
    gateway, database, audited, changed, state: 'there',
    post: async (path, body, key = TEST_KEY) => read(await fetch(gateway.url + path, {
      method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body), headers: { 'content-type': 'application/json', ...(key === '' ? {} : { authorization: `Bearer ${key}` }) },
    })),
    get: async (path, key = TEST_KEY) => read(await fetch(gateway.url + path, { headers: key === '' ? {} : { authorization: `Bearer ${key}` } })),
    [Symbol.asyncDispose]: () => gateway[Symbol.asyncDispose](),
  };
  return managed;
}

/** Callers of every kind over two teams: what a test of permissions needs. */
export interface Company {
  readonly admin: string;
  readonly viewer: string;
  /** An ordinary user's key in team `red`. */
  readonly member: string;
  /** The key of an admin of team `red`. */
  readonly redAdmin: string;
  /** A key of team `blue`. */
  readonly blue: string;
  /** A key of no team and no user. */
  readonly lone: string;
  /** A key of team `red` whose user is a proxy admin. */
  readonly redOfAdmin: string;
}

export async function foundCompany(managed: ManagedGateway): Promise<Company> {
  const made = async (path: string, body: object): Promise<Record<string, unknown>> => {
    const { status, body: reply } = await managed.post(path, body);
    if (status !== 200) throw new Error(`${path}: ${JSON.stringify(reply)}`);
    return reply;
  };
  const key = async (body: object): Promise<string> => String((await made('/key/generate', body))['key']);
  await made('/user/new', { user_id: 'root', user_role: 'proxy_admin', auto_create_key: false });
  await made('/user/new', { user_id: 'auditor', user_role: 'proxy_admin_viewer', auto_create_key: false });
  await made('/team/new', { team_id: 'red', max_budget: 100, rpm_limit: 60, models: ['chat'], members_with_roles: [{ user_id: 'ruth', role: 'admin' }, { user_id: 'mia', role: 'user' }] });
  await made('/team/new', { team_id: 'blue', members_with_roles: [{ user_id: 'bob', role: 'admin' }] });
  await made('/budget/new', { budget_id: 'large', max_budget: 1_000_000 });
  return {
    admin: await key({ user_id: 'root', key_alias: 'admin' }), viewer: await key({ user_id: 'auditor', key_alias: 'viewer' }), member: await key({ user_id: 'mia', team_id: 'red', key_alias: 'member' }),
    redAdmin: await key({ user_id: 'ruth', team_id: 'red', key_alias: 'red-admin' }), blue: await key({ user_id: 'bob', team_id: 'blue', key_alias: 'blue' }), lone: await key({ key_alias: 'lone' }),
    redOfAdmin: await key({ user_id: 'root', team_id: 'red', key_alias: 'red-of-admin' }),
  };
}
