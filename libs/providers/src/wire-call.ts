import type { Dispatcher } from 'undici';
import { ProviderError, type ProviderFault } from './provider-error.ts';
import type { ProviderCall } from './provider.ts';
import type { ConnectionAware, UpstreamConnection, UpstreamDispatcher } from './upstream-pools.ts';

export type WireHeaders = Readonly<Record<string, string | string[] | undefined>>;

export interface WireRequest {
  /** Provider id, for the errors. */
  readonly provider: string;
  readonly dispatcher: UpstreamDispatcher;
  /** Scheme, host and port: `https://api.anthropic.com`. */
  readonly origin: string;
  /** Path and query. */
  readonly path: string;
  readonly method: 'GET' | 'POST';
  /** Lower-case names. */
  readonly headers: Record<string, string>;
  readonly body: Buffer | string | null;
  /** Called at most once, when it is certain that nothing reads `body` any more. After a failure or a reply that came early it is not: a socket may still hold on to it. */
  readonly onBodyWritten?: (() => void) | undefined;
  /** Longest wait for the status line in milliseconds, waiting for a socket and connecting included. */
  readonly headersTimeoutMs: number;
  /** Longest silence between two pieces of the body in milliseconds; the time while paused does not count. */
  readonly idleTimeoutMs: number;
}

/** Calls in this order: `onHead`, any number of `onBytes`, then `onEnd`; or `onError` at any point, after which nothing follows. */
export interface WireListener {
  /** Any status, redirects included: they are never followed. */
  onHead(status: number, headers: WireHeaders): void;
  onBytes(chunk: Buffer): void;
  /** The body ended as its framing said it would. */
  onEnd(): void;
  onError(error: ProviderError): void;
}

/**
 * One HTTP exchange on a pooled connection, pushed to `listener` without streams or promises in between.
 * Never throws, and the listener hears nothing before this function has returned.
 */
export function startWireCall(request: WireRequest, listener: WireListener): ProviderCall {
  const exchange = new WireExchange(request, listener);
  exchange.begin();
  return exchange;
}

/** undici's timers tick about every half second and cost nothing per chunk: right for long silences, not for short ones. */
const PRECISE_BELOW_MS = 5_000;
const CANCELLED = new Error('The gateway cancelled this call.');

class WireExchange implements ProviderCall, Dispatcher.DispatchHandler, ConnectionAware {
  readonly #request: WireRequest;
  readonly #listener: WireListener;
  #controller: Dispatcher.DispatchController | undefined;
  #timer: NodeJS.Timeout | undefined;
  #connection: UpstreamConnection | undefined;
  #bytesSeen = false;
  #headSeen = false;
  #done = false;
  #begun = false;
  #paused = false;

  constructor(request: WireRequest, listener: WireListener) {
    this.#request = request;
    this.#listener = listener;
  }

