import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import { openAiUsage, type Usage } from '../usage.ts';
import { ChatChunkReader } from './chat-chunk-reader.ts';
import { badReply } from './translation.ts';

export interface ChatToolCall {
  readonly id: string;
  readonly name: string;
  /** JSON text as the model wrote it; possibly cut or wrong. */
  arguments: string;
}

/** What the first choice of a whole chat reply says. */
export interface ChatReplyContent {
  readonly reasoning: string;
  readonly signature: string;
  readonly text: string;
  readonly refusal: string;
  readonly toolCalls: readonly ChatToolCall[];
  readonly finishReason: string | undefined;
  readonly stopSequence: string | undefined;
  readonly usage: Usage | undefined;
}

/**
 * Reads a whole reply as if it were a stream of one chunk, so that both kinds of reply are understood alike.
 * @throws AppError `upstream_failed` when there is no message.
 */
export function readChatReply(reply: JsonObject, id: string): ChatReplyContent {
  const choice = Array.isArray(reply['choices']) ? reply['choices'].find(isJsonObject) : undefined;
  if (choice === undefined || !isJsonObject(choice['message'])) throw badReply("The model provider's reply has no message.");
  let reasoning = '';
  let signature = '';
  let text = '';
  let refusal = '';
  const toolCalls: ChatToolCall[] = [];
  const reader = new ChatChunkReader(
    {
      reasoning: (piece) => { reasoning += piece; },
      signature: (piece) => { signature += piece; },
      text: (piece) => { text += piece; },
      refusal: (piece) => { refusal += piece; },
      toolCall: (call) => { toolCalls.push({ ...call, arguments: '' }); },
      toolArguments: (json) => { (toolCalls[toolCalls.length - 1] as ChatToolCall).arguments += json; },
    },
    id,
  );
  const { message } = choice;
  // Calls in a whole reply are one object each and carry no index.
  const calls = Array.isArray(message['tool_calls']) ? message['tool_calls'].map((call, index) => (isJsonObject(call) ? { ...call, index } : call)) : undefined;
  const delta = calls === undefined ? message : { ...message, tool_calls: calls };
  reader.read({ choices: [{ ...choice, index: 0, delta }] });
  return { reasoning, signature, text, refusal, toolCalls, finishReason: reader.finishReason, stopSequence: reader.stopSequence, usage: openAiUsage(reply['usage']) };
}
