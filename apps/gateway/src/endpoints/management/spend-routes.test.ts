import type { SpendLog } from '@pointsman/database';
import { eventually } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { foundCompany, startManagedGateway, type ManagedGateway } from './fake-database.fixture.ts';
import { hashOfKey } from './key-rows.ts';

function line(more: Partial<SpendLog>): SpendLog {
  return {
    id: 'i', request_id: 'r', trace_id: 't', call_type: 'chat', api_key: 'k', user_id: null, team_id: null, end_user: null, requested_model: 'chat', model_group: 'chat', model: 'gpt-4o', model_id: 'a',
    provider: 'openai', spend: 1, prompt_tokens: 5, completion_tokens: 2, total_tokens: 7, cached_tokens: 0, reasoning_tokens: 0, usage_estimated: false, cache_hit: false, stream: false, status: 'success',
    error_code: null, tags: [], start_time: new Date('2026-03-01T10:00:00Z'), completion_start_time: null, end_time: new Date('2026-03-01T10:00:01Z'), ...more,
  };
}

async function withLedger(managed: ManagedGateway): Promise<{ readonly member: string; readonly blue: string; readonly viewer: string }> {
  const { member, blue, viewer } = await foundCompany(managed);
  managed.database.ledger.push(
    line({ id: '1', request_id: 'one', api_key: hashOfKey(member), user_id: 'mia', team_id: 'red', tags: ['a', 'b'] }),
    line({ id: '2', request_id: 'two', api_key: hashOfKey(blue), user_id: 'bob', team_id: 'blue', spend: 4, tags: ['a'], model_group: 'big', start_time: new Date('2026-03-02T23:59:59Z') }),
    line({ id: '3', request_id: 'three', api_key: hashOfKey('sk-deleted-long-ago'), spend: 2, start_time: new Date('2026-03-04T00:00:00Z') }),
  );
  return { member, blue, viewer };
}

test('the ledger is shown with LiteLLM\'s names, by page and filter', async () => {
  await using managed = await startManagedGateway();
  const { member } = await withLedger(managed);
  const { body, headers } = await managed.get('/spend/logs?page_size=2');
  expect([body, headers.get('x-total-count')]).toEqual([[
    expect.objectContaining({ request_id: 'one', api_key: hashOfKey(member), user: 'mia', custom_llm_provider: 'openai', request_tags: ['a', 'b'], cache_hit: 'False', startTime: '2026-03-01T10:00:00.000Z', usage_estimated: false }),
    expect.objectContaining({ request_id: 'two' }),
  ], '3']);
  expect((await managed.get(`/spend/logs?api_key=${member}`)).body).toHaveLength(1);
  expect((await managed.get('/spend/logs?request_id=two&start_date=2026-03-01&end_date=2026-03-04')).body).toEqual([expect.objectContaining({ request_id: 'two' })]);
  expect((await managed.get('/spend/logs?start_date=2026-03-02&end_date=2026-03-02&summarize=false')).body).toEqual([expect.objectContaining({ request_id: 'two' })]);
});

test('two dates mean sums per day, the last day included, and not for years', async () => {
  await using managed = await startManagedGateway();
  await withLedger(managed);
  expect((await managed.get('/spend/logs?start_date=2026-03-01&end_date=2026-03-02')).body).toEqual([
    { startTime: '2026-03-01', spend: 1, requests: 1, users: { mia: 1 }, models: { chat: 1 } },
    { startTime: '2026-03-02', spend: 4, requests: 1, users: { bob: 4 }, models: { big: 4 } },
  ]);
  expect(await managed.get('/spend/logs?start_date=2020-03-01&end_date=2026-03-02')).toMatchObject({ status: 400, body: { error: { message: expect.stringContaining('62 days') as string } } });
  expect(await managed.get('/spend/logs?start_date=2026-03-02&end_date=2026-03-01')).toMatchObject({ status: 400, body: { error: { param: 'end_date' } } });
});

test('an ordinary key sees its own requests, whatever it asks for', async () => {
  await using managed = await startManagedGateway();
  const { member, blue } = await withLedger(managed);
  for (const query of ['', '?user_id=mia', '?team_id=red', `?api_key=${member}`, '?page_size=500']) {
    expect((await managed.get(`/spend/logs${query}`, member)).body, query).toEqual([expect.objectContaining({ request_id: 'one' })]);
  }
  expect((await managed.get('/spend/logs?request_id=two', member)).body).toEqual([]);
  expect((await managed.get('/spend/logs?start_date=2026-03-01&end_date=2026-03-05', member)).body).toEqual([expect.objectContaining({ spend: 1 })]);
  expect(managed.database.asked.every(({ api_key }) => api_key === hashOfKey(member))).toBe(true);
  for (const query of [`?api_key=${blue}`, '?user_id=bob', '?team_id=blue']) expect((await managed.get(`/spend/logs${query}`, member)).status, query).toBe(403);
  expect(managed.audited.at(-1)).toMatchObject({ action: 'denied', resource: 'route:/spend/logs' });
});