  begin(): void {
    const { dispatcher, headersTimeoutMs } = this.#request;
    this.#timer = setTimeout(() => this.#giveUp(new ProviderError('timeout', this.#request.provider, `The provider sent no status line within ${headersTimeoutMs} ms.`)), headersTimeoutMs);
    try {
      dispatcher.dispatch(this.#options(), this);
    } catch (error) {
      this.#fail(this.#describe(error));
    }
    this.#begun = true;
  }

  cancel(): void {
    if (this.#done) return;
    this.#finish();
    this.#controller?.abort(CANCELLED);
  }

  pause(): void {
    this.#paused = true;
    if (this.#headSeen && !this.#done) this.#controller?.pause();
  }

  resume(): void {
    this.#paused = false;
    if (!this.#headSeen || this.#done) return;
    this.#timer?.refresh();
    this.#controller?.resume();
  }

  onConnectionChosen(connection: UpstreamConnection): void {
    this.#connection = connection;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#done) controller.abort(CANCELLED);
  }

  onResponseStarted(): void {
    this.#bytesSeen = true;
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: WireHeaders): void {
    if (this.#done || status < 200) return;
    this.#headSeen = true;
    clearTimeout(this.#timer);
    this.#timer = this.#hasPreciseIdleTimer() ? setTimeout(() => this.#fallSilent(), this.#request.idleTimeoutMs) : undefined;
    this.#listener.onHead(status, headers);
    if (this.#paused && !this.#done) controller.pause();
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#done) return;
    this.#timer?.refresh();
    this.#listener.onBytes(chunk);
  }

  onResponseEnd(): void {
    if (this.#connection !== undefined) this.#connection.answered += 1;
    if (this.#done) return;
    this.#finish();
    // A server may answer before it has read the request; what it has not read then waits in the socket, which points into our memory.
    if (this.#connection?.hasWrittenAll() === true) this.#request.onBodyWritten?.();
    this.#listener.onEnd();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: unknown): void {
    if (this.#metClosingConnection(error)) {
      this.#controller = undefined;
      this.#request.dispatcher.dispatchFresh?.(this.#options(), this);
      return;
    }
    this.#fail(this.#describe(error));
  }

  #options(): Dispatcher.DispatchOptions {
    const { origin, path, method, headers, body, idleTimeoutMs } = this.#request;
    // undici's own headers timeout starts only once the request is written; the timer of `begin` also covers waiting for a socket.
    return { origin, path, method, headers, body, headersTimeout: 0, bodyTimeout: this.#hasPreciseIdleTimer() ? 0 : idleTimeoutMs };
  }

  /**
   * Whether the server closed a kept-alive connection just as the request was written to it. undici puts a request that it has not yet
   * written onto another connection by itself, and fails one that it has written. That one is sent once more, as browsers and Go do,
   * when the socket had answered before and not one byte of an answer came (RFC 9112, 9.3.1). The fresh connection has answered nothing: once is all.
   */
  #metClosingConnection(error: unknown): boolean {
    if (this.#done || this.#bytesSeen || (this.#connection?.answered ?? 0) === 0 || this.#request.dispatcher.dispatchFresh === undefined) return false;
    const code = errorCode(error);
    return code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE';
  }

  #giveUp(error: ProviderError): void {
    if (this.#done) return;
    this.#fail(error);
    this.#controller?.abort(CANCELLED);
  }

  #fail(error: ProviderError): void {
    if (this.#done) return;
    this.#finish();
    if (this.#begun) this.#listener.onError(error);
    else queueMicrotask(() => this.#listener.onError(error));
  }

  #finish(): void {
    this.#done = true;
    clearTimeout(this.#timer);
  }

  #hasPreciseIdleTimer(): boolean {
    return this.#request.idleTimeoutMs > 0 && this.#request.idleTimeoutMs < PRECISE_BELOW_MS;
  }

  #fallSilent(): void {
    // Silence that we asked for does not count; `resume` starts the time again.
    if (!this.#paused) this.#giveUp(new ProviderError('timeout', this.#request.provider, silence(this.#request.idleTimeoutMs)));
  }

  #describe(error: unknown): ProviderError {
    const { fault, message } = connectionFault(error, this.#headSeen, this.#request.idleTimeoutMs);
    return new ProviderError(fault, this.#request.provider, message, { cause: error });
  }
}

function silence(idleTimeoutMs: number): string {
  return `The provider sent nothing for ${idleTimeoutMs} ms in the middle of its reply.`;
}

function connectionFault(error: unknown, headSeen: boolean, idleTimeoutMs: number): { readonly fault: ProviderFault; readonly message: string } {
  const code = errorCode(error);
  if (code === 'UND_ERR_BODY_TIMEOUT') return { fault: 'timeout', message: silence(idleTimeoutMs) };
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'ETIMEDOUT') return { fault: 'timeout', message: 'The provider did not accept a connection in time.' };
  const detail = code === undefined ? '' : ` (${code})`;
  // A body that breaks off on a connection marked `close` is an end of file to undici's parser, and so a parse error.
  const isParseError = error instanceof Error && error.name === 'HTTPParserError' && !(headSeen && /EOF/.test(`${code ?? ''} ${error.message}`));
  if (isParseError) return { fault: 'bad_reply', message: `The provider's answer is not HTTP${detail}.` };
  if (headSeen) return { fault: 'truncated', message: `The provider's connection broke before its reply was complete${detail}.` };
  return { fault: 'unreachable', message: `The provider could not be reached${detail}.` };
}

function errorCode(error: unknown): string | undefined {
  for (let current = error, depth = 0; current instanceof Error && depth < 4; current = current.cause, depth += 1) {
    const code = (current as { code?: unknown }).code;
    if (typeof code === 'string') return code;
    const first: unknown = current instanceof AggregateError ? current.errors[0] : undefined;
    if (first instanceof Error) return errorCode(first);
  }
  return undefined;
}
