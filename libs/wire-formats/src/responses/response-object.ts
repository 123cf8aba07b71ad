import type { AppError } from '@pointsman/errors';
import { isJsonObject, type JsonObject, type JsonValue } from '@pointsman/schemas';
import type { TranslationContext } from '../chat/translation.ts';
import { boundedMessage } from '../error-bodies.ts';
import type { Usage } from '../usage.ts';

export interface ResponseState {
  readonly status: 'in_progress' | 'completed' | 'incomplete' | 'failed';
  readonly output: readonly JsonObject[];
  readonly usage?: Usage | undefined;
  readonly incompleteReason?: string | undefined;
  readonly error?: AppError;
}

/** The Response object (https://platform.openai.com/docs/api-reference/responses/object): what was asked for, told back, and what came of it. */
export function responseObject(body: JsonObject, context: TranslationContext, state: ResponseState): JsonObject {
  const text = isJsonObject(body['text']) ? body['text'] : {};
  const reasoning = isJsonObject(body['reasoning']) ? body['reasoning'] : {};
  return {
    id: `resp_${context.id}`,
    object: 'response',
    created_at: context.createdAt,
    status: state.status,
    background: false,
    error: state.error === undefined ? null : { code: responseErrorCode(state.error), message: boundedMessage(state.error.message) },
    incomplete_details: state.incompleteReason === undefined ? null : { reason: state.incompleteReason },
    instructions: or(body['instructions'], null),
    max_output_tokens: or(body['max_output_tokens'], null),
    metadata: or(body['metadata'], {}),
    model: context.model,
    output: [...state.output],
    parallel_tool_calls: or(body['parallel_tool_calls'], true),
    previous_response_id: null,
    reasoning: { effort: or(reasoning['effort'], null), summary: or(reasoning['summary'], null) },
    store: false,
    temperature: or(body['temperature'], 1),
    text: { ...text, format: or(text['format'], { type: 'text' }) },
    tool_choice: or(body['tool_choice'], 'auto'),
    tools: or(body['tools'], []),
    top_p: or(body['top_p'], 1),
    truncation: 'disabled',
    usage: state.usage === undefined ? null : usageToResponses(state.usage),
    ...(typeof body['user'] === 'string' ? { user: body['user'] } : {}),
  };
}

export function usageToResponses(usage: Usage): JsonObject {
  return {
    input_tokens: usage.promptTokens,
    input_tokens_details: { cached_tokens: usage.cachedTokens, cache_write_tokens: usage.cacheCreationTokens },
    output_tokens: usage.completionTokens,
    output_tokens_details: { reasoning_tokens: usage.reasoningTokens },
    total_tokens: usage.totalTokens,
  };
}

/** Why a response stopped before its end, or undefined when it did not. */
export function incompleteReason(finishReason: string | undefined): string | undefined {
  if (finishReason === 'length' || finishReason === 'max_tokens') return 'max_output_tokens';
  return finishReason === 'content_filter' ? 'content_filter' : undefined;
}

export function reasoningItem(id: string, text: string): JsonObject {
  return { id, type: 'reasoning', summary: text === '' ? [] : [{ type: 'summary_text', text }] };
}

export function messageItem(id: string, status: string, content: JsonObject[]): JsonObject {
  return { id, type: 'message', status, role: 'assistant', content };
}

export function callItem(id: string, status: string, call: { readonly id: string; readonly name: string; readonly arguments: string }): JsonObject {
  return { id, type: 'function_call', status, call_id: call.id, name: call.name, arguments: call.arguments };
}

export function outputTextPart(text: string): JsonObject {
  return { type: 'output_text', text, annotations: [], logprobs: [] };
}

export function refusalPart(refusal: string): JsonObject {
  return { type: 'refusal', refusal };
}

/** The closed list of codes that a failed response may carry. */
function responseErrorCode(error: AppError): string {
  if (error.status === 429) return 'rate_limit_exceeded';
  return error.status >= 400 && error.status < 500 ? 'invalid_prompt' : 'server_error';
}

function or(value: JsonValue | undefined, fallback: JsonValue): JsonValue {
  return value === undefined || value === null ? fallback : value;
}
