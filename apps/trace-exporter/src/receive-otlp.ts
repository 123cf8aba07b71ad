import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { decodeTraces, encodeOtlpResponse, encodeOtlpStatus, MalformedOtlpError, type OtlpEncoding, type OtlpPartialSuccess, type ReceivedSpan } from '@pointsman/telemetry';
import { OtlpRefusal, readOtlpBody } from './read-otlp-body.ts';

/** Bodies being read and unpacked at once: 8 of 16 MiB, twice. More senders are told to come again. */
const MAX_AT_ONCE = 8;
const RETRY_AFTER_S = 1;
const REQUEST_TIMEOUT_MS = 30_000;

export type OtlpSignal = 'traces' | 'metrics' | 'logs';

/** A request as it came, to be passed on. */
export interface OtlpRequest {
  readonly signal: OtlpSignal;
  readonly body: Buffer;
  readonly contentType: string;
  readonly contentEncoding: string | undefined;
}

export interface OtlpReceiverOptions {
  readonly port: number;
  readonly host: string;
  /** Takes spans: on disk when it returns. What it refuses for good it says; what it cannot take now it throws (`OtlpRefusal`, else 503). */
  readonly onSpans: (spans: readonly ReceivedSpan[]) => OtlpPartialSuccess | undefined;
  /** Everything that was taken, to pass on. Never waits. */
  readonly onRequest?: ((request: OtlpRequest) => void) | undefined;
  readonly onAnswer?: (signal: OtlpSignal, outcome: 'ok' | 'refused' | 'busy') => void;
  readonly onError?: (error: unknown) => void;
}

export interface OtlpReceiver {
  readonly url: string;
  readonly port: number;
  /** Answers 503 from now on. */
  refuse(): void;
  /** Stops listening; what is being answered is answered first. */
  close(): Promise<void>;
}

const SIGNALS: Readonly<Record<string, OtlpSignal>> = { '/v1/traces': 'traces', '/v1/metrics': 'metrics', '/v1/logs': 'logs' };

/**
 * OTLP over HTTP (https://opentelemetry.io/docs/specs/otlp/#otlphttp): protobuf and JSON, gzip. 200 means that the spans are on disk; 429 and 503 with `retry-after`
 * mean: send it again; 400, 413, 415: do not. @throws when the port is taken.
 */
export async function startOtlpReceiver({ port, host, onSpans, onRequest, onAnswer, onError }: OtlpReceiverOptions): Promise<OtlpReceiver> {
  let running = 0;
  let refusing = false;

  async function take(request: IncomingMessage, signal: OtlpSignal, encoding: OtlpEncoding): Promise<Buffer> {
    if (refusing) throw new OtlpRefusal(503, 'This receiver is stopping or not ready yet.');
    if (running >= MAX_AT_ONCE) throw new OtlpRefusal(429, 'Too many requests at once.');
    running += 1;
    try {
      const { raw, plain } = await readOtlpBody(request);
      let partial: OtlpPartialSuccess | undefined;
      if (signal === 'traces') partial = onSpans(decodeTraces(encoding, plain));
      onRequest?.({ signal, body: raw, contentType: String(request.headers['content-type']), contentEncoding: request.headers['content-encoding'] });
      return encodeOtlpResponse(encoding, partial);
    } catch (error) {
      if (error instanceof MalformedOtlpError) throw new OtlpRefusal(400, error.message, { cause: error });
      throw error;
    } finally {
      running -= 1;
    }
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const signal = Object.hasOwn(SIGNALS, pathOf(request)) ? SIGNALS[pathOf(request)] : undefined;
    if (signal === undefined) return send(request, response, { status: 404, encoding: 'json', body: encodeOtlpStatus('json', 'POST /v1/traces, /v1/metrics or /v1/logs.') });
    if (request.method !== 'POST') return send(request, response, { status: 405, encoding: 'json', body: encodeOtlpStatus('json', 'Only POST.'), allow: 'POST' });
    const encoding = encodingOf(request);
    if (encoding === undefined) {
      onAnswer?.(signal, 'refused');
      return send(request, response, { status: 415, encoding: 'json', body: encodeOtlpStatus('json', 'The content-type is neither application/x-protobuf nor application/json.') });
    }
    try {
      const body = await take(request, signal, encoding);
      onAnswer?.(signal, 'ok');
      send(request, response, { status: 200, encoding, body });
    } catch (error) {
      // The sender went away in the middle: nobody to answer, and nothing was taken.
      if (request.destroyed && !request.complete) return response.destroy() as unknown as undefined;
      const refusal = error instanceof OtlpRefusal ? error : new OtlpRefusal(503, 'Cannot be taken now.', { cause: error });
      const isBusy = refusal.status === 429 || refusal.status === 503;
      if (!(error instanceof OtlpRefusal)) onError?.(error);
      onAnswer?.(signal, isBusy ? 'busy' : 'refused');
      send(request, response, { status: refusal.status, encoding, body: encodeOtlpStatus(encoding, refusal.message) });
    }
  }

  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: 10_000 }, (request, response) => {
    answer(request, response).catch((error: unknown) => {
      onError?.(error);
      response.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const address = server.address() as AddressInfo;
  return {
    port: address.port,
    url: `http://${host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host}:${String(address.port)}`,
    refuse() {
      refusing = true;
    },
    async close() {
      refusing = true;
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      const stragglers = setTimeout(() => server.closeAllConnections(), 2_000);
      await closed;
      clearTimeout(stragglers);
    },
  };
}

interface Answer {
  readonly status: number;
  readonly encoding: OtlpEncoding;
  readonly body: Buffer;
  readonly allow?: string;
}

function send(request: IncomingMessage, response: ServerResponse, { status, encoding, body, allow }: Answer): void {
  const comesAgain = status === 429 || status === 503;
  response.writeHead(status, {
    'content-type': encoding === 'json' ? 'application/json' : 'application/x-protobuf', 'content-length': body.length,
    ...(comesAgain ? { 'retry-after': String(RETRY_AFTER_S) } : {}), ...(allow === undefined ? {} : { allow }),
    // What is left of a body that is not read would be taken for the next request.
    ...(request.complete ? {} : { connection: 'close' }),
  });
  response.end(body);
  if (!request.complete) request.resume();
}

function pathOf({ url }: IncomingMessage): string {
  return (url ?? '/').split('?', 1)[0] ?? '/';
}

function encodingOf({ headers }: IncomingMessage): OtlpEncoding | undefined {
  switch ((headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase()) {
    case 'application/x-protobuf': return 'protobuf';
    case 'application/json': return 'json';
    default: return undefined;
  }
}
