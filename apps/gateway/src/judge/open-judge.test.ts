import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { decodeTraces, type ReceivedSpan } from '@pointsman/telemetry';
import { eventually, startRedis, temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { readGatewaySettings } from '../settings.ts';
import { startGateway, type Gateway } from '../start-gateway.ts';

const KEY = 'sk-judge-test';
const SECRET = 'canary-of-a-prompt-5521';
/** USD: ten tokens in, ten out, at the prices below. */
const COST_PER_CALL = 10 * 1e-6 + 10 * 2e-6;

interface Played extends AsyncDisposable {
  readonly url: string;
  readonly asked: { model: string; body: string; aborted: boolean }[];
}

/** A provider of every model: `reply` says what a model answers; undefined hangs. */
async function play(reply: (model: string, body: string) => string | undefined): Promise<Played> {
  const asked: Played['asked'] = [];
  const open = new Set<ServerResponse>();
  const server = createServer((req, res) => {
    let body = '';
    req.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    req.on('end', () => {
      const { model, stream } = JSON.parse(body) as { model: string; stream?: boolean };
      const call = { model, body, aborted: false };
      asked.push(call);
      open.add(res);
      res.on('close', () => {
        call.aborted = !res.writableFinished;
        open.delete(res);
      });
      const content = reply(model, body);
      if (content === undefined) return;
      const usage = { prompt_tokens: 10, completion_tokens: 10, total_tokens: 20 };
      if (stream === true) {
        res.writeHead(200, { 'content-type': 'text/event-stream' });
        for (const choices of [[{ index: 0, delta: { role: 'assistant', content } }], [{ index: 0, delta: {}, finish_reason: 'stop' }]]) res.write(`data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model, choices })}\n\n`);
        res.end('data: [DONE]\n\n');
        return;
      }
      res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ id: 'c', object: 'chat.completion', created: 1, model, choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }], usage }));
    });
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return {
    asked, url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    [Symbol.asyncDispose]: async () => {
      for (const res of open) res.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface Started extends AsyncDisposable {
  readonly gateway: Gateway;
  readonly ask: (more?: object) => Promise<{ readonly status: number; readonly id: string; readonly text: string }>;
  readonly verdicts: () => Promise<Record<string, number>>;
  readonly metrics: () => Promise<string>;
}

async function start(directory: string, provider: string, { maxUsdPerDay = 10, env = {} }: { readonly maxUsdPerDay?: number; readonly env?: Readonly<Record<string, string>> } = {}): Promise<Started> {
  const model = (group: string, name: string): string => `  - model_name: ${group}\n    litellm_params: { model: openai/${name}, api_base: ${provider}, api_key: sk-x, input_cost_per_token: 0.000001, output_cost_per_token: 0.000002 }\n`;
  await writeFile(join(directory, 'config.yaml'), `model_list:\n${model('auto', 'one')}${model('auto', 'two')}${model('referee', 'judge')}router_settings:
  routing_strategy: contextual-bandit
  routing_strategy_args: { decision_timeout_ms: 20000 }
  judge: { model: referee, sample_rate: 1, max_usd_per_day: ${String(maxUsdPerDay)} }
general_settings: { master_key: ${KEY} }
`);
  const gateway = await startGateway(readGatewaySettings({
    HOST: '127.0.0.1', PORT: '0', CONFIG_PATH: join(directory, 'config.yaml'), DATABASE_URL: 'none', POINTSMAN_HOME: directory, RUN_DIR: join(directory, 'run'), MODELS_DIR: join(directory, 'models'), LOG_LEVEL: 'error', SHUTDOWN_STREAM_TIMEOUT_S: '5', ...env,
  }));
  const metrics = async (): Promise<string> => (await fetch(`${gateway.url}/metrics`)).text();
  let isClosed = false;
  return {
    gateway, metrics,
    ask: async (more = {}) => {
      const response = await fetch(`${gateway.url}/v1/chat/completions`, { method: 'POST', headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' }, body: JSON.stringify({ model: 'auto', messages: [{ role: 'user', content: `What is two and two? ${SECRET}` }], max_tokens: 50, ...more }) });
      return { status: response.status, id: response.headers.get('x-request-id') ?? '', text: await response.text() };
    },
    verdicts: async () => Object.fromEntries([...(await metrics()).matchAll(/^router_judge_verdicts_total\{outcome="(\w+)"\} (\d+)$/gm)].map((found) => [found[1] ?? '', Number(found[2])])),
    [Symbol.asyncDispose]: async () => {
      if (isClosed) return;
      isClosed = true;
      await gateway.drain();
      await gateway.close();
      await gateway.telemetry.shutdown(1_000);
    },
  };
}

test('a sampled request is answered twice and judged; the verdict is an event about the request, and a reward for both candidates', async () => {
  const spans: ReceivedSpan[] = [];
  let exported = '';
  const receiver = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      const raw = Buffer.concat(chunks);
      const bytes = req.headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw;
      exported += bytes.toString('latin1');
      if (req.url?.endsWith('/v1/traces') === true) spans.push(...decodeTraces('protobuf', bytes));
      res.end();
    });
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => receiver.once('listening', resolve));
  await using directory = await temporaryDirectory();
  await using provider = await play((model, body) => {
    if (model !== 'judge') return model === 'one' ? 'four' : 'five';
    const { messages } = JSON.parse(body) as { messages: { content: string }[] };
    const { answer_a: a } = JSON.parse(messages[1]?.content ?? '{}') as { answer_a: string };
    return JSON.stringify(a === 'four' ? { a: 0.75, b: 0.25 } : { a: 0.25, b: 0.75 });
  });
  await using started = await start(directory.path, provider.url, { env: { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${String((receiver.address() as AddressInfo).port)}`, OTEL_BSP_SCHEDULE_DELAY: '100' } });
  for (const stream of [false, true]) {
    const before = (await started.verdicts())['judged'] ?? 0;
    const { status, id, text } = await started.ask({ stream });
    expect(status).toBe(200);
    await eventually(async () => expect((await started.verdicts())['judged']).toBe(before + 1));
    await eventually(() => expect(JSON.stringify([...spans.find(({ attributes }) => JSON.stringify([...attributes]).includes(id) && JSON.stringify([...attributes]).includes('router.feedback.source'))?.attributes ?? []])).toContain(text.includes('four') ? '0.75' : '0.25'), { timeoutMs: 20_000 });
  }
  expect(await started.metrics()).toMatch(/router_bandit_rewards_total\{source="judge"\} 4/);
  expect(provider.asked.filter(({ model }) => model === 'judge')).toHaveLength(2);
  expect(exported).not.toContain(SECRET);
  await new Promise((resolve) => receiver.close(resolve));
}, 60_000);

test('the client has its reply while the second answer and the judge hang, and a drain ends them', async () => {
  for (const hanging of ['second', 'judge']) {
    await using directory = await temporaryDirectory();
    let answers = 0;
    await using provider = await play((model) => {
      if (model === 'judge') return undefined;
      answers += 1;
      return hanging === 'second' && answers === 2 ? undefined : 'four';
    });
    await using started = await start(directory.path, provider.url);
    expect((await started.ask()).status).toBe(200);
    await eventually(() => expect(provider.asked).toHaveLength(hanging === 'second' ? 2 : 3));
    await started.gateway.drain();
    await eventually(() => expect(provider.asked.at(-1)?.aborted).toBe(true));
    expect(await started.verdicts()).toEqual({ aborted: 1 });
  }
}, 60_000);

test('a reply that is no verdict is counted and teaches nothing', async () => {
  await using directory = await temporaryDirectory();
  const replies = ['I prefer a.', '{"a": 2, "b": 0}', '{"a": 0.5}', '{"a": 0.5, "b": 0.5, "c": 1}', '```json\n{"a":1,"b":0}\n```'];
  let next = 0;
  await using provider = await play((model) => (model === 'judge' ? replies[next++ % replies.length] : 'four'));
  await using started = await start(directory.path, provider.url);
  for (let index = 0; index < replies.length; index += 1) {
    await started.ask();
    await eventually(async () => expect((await started.verdicts())['bad_reply']).toBe(index + 1));
  }
  expect(await started.verdicts()).toEqual({ bad_reply: replies.length });
  expect(await started.metrics()).not.toContain('router_bandit_rewards_total{source="judge"}');
}, 60_000);

test('what the judge spends in a day never passes its budget, of two replicas together', async () => {
  await using directory = await temporaryDirectory();
  await using other = await temporaryDirectory();
  await using redis = await startRedis();
  await using provider = await play((model) => (model === 'judge' ? '{"a": 1, "b": 0}' : 'four'));
  const budget = 0.003;
  await using one = await start(directory.path, provider.url, { maxUsdPerDay: budget, env: { REDIS_URL: redis.url } });
  await using two = await start(other.path, provider.url, { maxUsdPerDay: budget, env: { REDIS_URL: redis.url } });
  let clientCalls = 0;
  await eventually(async () => {
    await Promise.all([one, two].map(async (started) => {
      clientCalls += 1;
      await started.ask();
    }));
    for (const started of [one, two]) expect((await started.verdicts())['over_budget'] ?? 0).toBeGreaterThan(3);
  }, { timeoutMs: 40_000 });
  await eventually(async () => {
    const all = await Promise.all([one.verdicts(), two.verdicts()]);
    expect(all.reduce((sum, verdicts) => sum + Object.values(verdicts).reduce((total, count) => total + count, 0), 0)).toBe(clientCalls);
  });
  const spent = (provider.asked.length - clientCalls) * COST_PER_CALL;
  expect(spent).toBeGreaterThan(0);
  expect(spent).toBeLessThanOrEqual(budget);
}, 90_000);
