import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import { systemClock, type Clock } from '@pointsman/timing';
import { providerCatalog, type OpenAiProviderFacts } from '../provider-catalog.ts';
import { ProviderError } from '../provider-error.ts';
import type { DeploymentSettings, Provider, ProviderCall, ReplySink, WireFormat } from '../provider.ts';
import type { UpstreamPools, UpstreamTls } from '../upstream-pools.ts';
import { startWireCall } from '../wire-call.ts';
import { resolveAddress, type Environment } from './address.ts';
import { resolveCredentials } from './credentials.ts';
import { createPrepareBody, type PreparedBody } from './prepare-body.ts';
import { REPLY_QUIRKS, type ReplyQuirk } from './quirks/reply-quirks.ts';
import { ReplyReader, type ReplyRules } from './reply-reader.ts';

export interface OpenAiWireParts {
  readonly pools: UpstreamPools;
  /** Where keys and base URLs are looked up that the deployment does not name. */
  readonly env: Environment;
  readonly clock?: Clock;
  /** Largest whole reply, in bytes. 32 MB by default. */
  readonly maxReplyBytes?: number;
  /** The facts of the provider; by default those of the catalogue. */
  readonly facts?: OpenAiProviderFacts;
}

const DEFAULT_MAX_REPLY_BYTES = 32 * 1024 * 1024;

/**
 * A provider that speaks the OpenAI wire format, as the catalogue describes it. What is missing (a key, a base URL) does not throw:
 * it is listed in `problems` and answered to every call as an `auth` error, so that one incomplete deployment leaves the others serving.
 */
export function createOpenAiWireProvider(settings: DeploymentSettings, parts: OpenAiWireParts): Provider {
  const facts = parts.facts ?? openAiFactsOf(settings.provider);
  const problems: string[] = [];
  const resolved = resolveAddress(facts, settings, parts.env);
  const address = typeof resolved === 'string' ? undefined : resolved;
  if (typeof resolved === 'string') problems.push(resolved);
  const credentials = resolveCredentials(facts, settings, parts.env, address);
  if (credentials.problem !== undefined) problems.push(credentials.problem);
  const formats: ReadonlySet<WireFormat> = new Set(facts.formats);
  const problem = problems[0];

  if (address === undefined || problem !== undefined) {
    return {
      id: settings.provider,
      formats,
      problems,
      passthrough: undefined,
      start: (_request, sink) => failLater(sink, new ProviderError('auth', settings.provider, problem ?? 'The deployment is incomplete.')),
      close: () => undefined,
    };
  }

  const tls = tlsOf(settings);
  const lease = parts.pools.acquire(address.origin, tls === undefined ? {} : { tls });
  const headers = staticHeaders(facts, settings, parts.env, credentials.headers);
  const prepareBody = createPrepareBody(facts, settings.params['drop_params'] === true, parts.pools.slabs);
  const isWildcard = settings.model.includes('*');
  const targets = new Map<WireFormat, { readonly path: string; readonly modelName: string; readonly headers: Record<string, string> }>();
  const targetOf = (format: WireFormat, model: string): { readonly path: string; readonly modelName: string; readonly headers: Record<string, string> } => {
    const modelName = address.modelNameOf(model, format);
    return { modelName, path: address.pathOf(format, modelName), headers: format === 'messages' ? { 'anthropic-version': '2023-06-01', ...headers } : headers };
  };
  if (!isWildcard) for (const format of formats) targets.set(format, targetOf(format, settings.model));
  const replyRules: ReplyRules = {
    provider: settings.provider,
    secret: credentials.secret,
    maxReplyBytes: parts.maxReplyBytes ?? DEFAULT_MAX_REPLY_BYTES,
    clock: parts.clock ?? systemClock,
    quirks: facts.quirks.map((name) => REPLY_QUIRKS[name]).filter((quirk): quirk is ReplyQuirk => quirk !== undefined),
  };

  return {
    id: settings.provider,
    formats,
    problems,
    passthrough: { baseUrl: address.baseUrl, headers: () => credentials.headers },
    start(request, sink) {
      const target = targets.get(request.format) ?? (isWildcard && formats.has(request.format) ? targetOf(request.format, wildcardModel(settings, request.outline ?? request.body)) : undefined);
      if (target === undefined) return failLater(sink, new ProviderError('bad_request', settings.provider, `The provider ${settings.provider} does not serve ${request.format}.`, { code: 'format_not_supported' }));
      let body: PreparedBody;
      try {
        body = prepareBody(request, target.modelName);
      } catch (error) {
        return failLater(sink, new ProviderError('bad_request', settings.provider, 'The request body could not be prepared for the provider.', { cause: error }));
      }
      const reply = new ReplyReader(request, sink, replyRules);
      const call = startWireCall({
        provider: settings.provider,
        dispatcher: lease.dispatcher,
        origin: address.origin,
        path: target.path,
        method: 'POST',
        headers: hasFields(request.headers) ? { ...request.headers, ...target.headers } : target.headers,
        body: body.bytes,
        onBodyWritten: body.release,
        headersTimeoutMs: request.headersTimeoutMs,
        idleTimeoutMs: request.idleTimeoutMs,
      }, reply);
      reply.call = call;
      return call;
    },
    close: () => lease.release(),
  };
}

