import { gatewayReportSchema, type GatewayReport } from '@pointsman/schemas';
import type { Secret } from '@pointsman/telemetry';
import type { GatewayDoor } from './gateway-door.ts';

export interface GatewayByHttpOptions {
  /** `RELOAD_URL`: `http://127.0.0.1:4000/config/reload`. */
  readonly url: string;
  /** The master key. */
  readonly key: Secret;
  readonly fetch?: typeof globalThis.fetch;
  /** Longest time for one question, in milliseconds; a reload compiles the whole configuration. Default 10,000. */
  readonly timeoutMs?: number;
}

const MOST_REPLY_BYTES = 4 << 20;

/** The gateway by its own address: `POST` on the url reloads, and answers once that is over; `GET /health/config` on the same origin only asks. */
export function gatewayByHttp({ url, key, fetch = globalThis.fetch, timeoutMs = 10_000 }: GatewayByHttpOptions): GatewayDoor {
  const healthUrl = new URL('/health/config', url).href;
  let absence: string | undefined;

  /** Undefined when nobody listens there. */
  async function ask(method: 'GET' | 'POST', address: string, signal: AbortSignal): Promise<{ readonly report: GatewayReport | undefined } | undefined> {
    // Whatever else an address holds, nothing of it belongs into a log.
    const { origin, pathname } = new URL(address);
    const shown = `${origin}${pathname}`;
    const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
    try {
      // A redirect would carry the master key to somebody else.
      const response = await fetch(address, { method, headers: { authorization: `Bearer ${key.reveal()}` }, signal: limit, redirect: 'error' });
      const text = await boundedText(response);
      if (response.status === 401 || response.status === 403) throw new Error(`${method} ${shown} answered ${String(response.status)}: LITELLM_MASTER_KEY of this container is not the gateway's master key.`);
      if (!response.ok) throw new Error(`${method} ${shown} answered ${String(response.status)}.`);
      return { report: parseReport(text) };
    } catch (error) {
      signal.throwIfAborted();
      if (isRefused(error)) {
        absence = `nobody listens at ${origin}`;
        return undefined;
      }
      if (limit.aborted) throw new Error(`${method} ${shown} was not answered within ${String(timeoutMs)} ms.`, { cause: error });
      throw error;
    }
  }

  return {
    get absence() {
      return absence;
    },
    async report(signal) {
      const answer = await ask('GET', healthUrl, signal);
      if (answer === undefined) return undefined;
      if (answer.report === undefined) throw new Error(`GET ${healthUrl} answered with something else than a gateway's report.`);
      return answer.report;
    },
    async nudge(signal) {
      return (await ask('POST', url, signal)) !== undefined;
    },
  };
}

async function boundedText(response: Response): Promise<string> {
  if (response.body === null) return '';
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > MOST_REPLY_BYTES) throw new Error(`The reply has more than ${String(MOST_REPLY_BYTES)} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseReport(text: string): GatewayReport | undefined {
  try {
    const parsed = gatewayReportSchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

/** Node's fetch wraps what the socket said, with several addresses in an AggregateError. */
function isRefused(error: unknown): boolean {
  for (let current = error, depth = 0; current instanceof Error && depth < 4; current = current.cause, depth += 1) {
    if ('code' in current && (current.code === 'ECONNREFUSED' || current.code === 'ENOTFOUND')) return true;
  }
  return false;
}
