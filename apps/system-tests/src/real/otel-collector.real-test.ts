import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, freePort, temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { MASTER_KEY, startSimulatedGateway } from './simulated-gateway.ts';

interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly attributes?: readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[];
}

/** A collector that takes OTLP over HTTP and writes what it got as JSON lines. */
async function startCollector(): Promise<AsyncDisposable & { readonly endpoint: string; spans(): Promise<OtlpSpan[]> }> {
  const binary = process.env['OTEL_COLLECTOR'];
  if (binary === undefined) throw new Error('OTEL_COLLECTOR is not set: run this through `npm run test:real -- --only otel-collector`.');
  const directory = await temporaryDirectory();
  const port = await freePort();
  const output = join(directory.path, 'traces.jsonl');
  const config = join(directory.path, 'collector.json');
  await writeFile(config, JSON.stringify({
    receivers: { otlp: { protocols: { http: { endpoint: `127.0.0.1:${port}` } } } },
    processors: { batch: { timeout: '100ms' } },
    exporters: { file: { path: output, flush_interval: '100ms' } },
    service: { telemetry: { metrics: { level: 'none' } }, pipelines: { traces: { receivers: ['otlp'], processors: ['batch'], exporters: ['file'] } } },
  }));
  const child = spawn(binary, ['--config', config], { stdio: ['ignore', 'ignore', 'pipe'] });
  let words = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (words += chunk));
  const endpoint = `http://127.0.0.1:${port}`;
  await eventually(async () => {
    if (child.exitCode !== null) throw new Error(`the collector ended: ${words}`);
    await fetch(`${endpoint}/v1/traces`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' });
  });
  return {
    endpoint,
    spans: async () => {
      const lines = (await readFile(output, 'utf8').catch(() => '')).split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'));
      type Batch = { resourceSpans?: { scopeSpans: { spans: OtlpSpan[] }[] }[] };
      return lines.flatMap((line) => ((JSON.parse(line) as Batch).resourceSpans ?? []).flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)));
    },
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGTERM');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      await directory[Symbol.asyncDispose]();
    },
  };
}

const keysOf = ({ attributes = [] }: OtlpSpan): string[] => attributes.map(({ key }) => key);

test('a real collector receives a chat request, which says what was decided, and its attempt under the caller\'s trace', async () => {
  await using collector = await startCollector();
  await using gateway = await startSimulatedGateway({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint, OTEL_SERVICE_NAME: 'pointsman-gateway', OTEL_TRACES_SAMPLER: 'always_on' });
  const traceId = '0af7651916cd43dd8448eb211c80319c';
  const parent = 'b7ad6b7169203331';
  const reply = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${MASTER_KEY}`, 'content-type': 'application/json', traceparent: `00-${traceId}-${parent}-01` },
    body: JSON.stringify({ model: 'auto', messages: [{ role: 'user', content: 'Which way to the station?' }] }),
  });
  expect(reply.status, await reply.text()).toBe(200);

  const spans = await eventually(async () => {
    const found = (await collector.spans()).filter((span) => span.traceId === traceId);
    expect(found.length).toBeGreaterThanOrEqual(2);
    return found;
  }, { timeoutMs: 60_000 });
  const request = spans.find((span) => span.parentSpanId === parent);
  expect(request, JSON.stringify(spans)).toBeDefined();
  expect(keysOf(request ?? spans[0] as OtlpSpan)).toEqual(expect.arrayContaining(['llm.usage.total_tokens', 'router.strategy', 'router.selected_model', 'router.candidates']));
  const below = spans.filter((span) => span !== request);
  const ids = new Set(spans.map(({ spanId }) => spanId));
  expect(below.every((span) => ids.has(span.parentSpanId ?? ''))).toBe(true);
  expect(below.some((span) => keysOf(span).some((key) => key === 'llm.provider' || key.startsWith('gen_ai.'))), JSON.stringify(below.map(({ name }) => name))).toBe(true);
});
