import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import { ProviderError, type ProviderFault } from './provider-error.ts';

/** How much of an error reply is read: enough for any message, little enough for any number of failures at once. */
export const MAX_ERROR_BODY_BYTES = 64 * 1024;
const MAX_MESSAGE_LENGTH = 500;
const LONGEST_RETRY_AFTER_MS = 24 * 3_600_000;

type Headers = Readonly<Record<string, string | string[] | undefined>>;

export interface ErrorReply {
  readonly provider: string;
  /** The HTTP status; undefined for an error inside a reply that claimed success. */
  readonly status: number | undefined;
  readonly headers: Headers;
  readonly body: string;
  /** The key that the call was made with: never shown, should the provider quote it. */
  readonly secret: string | undefined;
  /** Milliseconds since the epoch, for a `retry-after` that is a date. */
  readonly nowMs: number;
}

/** Turns a provider's refusal, in whatever shape, into the error that retries, fallbacks and clients go by. */
export function errorFromReply(reply: ErrorReply): ProviderError {
  return errorFromFacts(readErrorBody(reply.body), reply);
}

/** The same for an error object that was found inside a reply or a stream. `fallbackFault` is what it is when neither status, code nor wording tells. */
export function errorFromValue(value: JsonObject, reply: Omit<ErrorReply, 'body'>, fallbackFault: ProviderFault): ProviderError {
  const facts = factsOf(value);
  const status = reply.status ?? statusIn(value);
  return errorFromFacts(facts, { ...reply, status }, fallbackFault);
}

