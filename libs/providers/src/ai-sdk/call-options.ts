import type { JSONSchema7, LanguageModelV4CallOptions } from '@ai-sdk/provider';
import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import { badRequest, UnmappableRequestError } from './bad-request.ts';
import type { Dialect, RequestDraft } from './dialect.ts';
import { promptOf } from './prompt.ts';
import { toolChoiceOf, toolsOf } from './tools.ts';

/** Parameters that this file maps, or that mean something to the gateway only. Everything else goes to the dialect. */
const CONSUMED = new Set([
  'model', 'messages', 'stream', 'stream_options', 'n', 'temperature', 'top_p', 'top_k', 'max_tokens', 'max_completion_tokens', 'stop', 'seed',
  'presence_penalty', 'frequency_penalty', 'tools', 'tool_choice', 'functions', 'function_call', 'response_format', 'reasoning_effort',
  'metadata', 'tags', 'fallbacks', 'context_window_fallbacks', 'num_retries', 'timeout', 'cache', 'guardrails', 'mock_response', 'caching', 'litellm_metadata', 'drop_params', 'user',
]);
/** OpenAI parameters without a counterpart elsewhere: named in a warning rather than sent to a provider that would refuse the request. */
const OPENAI_ONLY = new Set([
  'logit_bias', 'logprobs', 'top_logprobs', 'store', 'audio', 'prediction', 'web_search_options', 'verbosity', 'prompt_cache_key', 'prompt_cache_retention', 'safety_identifier', 'best_of', 'echo', 'suffix',
]);
const EFFORTS = new Set(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max']);
const UNSAFE_KEYS = new Set(['__proto__', 'constructor', 'prototype']);

export interface MappedRequest {
  readonly options: LanguageModelV4CallOptions;
  /** What of the request the provider will not honour. */
  readonly warnings: readonly string[];
  readonly patchBody: ((body: JsonObject) => JsonObject) | undefined;
}

/**
 * An OpenAI chat body as the AI SDK's call options. The body is not changed.
 * @throws UnmappableRequestError naming the parameter that cannot be mapped.
 */
export function callOptionsOf(body: JsonObject, dialect: Dialect): MappedRequest {
  const n = body['n'];
  if (typeof n === 'number' && n !== 1) throw new UnmappableRequestError('n', `Invalid value for 'n': this provider answers with one choice, ${n} were asked for.`);
  const warnings: string[] = [];
  const patches: ((body: JsonObject) => JsonObject)[] = [];
  const options: LanguageModelV4CallOptions = { prompt: promptOf(body['messages'], dialect) };
  takeNumbers(body, options);
  const stop = body['stop'];
  if (typeof stop === 'string') options.stopSequences = [stop];
  else if (Array.isArray(stop)) options.stopSequences = stop.filter((one): one is string => typeof one === 'string');
  const tools = toolsOf(body, dialect);
  if (tools !== undefined) options.tools = tools;
  const toolChoice = toolChoiceOf(body['tool_choice'] ?? body['function_call']);
  if (toolChoice !== undefined && tools !== undefined) options.toolChoice = toolChoice;
  takeResponseFormat(body['response_format'], options);
  const effort = body['reasoning_effort'];
  if (typeof effort === 'string') {
    if (!EFFORTS.has(effort)) throw badRequest('reasoning_effort', [...EFFORTS].join(', '));
    options.reasoning = effort as NonNullable<LanguageModelV4CallOptions['reasoning']>;
  }

  const rest = new Map<string, JsonObject[string]>();
  for (const [key, value] of Object.entries(body)) {
    if (value === undefined || value === null || CONSUMED.has(key) || UNSAFE_KEYS.has(key)) continue;
    if (OPENAI_ONLY.has(key)) warnings.push(`${key} is not supported by this provider`);
    else rest.set(key, value);
  }
  const own: RequestDraft['own'] = {};
  dialect.refine({ body, options, own, rest, warn: (message) => warnings.push(message), patch: (change) => patches.push(change) });
  for (const key of rest.keys()) warnings.push(`${key} is not known to this provider`);
  if (Object.keys(own).length > 0) options.providerOptions = { ...options.providerOptions, [dialect.name]: { ...(options.providerOptions?.[dialect.name]), ...own } as NonNullable<LanguageModelV4CallOptions['providerOptions']>[string] };
  return { options, warnings, patchBody: patches.length === 0 ? undefined : (sent) => patches.reduce((changed, patch) => patch(changed), sent) };
}

function takeNumbers(body: JsonObject, options: LanguageModelV4CallOptions): void {
  const take = (param: string, key: 'temperature' | 'topP' | 'topK' | 'maxOutputTokens' | 'seed' | 'presencePenalty' | 'frequencyPenalty'): void => {
    const value = body[param];
    if (value === undefined || value === null) return;
    if (typeof value !== 'number' || !Number.isFinite(value)) throw badRequest(param, 'a number');
    options[key] = value;
  };
  take('temperature', 'temperature');
  take('top_p', 'topP');
  take('top_k', 'topK');
  take('max_tokens', 'maxOutputTokens');
  take('max_completion_tokens', 'maxOutputTokens');
  take('seed', 'seed');
  take('presence_penalty', 'presencePenalty');
  take('frequency_penalty', 'frequencyPenalty');
}

function takeResponseFormat(format: unknown, options: LanguageModelV4CallOptions): void {
  if (format === undefined || format === null) return;
  if (!isJsonObject(format)) throw badRequest('response_format', 'an object with a type');
  switch (format['type']) {
    case 'text':
      return;
    case 'json_object':
      options.responseFormat = { type: 'json' };
      return;
    case 'json_schema': {
      const given = format['json_schema'];
      const schema = isJsonObject(given) ? given['schema'] : undefined;
      if (!isJsonObject(given) || !isJsonObject(schema)) throw badRequest('response_format.json_schema.schema', 'a JSON Schema object');
      options.responseFormat = {
        type: 'json',
        schema: schema as JSONSchema7,
        ...(typeof given['name'] === 'string' ? { name: given['name'] } : {}),
        ...(typeof given['description'] === 'string' ? { description: given['description'] } : {}),
      };
      return;
    }
    default:
      throw badRequest('response_format.type', 'one of text, json_object, json_schema');
  }
}

/** Adds what is left of the client's parameters to the provider's body, without replacing anything the SDK has put there. */
export function passOnRest({ rest, patch }: RequestDraft): void {
  if (rest.size === 0) return;
  const extra = new Map(rest);
  rest.clear();
  patch((sent) => {
    const changed: JsonObject = { ...sent };
    for (const [key, value] of extra) if (!Object.hasOwn(changed, key)) changed[key] = value;
    return changed;
  });
}
