import { setTimeout as delay } from 'node:timers/promises';
import { Agent, request } from 'undici';

export interface SteadyLoadOptions {
  /** Base URL of the gateway, or of what stands before it. */
  readonly url: string;
  readonly requestsPerSecond: number;
  /** Share of requests that stream, 0..1. */
  readonly streamShare?: number;
  /** Ends by itself after so long; without it, when `stop` is called. Milliseconds. */
  readonly durationMs?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Body of the request with this number, without `stream`. */
  readonly body?: (index: number) => Readonly<Record<string, unknown>>;
  /** Where the requests go; `/v1/chat/completions` by default. */
  readonly path?: string;
  /** Longest a request may take before it counts as failed, in milliseconds. */
  readonly timeoutMs?: number;
}

export interface LoadFailure {
  readonly index: number;
  readonly kind: 'json' | 'stream';
  /** Milliseconds after the load began at which the request was sent. */
  readonly sentAtMs: number;
  /** Undefined when no status line came. */
  readonly status: number | undefined;
  readonly reason: string;
  /** Up to 500 characters of what came. */
  readonly body: string;
}

export interface LoadReport {
  readonly sent: number;
  readonly succeeded: number;
  /** Every request that did not get a whole, successful answer; a stream without finish reason and `[DONE]` is one. */
  readonly failures: readonly LoadFailure[];
  /** Answers by status. */
  readonly statuses: ReadonlyMap<number, number>;
}

export interface RunningLoad {
  /** Requests answered in full so far: lets a test wait until the load really flows. */
  readonly succeeded: () => number;
  /** Sends no more, waits for what is under way, and reports. */
  stop(): Promise<LoadReport>;
  /** The report, once the duration is over or `stop` was called. */
  readonly done: Promise<LoadReport>;
}

/** Requests that have no answer yet; beyond it the client, not the gateway, would be measured. */
const MOST_IN_FLIGHT = 2_000;

/**
 * Sends a steady mix of JSON and streaming chat requests over kept-alive connections and judges every answer. The rate does not
 * depend on how fast answers come, so a gateway that stalls is found out.
 */
export function startSteadyLoad({ url, requestsPerSecond, streamShare = 0.5, durationMs = Infinity, headers = {}, body = defaultBody, path = '/v1/chat/completions', timeoutMs = 60_000 }: SteadyLoadOptions): RunningLoad {
  const agent = new Agent({ connections: 256, pipelining: 1, keepAliveTimeout: 30_000, headersTimeout: timeoutMs, bodyTimeout: timeoutMs });
  const stopping = new AbortController();
  const failures: LoadFailure[] = [];
  const statuses = new Map<number, number>();
  const underWay = new Set<Promise<void>>();
  let sent = 0;
  let succeeded = 0;
  const began = performance.now();

  async function send(index: number): Promise<void> {
    // Evenly mixed without chance: request n streams when the running share steps over a whole number.
    const stream = Math.floor((index + 1) * streamShare) > Math.floor(index * streamShare);
    const sentAtMs = performance.now() - began;
    let status: number | undefined;
    let text = '';
    const fail = (reason: string): void => void failures.push({ index, kind: stream ? 'stream' : 'json', sentAtMs, status, reason, body: text.slice(0, 500) });
    try {
      const reply = await request(`${url}${path}`, {
        method: 'POST', dispatcher: agent, signal: AbortSignal.timeout(timeoutMs),
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify({ ...body(index), ...(stream ? { stream: true } : {}) }),
      });
      status = reply.statusCode;
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      reply.body.setEncoding('utf8');
      for await (const chunk of reply.body) text += String(chunk);
      const problem = status === 200 ? (stream ? problemOfStream(text) : problemOfJson(text)) : `status ${status}`;
      if (problem === undefined) succeeded += 1;
      else fail(problem);
    } catch (error) {
      fail(error instanceof Error ? `${error.name}: ${error.message}${'code' in error ? ` (${String(error.code)})` : ''}` : String(error));
    }
  }

  async function run(): Promise<LoadReport> {
    while (!stopping.signal.aborted && performance.now() - began < durationMs) {
      const due = Math.floor(((performance.now() - began) * requestsPerSecond) / 1_000) + 1;
      for (; sent < due; sent += 1) {
        if (underWay.size >= MOST_IN_FLIGHT) {
          failures.push({ index: sent, kind: 'json', sentAtMs: performance.now() - began, status: undefined, reason: `not sent: ${MOST_IN_FLIGHT} requests are unanswered`, body: '' });
          continue;
        }
        const one = send(sent).finally(() => underWay.delete(one));
        underWay.add(one);
      }
      const nextAtMs = (sent * 1_000) / requestsPerSecond - (performance.now() - began);
      await delay(Math.max(1, nextAtMs), undefined, { signal: stopping.signal }).catch(() => undefined);
    }
    await Promise.all(underWay);
    await agent.close();
    return { sent, succeeded, failures, statuses };
  }

  const done = run();
  return {
    succeeded: () => succeeded,
    stop: () => {
      stopping.abort();
      return done;
    },
    done,
  };
}

function defaultBody(index: number): Readonly<Record<string, unknown>> {
  return { model: 'auto', messages: [{ role: 'user', content: `Question number ${index}` }] };
}

/** Why a streamed answer is not whole; undefined when it is. */
function problemOfStream(text: string): string | undefined {
  const data = text.split('\n').filter((line) => line.startsWith('data: ')).map((line) => line.slice(6).trim());
  if (data.some((payload) => payload.startsWith('{"error"'))) return 'error frame in the stream';
  if (data.at(-1) !== '[DONE]') return `truncated: the stream ended after ${data.length} frames without [DONE]`;
  return data.some((payload) => /"finish_reason":\s*"/.test(payload)) ? undefined : 'the stream ended without a finish reason';
}

function problemOfJson(text: string): string | undefined {
  try {
    const reply = JSON.parse(text) as { choices?: unknown };
    return Array.isArray(reply.choices) && reply.choices.length > 0 ? undefined : 'the answer has no choices';
  } catch {
    return 'the answer is not JSON';
  }
}
