import { eventually, json, startPostgres, startRedis, startScriptedUpstream, type ScriptedUpstream } from '@pointsman/testing';
import { seededRandom } from '@pointsman/routing';
import { expect, test } from 'vitest';
import { deployment, startGatewayUnderTest, type GatewayUnderTest } from './gateway-under-test.ts';

const TALK = 'Tell me about the weather and the garden, please.';
const CODE = 'Fix this:\n```js\nfunction f(a) { return a[0]; }\nconst b = { x: [1, 2] };\nclass A { m() { return this; } }\nreturn f(b.x);\n```\nimport x; const y = z;';
const ROUNDS = 240;

function answerOf(model: string): object {
  const content = model === 'referee' ? '{"a": 0.5, "b": 0.5}' : `answer of ${model}`;
  return { id: 'x', object: 'chat.completion', created: 1, model, choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }], usage: { prompt_tokens: 10, completion_tokens: 10, total_tokens: 20 } };
}

const upstreamOf = (): Promise<ScriptedUpstream> => startScriptedUpstream({ reply: ({ json: body }) => json(answerOf((body as { readonly model: string }).model)) });
const priced = { params: { input_cost_per_token: 1e-6, output_cost_per_token: 2e-6 } };

/** Sends a request; resolves to its id and who answered. */
async function ask(gateway: GatewayUnderTest, prompt: string): Promise<{ readonly id: string; readonly model: string }> {
  const response = await gateway.post('/v1/chat/completions', { model: 'auto', messages: [{ role: 'user', content: prompt }] });
  expect(response.status).toBe(200);
  await response.text();
  return { id: response.headers.get('x-request-id') ?? '', model: response.headers.get('x-router-selected-model') ?? '' };
}

test('two replicas learn from feedback which model suits which prompt, whichever of them hears it, and a third one knows it from its start', async () => {
  await using upstream = await upstreamOf();
  await using redis = await startRedis();
  const config = {
    model_list: ['talker', 'coder'].map((model) => deployment('auto', upstream, model, priced)),
    router_settings: { routing_strategy: 'contextual-bandit', routing_strategy_args: { quality_cost_tradeoff: 1, exploration: 0.02, session_affinity: false } },
  };
  const env = { REDIS_URL: redis.url };
  await using one = await startGatewayUnderTest({ config, env });
  await using two = await startGatewayUnderTest({ config, env });
  const replicas = [one, two];
  const random = seededRandom(4);
  const suits = (prompt: string, model: string): boolean => model.includes(prompt === CODE ? 'coder' : 'talker');
  const right: boolean[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const prompt = random() < 0.5 ? CODE : TALK;
    const { id, model } = await ask(replicas[round % 2] ?? one, prompt);
    right.push(suits(prompt, model));
    // Feedback takes another way into the cluster than the request did.
    const rated = await (replicas[(round + 1) % 2] ?? one).post('/v1/feedback', { request_id: id, score: suits(prompt, model) ? 1 : 0 });
    expect(rated.status).toBe(202);
  }
  const share = (values: readonly boolean[]): number => values.filter(Boolean).length / values.length;
  expect(share(right.slice(-80))).toBeGreaterThan(0.85);
  expect(share(right.slice(-80))).toBeGreaterThan(share(right.slice(0, 40)));
  await eventually(async () => expect(await one.metric('router_bandit_rewards_total') + await two.metric('router_bandit_rewards_total')).toBe(ROUNDS));

  await using three = await startGatewayUnderTest({ config, env });
  const decide = async (prompt: string): Promise<Record<string, number>> => {
    const { candidates } = await (await three.post('/v1/route', { model: 'auto', messages: [{ role: 'user', content: prompt }] })).json() as { readonly candidates: readonly { readonly model: string; readonly predicted_quality: number }[] };
    return Object.fromEntries(candidates.map(({ model, predicted_quality: quality }) => [model.includes('coder') ? 'coder' : 'talker', quality]));
  };
  await eventually(async () => {
    const [code, talk] = [await decide(CODE), await decide(TALK)];
    expect((code['coder'] ?? 0) - (code['talker'] ?? 0)).toBeGreaterThan(0.5);
    expect((talk['talker'] ?? 0) - (talk['coder'] ?? 0)).toBeGreaterThan(0.5);
  }, { timeoutMs: 20_000 });
}, 120_000);

test('what the judge spends stands in the ledger under its own tag, and nothing of it on the key that asked', async () => {
  await using upstream = await upstreamOf();
  await using postgres = await startPostgres();
  await using gateway = await startGatewayUnderTest({
    env: { DATABASE_URL: postgres.url },
    config: {
      model_list: [...['talker', 'coder'].map((model) => deployment('auto', upstream, model, priced)), deployment('referee', upstream, 'referee', priced)],
      router_settings: { routing_strategy: 'contextual-bandit', judge: { model: 'referee', sample_rate: 1, max_usd_per_day: 1 } },
    },
  });
  await ask(gateway, TALK);
  await eventually(async () => expect(await gateway.metric('router_judge_verdicts_total', { outcome: 'judged' })).toBe(1));
  expect(await gateway.metric('router_judge_spend_usd_total')).toBeCloseTo(6e-5, 9);
  await eventually(async () => {
    const rows = await postgres.sql('select count(*), user_id, tags::text from pointsman.spend_logs group by user_id, tags order by 1');
    expect(rows).toEqual([['1', expect.not.stringContaining('judge'), expect.not.stringContaining('judge')], ['2', 'system:judge', expect.stringContaining('judge')]]);
  }, { timeoutMs: 20_000 });
}, 120_000);
