import type { AppError } from '@pointsman/errors';
import type { JsonObject } from '@pointsman/schemas';
import { ChatChunkReader, type ChatStreamSink } from '../chat/chat-chunk-reader.ts';
import { truncatedReply, type ChatStreamTranslator, type TranslationContext } from '../chat/translation.ts';
import { streamErrorEvent } from '../error-bodies.ts';
import { typedEvent } from '../format-sse.ts';
import type { SseEvent } from '../sse.ts';
import { usageToAnthropic } from './from-chat-reply.ts';
import { anthropicStopReason } from './stop-reason.ts';

/**
 * Chat chunks as Anthropic events (https://docs.anthropic.com/en/docs/build-with-claude/streaming): one block open at a time, numbered in order.
 * message_delta waits for `finish`, because chat sends usage after the finish reason.
 */
export class MessagesStreamTranslator implements ChatStreamTranslator, ChatStreamSink {
  readonly #context: TranslationContext;
  readonly #reader: ChatChunkReader;
  #events: SseEvent[] = [];
  #started = false;
  #ended = false;
  #open: 'text' | 'thinking' | 'tool_use' | undefined;
  #index = -1;
  #refused = false;

  constructor(context: TranslationContext) {
    this.#context = context;
    this.#reader = new ChatChunkReader(this, context.id);
  }

  push(chunk: unknown): SseEvent[] {
    if (this.#ended) return [];
    this.#start();
    this.#reader.read(chunk);
    return this.#take();
  }

  finish(): SseEvent[] {
    if (this.#ended) return [];
    const { finishReason: reason, stopSequence, sawToolCall, usage } = this.#reader;
    if (reason === undefined) return this.fail(truncatedReply());
    this.#ended = true;
    this.#close();
    const stop = anthropicStopReason({ reason, stopSequence, sawToolCall, refused: this.#refused });
    this.#emit({ type: 'message_delta', delta: { stop_reason: stop, stop_sequence: stop === 'stop_sequence' ? (stopSequence ?? null) : null }, usage: usageToAnthropic(usage) });
    this.#emit({ type: 'message_stop' });
    return this.#take();
  }

  fail(error: AppError): SseEvent[] {
    if (this.#ended) return [];
    this.#ended = true;
    this.#events.push(streamErrorEvent('messages', error, this.#context.requestId === undefined ? {} : { requestId: this.#context.requestId }));
    return this.#take();
  }

  reasoning(text: string): void {
    this.#openBlock('thinking', { type: 'thinking', thinking: '', signature: '' });
    this.#delta({ type: 'thinking_delta', thinking: text });
  }

  signature(signature: string): void {
    this.#openBlock('thinking', { type: 'thinking', thinking: '', signature: '' });
    this.#delta({ type: 'signature_delta', signature });
  }

  text(text: string): void {
    this.#openBlock('text', { type: 'text', text: '' });
    this.#delta({ type: 'text_delta', text });
  }

  refusal(text: string): void {
    this.#refused = true;
    this.text(text);
  }

  toolCall(call: { readonly id: string; readonly name: string }): void {
    this.#close();
    this.#openBlock('tool_use', { type: 'tool_use', id: call.id, name: call.name, input: {} });
  }

  toolArguments(json: string): void {
    this.#delta({ type: 'input_json_delta', partial_json: json });
  }

  #start(): void {
    if (this.#started) return;
    this.#started = true;
    const { id, model } = this.#context;
    // The true counts come with message_delta, which Anthropic's clients merge over these.
    this.#emit({ type: 'message_start', message: { id: `msg_${id}`, type: 'message', role: 'assistant', model, content: [], stop_reason: null, stop_sequence: null, usage: usageToAnthropic(undefined) } });
  }

  #openBlock(kind: 'text' | 'thinking' | 'tool_use', block: JsonObject): void {
    if (this.#open === kind) return;
    this.#close();
    this.#index += 1;
    this.#open = kind;
    this.#emit({ type: 'content_block_start', index: this.#index, content_block: block });
  }

  #close(): void {
    if (this.#open === undefined) return;
    this.#open = undefined;
    this.#emit({ type: 'content_block_stop', index: this.#index });
  }

  #delta(delta: JsonObject): void {
    this.#emit({ type: 'content_block_delta', index: this.#index, delta });
  }

  #emit(value: JsonObject & { readonly type: string }): void {
    this.#events.push(typedEvent(value));
  }

  #take(): SseEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }
}
