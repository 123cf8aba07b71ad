import { randomUUID } from 'node:crypto';
import { eventually } from '@pointsman/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AuditExportPosition, AuditExportStore, ExportPart, ExportRow } from './audit-exports.ts';
import { connectDatabase } from './connect-database.ts';
import { AlreadyExistsError, RejectedRowsError, type ConnectedDatabase } from './database.ts';
import { budgetRow, hashOf, keyRow, spendLine, teamRow, userRow } from './sample-rows.ts';

const never = new AbortController().signal;
const page = { page: 1, size: 50 };

/** What every database behind `Database` must do. `open` gives the URL of one that is empty. */
export function databaseConformance(name: string, open: () => Promise<{ readonly url: string; close(): Promise<void> }>): void {
  describe(name, () => {
    let opened: Awaited<ReturnType<typeof open>>;
    let database: ConnectedDatabase;
    const connect = (): ConnectedDatabase => connectDatabase({ url: opened.url, applicationName: 'conformance', poolSize: 3 });

    beforeAll(async () => {
      opened = await open();
      database = connect();
      await database.migrate(never);
    });
    afterAll(async () => {
      await database.close();
      await opened.close();
    });
    const json = (...rows: object[]): string[] => rows.map((row) => JSON.stringify(row));

    test('migrating what is up to date does nothing, and a ping answers', async () => {
      expect(await database.migrate(never)).toEqual({ applied: [] });
      await database.ping(never);
    });

    describe('keys, teams, users and budgets', () => {
      test('a key comes back as it was written, found by hash and by alias, with dates, numbers and JSON in their types', async () => {
        const row = keyRow({
          key_alias: `ä"'; DROP TABLE virtual_keys;-- ${randomUUID()}`, spend: 0.1 + 0.2, max_budget: 1e-9, rpm_limit: 4_000_000_000, models: ['a', 'b"'], aliases: { 'gpt-4': 'fast' },
          metadata: { nested: { list: [1, 'zwei', null, true] }, ['__proto__x']: 1 }, model_max_budget: { 'gpt-4o': { max_budget: 5, budget_duration: '1d' } }, tags: ['t'],
          expires: new Date('2030-01-02T03:04:05.678Z'), budget_duration: '7d', budget_reset_at: new Date('2026-11-30T00:00:00.000Z'), blocked: true,
        });
        expect(await database.access.insertKey(row)).toEqual(row);
        expect(await database.access.findKey(row.token)).toEqual(row);
        expect(await database.access.findKeyByAlias(String(row.key_alias))).toEqual(row);
        expect(await database.access.findKey('unknown')).toBeUndefined();
      });

      test('an alias or an id that is taken is refused by name and changes nothing', async () => {
        const first = await database.access.insertKey(keyRow({ key_alias: `alias-${randomUUID()}` }));
        const second = keyRow({ key_alias: first.key_alias });
        await expect(database.access.insertKey(second)).rejects.toThrow(AlreadyExistsError);
        await expect(database.access.insertKey(second)).rejects.toMatchObject({ field: 'key_alias' });
        await expect(database.access.insertKey(first)).rejects.toMatchObject({ field: 'token' });
        expect(await database.access.findKey(second.token)).toBeUndefined();
        const other = await database.access.insertKey(keyRow());
        await expect(database.access.updateKey(other.token, { key_alias: first.key_alias })).rejects.toMatchObject({ field: 'key_alias' });
        const team = await database.access.insertTeam(teamRow());
        await expect(database.access.insertTeam(team)).rejects.toMatchObject({ field: 'team_id' });
      });

      test('an update changes what it names and nothing else; names that are no columns are ignored; an unknown id is undefined', async () => {
        const row = await database.access.insertKey(keyRow({ models: ['a'], max_budget: 3 }));
        const change = { max_budget: null, blocked: true, metadata: { a: 1 }, user_id: undefined, ...JSON.parse('{"__proto__": {"x": 1}, "nonsense; DROP": 1, "period_start": "x"}') as object };
        const updated = await database.access.updateKey(row.token, change);
        expect(updated).toEqual({ ...row, max_budget: null, blocked: true, metadata: { a: 1 }, updated_at: updated?.updated_at });
        expect(updated?.updated_at).not.toEqual(row.updated_at);
        expect(await database.access.updateKey('unknown', { blocked: true })).toBeUndefined();
        expect(await database.access.updateTeam('unknown', { blocked: true })).toBeUndefined();
      });

      test('one question gives a key with its team, user and budget; without them they are undefined', async () => {
        const [team, user, budget] = [teamRow({ max_budget: 10, members_with_roles: [{ user_id: 'u', role: 'admin' }] }), userRow({ teams: ['x'] }), budgetRow({ tpm_limit: 7 })];
        await database.access.insertTeam(team);
        await database.access.insertUser(user);
        await database.access.insertBudget(budget);
        const row = await database.access.insertKey(keyRow({ team_id: team.team_id, user_id: user.user_id, budget_id: budget.budget_id }));
        expect(await database.access.findAccess(row.token, never)).toEqual({ key: row, team, user, budget, model_spend: [], grace_until: undefined });
        const alone = await database.access.insertKey(keyRow({ team_id: 'gone' }));
        expect(await database.access.findAccess(alone.token)).toEqual({ key: alone, team: undefined, user: undefined, budget: undefined, model_spend: [], grace_until: undefined });
        expect(await database.access.findAccess(hashOf('unknown'))).toBeUndefined();
      });

      test('a rotated key answers to its old hash until the grace period ends, or not at all, also when rotated again', async () => {
        const first = await database.access.insertKey(keyRow());
        const until = new Date(Date.now() + 3_600_000);
        const second = hashOf(randomUUID());
        const rotated = await database.access.rotateKey(first.token, { token: second, key_name: 'sk-...2222', graceUntil: until }, { max_budget: 2 });
        expect(rotated).toMatchObject({ token: second, key_name: 'sk-...2222', max_budget: 2 });
        expect(await database.access.findAccess(first.token)).toMatchObject({ key: { token: second }, grace_until: until });
        const third = hashOf(randomUUID());
        await database.access.rotateKey(second, { token: third, key_name: 'sk-...3333', graceUntil: undefined });
        expect(await database.access.findAccess(first.token)).toMatchObject({ key: { token: third }, grace_until: until });
        expect(await database.access.findAccess(second)).toBeUndefined();
        expect((await database.access.findAccess(third))?.grace_until).toBeUndefined();
        await expect(database.access.insertKey({ ...first, key_alias: null })).rejects.toMatchObject({ field: 'token' });
        expect(await database.access.rotateKey('unknown', { token: hashOf(randomUUID()), key_name: 'x', graceUntil: undefined })).toBeUndefined();

        const fourth = hashOf(randomUUID());
        await database.access.rotateKey(third, { token: fourth, key_name: 'x', graceUntil: new Date(Date.now() - 1) });
        expect(await database.access.findAccess(third)).toBeUndefined();
        await database.access.deleteKeys([fourth]);
        expect(await database.access.findAccess(first.token)).toBeUndefined();
      });

      test('of many changes of a team\'s members at the same moment none is lost, nor of a user\'s teams', async () => {
        const team = await database.access.insertTeam(teamRow({ members_with_roles: [{ user_id: 'first', role: 'admin' }] }));
        const user = await database.access.insertUser(userRow());
        const other = connect();
        const names = Array.from({ length: 12 }, (_, index) => `m${index}`);
        await Promise.all(names.flatMap((name, index) => {
          const { access } = index % 2 === 0 ? database : other;
          return [access.changeTeamMembers(team.team_id, (members) => [...members, { user_id: name, role: 'user' }]), access.changeUserTeams(user.user_id, (teams) => [...teams, name])];
        }));
        await other.close();
        expect(new Set((await database.access.findTeam(team.team_id))?.members_with_roles.map(({ user_id }) => user_id))).toEqual(new Set(['first', ...names]));
        expect(new Set((await database.access.findUser(user.user_id))?.teams)).toEqual(new Set(names));
      });

      test('a change of members that is refused changes nothing; one of a team that is not there is undefined', async () => {
        const team = await database.access.insertTeam(teamRow({ members_with_roles: [{ user_id: 'first', role: 'admin' }] }));
        await expect(database.access.changeTeamMembers(team.team_id, () => { throw new RangeError('no'); })).rejects.toThrow(RangeError);
        expect(await database.access.findTeam(team.team_id)).toEqual(team);
        expect(await database.access.changeTeamMembers(team.team_id, (members) => members)).toEqual({ before: team, after: team });
        const result = await database.access.changeTeamMembers(team.team_id, () => []);
        expect(result?.before).toEqual(team);
        expect(result?.after).toEqual({ ...team, members_with_roles: [], updated_at: result?.after.updated_at });
        expect(result?.after.updated_at).not.toEqual(team.updated_at);
        expect(await database.access.changeTeamMembers('unknown', () => [])).toBeUndefined();
        expect(await database.access.changeUserTeams('unknown', () => [])).toBeUndefined();
      });

      test('deleting gives back what was there; teams and users take their keys with them', async () => {
        const team = await database.access.insertTeam(teamRow());
        const user = await database.access.insertUser(userRow());
        const ofTeam = await database.access.insertKey(keyRow({ team_id: team.team_id }));
        const ofUser = await database.access.insertKey(keyRow({ user_id: user.user_id }));
        const single = await database.access.insertKey(keyRow());
        expect(await database.access.deleteKeys([single.token, 'unknown'])).toEqual([single]);
        expect(await database.access.deleteKeys([])).toEqual([]);
        expect(await database.access.deleteTeams([team.team_id])).toEqual({ teams: [team], keys: [ofTeam] });
        expect(await database.access.deleteUsers([user.user_id])).toEqual({ users: [user], keys: [ofUser] });
        expect(await database.access.findKey(ofTeam.token)).toBeUndefined();
        expect(await database.access.findTeam(team.team_id)).toBeUndefined();
        const budget = await database.access.insertBudget(budgetRow());
        expect(await database.access.updateBudget(budget.budget_id, { max_budget: 4 })).toMatchObject({ max_budget: 4 });
        expect(await database.access.countKeysOfBudget(budget.budget_id)).toBe(0);
        const first = await database.access.insertKey(keyRow({ budget_id: budget.budget_id }));
        for (const row of [keyRow({ budget_id: budget.budget_id }), keyRow()]) await database.access.insertKey(row);
        expect(await database.access.countKeysOfBudget(budget.budget_id)).toBe(2);
        await database.access.updateKey(first.token, { budget_id: null });
        expect(await database.access.countKeysOfBudget(budget.budget_id)).toBe(1);
        expect(await database.access.deleteBudgets([budget.budget_id])).toMatchObject([{ budget_id: budget.budget_id }]);
        expect(await database.access.findBudget(budget.budget_id)).toBeUndefined();
      });

      test('lists are pages, newest first, with the number of all', async () => {
        const team = await database.access.insertTeam(teamRow({ team_alias: `alias ${randomUUID()}`, members_with_roles: [{ user_id: 'member-1', role: 'user' }] }));
        const rows = [];
        for (let day = 1; day <= 5; day += 1) rows.push(await database.access.insertKey(keyRow({ team_id: team.team_id, created_at: new Date(Date.UTC(2026, 1, day)) })));
        const newest = rows.toReversed();
        expect(await database.access.listKeys({ team_id: team.team_id }, { page: 1, size: 2 })).toEqual({ rows: newest.slice(0, 2), total: 5 });
        expect(await database.access.listKeys({ team_id: team.team_id }, { page: 3, size: 2 })).toEqual({ rows: newest.slice(4), total: 5 });
        expect(await database.access.listKeys({ team_id: team.team_id }, { page: 9, size: 2 })).toEqual({ rows: [], total: 5 });
        expect((await database.access.listKeys({}, { page: -1, size: 1e9 })).rows.length).toBeGreaterThan(4);
        expect(await database.access.listTeams({ user_id: 'member-1', team_alias: String(team.team_alias) }, page)).toEqual({ rows: [team], total: 1 });
        expect((await database.access.listTeams({ user_id: 'member-"1' }, page)).total).toBe(0);
        const user = await database.access.insertUser(userRow({ user_email: `${randomUUID()}@example.org`, user_role: 'proxy_admin' }));
        expect(await database.access.listUsers({ role: 'proxy_admin', user_email: String(user.user_email) }, page)).toEqual({ rows: [user], total: 1 });
        expect((await database.access.listBudgets(page)).total).toBeGreaterThan(0);
      });

      test.each([['NUL', 'a\0b'], ['half a surrogate pair', 'a\ud800b'], ['half a million characters', 'x'.repeat(500_000)]])('a name with %s is found nowhere or refused clearly, and the connection lives on', async (_what, bad) => {
        expect(await database.access.findAccess(bad)).toBeUndefined();
        expect(await database.access.findKey(bad)).toBeUndefined();
        expect(await database.access.findKeyByAlias(bad)).toBeUndefined();
        const outcome = await database.access.insertTeam(teamRow({ team_id: bad, metadata: { [bad]: bad } })).then(() => 'stored', (error: unknown) => error);
        if (outcome !== 'stored') expect(outcome).toMatchObject({ kind: 'invalid_request' });
        await database.ping(never);
      });
    });

    describe('changes', () => {
      test('a replica that polls hears of every change of a key, its team, user and budget, once, and of nothing else', async () => {
        const team = await database.access.insertTeam(teamRow());
        const user = await database.access.insertUser(userRow());
        const budget = await database.access.insertBudget(budgetRow());
        let { cursor } = await database.access.changesSince(undefined);
        const news = async (): Promise<unknown> => {
          const answer = await database.access.changesSince(cursor);
          cursor = answer.cursor;
          return answer.change?.tokens === undefined ? answer.change : new Set(answer.change.tokens);
        };
        expect(await news()).toBeUndefined();
        const key = await database.access.insertKey(keyRow({ team_id: team.team_id, user_id: user.user_id, budget_id: budget.budget_id }));
        expect(await news()).toEqual(new Set([key.token]));
        expect(await news()).toBeUndefined();
        await database.access.updateKey(key.token, { blocked: true });
        expect(await news()).toEqual(new Set([key.token]));
        await database.access.updateTeam(team.team_id, { blocked: true });
        expect(await news()).toEqual(new Set([key.token]));
        await database.access.updateUser(user.user_id, { max_budget: 1 });
        await database.access.updateBudget(budget.budget_id, { max_budget: 1 });
        expect(await news()).toEqual(new Set([key.token]));
        await database.access.updateKey(key.token, { spend: 0 });
        expect(await news()).toEqual(new Set([key.token]));
        await database.spend.record(json(spendLine({ api_key: key.token, team_id: team.team_id, user_id: user.user_id })));
        expect(await news()).toBeUndefined();
        const next = hashOf(randomUUID());
        await database.access.rotateKey(key.token, { token: next, key_name: 'x', graceUntil: new Date(Date.now() + 60_000) });
        expect(await news()).toEqual(new Set([key.token, next]));
        await database.access.updateKey(next, { blocked: false });
        expect(await news()).toEqual(new Set([key.token, next]));
        await database.access.deleteKeys([next]);
        expect(await news()).toEqual(new Set([key.token, next]));
      });

      test('a team with very many keys, and a cursor nobody understands, mean: forget all', async () => {
        const team = await database.access.insertTeam(teamRow());
        for (let count = 0; count < 101; count += 1) await database.access.insertKey(keyRow({ team_id: team.team_id }));
        const { cursor } = await database.access.changesSince(undefined);
        await database.access.updateTeam(team.team_id, { blocked: true });
        expect((await database.access.changesSince(cursor)).change).toEqual({ tokens: undefined });
        expect((await database.access.changesSince('nonsense')).change).toEqual({ tokens: undefined });
        const hourAgo = `${Math.floor(Date.now() / 1_000) - 4_000}/${cursor.split('/')[1]}`;
        expect((await database.access.changesSince(hourAgo)).change).toEqual({ tokens: undefined });
        expect((await database.access.changesSince(`${cursor.split('/')[0]}/900000000:900000000:`)).change).toEqual({ tokens: undefined });
      });
    });

    describe('the ledger', () => {
      test('lines are stored once and added once to key, team, user and model, whoever sends them again', async () => {
        const team = await database.access.insertTeam(teamRow());
        const user = await database.access.insertUser(userRow());
        const key = await database.access.insertKey(keyRow({ team_id: team.team_id, user_id: user.user_id }));
        const whose = { api_key: key.token, team_id: team.team_id, user_id: user.user_id };
        const lines = [spendLine({ ...whose, spend: 0.5 }), spendLine({ ...whose, spend: 0.25, model_group: 'slow' }), spendLine({ ...whose, spend: 0, cache_hit: true })];
        expect(await database.spend.record([])).toBe(0);
        expect(await database.spend.record(json(...lines, ...lines))).toBe(3);
        expect(await database.spend.record(json(...lines, spendLine({ ...whose, spend: 1 })))).toBe(1);
        const access = await database.access.findAccess(key.token);
        expect([access?.key.spend, access?.team?.spend, access?.user?.spend]).toEqual([1.75, 1.75, 1.75]);
        const start = new Date('2026-11-23T10:00:01.000Z');
        expect(access?.model_spend).toEqual([
          { scope: 'key', model: 'fast', spend: 1.5, period_start: start }, { scope: 'key', model: 'slow', spend: 0.25, period_start: start },
          { scope: 'team', model: 'fast', spend: 1.5, period_start: start }, { scope: 'team', model: 'slow', spend: 0.25, period_start: start },
        ]);
        expect(await database.spend.total({ api_key: key.token })).toEqual({ spend: 1.75, requests: 4 });
      });

      test('a line comes back as it was written, by every filter', async () => {
        const whose = { api_key: hashOf(randomUUID()), team_id: randomUUID(), user_id: randomUUID() };
        const line = spendLine({
          ...whose, end_user: `o'"neil`, model: null, model_id: null, provider: null, spend: 1.1e-7, cached_tokens: 3, reasoning_tokens: 4, usage_estimated: true, cache_hit: true, stream: false,
          status: 'partial', error_code: 'x', tags: ['a,b', '{c}', ''], start_time: '2026-10-01T00:00:00.001Z', completion_start_time: '2026-10-01T00:00:00.002Z', end_time: '2026-10-01T00:00:00.003Z',
        });
        const later = spendLine({ ...whose, start_time: '2026-10-01T01:00:00.000Z' });
        await database.spend.record(json(line, later));
        const asLog = (row: typeof line): object => ({ ...row, start_time: new Date(row.start_time), end_time: new Date(row.end_time), completion_start_time: row.completion_start_time === null ? null : new Date(row.completion_start_time) });
        for (const filter of [{ api_key: whose.api_key }, { team_id: whose.team_id }, { user_id: whose.user_id }]) {
          expect(await database.spend.logs(filter, page)).toEqual({ rows: [asLog(later), asLog(line)], total: 2 });
        }
        expect(await database.spend.logs({ request_id: line.request_id }, page)).toEqual({ rows: [asLog(line)], total: 1 });
        expect((await database.spend.logs({ ...whose, from: new Date('2026-10-01T00:30:00Z') }, page)).rows).toEqual([asLog(later)]);
        expect((await database.spend.logs({ ...whose, to: new Date('2026-10-01T01:00:00Z') }, page)).rows).toEqual([asLog(line)]);
        expect(await database.spend.logs(whose, { page: 2, size: 1 })).toEqual({ rows: [asLog(line)], total: 2 });
      });

      test('sums by key, model, provider and tag come largest first', async () => {
        const team_id = randomUUID();
        await database.spend.record(json(
          spendLine({ team_id, model_group: 'a', provider: 'p', spend: 1, tags: ['x', 'y'] }), spendLine({ team_id, model_group: 'b', provider: null, spend: 3, tags: ['y'] }), spendLine({ team_id, model_group: 'a', provider: 'p', spend: 0.5 }),
        ));
        expect(await database.spend.sums('model_group', { team_id }, 10)).toEqual([{ of: 'b', spend: 3, requests: 1, total_tokens: 15 }, { of: 'a', spend: 1.5, requests: 2, total_tokens: 30 }]);
        expect(await database.spend.sums('tag', { team_id }, 10)).toEqual([{ of: 'y', spend: 4, requests: 2, total_tokens: 30 }, { of: 'x', spend: 1, requests: 1, total_tokens: 15 }]);
        expect(await database.spend.sums('provider', { team_id }, 10)).toEqual([{ of: 'p', spend: 1.5, requests: 2, total_tokens: 30 }]);
        expect(await database.spend.sums('team_id', { team_id }, 1)).toEqual([{ of: team_id, spend: 4.5, requests: 3, total_tokens: 45 }]);
        expect(await database.spend.total({ team_id: 'nobody' })).toEqual({ spend: 0, requests: 0 });
      });

      test('spend of a key that is gone stays in the ledger; spend of a rotated key is that key\'s', async () => {
        const gone = await database.access.insertKey(keyRow());
        await database.access.deleteKeys([gone.token]);
        expect(await database.spend.record(json(spendLine({ api_key: gone.token, spend: 2 })))).toBe(1);
        expect(await database.spend.total({ api_key: gone.token })).toEqual({ spend: 2, requests: 1 });

        const old = await database.access.insertKey(keyRow());
        await database.spend.record(json(spendLine({ api_key: old.token, spend: 1 })));
        const token = hashOf(randomUUID());
        await database.access.rotateKey(old.token, { token, key_name: 'x', graceUntil: undefined });
        await database.spend.record(json(spendLine({ api_key: old.token, spend: 0.5 }), spendLine({ api_key: token, spend: 0.25 })));
        const access = await database.access.findAccess(token);
        expect(access?.key.spend).toBe(1.75);
        expect(access?.model_spend).toMatchObject([{ scope: 'key', model: 'fast', spend: 1.75 }]);
        expect(await database.spend.total({ api_key: token })).toEqual({ spend: 1.75, requests: 3 });
      });

      test('a line that cannot be stored is refused for good; its neighbours are stored', async () => {
        const api_key = hashOf(randomUUID());
        const good = spendLine({ api_key });
        const bad = ['{"id": ', JSON.stringify({ ...good, id: randomUUID(), spend: 'much' }), JSON.stringify({ ...good, id: null }), JSON.stringify({ ...good, id: randomUUID(), end_time: 'soon' })];
        const error = await database.spend.record([...json(good), ...bad]).catch((thrown: unknown) => thrown);
        expect(error).toBeInstanceOf(RejectedRowsError);
        expect(error).toMatchObject({ lines: bad });
        expect(await database.spend.total({ api_key })).toMatchObject({ requests: 1 });
      });

      test('what a client wrote into a name never costs the spend: NUL and broken surrogates are replaced', async () => {
        const api_key = hashOf(randomUUID());
        expect(await database.spend.record(json(spendLine({ api_key, requested_model: 'a\0b', tags: ['\ud800'] }), spendLine({ api_key })))).toBe(2);
        const { rows } = await database.spend.logs({ api_key }, page);
        expect(rows.map(({ requested_model }) => requested_model).toSorted()).toEqual(['auto', 'a\ufffdb'].toSorted());
      });
    });

    describe('budget periods', () => {
      test('spend goes back to 0 when the period is over, the date moves on past now, and what was spent before does not count into the new one', async () => {
        const now = new Date('2026-11-24T00:00:05.000Z');
        const due = { budget_duration: '1d', budget_reset_at: new Date('2026-11-22T00:00:00Z'), spend: 9 };
        const team = await database.access.insertTeam(teamRow(due));
        const user = await database.access.insertUser(userRow(due));
        const key = await database.access.insertKey(keyRow({ ...due, team_id: team.team_id, user_id: user.user_id }));
        const quick = await database.access.insertKey(keyRow({ budget_duration: '30s', budget_reset_at: new Date('2020-01-01T00:00:00Z'), spend: 1 }));
        const later = await database.access.insertKey(keyRow({ budget_duration: '1d', budget_reset_at: new Date('2026-11-25T00:00:00Z'), spend: 1 }));
        const broken = await database.access.insertKey(keyRow({ budget_duration: 'soon', budget_reset_at: new Date('2026-11-22T00:00:00Z'), spend: 1 }));
        const { cursor } = await database.access.changesSince(undefined);
        const other = connect();
        const counts = await Promise.all([database.access.resetDueBudgets(now), other.access.resetDueBudgets(now)]);
        await other.close();
        expect(counts[0] + counts[1]).toBe(5);
        const next = new Date('2026-11-25T00:00:00Z');
        const access = await database.access.findAccess(key.token);
        for (const row of [access?.key, access?.team, access?.user]) expect(row).toMatchObject({ spend: 0, budget_reset_at: next });
        expect(await database.access.findKey(quick.token)).toMatchObject({ spend: 0, budget_reset_at: new Date('2026-11-24T00:00:30.000Z') });
        expect(await database.access.findKey(later.token)).toMatchObject({ spend: 1 });
        expect(await database.access.findKey(broken.token)).toMatchObject({ spend: 0, budget_reset_at: null });
        expect((await database.access.changesSince(cursor)).change?.tokens).toContain(key.token);

        const whose = { api_key: key.token, team_id: team.team_id, user_id: user.user_id };
        await database.spend.record(json(spendLine({ ...whose, spend: 5, end_time: '2026-11-23T23:59:59.000Z' }), spendLine({ ...whose, spend: 1, end_time: '2026-11-24T00:00:01.000Z' })));
        const after = await database.access.findAccess(key.token);
        for (const row of [after?.key, after?.team, after?.user]) expect(row).toMatchObject({ spend: 1 });
        expect(await database.spend.total({ api_key: key.token })).toMatchObject({ spend: 6 });
        expect(await database.access.resetDueBudgets(now)).toBe(0);
      });

      test('a model with a budget of its own has its own period', async () => {
        const key = await database.access.insertKey(keyRow({ model_max_budget: { fast: { max_budget: 5, budget_duration: '1d' }, slow: { max_budget: 5, budget_duration: null } } }));
        const spent = (end_time: string, model_group = 'fast'): string => JSON.stringify(spendLine({ api_key: key.token, model_group, spend: 1, end_time }));
        await database.spend.record([spent('2026-11-23T10:00:00.000Z'), spent('2026-11-23T10:00:00.000Z', 'slow')]);
        await database.access.resetDueBudgets(new Date('2026-11-23T10:01:00.000Z'));
        const read = async (): Promise<unknown> => (await database.access.findAccess(key.token))?.model_spend.map(({ model, spend, period_start }) => [model, spend, period_start?.toISOString()]);
        expect(await read()).toEqual([['fast', 1, '2026-11-23T10:00:00.000Z'], ['slow', 1, '2026-11-23T10:00:00.000Z']]);
        await database.access.resetDueBudgets(new Date('2026-11-24T00:00:00.500Z'));
        await database.spend.record([spent('2026-11-23T23:59:59.000Z'), spent('2026-11-24T00:00:01.000Z')]);
        expect(await read()).toEqual([['fast', 1, '2026-11-24T00:00:00.000Z'], ['slow', 1, '2026-11-23T10:00:00.000Z']]);
      });
    });

    describe('the audit log', () => {
      const record = (chain: string, seq: number, more: object = {}): string => JSON.stringify({ schema_version: 1, chain, seq, at: '2026-11-23T10:00:00.000Z', action: 'key.create', before: { b: 1, a: '\0 \ud800 1e21' }, ...more });

      test('rows come once each, in the order of their arrival, exactly as they were written', async () => {
        const chain = randomUUID();
        const from = (await database.audit.read(undefined, 10_000)).cursor;
        const lines = [record(chain, 1), record(chain, 2, { z: 1.0, a: 12345678901234567 }), record(chain, 3)];
        expect(await database.audit.append([])).toBe(0);
        expect(await database.audit.append(lines.slice(0, 2))).toBe(2);
        expect(await database.audit.append(lines)).toBe(1);
        const first = await database.audit.read(from, 2);
        expect(first.rows).toEqual(lines.slice(0, 2).map((line) => JSON.parse(line) as unknown));
        expect(JSON.stringify(first.rows[0])).toBe(lines[0]);
        const rest = await database.audit.read(first.cursor, 10);
        expect(rest.rows).toEqual([JSON.parse(String(lines[2]))]);
        expect(await database.audit.read(rest.cursor, 10)).toEqual({ rows: [], cursor: rest.cursor });
        await expect(database.audit.read(`1'; DROP`, 10)).rejects.toMatchObject({ kind: 'invalid_request' });
      });

      test('rows that are no audit rows are refused for good; their neighbours are stored', async () => {
        const chain = randomUUID();
        const bad = ['{', '{"chain": "x"}', record('', 1), record(chain, 0), record(chain, 2, { at: 'soon' }), record('a\0b', 1)];
        const from = (await database.audit.read(undefined, 10_000)).cursor;
        const error = await database.audit.append([record(chain, 1), ...bad]).catch((thrown: unknown) => thrown);
        expect(error).toBeInstanceOf(RejectedRowsError);
        expect(error).toMatchObject({ lines: bad });
        expect((await database.audit.read(from, 10)).rows).toEqual([expect.objectContaining({ chain, seq: 1 })]);
      });
    });

    describe('the ledger of the audit export', () => {
      const record = (chain: string, seq: number): string => JSON.stringify({ chain, seq, at: '2026-11-23T23:59:59.999Z', before: '\0 \ud800', id: `${chain}/${seq}` });
      const end = async (): Promise<AuditExportPosition> => {
        const { version } = await exports().position();
        return { arrival: Number((await database.audit.read(undefined, 10_000)).cursor ?? 0), version };
      };
      const exports = (): AuditExportStore => database.auditExports;
      const part = (key: string, rows: readonly ExportRow[], day = '2026-11-23'): ExportPart => ({
        key, day, arrivals: rows.map(({ arrival }) => arrival), first: { id: 'a', hash: 'b' }, last: { id: 'c', hash: 'd' }, rows: rows.length, bytes: 10, sha256: 'e'.repeat(64),
        chains: [{ chain: 'x', rows: rows.length, first: { seq: 1, hash: 'f' }, last: { seq: 2, hash: 'g' } }],
      });
      /** Takes everything so far as exported, by parts that manifests list: tests share a database. */
      const skipAll = async (): Promise<AuditExportPosition> => {
        const from = await exports().position();
        expect(await exports().addSegment({ from, arrival: (await end()).arrival, parts: [], chains: [] })).toBe(true);
        return exports().position();
      };

      test('rows come by the key of arrival with the day and the text they were written with, and again by their places', async () => {
        const chain = randomUUID();
        const from = await skipAll();
        const lines = [record(chain, 1), record(chain, 2), record(chain, 3)];
        await database.audit.append(lines);
        const rows = await exports().rowsAfter(from.arrival, 2);
        expect(rows).toMatchObject([{ chain, seq: 1, day: '2026-11-23', line: lines[0] }, { chain, seq: 2, line: lines[1] }]);
        const rest = await exports().rowsAfter(Number(rows[1]?.arrival), 2);
        expect(rest).toMatchObject([{ seq: 3 }]);
        expect(await exports().rowsAt([...rest, ...rows].map(({ arrival }) => arrival))).toEqual([...rows, ...rest]);
      });

      test('of two who plan from the same position one is first; what it planned is found by everybody until it is written, and then is listed once', async () => {
        const chain = randomUUID();
        const from = await skipAll();
        await database.audit.append([record(chain, 1), record(chain, 2)]);
        const rows = await exports().rowsAfter(from.arrival, 10);
        const key = `audit-logs/${chain}`;
        const segment = { from, arrival: Number(rows.at(-1)?.arrival), parts: [part(key, rows)], chains: [{ chain, seq: 2, gaps: [] }] };
        const other = connect();
        expect((await Promise.all([exports().addSegment(segment), other.auditExports.addSegment({ ...segment, parts: [part(`${key}-other`, rows)] })])).toSorted()).toEqual([false, true]);
        await other.close();
        const [planned] = await exports().plannedParts(10);
        expect(planned).toMatchObject({ ...part(planned?.key ?? '', rows) });
        expect(await exports().addSegment({ ...segment, from: await exports().position(), parts: [part(planned?.key ?? '', rows)] })).toBe(false);
        await exports().partWritten(planned?.key ?? '');
        await exports().partWritten(planned?.key ?? '');
        expect(await exports().plannedParts(10)).toEqual([]);
        expect(await exports().chains([chain, 'unknown'])).toEqual([{ chain, seq: 2, gaps: [] }]);
        expect(await exports().unlistedDays(10)).toEqual(['2026-11-23']);
        const before = await exports().totals();
        const manifest = { sequence: ((await exports().lastManifest(undefined))?.sequence ?? 0) + 1, day: '2026-11-23', number: ((await exports().lastManifest('2026-11-23'))?.number ?? 0) + 1, key: `m-${chain}`, sha256: 'h', body: '{}', signature: Buffer.from([1, 2]) };
        expect(await exports().addManifest(manifest, [planned?.key ?? ''])).toBe(true);
        expect(await exports().addManifest({ ...manifest, key: 'another' }, [])).toBe(false);
        expect(await exports().plannedManifests(10)).toEqual([manifest]);
        expect(await exports().totals()).toEqual(before);
        expect(await exports().dropManifest(manifest.sequence)).toBe(true);
        expect(await exports().unlistedDays(10)).toEqual(['2026-11-23']);
        await exports().addManifest(manifest, [planned?.key ?? '']);
        await exports().manifestWritten(manifest.sequence);
        expect(await exports().dropManifest(manifest.sequence)).toBe(false);
        const { body: _body, signature: _signature, ...kept } = manifest;
        expect(await exports().totals()).toEqual({ parts: before.parts + 1, rows: before.rows + 2, lastManifest: kept });
        expect(await exports().unlistedDays(10)).toEqual([]);
        expect((await exports().partsOf('2026-11-23')).at(-1)).toMatchObject({ key: planned?.key, arrivals: [] });
      });

      test('rows below the position that are in no part are found: out of gaps, of unknown chains, beyond what their chain is exported to', async () => {
        const [gapped, unknown, longer, done] = Array.from({ length: 4 }, () => randomUUID());
        for (const chain of [gapped, unknown, longer, done]) await database.audit.append([record(String(chain), 1), record(String(chain), 2), record(String(chain), 3)]);
        const from = await exports().position();
        await exports().addSegment({
          from, arrival: (await end()).arrival, parts: [],
          chains: [{ chain: String(gapped), seq: 3, gaps: [[2, 2]] }, { chain: String(longer), seq: 1, gaps: [] }, { chain: String(done), seq: 3, gaps: [] }],
        });
        const late = await exports().lateRows({ position: await exports().position(), lookback: 12, limit: 10 });
        expect(late.map(({ chain, seq }) => [chain, seq])).toEqual([[gapped, 2], [unknown, 1], [unknown, 2], [unknown, 3], [longer, 2], [longer, 3]]);
        expect((await exports().lateRows({ position: await exports().position(), lookback: 0, limit: 10 })).map(({ seq }) => seq)).toEqual([2]);
      });

      test('one holds the lease until it gives it back or its time is over', async () => {
        expect(await exports().lease('a', 60_000)).toBe(true);
        expect(await exports().lease('b', 60_000)).toBe(false);
        expect(await exports().lease('b', 0)).toBe(false);
        expect(await exports().lease('a', 60_000)).toBe(true);
        expect(await exports().lease('a', 0)).toBe(true);
        expect(await exports().lease('b', 1)).toBe(true);
        await eventually(async () => expect(await exports().lease('a', 1)).toBe(true));
      });
    });
  });
}
