import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { openObjectStore } from '@pointsman/object-store';
import { chatChunks, eventually, freePort, json, spawnApp, sse, startScriptedUpstream, temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { startShippedNginx } from '../shipped-nginx.ts';
import { deployment, MASTER_KEY, question, startGatewayUnderTest } from '../gateway-under-test.ts';
import { startMinio } from './start-minio.ts';

const shipped = join(import.meta.dirname, '..', '..', '..', '..', 'deploy', 'otel');

function binary(name: 'OTEL_COLLECTOR' | 'JAEGER'): string {
  const path = process.env[name];
  if (path === undefined) throw new Error(`${name} is not set: run this through \`npm run test:real -- --only traces-end-to-end\`.`);
  return path;
}

/** A program that ends with the block, once its port answers. */
async function startProgram(path: string, args: readonly string[], env: Readonly<Record<string, string>>, url: string): Promise<AsyncDisposable> {
  const child = spawn(path, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env['PATH'], ...env } });
  let words = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk: string) => (words = (words + chunk).slice(-20_000)));
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  };
  try {
    await eventually(async () => {
      if (child.exitCode !== null) return;
      await (await fetch(url)).text();
    }, { timeoutMs: 60_000 });
    if (child.exitCode !== null) throw new Error(`${path} ended: ${words}`);
  } catch (error) {
    await stop();
    throw error;
  }
  return { [Symbol.asyncDispose]: stop };
}

interface JaegerSpan {
  readonly traceID: string;
  readonly spanID: string;
  readonly operationName: string;
  readonly processID: string;
  readonly references?: readonly { readonly spanID: string }[];
  readonly tags: readonly { readonly key: string; readonly value: unknown }[];
}

async function startJaeger(directory: string): Promise<AsyncDisposable & { readonly otlp: string; trace(id: string): Promise<readonly (JaegerSpan & { readonly service: string })[]> }> {
  const [otlp, query, queryGrpc] = await Promise.all([freePort(), freePort(), freePort()]);
  const config = join(directory, 'jaeger.json');
  await writeFile(config, JSON.stringify({
    extensions: { jaeger_storage: { backends: { memory: { memory: { max_traces: 100_000 } } } }, jaeger_query: { storage: { traces: 'memory' }, http: { endpoint: `127.0.0.1:${query}` }, grpc: { endpoint: `127.0.0.1:${queryGrpc}` } } },
    receivers: { otlp: { protocols: { http: { endpoint: `127.0.0.1:${otlp}` } } } },
    exporters: { jaeger_storage_exporter: { trace_storage: 'memory' } },
    service: { extensions: ['jaeger_storage', 'jaeger_query'], telemetry: { metrics: { level: 'none' } }, pipelines: { traces: { receivers: ['otlp'], exporters: ['jaeger_storage_exporter'] } } },
  }));
  const url = `http://127.0.0.1:${query}`;
  const program = await startProgram(binary('JAEGER'), ['--config', config], {}, `${url}/api/services`);
  return {
    ...program,
    otlp: `http://127.0.0.1:${otlp}`,
    trace: async (id) => {
      const reply = await fetch(`${url}/api/traces/${id}`);
      if (reply.status === 404) return [];
      const { data } = await reply.json() as { data?: readonly { readonly spans: readonly JaegerSpan[]; readonly processes: Readonly<Record<string, { readonly serviceName: string }>> }[] };
      return (data ?? []).flatMap(({ spans, processes }) => spans.map((span) => ({ ...span, service: processes[span.processID]?.serviceName ?? '' })));
    },
    [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
  };
}

/** A collector with a file of `deploy/otel`, as it is. */
async function startShippedCollector(file: 'collector-sidecar.yaml' | 'collector-daemonset.yaml', queueDir: string, env: Readonly<Record<string, string>>): Promise<AsyncDisposable & { readonly endpoint: string }> {
  const [port, metricsPort] = await Promise.all([freePort(), freePort()]);
  const endpoint = `http://127.0.0.1:${port}`;
  const program = await startProgram(binary('OTEL_COLLECTOR'), ['--config', join(shipped, file)], { OTLP_HOST: '127.0.0.1', OTLP_PORT: String(port), METRICS_PORT: String(metricsPort), QUEUE_DIR: queueDir, ...env }, endpoint);
  return { endpoint, [Symbol.asyncDispose]: () => program[Symbol.asyncDispose]() };
}

interface SpanToSend {
  readonly traceId: string;
  readonly spanId?: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly isError?: boolean;
}

async function sendSpans(endpoint: string, service: string, spans: readonly SpanToSend[]): Promise<void> {
  const nano = (ms: number): string => `${Math.round(ms)}000000`;
  const reply = await fetch(`${endpoint}/v1/traces`, {
    method: 'POST', headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ resourceSpans: [{
      resource: { attributes: [{ key: 'service.name', value: { stringValue: service } }] },
      scopeSpans: [{ scope: { name: service }, spans: spans.map(({ traceId, spanId = randomBytes(8).toString('hex'), parentSpanId = '', name, startMs, endMs, isError = false }) => (
        { traceId, spanId, parentSpanId, name, kind: 2, startTimeUnixNano: nano(startMs), endTimeUnixNano: nano(endMs), attributes: [], status: isError ? { code: 2 } : {} }
      )) }],
    }] }),
  });
  expect(reply.status, await reply.text()).toBe(200);
}

