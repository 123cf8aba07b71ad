import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chatChunks, eventually, freePort, json, spawnApp, sse, startPostgres, startRedis, startScriptedUpstream, temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { deployment, question } from './gateway-under-test.ts';
import { startPodUnderTest } from './pod-under-test.ts';

const root = join(import.meta.dirname, '..', '..', '..');

interface Panel {
  readonly title?: string;
  readonly targets?: readonly { readonly expr?: string; readonly datasource?: { readonly type?: string } }[];
}

/** Every PromQL of the committed dashboards, with Grafana's variables put in. */
function queries(): { readonly where: string; readonly expr: string }[] {
  return readdirSync(join(root, 'dashboards')).filter((name) => name.endsWith('.json')).flatMap((name) => {
    const { panels = [] } = JSON.parse(readFileSync(join(root, 'dashboards', name), 'utf8')) as { panels?: readonly Panel[] };
    return panels.flatMap(({ title = '', targets = [] }) => targets.flatMap(({ expr, datasource }) => (expr === undefined || datasource?.type !== 'prometheus' ? [] : [{
      where: `${name.replace('.json', '')}: ${title}`, expr: expr.replaceAll('$__rate_interval', '1m').replaceAll('"$instance"', '".+"'),
    }])));
  });
}

/** Debian's Prometheus, which scrapes these every second and evaluates the committed rules. */
async function startPrometheus(targets: readonly string[]): Promise<AsyncDisposable & { query(expr: string): Promise<readonly unknown[]> }> {
  const directory = await temporaryDirectory();
  const port = await freePort();
  const config = join(directory.path, 'prometheus.yml');
  // The committed rules, all at once: nobody waits here for windows that are looked at every five minutes.
  for (const name of readdirSync(join(root, 'alerts')).filter((file) => file.endsWith('.rules.yaml'))) {
    await writeFile(join(directory.path, name), readFileSync(join(root, 'alerts', name), 'utf8').replace(/^ {4}interval: .*\n/gm, ''));
  }
  await writeFile(config, JSON.stringify({
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: [join(directory.path, '*.rules.yaml')],
    scrape_configs: [{ job_name: 'pointsman', static_configs: [{ targets: targets.map((url) => new URL(url).host) }] }],
  }));
  const child = spawn('/usr/bin/prometheus', [`--config.file=${config}`, `--storage.tsdb.path=${join(directory.path, 'data')}`, `--web.listen-address=127.0.0.1:${port}`], { stdio: ['ignore', 'ignore', 'pipe'] });
  let words = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (words = (words + chunk).slice(-10_000)));
  const url = `http://127.0.0.1:${port}`;
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    await directory[Symbol.asyncDispose]();
  };
  try {
    await eventually(async () => {
      if (child.exitCode !== null) throw new Error(`Prometheus ended: ${words}`);
      expect((await fetch(`${url}/-/ready`)).status).toBe(200);
    }, { timeoutMs: 60_000 });
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    query: async (expr) => {
      const { status, error, data } = await (await fetch(`${url}/api/v1/query?${new URLSearchParams({ query: expr }).toString()}`)).json() as { status: string; error?: string; data?: { result: readonly unknown[] } };
      if (status !== 'success') throw new Error(`${String(error)}: ${expr}`);
      return data?.result ?? [];
    },
    [Symbol.asyncDispose]: stop,
  };
}

/** Panels of things that this test does not make happen: nobody trains models, breaks records or removes services here. */
const SILENT_HERE: readonly RegExp[] = [
  /^gateway-overview: Refused by limits$/, /^gateway-overview: Retries and fallbacks$/,
  /^routing: (Default order instead|Versions loaded|Feedback by version|Models loaded, 24 h|Models refused, 24 h)$/,
  /^sync: (Oldest proof, model-sync|Downloads|Refused models|Waiting for the lock, P99)$/,
  /^state: (Deployments not called|Rows lost, 24 h|Requests without a price|Feedback|Training rows|Spans|Breakers)$/,
];

