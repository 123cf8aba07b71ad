import { readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { eventually, spawnApp, startObjectStore, temporaryDirectory, type RunningApp } from '@pointsman/testing';
import type { FeedbackRow, TrainingRow } from '@pointsman/schemas';
import { describe, expect, test } from 'vitest';
import { rowsOf } from './exporter.fixture.ts';

const KEY = 'sk-trace-tests-0123456789';
const CANARY = 'xylophonequartz';

const config = (args: string): string => `
model_list:
  - model_name: auto
    litellm_params: { model: simulated/swift, simulated_ttft_ms: 1, simulated_tokens_per_s: 2000 }
  - model_name: auto
    litellm_params: { model: simulated/steady, simulated_ttft_ms: 1, simulated_tokens_per_s: 2000 }
router_settings:
  routing_strategy: llmrouter-knn
  routing_strategy_args: { decision_timeout_ms: 20000${args} }
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
`;

async function startPod(folder: string, storeEnv: Readonly<Record<string, string>>, { args = '', env = {} }: { readonly args?: string; readonly env?: Readonly<Record<string, string>> }): Promise<{ readonly gateway: RunningApp; readonly exporter: RunningApp } & AsyncDisposable> {
  const configPath = join(folder, 'config.yaml');
  await writeFile(configPath, config(args));
  const exporter = await spawnApp('trace-exporter', {
    env: { ...storeEnv, OTLP_PORT: '0', HEALTH_PORT: '0', HEALTH_HOST: '127.0.0.1', SPOOL_DIR: join(folder, 'spool'), FLUSH_INTERVAL: '200ms', JOIN_WINDOW: '3s', POD_NAME: 'pod-1', LOG_LEVEL: 'debug', ...env },
  });
  const gateway = await spawnApp('gateway', {
    env: {
      HOST: '127.0.0.1', PORT: '0', CONFIG_PATH: configPath, LITELLM_MASTER_KEY: KEY, DATABASE_URL: 'none', POINTSMAN_HOME: folder, RUN_DIR: join(folder, 'run'), MODELS_DIR: join(folder, 'models'),
      OTEL_EXPORTER_OTLP_ENDPOINT: exporter.url, LOG_LEVEL: 'debug',
    },
  });
  return {
    gateway, exporter,
    [Symbol.asyncDispose]: async () => {
      await gateway[Symbol.asyncDispose]();
      await exporter[Symbol.asyncDispose]();
    },
  };
}

async function ask(gateway: RunningApp, prompt: string, more: object = {}): Promise<string> {
  const response = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST', headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' }, body: JSON.stringify({ model: 'auto', messages: [{ role: 'user', content: prompt }], ...more }),
  });
  expect(response.status).toBe(200);
  await response.text();
  return response.headers.get('x-request-id') ?? '';
}