test('sums per tag, key, user, team, model and of everything', async () => {
  await using managed = await startManagedGateway();
  const { member, viewer } = await withLedger(managed);
  const body = async (path: string): Promise<unknown> => (await managed.get(path, viewer)).body;
  expect(await body('/spend/tags')).toEqual([{ individual_request_tag: 'a', log_count: 2, total_spend: 5 }, { individual_request_tag: 'b', log_count: 1, total_spend: 1 }]);
  expect(await body('/spend/keys')).toEqual([expect.objectContaining({ key_alias: 'blue', spend: 4 }), expect.objectContaining({ key_alias: null, spend: 2 }), expect.objectContaining({ token: hashOfKey(member), spend: 1 })]);
  expect(await body('/spend/users?user_id=mia')).toEqual([{ user_id: 'mia', spend: 1, requests: 1, total_tokens: 7 }]);
  expect(await body('/global/spend')).toEqual({ spend: 7, max_budget: 0 });
  expect(await body('/global/spend?start_date=2026-03-04')).toMatchObject({ spend: 2 });
  expect(await body('/global/spend/models')).toEqual([expect.objectContaining({ model: 'big', total_spend: 4 }), expect.objectContaining({ model: 'chat', total_spend: 3 })]);
  expect(await body('/global/spend/teams')).toEqual({ total_spend_per_team: [expect.objectContaining({ team_id: 'blue', total_spend: 4 }), expect.objectContaining({ team_id: 'red' })] });
  expect(await body('/global/spend/keys?limit=1')).toEqual([expect.objectContaining({ total_spend: 4 })]);
  expect(await body('/global/spend/provider')).toEqual([{ provider: 'openai', spend: 7 }]);
});

test('a price is told for a request and for a reply, and a model without one is an error', async () => {
  await using managed = await startManagedGateway();
  // The fake deployment costs 1 per prompt token and 10 per completion token; four letters are a token.
  expect((await managed.post('/spend/calculate', { model: 'chat', messages: [{ role: 'user', content: 'twelve chars' }] })).body).toEqual({ cost: 3 });
  expect((await managed.post('/spend/calculate', { completion_response: { model: 'chat', usage: { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 } } })).body).toEqual({ cost: 25 });
  expect((await managed.post('/spend/calculate', { model: 'nope', messages: [] })).status).toBe(400);
});

test('of forty reports that a key asks for at once one runs, a few wait, the others are 503 busy; keys and administrators are served meanwhile', async () => {
  await using managed = await startManagedGateway();
  const { member } = await withLedger(managed);
  let readOn = (): void => undefined;
  managed.database.reading = new Promise((resolve) => { readOn = resolve; });
  const statuses: number[] = [];
  const asked = Array.from({ length: 40 }, async () => {
    const reply = await managed.get('/spend/logs?start_date=2026-03-01&end_date=2026-03-02', member);
    statuses.push(reply.status);
    return reply;
  });
  await eventually(() => expect(statuses).toHaveLength(31));
  expect(new Set(statuses)).toEqual(new Set([503]));
  expect(managed.database.asked).toHaveLength(1);
  expect((await managed.get('/key/info', member)).status).toBe(200);
  const total = managed.get('/global/spend');
  await eventually(() => expect(managed.database.asked).toHaveLength(2));
  readOn();
  expect((await total).status).toBe(200);
  const replies = await Promise.all(asked);
  expect(replies.filter(({ status }) => status === 200)).toHaveLength(9);
  const refused = replies.find(({ status }) => status === 503);
  expect([refused?.body, refused?.headers.get('retry-after')]).toEqual([{ error: expect.objectContaining({ code: 'busy' }) as unknown }, '2']);
});

test('a report whose client has left asks the ledger nothing more, and its slot is free again', async () => {
  await using managed = await startManagedGateway();
  const { member } = await withLedger(managed);
  let readOn = (): void => undefined;
  managed.database.reading = new Promise((resolve) => { readOn = resolve; });
  const left = new AbortController();
  const path = '/spend/logs?start_date=2026-03-01&end_date=2026-03-30';
  const abandoned = fetch(managed.gateway.url + path, { headers: { authorization: `Bearer ${member}` }, signal: left.signal }).catch((error: unknown) => error);
  await eventually(() => expect(managed.database.asked).toHaveLength(1));
  left.abort();
  await abandoned;
  await eventually(() => expect(managed.gateway.metrics.outcomes.some(({ status }) => status === 499)).toBe(true));
  readOn();
  expect((await managed.get('/spend/logs?start_date=2026-03-01&end_date=2026-03-01', member)).status).toBe(200);
  expect(managed.database.asked).toHaveLength(2);
});
