import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import { ProviderError } from '../provider-error.ts';
import type { ProviderCall } from '../provider.ts';
import { startWireCall, type WireHeaders } from '../wire-call.ts';
import type { OriginPools } from './origin-pools.ts';
import { replyError } from './reply-error.ts';

/** Bytes that wait between the socket and the SDK before the socket is told to stop. */
const READ_AHEAD_BYTES = 64 * 1024;
const MAX_ERROR_BODY_BYTES = 64 * 1024;
/** A whole reply larger than this is not a chat completion. */
const MAX_WHOLE_REPLY_BYTES = 64 * 1024 * 1024;

/** What the fetch must know about the gateway's call that an SDK's call belongs to. Found by the abort signal, the one thing every SDK hands through untouched. */
export interface UpstreamCallContext {
  readonly provider: string;
  readonly headersTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly stream: boolean;
  readonly secrets: readonly string[];
  /** Last change of the request body, for what an SDK has no option for. */
  patchBody: ((body: JsonObject) => JsonObject) | undefined;
  /** Headers that depend on the final bytes: request signatures. */
  readonly sign: ((request: UnsignedRequest) => Promise<Readonly<Record<string, string>>>) | undefined;
  /** What went wrong on the wire. The SDKs wrap and reword errors; this is the truth of the transport. */
  failure: ProviderError | undefined;
  /** The provider's status, once it has answered. */
  status: number | undefined;
  headers: WireHeaders;
}

type FetchInput = Parameters<typeof globalThis.fetch>[0];

export interface UnsignedRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** The `fetch` of one deployment's SDK: pooled undici connections, deadlines, backpressure down to the socket, no redirects. */
export class UpstreamFetch {
  readonly #pools: OriginPools;
  readonly #contexts = new WeakMap<AbortSignal, UpstreamCallContext>();
  readonly fetch: typeof globalThis.fetch;

  constructor(pools: OriginPools) {
    this.#pools = pools;
    this.fetch = (input, init) => this.#fetch(input, init);
  }

  /** From now on requests that carry `signal` belong to `context`. */
  register(signal: AbortSignal, context: UpstreamCallContext): void {
    this.#contexts.set(signal, context);
  }

  async #fetch(input: FetchInput, init: RequestInit | undefined): Promise<Response> {
    const signal = init?.signal ?? undefined;
    const context = signal === undefined ? undefined : this.#contexts.get(signal);
    if (signal === undefined || context === undefined) throw new Error('A provider SDK made a request that belongs to no call.');
    const url = new URL(input instanceof Request ? input.url : input);
    const body = patched(init?.body, context.patchBody);
    let headers: Record<string, string> = { 'content-type': 'application/json' };
    for (const [name, value] of new Headers(init?.headers)) headers[name] = value;
    if (context.sign !== undefined) headers = { ...headers, ...(await context.sign({ url: url.href, headers, body: body ?? '' })) };
    signal.throwIfAborted();
    return this.#exchange({ url, method: init?.method === 'GET' ? 'GET' : 'POST', headers, body, signal, context });
  }

  #exchange({ url, method, headers, body, signal, context }: {
    readonly url: URL; readonly method: 'GET' | 'POST'; readonly headers: Record<string, string>; readonly body: string | null; readonly signal: AbortSignal; readonly context: UpstreamCallContext;
  }): Promise<Response> {
    return new Promise<Response>((resolve, reject) => {
      let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
      let failedText: Buffer[] | undefined;
      let received = 0;

      const fail = (error: ProviderError): void => {
        context.failure = error;
        signal.removeEventListener('abort', onAbort);
        if (controller === undefined) reject(error);
        else controller.error(error);
      };
      const refuse = (): void => fail(replyError({ provider: context.provider, status: context.status ?? 0, headers: context.headers, text: Buffer.concat(failedText ?? []).toString('utf8'), secrets: context.secrets }));

      const call: ProviderCall = startWireCall({
        provider: context.provider,
        dispatcher: this.#pools.dispatcher(url.origin),
        origin: url.origin,
        path: `${url.pathname}${url.search}`,
        method,
        headers,
        body,
        headersTimeoutMs: context.headersTimeoutMs,
        idleTimeoutMs: context.idleTimeoutMs,
      }, {
        onHead(status, replyHeaders) {
          context.status = status;
          context.headers = replyHeaders;
          if (status >= 300) {
            failedText = [];
            return;
          }
          const stream = new ReadableStream<Uint8Array>({
            start: (started) => { controller = started; },
            pull: () => call.resume(),
            cancel: () => { signal.removeEventListener('abort', onAbort); call.cancel(); },
          }, { highWaterMark: READ_AHEAD_BYTES, size: (chunk) => chunk.byteLength });
          resolve(new Response(stream, { status: status === 204 || status === 205 ? 200 : status, headers: responseHeaders(replyHeaders) }));
        },
        onBytes(chunk) {
          received += chunk.byteLength;
          if (failedText !== undefined) {
            failedText.push(chunk);
            if (received <= MAX_ERROR_BODY_BYTES) return;
            call.cancel();
            refuse();
            return;
          }
          if (!context.stream && received > MAX_WHOLE_REPLY_BYTES) {
            call.cancel();
            fail(new ProviderError('bad_reply', context.provider, `The provider's reply is larger than ${MAX_WHOLE_REPLY_BYTES} bytes.`));
            return;
          }
          controller?.enqueue(chunk);
          if ((controller?.desiredSize ?? 1) <= 0) call.pause();
        },
        onEnd() {
          if (failedText !== undefined) return refuse();
          signal.removeEventListener('abort', onAbort);
          controller?.close();
        },
        onError(error) {
          // An error status is the news even when its body broke off.
          if (failedText !== undefined && error.fault !== 'timeout') refuse();
          else fail(error);
        },
      });
      const onAbort = (): void => {
        call.cancel();
        if (controller === undefined) reject(signal.reason as Error);
        else controller.error(signal.reason);
      };
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }
}

function patched(body: RequestInit['body'], patch: UpstreamCallContext['patchBody']): string | null {
  if (body === null || body === undefined) return null;
  const text = typeof body === 'string' ? body : body instanceof Uint8Array ? Buffer.from(body).toString('utf8') : '';
  if (patch === undefined) return text;
  const parsed: unknown = JSON.parse(text);
  return isJsonObject(parsed) ? JSON.stringify(patch(parsed)) : text;
}

function responseHeaders(headers: WireHeaders): Headers {
  const result = new Headers();
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value === 'string') result.append(name, value);
    else if (value !== undefined) for (const one of value) result.append(name, one);
  }
  return result;
}
