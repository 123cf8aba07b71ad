import type { AppError } from '@pointsman/errors';
import type { Exchange } from '../http/exchange.ts';
import { sendError } from '../http/send-error.ts';
import type { ExchangeRecord } from '../record/exchange-record.ts';

const JSON_TYPE = 'application/json';
const SSE_TYPE = 'text/event-stream; charset=utf-8';

/** Writes one reply to one client: the head when the first text is there, then text, then the end. The only writer of proxied replies. */
export class ReplyWriter {
  readonly #exchange: Exchange;
  readonly #record: ExchangeRecord;
  #headSent = false;

  constructor(exchange: Exchange, record: ExchangeRecord) {
    this.#exchange = exchange;
    this.#record = record;
  }

  get headSent(): boolean {
    return this.#headSent;
  }

  sendJson(text: string): void {
    this.#headSent = true;
    const { res } = this.#exchange;
    const headers = this.#headers(JSON_TYPE, this.#record.costUsd);
    headers.push('content-length', String(Buffer.byteLength(text)));
    res.writeHead(200, headers);
    res.end(text);
  }

  startStream(): void {
    this.#headSent = true;
    const { res } = this.#exchange;
    // The cost of a stream is not known yet; LiteLLM sends 0 here and clients parse it as a number.
    const headers = this.#headers(SSE_TYPE, 0);
    headers.push('cache-control', 'no-cache', 'x-accel-buffering', 'no');
    res.writeHead(200, headers);
  }

  /** Returns false when the client reads more slowly than the provider writes. */
  write(text: string): boolean {
    return this.#exchange.res.write(text);
  }

  end(text: string): void {
    if (text === '') this.#exchange.res.end();
    else this.#exchange.res.end(text);
  }

  sendError(error: AppError): void {
    this.#headSent = true;
    sendError(this.#exchange.res, error, {
      shape: this.#exchange.errorShape, requestId: this.#exchange.requestId, traceparent: this.#exchange.trace.traceparent,
      extra: [...this.#routingHeaders(), 'x-litellm-response-cost', String(this.#record.costUsd ?? 0), 'x-litellm-overhead-duration-ms', this.#overheadMs()],
    });
  }

  #overheadMs(): string {
    return Math.max(0, this.#exchange.elapsedMs() - this.#record.upstreamMs).toFixed(3);
  }

  #routingHeaders(): string[] {
    const { deployment, decision, group, retries, fallbacks } = this.#record;
    const headers = ['x-litellm-model-group', headerSafe(group), 'x-litellm-attempted-retries', String(retries), 'x-litellm-attempted-fallbacks', String(fallbacks)];
    if (deployment !== undefined) headers.push('x-litellm-model-id', deployment.configured.id, 'x-router-selected-model', headerSafe(deployment.configured.configuredModel));
    if (decision !== undefined) headers.push('x-router-strategy', decision.strategy, 'x-router-model-version', decision.modelVersion);
    return headers;
  }

  #headers(contentType: string, costUsd: number | undefined): string[] {
    const { requestId, trace } = this.#exchange;
    const headers = this.#routingHeaders();
    headers.push(
      'content-type', contentType, 'x-request-id', requestId, 'x-litellm-call-id', requestId, 'traceparent', trace.traceparent,
      // Clients parse it as a number: 0 where no price is known, as LiteLLM does.
      'x-litellm-response-cost', String(costUsd ?? 0), 'x-litellm-overhead-duration-ms', this.#overheadMs(),
    );
    return headers;
  }
}

/** Model names come from the configuration and may hold what a header must not: anything outside printable ASCII is percent-encoded. */
function headerSafe(text: string): string {
  return PRINTABLE.test(text) ? text : encodeURIComponent(text.toWellFormed());
}

const PRINTABLE = /^[\x20-\x7e]*$/;
