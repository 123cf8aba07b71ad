import { backoffMs, sleep } from '@pointsman/timing';
import type { OtlpRequest, OtlpSignal } from './receive-otlp.ts';

const MAX_QUEUED_BYTES = 64 * 1024 * 1024;
const SENDERS = 2;
const SEND_TIMEOUT_MS = 10_000;
const MAX_TRIES = 6;
/** Statuses that mean "send it again": https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes */
const RETRYABLE: ReadonlySet<number> = new Set([429, 502, 503, 504]);

export interface ForwarderOptions {
  /** Base URL of a collector: `/v1/traces` and the like are added. */
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly onOutcome: (signal: OtlpSignal, outcome: 'ok' | 'failed' | 'queue_full', reason?: unknown) => void;
  readonly maxQueuedBytes?: number;
  readonly random?: () => number;
}

export interface Forwarder {
  /** Takes a request to pass on; never waits. What does not fit into the queue is dropped and counted. */
  add(request: OtlpRequest): void;
  readonly queuedBytes: number;
  /** Sends what is queued until the signal; what is left is dropped and counted. */
  close(signal: AbortSignal): Promise<void>;
}

/** Passes on what was received, byte for byte, in the order it came (two at a time). A collector that is away costs what does not fit into memory, never the rows. */
export function createForwarder({ endpoint, headers, onOutcome, maxQueuedBytes = MAX_QUEUED_BYTES, random = Math.random }: ForwarderOptions): Forwarder {
  const queue: OtlpRequest[] = [];
  const base = endpoint.replace(/\/+$/, '');
  const stop = new AbortController();
  let queuedBytes = 0;
  let closing = false;
  const senders = new Set<Promise<void>>();

  async function send({ signal, body, contentType, contentEncoding }: OtlpRequest): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      let failure: unknown;
      try {
        const response = await fetch(`${base}/v1/${signal}`, {
          method: 'POST', body: new Uint8Array(body), redirect: 'error', signal: AbortSignal.any([stop.signal, AbortSignal.timeout(SEND_TIMEOUT_MS)]),
          headers: { ...headers, 'content-type': contentType, ...(contentEncoding === undefined ? {} : { 'content-encoding': contentEncoding }) },
        });
        await response.body?.cancel();
        if (response.ok) {
          onOutcome(signal, 'ok');
          return;
        }
        failure = new Error(`The collector answered ${String(response.status)}.`);
        if (!RETRYABLE.has(response.status)) tries = MAX_TRIES;
      } catch (error) {
        failure = error;
      }
      if (tries >= MAX_TRIES || stop.signal.aborted) {
        onOutcome(signal, 'failed', failure);
        return;
      }
      await sleep(backoffMs(tries, { baseMs: 250, maxMs: 5_000 }, random), stop.signal).catch(() => undefined);
    }
  }

  async function drain(): Promise<void> {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      await send(next);
      queuedBytes -= next.body.length;
    }
  }

  return {
    get queuedBytes() {
      return queuedBytes;
    },
    add(request) {
      if (closing || queuedBytes + request.body.length > maxQueuedBytes) {
        onOutcome(request.signal, 'queue_full');
        return;
      }
      queue.push(request);
      queuedBytes += request.body.length;
      if (senders.size >= SENDERS) return;
      const sender = drain().finally(() => senders.delete(sender));
      senders.add(sender);
    },
    async close(signal) {
      closing = true;
      const give = (): void => stop.abort(signal.reason);
      if (signal.aborted) give();
      else signal.addEventListener('abort', give, { once: true });
      await Promise.all(senders);
      signal.removeEventListener('abort', give);
    },
  };
}
