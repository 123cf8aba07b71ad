import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import { readChatReply, type ChatToolCall } from '../chat/read-chat-reply.ts';
import { badReply, type TranslationContext } from '../chat/translation.ts';
import { parseOrUndefined } from '../inspect/parse.ts';
import type { Usage } from '../usage.ts';
import { anthropicStopReason } from './stop-reason.ts';

/**
 * A whole chat reply as an Anthropic message.
 * @throws AppError `upstream_failed` when there is no message, or a tool call whose arguments are not a JSON object though the model finished it.
 */
export function chatReplyToMessage(reply: JsonObject, context: TranslationContext): JsonObject {
  const said = readChatReply(reply, context.id);
  const content: JsonObject[] = [];
  if (said.reasoning !== '') content.push({ type: 'thinking', thinking: said.reasoning, signature: said.signature });
  const text = said.text + said.refusal;
  if (text !== '') content.push({ type: 'text', text });
  for (const call of said.toolCalls) content.push({ type: 'tool_use', id: call.id, name: call.name, input: inputOf(call, said.finishReason) });
  const reason = said.finishReason === undefined ? null
    : anthropicStopReason({ reason: said.finishReason, stopSequence: said.stopSequence, sawToolCall: said.toolCalls.length > 0, refused: said.refusal !== '' });
  return {
    id: `msg_${context.id}`,
    type: 'message',
    role: 'assistant',
    model: context.model,
    content,
    stop_reason: reason,
    stop_sequence: reason === 'stop_sequence' ? (said.stopSequence ?? null) : null,
    usage: usageToAnthropic(said.usage),
  };
}

/** Anthropic's counting, where the input leaves out what was read from or written to the cache. */
export function usageToAnthropic(usage: Usage | undefined): JsonObject {
  if (usage === undefined) return { input_tokens: 0, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 0 };
  return {
    input_tokens: Math.max(0, usage.promptTokens - usage.cachedTokens - usage.cacheCreationTokens),
    cache_creation_input_tokens: usage.cacheCreationTokens,
    cache_read_input_tokens: usage.cachedTokens,
    output_tokens: usage.completionTokens,
    ...(usage.reasoningTokens === 0 ? {} : { output_tokens_details: { thinking_tokens: usage.reasoningTokens } }),
  };
}

function inputOf(call: ChatToolCall, finishReason: string | undefined): JsonObject {
  if (call.arguments.trim() === '') return {};
  const input = parseOrUndefined(call.arguments);
  if (isJsonObject(input)) return input;
  // Cut by the token limit: the stop reason says so, and no client runs a tool after max_tokens.
  if (finishReason === 'length') return {};
  throw badReply(`The model provider's call of the tool '${call.name.slice(0, 64)}' has arguments that are not a JSON object.`);
}
