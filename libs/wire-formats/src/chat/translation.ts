import { AppError } from '@pointsman/errors';
import type { JsonObject } from '@pointsman/schemas';
import type { SseEvent } from '../sse.ts';

/**
 * Fields that chat completions do not define but some providers behind them understand. The strict ones refuse a request that has them,
 * so a translation leaves them out unless its caller knows better.
 */
export type ChatExtension =
  | 'reasoning' // earlier reasoning on assistant messages: `reasoning_content`, and `thinking_blocks` with signatures
  | 'cache_control' // Anthropic's cache marks on text parts and tools
  | 'top_k';

export interface TranslationContext {
  /** What the ids of the reply are made of: unique for each request, letters and digits. */
  readonly id: string;
  /** Unix time of the request in seconds. */
  readonly createdAt: number;
  /** The model name that the client sees in the reply. */
  readonly model: string;
  /** What the provider takes beyond plain chat completions; default nothing. */
  readonly keep?: ReadonlySet<ChatExtension>;
  /** Quoted in Anthropic errors inside a stream. */
  readonly requestId?: string;
}

/** A request of another format as a chat request, and the way back. */
export interface ChatTranslation {
  /** The body for the provider. A stream always asks for usage. */
  readonly request: JsonObject;
  /**
   * The provider's whole chat reply in the client's format.
   * @throws AppError `upstream_failed` when it is not a chat reply.
   */
  reply(chatReply: JsonObject): JsonObject;
  /** A fresh translator for one streamed reply. */
  stream(): ChatStreamTranslator;
}

/**
 * Turns the chunks of one chat stream into events of another format.
 * Whatever happens, what was returned so far and by the last `finish` or `fail` is one well-formed stream of that format.
 */
export interface ChatStreamTranslator {
  /**
   * The events that a parsed chat chunk brings.
   * @throws AppError `upstream_failed` when the chunk cannot be told in the client's format: hand it to `fail`.
   */
  push(chunk: unknown): SseEvent[];
  /** The end of a reply that the provider finished. Without a finish reason this is a failure, told as such: no stop is ever invented. */
  finish(): SseEvent[];
  /** The end of a reply that broke. Open blocks are left open: the error says why. */
  fail(error: AppError): SseEvent[];
}

/** A request that is right in its own format but has no meaning on a provider that only speaks chat completions. */
export function untranslatable(param: string, message: string): AppError {
  return new AppError('invalid_request', 'unsupported_parameter', message, { param });
}

export function badReply(message: string): AppError {
  return new AppError('upstream_failed', 'provider_bad_reply', message);
}

export function truncatedReply(): AppError {
  return new AppError('upstream_failed', 'provider_truncated', "The model provider's stream ended before the reply was complete.");
}