async function judge(gateway: RunningApp, body: object): Promise<Response> {
  return fetch(`${gateway.url}/v1/feedback`, { method: 'POST', headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' }, body: JSON.stringify(body) });
}

async function filesBelow(folder: string): Promise<Buffer[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return Promise.all(entries.filter((entry) => entry.isFile() && entry.name !== 'config.yaml').map((entry) => readFile(join(entry.parentPath, entry.name)).catch(() => Buffer.alloc(0))));
}

const isRequest = (row: { readonly kind: string }): row is TrainingRow => row.kind === 'request';

describe('requests to a real gateway', () => {
  test('become rows with embedding, features, decision, outcome, signals and feedback, and no word of a prompt is anywhere', async () => {
    await using store = await startObjectStore();
    await using directory = await temporaryDirectory();
    const bodies: Buffer[] = [];
    const collector = createServer((req, res) => {
      req.on('data', (chunk: Buffer) => bodies.push(chunk));
      req.on('end', () => res.end());
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => collector.once('listening', resolve));
    const address = collector.address();
    const forward = `http://127.0.0.1:${String(typeof address === 'object' ? address?.port : 0)}`;
    await using pod = await startPod(directory.path, store.env, { env: { FORWARD_OTLP_ENDPOINT: forward } });
    const { gateway, exporter } = pod;
    const ids = [await ask(gateway, `What is a ${CANARY}?`), await ask(gateway, `Sing of a ${CANARY}, please.`, { stream: true }), await ask(gateway, `What is a ${CANARY}?`)];
    expect(await (await judge(gateway, { request_id: ids[0], score: 0.25, label: 'wrong', comment: `no ${CANARY}` })).json()).toEqual({ object: 'feedback', request_id: ids[0], recorded: true });
    // While the rows wait, too.
    const waiting = await eventually(async () => {
      const found = Buffer.concat(await filesBelow(join(directory.path, 'spool')));
      expect(ids.every((id) => found.includes(id))).toBe(true);
      return found;
    }, { intervalMs: 5 });
    const rows = await eventually(async () => {
      const found = (await rowsOf(store)).filter(isRequest);
      expect(found).toHaveLength(3);
      return found;
    });
    const [first, streamed, again] = ids.map((id) => rows.find(({ request_id: requestId }) => requestId === id));
    expect(first).toMatchObject({
      schema_version: 1, kind: 'request', strategy: 'llmrouter-knn', model_version: expect.stringMatching(/./) as string, group: 'auto', propensity: expect.any(Number) as number,
      embedder: { name: expect.any(String) as string, dimensions: expect.any(Number) as number, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string },
      outcome: { status: 200, latency_ms: expect.any(Number) as number, prompt_tokens: expect.any(Number) as number, completion_tokens: expect.any(Number) as number, feedback_score: 0.25, feedback_label: 'wrong', feedback_key_hash: expect.stringMatching(/^[0-9a-f]{16}$/) as string },
    });
    expect(first?.candidates.toSorted()).toEqual(['simulated/steady', 'simulated/swift']);
    expect(first?.selected_model).toBe(first?.candidates[0]);
    expect(Buffer.from(first?.embedding ?? '', 'base64')).toHaveLength(2 * (first?.embedder?.dimensions ?? 0));
    expect(first?.features?.length).toBeGreaterThan(5);
    expect(first?.embedding).toBe(again?.embedding);
    expect(first?.embedding).not.toBe(streamed?.embedding);
    expect(first?.signals).toBeUndefined();
    expect(again?.signals).toEqual({ retry_of: ids[0] });
    expect(streamed?.outcome.ttft_ms).toBeGreaterThan(0);
    expect(store.keys()[0]).toMatch(/^traces\/\d{4}-\d\d-\d\d\/pod-1-\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{8}\.jsonl\.gz$/);

    // After its row was written.
    expect((await judge(gateway, { request_id: ids[1], score: 1 })).status).toBe(202);
    await eventually(async () => expect((await rowsOf(store)).filter((row) => !isRequest(row))).toMatchObject([{ kind: 'feedback', request_id: ids[1], outcome: { feedback_score: 1 } } satisfies Partial<FeedbackRow>]));
    expect(await gateway.stop()).toBe(0);
    expect(await exporter.stop()).toBe(0);
    collector.closeAllConnections();
    collector.close();

    const forwarded = Buffer.concat(bodies);
    expect(forwarded.includes(ids[0] ?? '')).toBe(true);
    const written = [waiting, ...await filesBelow(directory.path), Buffer.from(gateway.output()), Buffer.from(exporter.output()), Buffer.from(JSON.stringify(await rowsOf(store))), forwarded];
    expect(written.some((bytes) => bytes.length > 0)).toBe(true);
    for (const bytes of written) expect(bytes.includes(CANARY)).toBe(false);
  }, 180_000);

  test('keep prompts, n-grams and comments where the configuration says so', async () => {
    await using store = await startObjectStore();
    await using directory = await temporaryDirectory();
    await using pod = await startPod(directory.path, store.env, { args: ', store_prompts: true, store_ngrams: true' });
    const id = await ask(pod.gateway, `What is a ${CANARY}?`);
    const row = await eventually(async () => {
      const found = (await rowsOf(store)).filter(isRequest);
      expect(found).toHaveLength(1);
      return found[0];
    });
    expect(row?.prompt).toContain(CANARY);
    expect(row?.ngrams?.index.length).toBeGreaterThan(3);
    expect(row?.ngrams?.value).toHaveLength(row?.ngrams?.index.length ?? 0);
    expect((await judge(pod.gateway, { request_id: id, score: 0, comment: `no ${CANARY}` })).status).toBe(202);
    await eventually(async () => expect((await rowsOf(store)).filter((found) => !isRequest(found))).toMatchObject([{ outcome: { feedback_comment: `no ${CANARY}` } }]));
  }, 120_000);
});
