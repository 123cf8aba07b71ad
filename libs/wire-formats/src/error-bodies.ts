import type { AppError } from '@pointsman/errors';
import type { SseEvent } from './sse.ts';
import { dataEvent, typedEvent } from './format-sse.ts';

/** Longest error message that reaches a client, in UTF-16 units: providers have been seen to answer with whole HTML pages. */
export const MAX_ERROR_MESSAGE_LENGTH = 4000;

export interface OpenAiErrorBody {
  readonly error: { readonly message: string; readonly type: string; readonly param: string | null; readonly code: string };
}

export interface AnthropicErrorBody {
  readonly type: 'error';
  readonly error: { readonly type: string; readonly message: string };
  readonly request_id?: string;
}

/** The OpenAI error envelope. `code` is always a string. */
export function openAiErrorBody(error: AppError): OpenAiErrorBody {
  return { error: { message: boundedMessage(error.message), type: error.type, param: error.param ?? null, code: String(error.code) } };
}

/** The Anthropic error envelope, with the error type that Anthropic's own API pairs with the status. */
export function anthropicErrorBody(error: AppError, requestId?: string): AnthropicErrorBody {
  const body = { type: 'error', error: { type: anthropicErrorType(error), message: boundedMessage(error.message) } } as const;
  return requestId === undefined ? body : { ...body, request_id: requestId };
}

/** The `error` event of a Responses stream: what a client hears when no response object exists yet. */
export function responsesErrorEvent(error: AppError, sequenceNumber: number): SseEvent {
  return typedEvent({
    type: 'error', code: String(error.code), message: boundedMessage(error.message), param: error.param ?? null, sequence_number: sequenceNumber,
  });
}

export interface StreamErrorContext {
  /** Sent to Anthropic clients, which quote it to their operators. */
  readonly requestId?: string;
  /** The number of this event in a Responses stream. */
  readonly sequenceNumber?: number;
}

/** The one frame that tells a client inside a stream what went wrong. The stream ends after it: no `[DONE]`, no stop. */
export function streamErrorEvent(format: 'chat' | 'completions' | 'responses' | 'messages', error: AppError, context: StreamErrorContext = {}): SseEvent {
  if (format === 'messages') return typedEvent(anthropicErrorBody(error, context.requestId));
  if (format === 'responses') return responsesErrorEvent(error, context.sequenceNumber ?? 0);
  return dataEvent(openAiErrorBody(error));
}

/** Statuses and types of https://docs.anthropic.com/en/api/errors. */
export function anthropicErrorType(error: AppError): string {
  if (error.kind === 'budget_exceeded') return 'billing_error';
  switch (error.status) {
    case 401: return 'authentication_error';
    case 402: return 'billing_error';
    case 403: return 'permission_error';
    case 404: return 'not_found_error';
    case 413: return 'request_too_large';
    case 429: return 'rate_limit_error';
    case 408: case 504: return 'timeout_error';
    case 503: case 529: return 'overloaded_error';
    default: return error.status >= 400 && error.status < 499 ? 'invalid_request_error' : 'api_error';
  }
}

export function boundedMessage(message: string): string {
  return message.length <= MAX_ERROR_MESSAGE_LENGTH ? message : `${message.slice(0, MAX_ERROR_MESSAGE_LENGTH - 1)}…`;
}
