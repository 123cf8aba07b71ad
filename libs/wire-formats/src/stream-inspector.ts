import { ChatInspector } from './inspect/chat-inspector.ts';
import { MessagesInspector } from './inspect/messages-inspector.ts';
import { ResponsesInspector } from './inspect/responses-inspector.ts';
import type { StreamFacts, StreamFormat } from './inspect/stream-facts.ts';
import type { UnreportedText } from './inspect/unreported-text.ts';
import type { SseEvent } from './sse.ts';
import type { Usage } from './usage.ts';

export interface StreamInspectorOptions {
  /** How many choices the request asked for (`n`); default 1. */
  readonly choices?: number;
  /** Keep the text so far, for `stream_recovery: continue`; default false. */
  readonly collectText?: boolean;
}

/** Watches one stream of a provider go by and says what each event means. One inspector per provider attempt. */
export interface StreamInspector {
  /** The facts object is reused: read it before the next call. Never throws. */
  inspect(event: SseEvent): StreamFacts;
  /** Whether the provider has said that the reply is whole: every choice has a finish reason, or the format's own last word has come. */
  isComplete(): boolean;
  /** The latest usage that the stream reported. */
  usage(): Usage | undefined;
  /** The text of the first choice so far, at most 1 Mi characters; '' unless `collectText` was asked for. */
  collectedText(): string;
  /** Whether `collectedText` is all that the client has: false after tool calls, reasoning, refusals, several choices or more text than is kept. */
  canContinue(): boolean;
  /** What was said since the provider last reported how many tokens it had written. */
  readonly unreported: Pick<UnreportedText, 'text' | 'droppedCharacters' | 'reportedTokens'>;
}

export function createStreamInspector(format: StreamFormat, options: StreamInspectorOptions = {}): StreamInspector {
  if (format === 'messages') return new MessagesInspector(options);
  if (format === 'responses') return new ResponsesInspector(options);
  return new ChatInspector(format, options);
}