test('behind every panel are numbers of really started apps, in a real Prometheus with the shipped rules', async () => {
  await using directory = await temporaryDirectory();
  await using postgres = await startPostgres();
  await using redis = await startRedis();
  await using provider = await startScriptedUpstream({ scripts: { good: sse(chatChunks(['fine'])), bad: json({ error: { message: 'the engine fell over' } }, { status: 500 }) } });
  const config = {
    model_list: [deployment('good', provider, 'good', { params: { input_cost_per_token: 0.001, output_cost_per_token: 0.001 } }), deployment('bad', provider, 'bad'), { model_name: 'auto', litellm_params: { model: 'simulated/swift', simulated_ttft_ms: 1, simulated_tokens_per_s: 0 } }],
    router_settings: { num_retries: 0, disable_cooldowns: true, breaker: { failures: 1000 } },
    litellm_settings: { cache: true, cache_params: { type: 'local' } },
  };
  const bucket = `file://${join(directory.path, 'bucket')}`;
  const shared = { HEALTH_PORT: '0', HEALTH_HOST: '127.0.0.1', OBJECT_STORE_URL: bucket };
  await using exporter = await spawnApp('trace-exporter', { env: { ...shared, OTLP_PORT: '0', SPOOL_DIR: join(directory.path, 'spool') } });
  for (const folder of ['audit', join('bucket', 'prod')]) await mkdir(join(directory.path, folder), { recursive: true });
  await writeFile(join(directory.path, 'bucket', 'prod', 'config.yaml'), JSON.stringify(config));
  await using pod = await startPodUnderTest({ store: { env: { OBJECT_STORE_URL: bucket } }, env: { DATABASE_URL: postgres.url, REDIS_URL: redis.url } });
  const { gateway, configSync } = pod;
  await using auditExporter = await spawnApp('audit-exporter', { env: { ...shared, DATABASE_URL: postgres.url, AUDIT_BUCKET_URL: `file://${join(directory.path, 'audit')}`, AUDIT_EXPORT_INTERVAL: '1' } });
  await using prometheus = await startPrometheus([gateway.url, configSync.url, auditExporter.url, String(exporter.logs().find(({ msg }) => msg === 'listening')?.['health_url'])]);

  const asked = queries();
  expect(asked.length).toBeGreaterThan(80);
  const stopping = new AbortController();
  const traffic = (async () => {
    for (let index = 0; !stopping.signal.aborted; index += 1) {
      const model = ['auto', 'good', 'bad'][index % 3] ?? 'auto';
      await (await gateway.post('/v1/chat/completions', { ...question, model, stream: model !== 'auto' || index % 2 === 0, user: `${String(index)}` })).text();
    }
  })();
  try {
    await eventually(async () => {
      const empty: string[] = [];
      for (const { where, expr } of asked) if (!SILENT_HERE.some((silent) => silent.test(where)) && (await prometheus.query(expr)).length === 0) empty.push(`${where}: ${expr}`);
      expect(empty).toEqual([]);
    }, { timeoutMs: 60_000, intervalMs: 3_000 });
    // The silent ones are asked too: an expression that Prometheus refuses throws.
    for (const { expr } of asked) await prometheus.query(expr);
    // A third of the requests fails at the provider, whatever else: the recorded ratio says so.
    const [ratio] = await prometheus.query('pointsman:failed_requests:ratio_5m') as readonly { readonly value: readonly [number, string] }[];
    expect(Number(ratio?.value[1])).toBeGreaterThan(0.2);
    expect(Number(ratio?.value[1])).toBeLessThan(0.5);
    await eventually(async () => expect(await prometheus.query('ALERTS{alertname="ErrorBudgetBurnsFast", alertstate=~"pending|firing"}')).not.toEqual([]), { timeoutMs: 60_000 });
  } finally {
    stopping.abort();
    await traffic;
  }
}, 300_000);
