import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import { textOfParts } from '../chat/chat-chunk-reader.ts';
import { badReply, type TranslationContext } from '../chat/translation.ts';

/**
 * A whole chat reply as a text completion. Reasoning has no place in it and is left out.
 * @throws AppError `upstream_failed` when there are no choices.
 */
export function chatReplyToCompletion(reply: JsonObject, context: TranslationContext): JsonObject {
  const choices = Array.isArray(reply['choices']) ? reply['choices'].filter(isJsonObject) : [];
  if (choices.length === 0) throw badReply("The model provider's reply has no choices.");
  return {
    ...completionHead(context),
    choices: choices.map((choice, place) => completionChoice(isJsonObject(choice['message']) ? choice['message'] : {}, {
      index: typeof choice['index'] === 'number' ? choice['index'] : place, finishReason: choice['finish_reason'],
    })),
    ...(isJsonObject(reply['usage']) ? { usage: reply['usage'] } : {}),
  };
}

export function completionHead(context: TranslationContext): JsonObject {
  return { id: `cmpl-${context.id}`, object: 'text_completion', created: context.createdAt, model: context.model };
}

export function completionChoice(said: JsonObject, place: { readonly index: number; readonly finishReason: unknown }): JsonObject {
  const refusal = typeof said['refusal'] === 'string' ? said['refusal'] : '';
  const reason = typeof place.finishReason === 'string' && place.finishReason !== '' ? place.finishReason : null;
  return { text: textOfParts(said['content']) + refusal, index: place.index, logprobs: null, finish_reason: reason };
}
