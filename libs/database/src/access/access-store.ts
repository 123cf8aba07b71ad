import { sql, type RawBuilder } from 'kysely';
import type { Connections, Session } from '../connections.ts';
import { AlreadyExistsError, type AccessStore, type Page, type PageQuestion } from '../database.ts';
import type { BudgetRow, KeyRow, TeamRow, UserRow } from '../rows.ts';
import { isAboutTheData } from '../sql-errors.ts';
import { changesQuery, readChanges } from './changes-since.ts';
import { budgets, deleteRows, findRow, insertRow, keys, lockRows, pageOf, teams, updateRow, users, type Entity } from './entities.ts';
import { accessQuery, readAccess } from './find-access.ts';
import { resetDueBudgets } from './reset-due-budgets.ts';

export function createAccessStore(connections: Connections): AccessStore {
  const one = async <Row>(query: RawBuilder<Row>): Promise<Row | undefined> => (await connections.run(query))[0];
  const inserted = async <Row extends object>(entity: Entity<Row>, row: Row): Promise<Row> => {
    const [stored] = await connections.run(insertRow(entity, row));
    return stored ?? row;
  };
  /** Nothing is stored under a name that cannot be stored. */
  const found = async <Row>(query: RawBuilder<Row>): Promise<Row | undefined> => one(query).catch((error: unknown) => {
    if (isAboutTheData(error)) return undefined;
    throw error;
  });
  const page = <Row extends object>(entity: Entity<Row>, conditions: readonly RawBuilder<unknown>[], question: PageQuestion): Promise<Page<Row>> =>
    connections.transaction(async (session) => {
      const { rows, total } = pageOf(entity, conditions, question);
      return { rows: await session.run(rows), total: (await session.run(total))[0]?.total ?? 0 };
    }, { readOnly: true });

  /** Reads a row, changes one of its columns and writes it, while everybody else who would do that waits. The same value back writes nothing. */
  const changed = <Row extends object, Column extends string & keyof Row>(entity: Entity<Row>, column: Column) => async (id: string, change: (value: Row[Column]) => Row[Column]) => {
    const refused: unknown[] = [];
    const result = await connections.transaction(async (session) => {
      const [before] = await session.run(lockRows(entity, sql`${sql.ref(entity.id)} = ${id}`));
      if (before === undefined) return undefined;
      let value: Row[Column];
      try {
        value = change(before[column]);
      } catch (error) {
        // Not a fault of the connection: the transaction ends in good order, having written nothing.
        refused.push(error);
        return undefined;
      }
      if (value === before[column]) return { before, after: before };
      const [after] = await session.run(updateRow<Row>(entity, id, { [column]: value } as unknown as Partial<Row>));
      return after === undefined ? undefined : { before, after };
    });
    if (refused.length > 0) throw refused[0];
    return result;
  };

  return {
    findAccess: async (token, signal) => {
      try {
        const [row] = await connections.run(accessQuery(token), { signal });
        return row === undefined ? undefined : readAccess(row);
      } catch (error) {
        if (isAboutTheData(error)) return undefined;
        throw error;
      }
    },
    changesSince: async (cursor, signal) => {
      const [row] = await connections.run(changesQuery(cursor), { signal });
      if (row === undefined) throw new TypeError('A SELECT without FROM has one row.');
      return readChanges(row);
    },

    insertKey: (row) => connections.transaction(async (session) => {
      // A hash that a key had before it was rotated is used up: it must not come back as another key, or as the same one from an import.
      const [used] = await session.run(sql`SELECT 1 FROM pointsman.key_grace WHERE old_token = ${row.token}`);
      if (used !== undefined) throw new AlreadyExistsError('token');
      const [stored] = await session.run(insertRow<KeyRow>(keys, row));
      return stored ?? row;
    }),
    updateKey: (token, change) => one(updateRow<KeyRow>(keys, token, change)),
    deleteKeys: (tokens) => connections.transaction((session) => removeKeys(session, sql`token = ANY (${tokens}::text[])`)),
    rotateKey: (token, next, change = {}) => connections.transaction(async (session) => {
      const [locked] = await session.run(lockRows(keys, sql`token = ${token}`));
      if (locked === undefined) return undefined;
      await session.run(sql`UPDATE pointsman.virtual_keys SET token = ${next.token}, key_name = ${next.key_name} WHERE token = ${token}`);
      await session.run(sql`INSERT INTO pointsman.key_grace (old_token, token, grace_until) VALUES (${token}, ${next.token}, ${next.graceUntil ?? null})`);
      await session.run(sql`UPDATE pointsman.model_spend SET id = ${next.token} WHERE scope = 'key' AND id = ${token}`);
      const { token: _, key_name: __, ...rest } = change as Partial<KeyRow>;
      const [row] = await session.run(updateRow<KeyRow>(keys, next.token, rest));
      return row;
    }),
    findKey: (token) => found(findRow<KeyRow>(keys, 'token', token)),
    findKeyByAlias: (alias) => found(findRow<KeyRow>(keys, 'key_alias', alias)),
    listKeys: (filter, question) => page<KeyRow>(keys, equal(filter, ['user_id', 'team_id', 'key_alias', 'token']), question),

    insertTeam: (row) => inserted<TeamRow>(teams, row),
    updateTeam: (teamId, change) => one(updateRow<TeamRow>(teams, teamId, change)),
    changeTeamMembers: changed<TeamRow, 'members_with_roles'>(teams, 'members_with_roles'),
    deleteTeams: (teamIds) => connections.transaction(async (session) => {
      const removed = await removeKeys(session, sql`team_id = ANY (${teamIds}::text[])`);
      return { teams: await remove(session, teams, teamIds, 'team'), keys: removed };
    }),
    findTeam: (teamId) => found(findRow<TeamRow>(teams, 'team_id', teamId)),
    listTeams: ({ user_id, ...filter }, question) => page<TeamRow>(teams, [
      ...equal(filter, ['team_alias']),
      ...(user_id === undefined ? [] : [sql`members_with_roles @> ${JSON.stringify([{ user_id }])}::jsonb`]),
    ], question),

    insertUser: (row) => inserted<UserRow>(users, row),
    updateUser: (userId, change) => one(updateRow<UserRow>(users, userId, change)),
    changeUserTeams: changed<UserRow, 'teams'>(users, 'teams'),
    deleteUsers: (userIds) => connections.transaction(async (session) => {
      const removed = await removeKeys(session, sql`user_id = ANY (${userIds}::text[])`);
      return { users: await remove(session, users, userIds), keys: removed };
    }),
    findUser: (userId) => found(findRow<UserRow>(users, 'user_id', userId)),
    listUsers: ({ role, user_email }, question) => page<UserRow>(users, equal({ user_role: role, user_email }, ['user_role', 'user_email']), question),

    insertBudget: (row) => inserted<BudgetRow>(budgets, row),
    updateBudget: (budgetId, change) => one(updateRow<BudgetRow>(budgets, budgetId, change)),
    deleteBudgets: (budgetIds) => connections.transaction((session) => remove(session, budgets, budgetIds)),
    findBudget: (budgetId) => found(findRow<BudgetRow>(budgets, 'budget_id', budgetId)),
    listBudgets: (question) => page<BudgetRow>(budgets, [], question),
    countKeysOfBudget: async (budgetId) => (await one(sql<{ total: number }>`SELECT count(*) AS total FROM pointsman.virtual_keys WHERE budget_id = ${budgetId}`))?.total ?? 0,

    resetDueBudgets: (now, signal) => resetDueBudgets(connections, now, signal),
  };
}

async function removeKeys(session: Session, where: RawBuilder<unknown>): Promise<KeyRow[]> {
  const rows = await session.run(lockRows(keys, where));
  const tokens = rows.map(({ token }) => token);
  if (tokens.length === 0) return rows;
  await session.run(deleteRows(keys, tokens));
  await session.run(sql`DELETE FROM pointsman.model_spend WHERE scope = 'key' AND id = ANY (${tokens}::text[])`);
  return rows;
}

async function remove<Row extends object>(session: Session, entity: Entity<Row>, ids: readonly string[], scope?: 'team'): Promise<Row[]> {
  const rows = await session.run(lockRows(entity, sql`${sql.ref(entity.id)} = ANY (${ids}::text[])`));
  await session.run(deleteRows(entity, ids));
  if (scope !== undefined) await session.run(sql`DELETE FROM pointsman.model_spend WHERE scope = ${scope} AND id = ANY (${ids}::text[])`);
  return rows;
}

function equal<Filter extends Readonly<Record<string, string | undefined>>>(filter: Filter, columns: readonly (string & keyof Filter)[]): RawBuilder<unknown>[] {
  return columns.filter((column) => filter[column] !== undefined).map((column) => sql`${sql.ref(column)} = ${filter[column]}`);
}
