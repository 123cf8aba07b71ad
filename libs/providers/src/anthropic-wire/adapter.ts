import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import { errorFromReply, MAX_ERROR_BODY_BYTES } from '../error-reply.ts';
import { createOpenAiWireProvider } from '../openai-wire/adapter.ts';
import type { OpenAiProviderFacts } from '../provider-catalog.ts';
import { ProviderError } from '../provider-error.ts';
import type { DeploymentSettings, Provider, ProviderRequest } from '../provider.ts';
import type { UpstreamPools } from '../upstream-pools.ts';
import { startWireCall, type WireHeaders } from '../wire-call.ts';
import { anthropicAddress } from './anthropic-address.ts';

export interface AnthropicWireParts {
  readonly pools: UpstreamPools;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** What /v1/messages/count_tokens takes. https://docs.anthropic.com/en/api/messages-count-tokens */
const COUNTED_FIELDS = ['messages', 'system', 'tools', 'tool_choice', 'thinking', 'mcp_servers', 'context_management', 'output_config'];
const COUNT_TIMEOUT_MS = 30_000;

/**
 * Anthropic's `messages` format on the wire, for Anthropic and for hosts that speak the same: the client's bytes with another model name and the
 * deployment's credentials. Its exchange, error and event handling are those of the OpenAI wire: both are JSON or server-sent events over POST.
 * @throws AppError `invalid_deployment` when there is no credential or no usable `api_base`.
 */
export function createAnthropicWireProvider(settings: DeploymentSettings, parts: AnthropicWireParts): Provider {
  const { baseUrl, headers, secret } = anthropicAddress(settings, parts.env);
  const facts: OpenAiProviderFacts = {
    id: settings.provider,
    kind: 'openai',
    baseUrl,
    chatPath: '/v1/chat/completions',
    apiKeyEnv: [],
    apiBaseEnv: [],
    auth: headers['authorization'] === undefined ? 'header:x-api-key' : 'bearer',
    renames: {},
    quirks: [],
    leftOut: {},
    formats: ['messages'],
  };
  const ownBeta = headers['anthropic-beta'];
  const wire = createOpenAiWireProvider({ ...settings, apiKey: secret, apiBase: baseUrl, params: withoutBeta(settings.params) }, { ...parts, facts });
  return {
    ...wire,
    passthrough: { baseUrl: `${baseUrl}/v1`, headers: () => headers },
    start: (request, sink) => wire.start(ownBeta === undefined ? request : withBeta(request, ownBeta), sink),
    countTokens: (body, signal) => countTokens({ body, signal, settings, baseUrl, headers, secret, pools: parts.pools }),
  };
}

/** The client's beta features and the deployment's own together. */
function withBeta(request: ProviderRequest, ownBeta: string): ProviderRequest {
  const theirs = request.headers['anthropic-beta'];
  return { ...request, headers: { ...request.headers, 'anthropic-beta': theirs === undefined ? ownBeta : `${ownBeta},${theirs}` } };
}

function withoutBeta(params: JsonObject): JsonObject {
  const extra = params['extra_headers'];
  if (!isJsonObject(extra)) return params;
  return { ...params, extra_headers: Object.fromEntries(Object.entries(extra).filter(([name]) => name.toLowerCase() !== 'anthropic-beta')) };
}

interface CountTokensCall {
  readonly body: JsonObject;
  readonly signal: AbortSignal;
  readonly settings: DeploymentSettings;
  readonly baseUrl: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly secret: string;
  readonly pools: UpstreamPools;
}

function countTokens({ body, signal, settings, baseUrl, headers, secret, pools }: CountTokensCall): Promise<number> {
  const counted: JsonObject = { model: settings.model };
  for (const field of COUNTED_FIELDS) if (body[field] !== undefined) counted[field] = body[field];
  const url = new URL(`${baseUrl}/v1/messages/count_tokens`);
  const { provider } = settings;
  return new Promise<number>((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason as Error);
      return;
    }
    const lease = pools.acquire(url.origin);
    const chunks: Buffer[] = [];
    let size = 0;
    let status = 0;
    let replyHeaders: WireHeaders = {};
    const finish = (act: () => void): void => {
      signal.removeEventListener('abort', onAbort);
      lease.release();
      act();
    };
    const end = (): void => finish(() => {
      const text = Buffer.concat(chunks).toString('utf8');
      if (status >= 300) {
        reject(errorFromReply({ provider, status, headers: replyHeaders, body: text, secret, nowMs: Date.now() }));
        return;
      }
      const tokens = inputTokensIn(text);
      if (tokens === undefined) reject(new ProviderError('bad_reply', provider, 'The provider counted no tokens.'));
      else resolve(tokens);
    });
    const call = startWireCall({
      provider,
      dispatcher: lease.dispatcher,
      origin: url.origin,
      path: url.pathname,
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(counted),
      headersTimeoutMs: COUNT_TIMEOUT_MS,
      idleTimeoutMs: COUNT_TIMEOUT_MS,
    }, {
      onHead(head, given) {
        status = head;
        replyHeaders = given;
      },
      onBytes(chunk) {
        size += chunk.length;
        chunks.push(chunk);
        if (size <= MAX_ERROR_BODY_BYTES) return;
        call.cancel();
        end();
      },
      onEnd: end,
      onError: (error) => finish(() => reject(error)),
    });
    const onAbort = (): void => {
      call.cancel();
      finish(() => reject(signal.reason as Error));
    };
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

function inputTokensIn(text: string): number | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) && typeof value['input_tokens'] === 'number' ? value['input_tokens'] : undefined;
  } catch {
    return undefined;
  }
}