function errorFromFacts(facts: ErrorFacts, reply: Omit<ErrorReply, 'body'>, fallbackFault?: ProviderFault): ProviderError {
  const fault = faultOf(reply.status, facts, fallbackFault);
  const status = reply.status === undefined ? '' : `HTTP ${reply.status}`;
  const said = facts.message === undefined ? `The provider answered ${status === '' ? 'with an error' : status} and gave no reason.` : facts.message;
  const retryAfterMs = retryAfter(reply.headers, reply.nowMs);
  return new ProviderError(fault, reply.provider, shortened(maskSecrets(said, reply.secret)), {
    ...(reply.status === undefined ? {} : { upstreamStatus: reply.status }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    // The codes of OpenAI that clients act on: only for what is the client's own doing.
    ...(fault === 'bad_request' && facts.code !== undefined && /^[a-z][a-z0-9_.-]{1,63}$/i.test(facts.code) ? { code: facts.code } : {}),
    ...(fault === 'bad_request' && facts.param !== undefined ? { param: facts.param.slice(0, 200) } : {}),
  });
}

interface ErrorFacts {
  readonly message: string | undefined;
  readonly code: string | undefined;
  readonly type: string | undefined;
  readonly param: string | undefined;
  /** Azure's finer code. */
  readonly innerCode: string | undefined;
}

const NOTHING: ErrorFacts = { message: undefined, code: undefined, type: undefined, param: undefined, innerCode: undefined };

function readErrorBody(body: string): ErrorFacts {
  const text = body.trim();
  if (text === '') return NOTHING;
  if (text.startsWith('<')) {
    // A proxy's page: its title says all there is to say.
    const title = /<title[^>]*>([^<]{1,200})<\/title>/i.exec(text)?.[1]?.trim();
    return { ...NOTHING, message: title === undefined || title === '' ? 'The provider answered with an HTML page.' : `The provider answered with an HTML page: ${title}` };
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { ...NOTHING, message: text };
  }
  // Gemini's compatible endpoint wraps its error into a list.
  const first: unknown = Array.isArray(value) ? value[0] : value;
  if (isJsonObject(first)) return factsOf(first);
  return typeof first === 'string' ? { ...NOTHING, message: first } : NOTHING;
}

/** `{"error": {…}}`, `{"error": "…"}`, `{"message": …}`, `{"detail": …}` (FastAPI), `{"errors": [{…}]}` (Cloudflare). */
function factsOf(value: JsonObject): ErrorFacts {
  const errors = value['errors'];
  const nested = value['error'] ?? (Array.isArray(errors) ? errors[0] : undefined);
  const error = isJsonObject(nested) ? nested : value;
  const inner = isJsonObject(error['innererror']) ? error['innererror'] : error['inner_error'];
  const metadata = error['metadata'];
  // OpenRouter's own message is "Provider returned error"; what the provider said is in `raw`.
  const raw = isJsonObject(metadata) ? text(metadata['raw']) : undefined;
  const message = text(error['message']) ?? (typeof nested === 'string' ? text(nested) : undefined) ?? detailText(error['detail']) ?? text(value['message']) ?? detailText(value['detail']) ?? text(error['msg']) ?? text(error['error_description']);
  return {
    message: raw === undefined || message === undefined ? message : `${message}: ${raw}`,
    code: codeText(error['code']) ?? codeText(value['code']),
    type: text(error['type']),
    param: text(error['param']),
    innerCode: isJsonObject(inner) ? codeText(inner['code']) : undefined,
  };
}

function detailText(detail: unknown): string | undefined {
  if (typeof detail === 'string') return text(detail);
  if (isJsonObject(detail)) return text(detail['message']) ?? text(detail['error']) ?? JSON.stringify(detail);
  if (!Array.isArray(detail)) return undefined;
  const parts = detail.slice(0, 5).map((item) => (isJsonObject(item) ? [Array.isArray(item['loc']) ? item['loc'].join('.') : undefined, text(item['msg'])].filter((part) => part !== undefined).join(': ') : String(item)));
  return parts.length === 0 ? undefined : parts.join('; ');
}

function statusIn(value: JsonObject): number | undefined {
  const error = isJsonObject(value['error']) ? value['error'] : value;
  for (const candidate of [error['code'], error['status'], error['status_code'], value['status'], value['status_code']]) {
    const status = typeof candidate === 'string' && /^\d{3}$/.test(candidate) ? Number(candidate) : candidate;
    if (typeof status === 'number' && Number.isInteger(status) && status >= 400 && status <= 599) return status;
  }
  return undefined;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value.trim() !== '' ? value : undefined;
}

function codeText(value: unknown): string | undefined {
  return typeof value === 'number' ? String(value) : text(value);
}

/** The wordings of OpenAI, Azure, vLLM, SGLang, TGI, Anthropic, Bedrock, Gemini, Mistral, Groq, Together, Fireworks, Cohere, Cerebras and llama.cpp. */
const CONTEXT_WINDOW = new RegExp([
  'context[ _-]?(?:length|window|size|limit)', 'maximum (?:context|input|prompt) ', 'prompt(?: is|:)? too long', 'prompt: length', 'input is too long',
  'too many (?:input |prompt )?tokens', 'input (?:token|length)[^.]{0,60}exceed', 'prompt[^.]{0,60}exceeds', 'exceeds? the (?:model.?s )?(?:maximum|max|available) (?:number of )?(?:tokens|context|input)',
  'reduce the length of the', 'is longer than the model', '`inputs` tokens', 'inputs? tokens? \\+ max_new_tokens', 'tokens in request more than max tokens allowed', 'prompt contains [\\d,]+ tokens',
  'longer than the maximum model length',
].join('|'), 'i');
const CONTENT_POLICY = /content[ _-]?(?:management |usage |safety )?(?:policy|policies)|content[ _-]?filter|safety system|responsibleai|usage polic(?:y|ies)|flagged (?:by|as|for)|data_inspection|inappropriate content|moderation/i;
const BAD_KEY = /(?:incorrect|invalid|wrong|missing|expired) api[ _-]?key|api[ _-]?key (?:not valid|is invalid|not found|expired|provided is)/i;

const CONTEXT_CODES = new Set(['context_length_exceeded', 'context_window_exceeded', 'string_above_max_length', 'max_tokens_exceeded', 'model_max_prompt_tokens_exceeded', 'request_too_large']);
const POLICY_CODES = new Set(['content_filter', 'content_policy_violation', 'responsibleaipolicyviolation', 'moderation_blocked', 'data_inspection_failed', 'content_moderation', 'invalid_prompt']);
const NOT_FOUND_CODES = new Set(['model_not_found', 'model_not_exist', 'deploymentnotfound', 'model_not_available', 'not_found_error', 'model_decommissioned']);
const AUTH_CODES = new Set(['invalid_api_key', 'api_key_invalid', 'authentication_error', 'invalid_authentication', 'permission_error']);
const RATE_CODES = new Set(['rate_limit_exceeded', 'rate_limit_error', 'insufficient_quota', 'too_many_requests', 'tokens', 'requests']);
const OVERLOAD_CODES = new Set(['overloaded_error', 'overloaded', 'service_unavailable', 'engine_overloaded_error', 'server_overloaded']);
const SERVER_CODES = new Set(['server_error', 'api_error', 'internal_server_error', 'internal_error']);

/** Decides by the finest thing known first: code and type, then wording where a status leaves room, then the status. */
function faultOf(status: number | undefined, facts: ErrorFacts, fallback: ProviderFault | undefined): ProviderFault {
  const codes = [facts.code, facts.type, facts.innerCode].map((code) => code?.toLowerCase() ?? '');
  const has = (known: ReadonlySet<string>): boolean => codes.some((code) => known.has(code));
  const message = facts.message ?? '';
  const mayBeClient = status === undefined || (status >= 400 && status < 500 && status !== 401 && status !== 429);
  if (mayBeClient) {
    if (has(POLICY_CODES)) return 'content_policy';
    if (status !== 403 && status !== 404 && (has(CONTEXT_CODES) || CONTEXT_WINDOW.test(message))) return 'context_window';
    if (has(AUTH_CODES) || (status !== 404 && BAD_KEY.test(message))) return 'auth';
    if (has(NOT_FOUND_CODES)) return 'not_found';
    if (CONTENT_POLICY.test(message) && status !== 404) return 'content_policy';
  }
  if (status === undefined) {
    if (has(RATE_CODES)) return 'rate_limited';
    if (has(OVERLOAD_CODES)) return 'overloaded';
    if (has(SERVER_CODES)) return 'server_error';
    if (codes.includes('invalid_request_error')) return 'bad_request';
    return fallback ?? 'bad_reply';
  }
  // vLLM behind some proxies answers 500 to a prompt that does not fit.
  if (status === 500 && has(CONTEXT_CODES)) return 'context_window';
  return faultOfStatus(status);
}

function faultOfStatus(status: number): ProviderFault {
  if (status === 401 || status === 402 || status === 403) return 'auth'; // 402: our account has no credit
  if (status === 404 || status === 405 || status === 410) return 'not_found';
  if (status === 408) return 'timeout';
  if (status === 429) return 'rate_limited';
  if (status === 503 || status === 529) return 'overloaded';
  if (status >= 500) return 'server_error';
  return status >= 400 ? 'bad_request' : 'bad_reply';
}

/** `retry-after-ms`, else `retry-after` in seconds or as an HTTP date (RFC 9110, 10.2.3); at most a day, in milliseconds. */
export function retryAfter(headers: Headers, nowMs: number): number | undefined {
  const precise = Number(single(headers['retry-after-ms']) ?? Number.NaN);
  if (Number.isFinite(precise) && precise >= 0) return Math.min(precise, LONGEST_RETRY_AFTER_MS);
  const value = single(headers['retry-after'])?.trim();
  if (value === undefined || value === '') return undefined;
  const seconds = Number(value);
  const waitMs = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(value) - nowMs;
  return Number.isFinite(waitMs) ? Math.min(Math.max(Math.ceil(waitMs), 0), LONGEST_RETRY_AFTER_MS) : undefined;
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

const KEY_LIKE = /\b(?:sk|pk|rk|gsk|xai|hf|nvapi|fw|pplx|csk|r8|tgp|ghp|gho|ghu)[-_][\w*.-]{6,}|\bAIza[\w-]{10,}|\beyJ[\w-]{10,}\.[\w.-]+/g;
const AFTER_BEARER = /\b(bearer|basic)\s+[\w.~+/=*-]{6,}/gi;

/** Takes out whatever looks like a credential: providers quote the key they refuse. */
export function maskSecrets(message: string, secret: string | undefined): string {
  const own = secret === undefined || secret.length < 8 ? message : message.replaceAll(secret, '***');
  return own.replaceAll(AFTER_BEARER, '$1 ***').replaceAll(KEY_LIKE, '***');
}

function shortened(message: string): string {
  const line = message.replaceAll(/\s+/g, ' ').trim();
  return line.length <= MAX_MESSAGE_LENGTH ? line : `${line.slice(0, MAX_MESSAGE_LENGTH - 1)}…`;
}
