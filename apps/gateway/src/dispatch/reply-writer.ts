import type { ServerResponse } from 'node:http';
import type { AppError } from '@pointsman/errors';
import type { Exchange } from '../http/exchange.ts';
import { sendError } from '../http/send-error.ts';
import type { ExchangeRecord } from '../record/exchange-record.ts';

const JSON_TYPE = 'application/json';
const SSE_TYPE = 'text/event-stream; charset=utf-8';

/** Watches one reply on its way to the client, in the client's format. Never throws, never waits. */
export interface ReplyTap {
  /** A whole JSON reply. */
  json(text: string): void;
  /** A piece of a stream as it is written: whole frames. */
  piece(text: string): void;
  /** The stream is whole: its provider said so. A stream that breaks never gets here. */
  whole(): void;
}

/** Where the reply of a dispatch goes. */
export interface ReplyOut {
  readonly headSent: boolean;
  /** What else the head says, instead of what was set before: name, value, name, value. */
  setHeaders(headers: readonly string[]): void;
  sendJson(text: string): void;
  startStream(): void;
  /** False when the reader is slower than the provider. */
  write(text: string): boolean;
  endWhole(text: string): void;
  end(text: string): void;
  sendError(error: AppError): void;
}

/** What a writer must know of the exchange whose reply it writes. */
export type WrittenExchange = Pick<Exchange, 'res' | 'requestId' | 'trace' | 'errorShape' | 'admissionHeaders' | 'elapsedMs'>;

/** Writes one reply to one client: the head when the first text is there, then text, then the end. The only writer of proxied replies. */
export class ReplyWriter implements ReplyOut {
  readonly #exchange: WrittenExchange;
  readonly #record: ExchangeRecord;
  #headSent = false;
  /** Whether the chunks of the reply are framed here. */
  #framesChunks = false;

  readonly #tap: ReplyTap | undefined;

  /** More headers of the reply: name, value, name, value. */
  #more: readonly string[] | undefined;

  constructor(exchange: WrittenExchange, record: ExchangeRecord, tap?: ReplyTap, more?: readonly string[]) {
    this.#exchange = exchange;
    this.#record = record;
    this.#tap = tap;
    this.#more = more;
  }

  get headSent(): boolean {
    return this.#headSent;
  }

  setHeaders(headers: readonly string[]): void {
    this.#more = headers;
  }

  sendJson(text: string): void {
    this.#headSent = true;
    const { res } = this.#exchange;
    const headers = this.#headers(JSON_TYPE, this.#record.costUsd);
    const bytes = Buffer.byteLength(text);
    headers.push('content-length', String(bytes));
    res.writeHead(200, headers);
    endInOneWrite(res, text, encodingOf(text, bytes));
    this.#tap?.json(text);
  }

  startStream(): void {
    this.#headSent = true;
    const { res } = this.#exchange;
    // The cost of a stream is not known yet; LiteLLM sends 0 here and clients parse it as a number.
    const headers = this.#headers(SSE_TYPE, 0);
    headers.push('cache-control', 'no-cache', 'x-accel-buffering', 'no');
    res.writeHead(200, headers);
    // Node gathers size, CRLF, text and CRLF of every chunk from four writes; as one string a chunk is one plain write.
    // The head has said whether there are chunks: not to a client that speaks HTTP/1.0.
    this.#framesChunks = res.chunkedEncoding;
    res.chunkedEncoding = false;
  }

  /** Returns false when the client reads more slowly than the provider writes. */
  write(text: string): boolean {
    this.#tap?.piece(text);
    const { res } = this.#exchange;
    if (!this.#framesChunks) return res.write(text);
    if (text === '') return true; // a chunk of no bytes would end the reply
    const bytes = Buffer.byteLength(text);
    return res.write(chunkOf(text, bytes), encodingOf(text, bytes));
  }

  /** The last text of a stream that is complete. */
  endWhole(text: string): void {
    this.end(text);
    const tap = this.#tap;
    if (tap === undefined) return;
    if (text !== '') tap.piece(text);
    tap.whole();
  }

  end(text: string): void {
    const { res } = this.#exchange;
    const bytes = Buffer.byteLength(text);
    const last = bytes === 0 ? '' : this.#framesChunks ? chunkOf(text, bytes) : text;
    res.end(this.#framesChunks ? last + LAST_CHUNK : last, encodingOf(text, bytes));
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
    const { deployment, decision, group, retries, fallbacks, cacheKey } = this.#record;
    const headers = ['x-litellm-model-group', headerSafe(group), 'x-litellm-attempted-retries', String(retries), 'x-litellm-attempted-fallbacks', String(fallbacks)];
    if (deployment === undefined && decision?.order[0] !== undefined) headers.push('x-router-selected-model', headerSafe(decision.order[0].model));
    if (deployment !== undefined) headers.push('x-litellm-model-id', deployment.configured.id, 'x-router-selected-model', headerSafe(deployment.configured.configuredModel));
    if (cacheKey !== undefined) headers.push('x-litellm-cache-key', cacheKey);
    if (this.#more !== undefined) headers.push(...this.#more);
    const { admissionHeaders } = this.#exchange;
    if (admissionHeaders !== undefined) headers.push(...admissionHeaders);
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

const LAST_CHUNK = '0\r\n\r\n';

/** A chunk of HTTP/1.1 (RFC 9112, 7.1). */
function chunkOf(text: string, bytes: number): string {
  return `${bytes.toString(16)}\r\n${text}\r\n`;
}

/** Text that takes a byte per character in UTF-8 is ASCII, and is written without being encoded. */
function encodingOf(text: string, bytes: number): 'latin1' | 'utf8' {
  return bytes === text.length ? 'latin1' : 'utf8';
}

/**
 * Ends a reply whose length the head has said. `res.end(text)` hands the socket an empty second chunk, which turns one plain write into a gathered one;
 * when all is written before `end` is called, there is none.
 */
function endInOneWrite(res: ServerResponse, text: string, encoding: BufferEncoding): void {
  const { socket } = res;
  if (socket === null || socket.writableCorked > 0) {
    res.end(text, encoding); // an earlier reply on this connection is still being written, or is gone
    return;
  }
  socket.cork();
  res.write(text, encoding);
  socket.uncork();
  res.end();
}

/** Model names come from the configuration and may hold what a header must not: anything outside printable ASCII is percent-encoded. */
function headerSafe(text: string): string {
  return PRINTABLE.test(text) ? text : encodeURIComponent(text.toWellFormed());
}

const PRINTABLE = /^[\x20-\x7e]*$/;
