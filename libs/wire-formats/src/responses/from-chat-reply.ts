import type { JsonObject } from '@pointsman/schemas';
import { readChatReply } from '../chat/read-chat-reply.ts';
import { badReply, type TranslationContext } from '../chat/translation.ts';
import { callItem, incompleteReason, messageItem, outputTextPart, reasoningItem, refusalPart, responseObject } from './response-object.ts';

/**
 * A whole chat reply as a Response object.
 * @throws AppError `upstream_failed` when it has no message or no finish reason: a response is completed or incomplete, and nobody but the provider knows which.
 */
export function chatReplyToResponse(reply: JsonObject, body: JsonObject, context: TranslationContext): JsonObject {
  const said = readChatReply(reply, context.id);
  if (said.finishReason === undefined) throw badReply("The model provider's reply does not say why it ended.");
  const reason = incompleteReason(said.finishReason);
  const status = reason === undefined ? 'completed' : 'incomplete';
  const output: JsonObject[] = [];
  if (said.reasoning !== '') output.push(reasoningItem(`rs_${context.id}_0`, said.reasoning));
  const parts = [...(said.text === '' ? [] : [outputTextPart(said.text)]), ...(said.refusal === '' ? [] : [refusalPart(said.refusal)])];
  if (parts.length > 0) output.push(messageItem(`msg_${context.id}_${output.length}`, status, parts));
  for (const call of said.toolCalls) output.push(callItem(`fc_${context.id}_${output.length}`, status, call));
  return responseObject(body, context, { status, output, usage: said.usage, incompleteReason: reason });
}
