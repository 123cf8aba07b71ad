import { createHash, randomBytes } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import type { RunningObjectStore } from '@pointsman/testing';
import { traceRowSchema, type TraceRow } from '@pointsman/schemas';

/** Parts for tests: spans in OTLP JSON, a sender that behaves as an OTLP client does, and the rows of a store. */

export interface SpanParts {
  readonly requestId: string;
  readonly attributes?: Readonly<Record<string, unknown>>;
  readonly traceId?: string;
  readonly spanId?: string;
}

type Attribute = string | number | boolean | readonly (string | number)[];

function anyValue(value: unknown): object {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  if (typeof value === 'number') return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
  return { arrayValue: { values: (value as readonly unknown[]).map(anyValue) } };
}

export function attributesOf(attributes: Readonly<Record<string, unknown>>): object[] {
  return Object.entries(attributes).filter(([, value]) => value !== undefined).map(([key, value]) => ({ key, value: anyValue(value) }));
}

export const EMBEDDER = `static/4/${'ab'.repeat(32)}`;

export const REQUEST: Readonly<Record<string, Attribute>> = {
  'router.strategy': 'llmrouter-knn', 'router.candidates': ['simulated/swift', 'simulated/steady'], 'router.scores': [0.75, 0.5], 'router.selected_model': 'simulated/swift',
  'router.model_version': 'v1', 'router.propensity': 1, 'router.embedder': EMBEDDER, 'router.embedding': Buffer.alloc(8, 1).toString('base64'), 'router.features': [0.1, 2, 3],
  'llm.model': 'simulated/swift', 'llm.model_group': 'auto', 'llm.usage.prompt_tokens': 5, 'llm.usage.completion_tokens': 7, 'llm.cost_usd': 0.00012, 'llm.attempts': 1, 'http.response.status_code': 200,
};

export function requestSpan({ requestId, attributes = {}, traceId = randomBytes(16).toString('hex'), spanId = randomBytes(8).toString('hex') }: SpanParts): object {
  return { traceId, spanId, name: '/v1/chat/completions', kind: 2, startTimeUnixNano: '1767225600000000000', endTimeUnixNano: '1767225600250000000', attributes: attributesOf({ ...REQUEST, 'llm.request_id': requestId, ...attributes }) };
}

export function feedbackSpan({ requestId, attributes = {}, traceId = randomBytes(16).toString('hex'), spanId = randomBytes(8).toString('hex') }: SpanParts): object {
  return {
    traceId, spanId, name: 'router.feedback', kind: 1, startTimeUnixNano: '1767225601000000000', endTimeUnixNano: '1767225601000100000',
    attributes: attributesOf({ 'router.feedback.request_id': requestId, 'router.feedback_score': 0.5, 'router.feedback.source': 'client', 'llm.key_hash': '0123456789abcdef', ...attributes }),
  };
}

export function traces(...spans: readonly object[]): string {
  return JSON.stringify({ resourceSpans: [{ resource: { attributes: attributesOf({ 'service.name': 'test' }) }, scopeSpans: [{ scope: { name: 'test' }, spans }] }] });
}

export function post(url: string, body: string | Uint8Array<ArrayBuffer>, headers: Readonly<Record<string, string>> = {}, path = '/v1/traces'): Promise<Response> {
  return fetch(`${url}${path}`, { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers }, signal: AbortSignal.timeout(10_000) });
}

/** Sends as OTLP clients do: again, until it is taken. `url` is asked anew each time: the receiver may have moved. */
export async function sendUntilTaken(url: () => string, body: string, pauseMs: number, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      const response = await post(url(), body);
      await response.arrayBuffer();
      if (response.status === 200) return;
    } catch {
      // It was killed, or starts: again.
    }
    signal.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

/** All rows of a store, object by object. */
export async function rowsOf(store: Pick<RunningObjectStore, 'keys' | 'get'>): Promise<TraceRow[]> {
  const rows: TraceRow[] = [];
  for (const key of store.keys()) {
    const body = await store.get(key);
    if (body === undefined) continue;
    for (const line of gunzipSync(body).toString('utf8').trimEnd().split('\n')) rows.push(traceRowSchema.parse(JSON.parse(line)));
  }
  return rows;
}

/** An id that is the same for the same number. */
export function stableHex(text: string, bytes: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, bytes * 2);
}

export async function metricOf(healthUrl: string, series: string): Promise<number> {
  const text = await (await fetch(`${healthUrl}/metrics`)).text();
  return Number(text.split('\n').find((line) => line.startsWith(`${series} `))?.slice(series.length + 1) ?? 0);
}
