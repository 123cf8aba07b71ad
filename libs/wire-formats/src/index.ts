export type { SseEvent } from './sse.ts';
export { SseParser, type SseEnd, type SseParserOptions } from './sse-parser.ts';
export { DONE_EVENT, dataEvent, formatSse, typedEvent } from './format-sse.ts';
export { createStreamInspector, type StreamInspector, type StreamInspectorOptions } from './stream-inspector.ts';
export type { StreamFacts, StreamFormat } from './inspect/stream-facts.ts';
export { errorInBody, type StreamErrorFacts } from './inspect/stream-error.ts';
export { usageOfReply, type ServiceTier, type Usage, type UsageFormat } from './usage.ts';
export { textsOfReply } from './text-of-reply.ts';
export { replaceModel } from './replace-model.ts';
export {
  MAX_ERROR_MESSAGE_LENGTH, anthropicErrorBody, openAiErrorBody, responsesErrorEvent, streamErrorEvent,
  type AnthropicErrorBody, type OpenAiErrorBody, type StreamErrorContext,
} from './error-bodies.ts';
export { translateToChat, type TranslatableFormat } from './translate-to-chat.ts';
export type { ChatExtension, ChatStreamTranslator, ChatTranslation, TranslationContext } from './chat/translation.ts';
export { messagesToChat } from './anthropic/to-chat-request.ts';
export { responsesToChat } from './responses/to-chat-request.ts';
export { completionsToChat } from './completions/to-chat-request.ts';
