import type { JsonObject } from '@pointsman/schemas';
import { chatReplyToMessage } from './anthropic/from-chat-reply.ts';
import { MessagesStreamTranslator } from './anthropic/from-chat-stream.ts';
import { messagesToChat } from './anthropic/to-chat-request.ts';
import type { ChatTranslation, TranslationContext } from './chat/translation.ts';
import { chatReplyToCompletion } from './completions/from-chat-reply.ts';
import { CompletionsStreamTranslator } from './completions/from-chat-stream.ts';
import { completionsToChat } from './completions/to-chat-request.ts';
import { chatReplyToResponse } from './responses/from-chat-reply.ts';
import { ResponsesStreamTranslator } from './responses/from-chat-stream.ts';
import { responsesToChat } from './responses/to-chat-request.ts';

/** The formats that can be served by a provider that only speaks chat completions. */
export type TranslatableFormat = 'messages' | 'responses' | 'completions';

/**
 * A checked body of another format, told as a chat completions request, with the way back for its reply.
 * @throws AppError `invalid_request` naming the field that chat completions cannot express.
 */
export function translateToChat(format: TranslatableFormat, body: JsonObject, context: TranslationContext): ChatTranslation {
  if (format === 'messages') {
    return {
      request: messagesToChat(body, context.keep),
      reply: (chatReply) => chatReplyToMessage(chatReply, context),
      stream: () => new MessagesStreamTranslator(context),
    };
  }
  if (format === 'responses') {
    return {
      request: responsesToChat(body, context.keep),
      reply: (chatReply) => chatReplyToResponse(chatReply, body, context),
      stream: () => new ResponsesStreamTranslator(body, context),
    };
  }
  return {
    request: completionsToChat(body),
    reply: (chatReply) => chatReplyToCompletion(chatReply, context),
    stream: () => new CompletionsStreamTranslator(body, context),
  };
}