function openAiFactsOf(id: string): OpenAiProviderFacts {
  const facts = providerCatalog.find(id);
  if (facts?.kind !== 'openai') throw new TypeError(`${id} is not an OpenAI-compatible provider of the catalogue.`);
  return facts;
}

/** A wildcard deployment passes on what the gateway put into the body: the name that the client asked for, without this provider's prefix. */
function wildcardModel(settings: DeploymentSettings, body: JsonObject): string {
  const model = typeof body['model'] === 'string' ? body['model'] : '';
  const prefix = `${settings.provider}/`;
  return model.startsWith(prefix) ? model.slice(prefix.length) : model;
}

function staticHeaders(facts: OpenAiProviderFacts, settings: DeploymentSettings, env: Environment, credentials: Readonly<Record<string, string>>): Record<string, string> {
  const headers = new Map<string, string>([['content-type', 'application/json'], ['user-agent', 'pointsman'], ...Object.entries(facts.headers ?? {})]);
  for (const [name, variable] of Object.entries(facts.headersFromEnv ?? {})) {
    const value = env[variable];
    if (value !== undefined && value !== '') headers.set(name, value);
  }
  for (const [param, name] of [['organization', 'openai-organization'], ['project', 'openai-project']] as const) {
    const value = settings.params[param];
    if (typeof value === 'string' && value !== '' && (facts.id === 'openai' || facts.id === 'custom_openai')) headers.set(name, value);
  }
  for (const [name, value] of Object.entries(credentials)) headers.set(name, value);
  // The operator's own headers come last: with them a proxy in front of the provider can be satisfied.
  const extra = settings.params['extra_headers'];
  if (isJsonObject(extra)) for (const [name, value] of Object.entries(extra)) if (typeof value === 'string' && isHeaderName(name) && isHeaderValue(value)) headers.set(name.toLowerCase(), value);
  return Object.fromEntries(headers);
}

/** Framing is the client's business, never the configuration's. */
function isHeaderName(name: string): boolean {
  return /^[\w!#$%&'*+.^`|~-]+$/.test(name) && !/^(?:content-length|transfer-encoding|connection|keep-alive|upgrade|expect|te|trailer)$/i.test(name);
}

function isHeaderValue(value: string): boolean {
  return /^[\t\x20-\x7e\x80-\xff]*$/.test(value);
}

function tlsOf(settings: DeploymentSettings): UpstreamTls | undefined {
  return settings.params['ssl_verify'] === false ? { rejectUnauthorized: false } : undefined;
}

function hasFields(object: Readonly<Record<string, string>>): boolean {
  for (const _name in object) return true;
  return false;
}

const NO_CALL: ProviderCall = { cancel: () => undefined, pause: () => undefined, resume: () => undefined };

function failLater(sink: ReplySink, error: ProviderError): ProviderCall {
  let cancelled = false;
  queueMicrotask(() => {
    if (!cancelled) sink.onError(error);
  });
  return { ...NO_CALL, cancel: () => { cancelled = true; } };
}