const newTraceId = (): string => randomBytes(16).toString('hex');

test('a real collector accepts the files of deploy/otel', async () => {
  for (const file of readdirSync(shipped).filter((name) => name.endsWith('.yaml'))) {
    await using directory = await temporaryDirectory();
    const child = spawn(binary('OTEL_COLLECTOR'), ['validate', '--config', join(shipped, file)], { stdio: ['ignore', 'ignore', 'pipe'], env: { TEMPO_ENDPOINT: 'http://127.0.0.1:1', TRACES_ARCHIVE_BUCKET: 'a-bucket', QUEUE_DIR: directory.path } });
    let words = '';
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (words += chunk));
    const [code] = await once(child, 'close') as [number];
    expect(code, `${file}: ${words}`).toBe(0);
  }
});

test('one request is one trace in Jaeger within 30 s, nginx over gateway over provider call; every failure and every slow request is kept, of the rest a share; what is kept lies in the bucket', async () => {
  await using directory = await temporaryDirectory();
  await using minio = await startMinio();
  const bucket = await minio.makeBucket(false);
  await using jaeger = await startJaeger(directory.path);
  await using tier = await startShippedCollector('collector-daemonset.yaml', join(directory.path, 'tier'), {
    TEMPO_ENDPOINT: jaeger.otlp, TRACES_ARCHIVE_BUCKET: bucket, S3_ENDPOINT: minio.endpoint, S3_FORCE_PATH_STYLE: 'true', AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: minio.options.credentials?.accessKeyId ?? '', AWS_SECRET_ACCESS_KEY: minio.options.credentials?.secretAccessKey ?? '',
  });
  await mkdir(join(directory.path, 'rows'));
  const rowsPort = await freePort();
  await using exporter = await spawnApp('trace-exporter', { env: { OTLP_PORT: String(rowsPort), TRACES_BUCKET_URL: `file://${directory.path}/rows`, SPOOL_DIR: join(directory.path, 'spool'), FLUSH_INTERVAL: '1', JOIN_WINDOW: '0', HEALTH_PORT: '0', HEALTH_HOST: '127.0.0.1' } });
  await using sidecar = await startShippedCollector('collector-sidecar.yaml', join(directory.path, 'sidecar'), { TEMPO_ENDPOINT: tier.endpoint, TRACE_EXPORTER_ENDPOINT: `http://127.0.0.1:${rowsPort}` });
  await using provider = await startScriptedUpstream({ scripts: { good: sse(chatChunks(['fine'])), bad: json({ error: { message: 'the engine fell over' } }, { status: 500 }) } });
  await using gateway = await startGatewayUnderTest({
    config: { model_list: [deployment('good', provider, 'good'), deployment('bad', provider, 'bad')], router_settings: { num_retries: 0, disable_cooldowns: true, breaker: { failures: 1000 } } },
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: sidecar.endpoint, OTEL_SERVICE_NAME: 'pointsman-gateway', OTEL_TRACES_SAMPLER: 'always_on' },
  });
  await using nginx = await startShippedNginx({ gateways: [gateway], makesSpans: true });
  const ask = async (model: string): Promise<string> => {
    const reply = await fetch(`${nginx.url}/v1/chat/completions`, { method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${MASTER_KEY}` }, body: JSON.stringify({ ...question, model, stream: true }) });
    await reply.text();
    return provider.calls.at(-1)?.headers['traceparent']?.split('-')[1] ?? '';
  };

  const failed: string[] = [];
  const fine: string[] = [];
  for (let index = 0; index < 60; index += 1) (index % 5 === 0 ? failed : fine).push(await ask(index % 5 === 0 ? 'bad' : 'good'));
  const lastAskedAt = performance.now();
  // Debian's nginx has no module that sends spans; its access log has all that a span is made of.
  const lines = await eventually(async () => {
    const all = await nginx.accessLog();
    expect(all).toHaveLength(60);
    return all;
  });
  await sendSpans(sidecar.endpoint, 'nginx', lines.map((line) => ({
    traceId: String(line['trace_id']), spanId: String(line['span_id']), name: `${String(line['method'])} ${String(line['path'])}`,
    startMs: (Number(line['ended_at_s']) - Number(line['took_s'])) * 1_000, endMs: Number(line['ended_at_s']) * 1_000,
  })));
  const now = Date.now();
  const slow = Array.from({ length: 5 }, newTraceId);
  await sendSpans(sidecar.endpoint, 'pointsman-gateway', slow.map((traceId) => ({ traceId, name: 'slow', startMs: now - 31_000, endMs: now })));

  // Of failures every span is there: nginx over the request over the call that failed.
  const spans = await eventually(async () => {
    const found = await jaeger.trace(failed[0] ?? '');
    expect(found.map(({ operationName }) => operationName)).toEqual(expect.arrayContaining(['POST /v1/chat/completions', 'llm.attempt']));
    expect(found.some(({ service }) => service === 'nginx')).toBe(true);
    return found;
  }, { timeoutMs: 30_000 });
  expect(performance.now() - lastAskedAt).toBeLessThan(30_000);
  const parentOf = (span: JaegerSpan | undefined): JaegerSpan | undefined => spans.find(({ spanID }) => spanID === span?.references?.[0]?.spanID);
  const attempt = spans.find(({ operationName }) => operationName === 'llm.attempt');
  const request = parentOf(attempt);
  expect(request).toMatchObject({ service: 'pointsman-gateway' });
  expect(parentOf(request)).toMatchObject({ service: 'nginx' });
  expect(request?.tags.map(({ key }) => key)).toEqual(expect.arrayContaining(['router.strategy', 'router.selected_model', 'router.candidates']));

  await eventually(async () => {
    for (const id of [...failed, ...slow]) expect(await jaeger.trace(id), id).not.toEqual([]);
  }, { timeoutMs: 30_000 });
  const kept = await Promise.all(fine.map(async (id) => (await jaeger.trace(id)).length > 0));
  // A tenth of 48: that all or none of a coin's many throws fall on one side is not what this is about.
  expect(kept.filter(Boolean).length).toBeLessThan(30);

  // A stream that fails after its trace was let go: what comes late is judged anew.
  const letGo = fine.filter((_, index) => kept[index] === false).slice(0, 3);
  await sendSpans(sidecar.endpoint, 'pointsman-gateway', letGo.map((traceId) => ({ traceId, name: 'the late end of a stream', startMs: now, endMs: Date.now(), isError: true })));
  await eventually(async () => {
    for (const id of letGo) expect((await jaeger.trace(id)).map(({ operationName }) => operationName), id).toContain('the late end of a stream');
  }, { timeoutMs: 30_000 });

  const archive = await openObjectStore(`s3://${bucket}`, minio.options);
  const archived = await eventually(async () => {
    const texts: string[] = [];
    for await (const { key } of archive.list('spans/')) {
      const object = await archive.read(key, { maxBytes: 16 * 1024 * 1024 });
      if (object !== undefined && object !== 'unchanged') texts.push(gunzipSync(object.body).toString('utf8'));
    }
    const text = texts.join('\n');
    for (const id of failed) expect(text).toContain(id);
    return text;
  }, { timeoutMs: 30_000 });
  expect(archived).toContain('llm.attempt');
  archive.close();

  // Sampling is behind trace-exporter: every request has its training row.
  await eventually(async () => {
    const rows = readdirSync(join(directory.path, 'rows'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.jsonl.gz')).map((name) => gunzipSync(readFileSync(join(directory.path, 'rows', name))).toString('utf8')).join('\n');
    for (const id of [...fine, ...failed]) expect(rows).toContain(id);
  }, { timeoutMs: 30_000 });
  expect(exporter.pid).toBeGreaterThan(0);
}, 240_000);
