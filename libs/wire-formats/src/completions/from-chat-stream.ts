import type { AppError } from '@pointsman/errors';
import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import { badReply, truncatedReply, type ChatStreamTranslator, type TranslationContext } from '../chat/translation.ts';
import { streamErrorEvent } from '../error-bodies.ts';
import { DONE_EVENT, dataEvent } from '../format-sse.ts';
import type { SseEvent } from '../sse.ts';
import { completionChoice, completionHead } from './from-chat-reply.ts';

/** Chat chunks as text completion chunks. Usage goes to the client only when it asked with `stream_options.include_usage`. */
export class CompletionsStreamTranslator implements ChatStreamTranslator {
  readonly #context: TranslationContext;
  readonly #wantsUsage: boolean;
  readonly #choices: number;
  readonly #finished = new Set<number>();
  #usage: JsonObject | undefined;
  #ended = false;

  constructor(body: JsonObject, context: TranslationContext) {
    this.#context = context;
    this.#wantsUsage = isJsonObject(body['stream_options']) && body['stream_options']['include_usage'] === true;
    this.#choices = typeof body['n'] === 'number' ? body['n'] : 1;
  }

  push(chunk: unknown): SseEvent[] {
    if (this.#ended) return [];
    if (!isJsonObject(chunk)) throw badReply("The model provider's stream has an event that is not an object.");
    if (isJsonObject(chunk['usage'])) this.#usage = chunk['usage'];
    const choices = (Array.isArray(chunk['choices']) ? chunk['choices'].filter(isJsonObject) : []).map((choice) => this.#choice(choice)).filter((choice) => choice['text'] !== '' || choice['finish_reason'] !== null);
    return choices.length === 0 ? [] : [this.#event(choices, null)];
  }

  finish(): SseEvent[] {
    if (this.#ended) return [];
    if (this.#finished.size < this.#choices) return this.fail(truncatedReply());
    this.#ended = true;
    return this.#wantsUsage && this.#usage !== undefined ? [this.#event([], this.#usage), DONE_EVENT] : [DONE_EVENT];
  }

  fail(error: AppError): SseEvent[] {
    if (this.#ended) return [];
    this.#ended = true;
    return [streamErrorEvent('completions', error)];
  }

  #choice(choice: JsonObject): JsonObject {
    const index = typeof choice['index'] === 'number' ? choice['index'] : 0;
    const said = completionChoice(isJsonObject(choice['delta']) ? choice['delta'] : {}, { index, finishReason: choice['finish_reason'] });
    if (said['finish_reason'] !== null) this.#finished.add(index);
    return said;
  }

  #event(choices: JsonObject[], usage: JsonObject | null): SseEvent {
    return dataEvent({ ...completionHead(this.#context), choices, ...(this.#wantsUsage ? { usage } : {}) });
  }
}
