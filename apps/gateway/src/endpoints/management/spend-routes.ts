import { AppError } from '@pointsman/errors';
import type { Database, SpendFilter, SpendLog } from '@pointsman/database';
import { compileCost } from '@pointsman/pricing';
import { spendCalculateFields, spendLogsQuery, spendSumsQuery, spendTotalQuery, spendUsersQuery, type FieldsOf, type JsonObject } from '@pointsman/schemas';
import { usageOfReply, type Usage } from '@pointsman/wire-formats';
import { resolveGroup } from '../../access/resolve-group.ts';
import { promptOf } from '../../dispatch/prompt-text.ts';
import { tokenOf } from './key-rows.ts';
import type { ManagementCall } from './management-call.ts';
import { defineRoute, ReplyWithHeaders, type ManagementRoute } from './management-route.ts';

type Call<Definition> = ManagementCall<FieldsOf<Definition>>;
type Span = FieldsOf<typeof spendTotalQuery>;

const LOGS_SIZE = 100;
const SUMS = 100;
const DAY_MS = 86_400_000;
/** A summary asks the ledger about each day. */
const MOST_DAYS = 62;

export const spendRoutes: readonly ManagementRoute[] = [
  defineRoute({ method: 'get', path: '/spend/logs', tag: 'Spend', audience: 'anyone', summary: 'Finished requests, or sums per day where both dates are given (summarize=false: the requests); other than admins see their own key\'s', fields: spendLogsQuery, handle: logs }),
  defineRoute({ method: 'get', path: '/spend/tags', tag: 'Spend', audience: 'reader', summary: 'Spend per request tag', fields: spendSumsQuery, handle: async (call) => (await sums(call, 'tag')).map(({ of, spend, requests }) => ({ individual_request_tag: of, log_count: requests, total_spend: spend })) }),
  defineRoute({ method: 'get', path: '/spend/keys', tag: 'Spend', audience: 'reader', summary: 'Spend per key, largest first', fields: spendSumsQuery, handle: keySums }),
  defineRoute({ method: 'get', path: '/spend/users', tag: 'Spend', audience: 'reader', summary: 'Spend per user, largest first', fields: spendUsersQuery, handle: userSums }),
  defineRoute({ method: 'get', path: '/global/spend', tag: 'Spend', audience: 'reader', summary: 'Spend of all keys together', fields: spendTotalQuery, handle: total }),
  defineRoute({ method: 'get', path: '/global/spend/keys', tag: 'Spend', audience: 'reader', summary: 'Spend per key', fields: spendSumsQuery, handle: async (call) => (await keySums(call)).map(({ token, key_alias, key_name, spend }) => ({ api_key: token, key_alias, key_name, total_spend: spend })) }),
  defineRoute({ method: 'get', path: '/global/spend/models', tag: 'Spend', audience: 'reader', summary: 'Spend per model group', fields: spendSumsQuery, handle: async (call) => (await sums(call, 'model_group')).map(({ of, spend, requests, total_tokens }) => ({ model: of, total_spend: spend, requests, total_tokens })) }),
  defineRoute({ method: 'get', path: '/global/spend/teams', tag: 'Spend', audience: 'reader', summary: 'Spend per team', fields: spendSumsQuery, handle: async (call) => ({ total_spend_per_team: (await sums(call, 'team_id')).map(({ of, spend, requests }) => ({ team_id: of, total_spend: spend, requests })) }) }),
  defineRoute({ method: 'get', path: '/global/spend/provider', tag: 'Spend', audience: 'reader', summary: 'Spend per provider', fields: spendSumsQuery, handle: async (call) => (await sums(call, 'provider')).map(({ of, spend }) => ({ provider: of, spend })) }),
  defineRoute({ method: 'get', path: '/global/spend/tags', tag: 'Spend', audience: 'reader', summary: 'Spend per request tag', fields: spendSumsQuery, handle: async (call) => ({ spend_per_tag: (await sums(call, 'tag')).map(({ of, spend, requests }) => ({ name: of, spend, log_count: requests })) }) }),
  defineRoute({ method: 'post', path: '/spend/calculate', tag: 'Spend', audience: 'anyone', reads: true, summary: 'What a request or a reply costs by the price map', fields: spendCalculateFields, handle: calculate }),
];

