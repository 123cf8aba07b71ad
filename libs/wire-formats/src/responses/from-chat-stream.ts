import type { AppError } from '@pointsman/errors';
import type { JsonObject } from '@pointsman/schemas';
import { ChatChunkReader, type ChatStreamSink } from '../chat/chat-chunk-reader.ts';
import { truncatedReply, type ChatStreamTranslator, type TranslationContext } from '../chat/translation.ts';
import { responsesErrorEvent } from '../error-bodies.ts';
import { typedEvent } from '../format-sse.ts';
import type { SseEvent } from '../sse.ts';
import { callItem, incompleteReason, messageItem, outputTextPart, reasoningItem, refusalPart, responseObject, type ResponseState } from './response-object.ts';

type OpenItem =
  | { readonly kind: 'reasoning'; readonly id: string; text: string }
  | { readonly kind: 'message'; readonly id: string; readonly parts: JsonObject[]; part: { readonly kind: 'text' | 'refusal'; text: string } | undefined }
  | { readonly kind: 'call'; readonly id: string; readonly callId: string; readonly name: string; json: string };

/**
 * Chat chunks as Responses events (https://platform.openai.com/docs/api-reference/responses-streaming), numbered from 0, one output item open at a time.
 * The format repeats each text when it is done, so the translator keeps the reply's text until its end.
 */
export class ResponsesStreamTranslator implements ChatStreamTranslator, ChatStreamSink {
  readonly #body: JsonObject;
  readonly #context: TranslationContext;
  readonly #reader: ChatChunkReader;
  readonly #output: JsonObject[] = [];
  #events: SseEvent[] = [];
  #sequence = 0;
  #started = false;
  #ended = false;
  #open: OpenItem | undefined;

  constructor(body: JsonObject, context: TranslationContext) {
    this.#body = body;
    this.#context = context;
    this.#reader = new ChatChunkReader(this, context.id);
  }