async function logs(call: Call<typeof spendLogsQuery>): Promise<unknown> {
  const { api_key, user_id, team_id, request_id, summarize, page = 1, page_size: size = LOGS_SIZE, start_date, end_date } = call.fields;
  const filter: SpendFilter = {
    ...spanOf(call.fields), ...(api_key === undefined ? {} : { api_key: tokenOf(api_key) }),
    ...(user_id === undefined ? {} : { user_id }), ...(team_id === undefined ? {} : { team_id }), ...(request_id === undefined ? {} : { request_id }),
    ...ownOnly(call),
  };
  if (start_date !== undefined && end_date !== undefined && request_id === undefined && summarize !== false) return call.report((database, signal) => perDay(database, filter, signal));
  const { rows, total: count } = await call.report(({ spend }) => spend.logs(filter, { page, size }));
  // The body is LiteLLM's bare list: where it stands among all of them is in headers.
  return new ReplyWithHeaders(rows.map(logView), { 'x-total-count': String(count), 'x-page': String(page), 'x-page-size': String(size) });
}

/**
 * Whatever is asked, a caller who is neither admin nor viewer gets its own key's requests.
 * @throws AppError `forbidden`, audited, when another key, user or team was asked for.
 */
function ownOnly(call: Call<typeof spendLogsQuery>): SpendFilter {
  if (call.seesAll) return {};
  const { access, keyHash, userId, teamId } = call.principal;
  const own = access?.key.token ?? keyHash;
  const { api_key, user_id, team_id } = call.fields;
  if ((api_key !== undefined && tokenOf(api_key) !== own) || (user_id !== undefined && user_id !== userId) || (team_id !== undefined && team_id !== teamId)) {
    throw call.deny('route:/spend/logs', 'You may only see the spend of your own key.');
  }
  return { api_key: own };
}

async function perDay({ spend }: Database, filter: SpendFilter, signal: AbortSignal): Promise<unknown[]> {
  const { from, to } = filter;
  if (from === undefined || to === undefined) return [];
  if (to.getTime() - from.getTime() > MOST_DAYS * DAY_MS) throw new AppError('invalid_request', '400', `A summary covers at most ${String(MOST_DAYS)} days; ask for less, or for the requests themselves with summarize=false.`, { param: 'start_date' });
  const days: unknown[] = [];
  for (let start = from; start < to;) {
    const midnight = new Date((Math.floor(start.getTime() / DAY_MS) + 1) * DAY_MS);
    const end = midnight < to ? midnight : to;
    const day = { ...filter, from: start, to: end };
    signal.throwIfAborted();
    const sum = await spend.total(day);
    if (sum.requests > 0) {
      signal.throwIfAborted();
      const models = await spend.sums('model_group', day, SUMS);
      signal.throwIfAborted();
      const users = await spend.sums('user_id', day, SUMS);
      days.push({
        startTime: start.toISOString().slice(0, 10), spend: sum.spend, requests: sum.requests,
        users: Object.fromEntries(users.map((user) => [user.of, user.spend])), models: Object.fromEntries(models.map((model) => [model.of, model.spend])),
      });
    }
    start = end;
  }
  return days;
}

function sums(call: Call<typeof spendSumsQuery>, by: Parameters<Database['spend']['sums']>[0], filter: SpendFilter = {}): ReturnType<Database['spend']['sums']> {
  return call.report(({ spend }) => spend.sums(by, { ...spanOf(call.fields), ...filter }, call.fields.limit ?? SUMS));
}

async function keySums(call: Call<typeof spendSumsQuery>): Promise<{ token: string; key_alias: string | null; key_name: string | null; spend: number; requests: number; total_tokens: number }[]> {
  return call.report(async ({ spend, access }, signal) => {
    const rows = [];
    for (const { of: token, ...sum } of await spend.sums('api_key', spanOf(call.fields), call.fields.limit ?? SUMS)) {
      signal.throwIfAborted();
      // A deleted key keeps its spend.
      const key = await access.findKey(token);
      rows.push({ token, key_alias: key?.key_alias ?? null, key_name: key?.key_name ?? null, ...sum });
    }
    return rows;
  });
}

async function userSums(call: Call<typeof spendUsersQuery>): Promise<unknown> {
  const { user_id } = call.fields;
  const rows = await sums(call, 'user_id', user_id === undefined ? {} : { user_id });
  return rows.map(({ of, ...sum }) => ({ user_id: of, ...sum }));
}

async function total(call: Call<typeof spendTotalQuery>): Promise<unknown> {
  const { spend } = await call.report((database) => database.spend.total(spanOf(call.fields)));
  const budget = call.exchange.snapshot.config.litellmSettings['max_budget'];
  return { spend, max_budget: typeof budget === 'number' ? budget : 0 };
}

/** @throws AppError when the end does not come after the start. An end that is a day means all of that day. */
function spanOf({ start_date, end_date }: Span): Pick<SpendFilter, 'from' | 'to'> {
  const from = start_date?.at;
  const to = end_date === undefined ? undefined : end_date.wholeDay ? new Date(end_date.at.getTime() + DAY_MS) : end_date.at;
  if (from !== undefined && to !== undefined && to <= from) throw new AppError('invalid_request', 'invalid_value', "Invalid value for 'end_date': it is not after 'start_date'.", { param: 'end_date' });
  return { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) };
}

/** LiteLLM's names; what it has not follows. */
function logView(log: SpendLog): Record<string, unknown> {
  return {
    request_id: log.request_id, call_type: log.call_type, api_key: log.api_key, spend: log.spend,
    total_tokens: log.total_tokens, prompt_tokens: log.prompt_tokens, completion_tokens: log.completion_tokens,
    startTime: log.start_time, endTime: log.end_time, completionStartTime: log.completion_start_time,
    model: log.model, model_id: log.model_id, model_group: log.model_group, custom_llm_provider: log.provider,
    user: log.user_id, team_id: log.team_id, end_user: log.end_user, metadata: {}, cache_hit: log.cache_hit ? 'True' : 'False', request_tags: log.tags, status: log.status,
    id: log.id, trace_id: log.trace_id, requested_model: log.requested_model, cached_tokens: log.cached_tokens, reasoning_tokens: log.reasoning_tokens,
    usage_estimated: log.usage_estimated, stream: log.stream, error_code: log.error_code,
  };
}

async function calculate(call: Call<typeof spendCalculateFields>): Promise<unknown> {
  const { completion_response: reply, messages } = call.fields;
  const model = call.fields.model ?? reply?.model ?? undefined;
  if (model === undefined) throw new AppError('invalid_request', 'missing_required_parameter', "Missing required parameter: 'model'.", { param: 'model' });
  const usage = reply === undefined || reply === null ? promptUsage((messages ?? []) as JsonObject[]) : usageOfReply('chat', reply);
  if (usage === undefined) throw new AppError('invalid_request', 'missing_required_parameter', "Missing required parameter: 'completion_response.usage'.", { param: 'completion_response.usage' });
  return { cost: await costOf(call, model, usage) };
}

/** By the prices of the first deployment of a group; for a name that is no group, by the price map. */
async function costOf(call: ManagementCall<unknown>, model: string, usage: Usage): Promise<number> {
  const price = call.exchange.snapshot.plan(model) === undefined ? call.context.prices.get(model) : undefined;
  const cost = price !== undefined
    ? compileCost(price)(usage)
    : (await resolveGroup(call.exchange, model, '/spend/calculate')).deployments[0]?.costOf?.(usage);
  if (cost === undefined) throw new AppError('invalid_request', '400', `The price of '${model.slice(0, 200)}' is not known.`, { param: 'model' });
  return cost;
}

function promptUsage(messages: JsonObject[]): Usage {
  const promptTokens = promptOf('chat', { value: { messages } }).tokens();
  return { promptTokens, completionTokens: 0, totalTokens: promptTokens, cachedTokens: 0, cacheCreationTokens: 0, cacheCreation1hTokens: 0, reasoningTokens: 0, audioInputTokens: 0, audioOutputTokens: 0 };
}