  push(chunk: unknown): SseEvent[] {
    if (this.#ended) return [];
    if (!this.#started) {
      this.#started = true;
      this.#emitResponse('response.created', { status: 'in_progress', output: [] });
      this.#emitResponse('response.in_progress', { status: 'in_progress', output: [] });
    }
    this.#reader.read(chunk);
    return this.#take();
  }

  finish(): SseEvent[] {
    if (this.#ended) return [];
    const { finishReason, usage } = this.#reader;
    if (finishReason === undefined) return this.fail(truncatedReply());
    this.#ended = true;
    const reason = incompleteReason(finishReason);
    const status = reason === undefined ? 'completed' : 'incomplete';
    this.#close(status);
    this.#emitResponse(`response.${status}`, { status, output: this.#output, usage, incompleteReason: reason });
    return this.#take();
  }

  fail(error: AppError): SseEvent[] {
    if (this.#ended) return [];
    this.#ended = true;
    // A response that was never created cannot fail: the bare error event is the format's word for that.
    if (!this.#started) return [responsesErrorEvent(error, 0)];
    const output = this.#open === undefined ? this.#output : [...this.#output, itemOf(this.#open, 'incomplete')];
    this.#emitResponse('response.failed', { status: 'failed', output, usage: this.#reader.usage, error });
    return this.#take();
  }

  reasoning(text: string): void {
    let item = this.#open;
    if (item?.kind !== 'reasoning') {
      item = { kind: 'reasoning', id: this.#nextId('rs'), text: '' };
      this.#openItem(item);
      this.#emitIn(item, 'response.reasoning_summary_part.added', { summary_index: 0, part: { type: 'summary_text', text: '' } });
    }
    item.text += text;
    this.#emitIn(item, 'response.reasoning_summary_text.delta', { summary_index: 0, delta: text });
  }

  /** Signatures have no place in the Responses format. */
  signature(_signature: string): void {}

  text(text: string): void {
    this.#say('text', text);
  }

  refusal(text: string): void {
    this.#say('refusal', text);
  }

  toolCall(call: { readonly id: string; readonly name: string }): void {
    this.#openItem({ kind: 'call', id: this.#nextId('fc'), callId: call.id, name: call.name, json: '' });
  }

  toolArguments(json: string): void {
    const item = this.#open;
    if (item?.kind !== 'call') return;
    item.json += json;
    this.#emitIn(item, 'response.function_call_arguments.delta', { delta: json });
  }

  #say(kind: 'text' | 'refusal', text: string): void {
    let item = this.#open;
    if (item?.kind !== 'message') {
      item = { kind: 'message', id: this.#nextId('msg'), parts: [], part: undefined };
      this.#openItem(item);
    }
    if (item.part?.kind !== kind) {
      this.#closePart(item);
      item.part = { kind, text: '' };
      this.#emitIn(item, 'response.content_part.added', { content_index: item.parts.length, part: partOf(item.part) });
    }
    item.part.text += text;
    const rest = { content_index: item.parts.length, delta: text };
    if (kind === 'text') this.#emitIn(item, 'response.output_text.delta', { ...rest, logprobs: [] });
    else this.#emitIn(item, 'response.refusal.delta', rest);
  }

  #closePart(item: OpenItem & { readonly kind: 'message' }): void {
    const { part } = item;
    if (part === undefined) return;
    const index = item.parts.length;
    if (part.kind === 'text') this.#emitIn(item, 'response.output_text.done', { content_index: index, text: part.text, logprobs: [] });
    else this.#emitIn(item, 'response.refusal.done', { content_index: index, refusal: part.text });
    this.#emitIn(item, 'response.content_part.done', { content_index: index, part: partOf(part) });
    item.parts.push(partOf(part));
    item.part = undefined;
  }

  #openItem(item: OpenItem): void {
    this.#close('completed');
    this.#open = item;
    this.#emit('response.output_item.added', { output_index: this.#output.length, item: itemOf(item, 'in_progress') });
  }

  #close(status: 'completed' | 'incomplete'): void {
    const item = this.#open;
    if (item === undefined) return;
    if (item.kind === 'reasoning') {
      this.#emitIn(item, 'response.reasoning_summary_text.done', { summary_index: 0, text: item.text });
      this.#emitIn(item, 'response.reasoning_summary_part.done', { summary_index: 0, part: { type: 'summary_text', text: item.text } });
    } else if (item.kind === 'message') {
      this.#closePart(item);
    } else {
      this.#emitIn(item, 'response.function_call_arguments.done', { name: item.name, arguments: item.json });
    }
    const done = itemOf(item, status);
    this.#emit('response.output_item.done', { output_index: this.#output.length, item: done });
    this.#output.push(done);
    this.#open = undefined;
  }

  /** Ids are made from the place that the item will have in `output`: an item that is still open comes before it. */
  #nextId(prefix: string): string {
    return `${prefix}_${this.#context.id}_${this.#output.length + (this.#open === undefined ? 0 : 1)}`;
  }

  #emitIn(item: OpenItem, type: string, fields: JsonObject): void {
    this.#emit(type, { item_id: item.id, output_index: this.#output.length, ...fields });
  }

  #emitResponse(type: string, state: ResponseState): void {
    this.#emit(type, { response: responseObject(this.#body, this.#context, state) });
  }

  #emit(type: string, fields: JsonObject): void {
    this.#events.push(typedEvent({ type, ...fields, sequence_number: this.#sequence }));
    this.#sequence += 1;
  }

  #take(): SseEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }
}

function itemOf(item: OpenItem, status: string): JsonObject {
  switch (item.kind) {
    case 'reasoning': return reasoningItem(item.id, item.text);
    case 'message': return messageItem(item.id, status, item.part === undefined ? [...item.parts] : [...item.parts, partOf(item.part)]);
    default: return callItem(item.id, status, { id: item.callId, name: item.name, arguments: item.json });
  }
}

function partOf(part: { readonly kind: 'text' | 'refusal'; readonly text: string }): JsonObject {
  return part.kind === 'text' ? outputTextPart(part.text) : refusalPart(part.text);
}
