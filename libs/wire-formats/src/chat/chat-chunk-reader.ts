import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import { openAiUsage, type Usage } from '../usage.ts';
import { badReply } from './translation.ts';

/** What a chat stream says, in the order in which it says it. Empty pieces are never reported. */
export interface ChatStreamSink {
  reasoning(text: string): void;
  /** Proof of the reasoning so far, which Anthropic models want back. */
  signature(signature: string): void;
  text(text: string): void;
  refusal(text: string): void;
  /** A tool call begins; the arguments that follow are its own until another begins. */
  toolCall(call: { readonly id: string; readonly name: string }): void;
  toolArguments(json: string): void;
}

interface OpenCall {
  readonly index: number | undefined;
  id: string | undefined;
  started: boolean;
  /** Arguments that came before the name. */
  early: string;
}

/** Reads choice 0 of a chat stream and smooths out what providers do differently. */
export class ChatChunkReader {
  finishReason: string | undefined;
  /** The stop string that ended the reply, where the provider tells (vLLM). */
  stopSequence: string | undefined;
  usage: Usage | undefined;
  sawToolCall = false;
  readonly #sink: ChatStreamSink;
  readonly #id: string;
  readonly #indexes = new Set<number>();
  #open: OpenCall | undefined;
  #calls = 0;

  constructor(sink: ChatStreamSink, id: string) {
    this.#sink = sink;
    this.#id = id;
  }

  /** @throws AppError `upstream_failed` for what is not a chat chunk and for tool calls whose pieces are interleaved. */
  read(chunk: unknown): void {
    if (!isJsonObject(chunk)) throw badReply("The model provider's stream has an event that is not an object.");
    this.usage = openAiUsage(chunk['usage']) ?? this.usage;
    if (!Array.isArray(chunk['choices'])) return;
    for (const choice of chunk['choices']) {
      if (isJsonObject(choice) && (choice['index'] ?? 0) === 0) this.#readChoice(choice);
    }
  }

  #readChoice(choice: JsonObject): void {
    if (isJsonObject(choice['delta'])) this.#readDelta(choice['delta']);
    if (isFilled(choice['finish_reason'])) this.finishReason = choice['finish_reason'];
    if (isFilled(choice['stop_reason'])) this.stopSequence = choice['stop_reason'];
  }

  #readDelta(delta: JsonObject): void {
    this.#readReasoning(delta);
    const { content } = delta;
    if (typeof content === 'string') this.#text(content);
    else if (Array.isArray(content)) this.#readParts(content);
    if (isFilled(delta['refusal'])) {
      this.#open = undefined;
      this.#sink.refusal(delta['refusal']);
    }
    if (Array.isArray(delta['tool_calls'])) {
      for (const call of delta['tool_calls']) if (isJsonObject(call)) this.#readCall(call);
    } else if (isJsonObject(delta['function_call'])) {
      this.#readCall({ index: 0, function: delta['function_call'] }); // the form before tools, still alive in some servers
    }
  }

  #readReasoning(delta: JsonObject): void {
    const blocks = Array.isArray(delta['thinking_blocks']) ? delta['thinking_blocks'].filter(isJsonObject) : [];
    const words = delta['reasoning_content'] ?? delta['reasoning'] ?? blocks.map((block) => (typeof block['thinking'] === 'string' ? block['thinking'] : '')).join('');
    if (isFilled(words)) this.#reasoning(words);
    for (const block of blocks) if (isFilled(block['signature'])) this.#sink.signature(block['signature']);
  }

  /** Mistral's reasoning models stream content as parts: `thinking` with parts of its own, and `text`. */
  #readParts(parts: readonly unknown[]): void {
    for (const part of parts) {
      if (!isJsonObject(part)) continue;
      if (part['type'] === 'text' && typeof part['text'] === 'string') this.#text(part['text']);
      else if (part['type'] === 'thinking') this.#reasoning(textOfParts(part['thinking']));
    }
  }

  #text(text: string): void {
    if (text === '') return;
    this.#open = undefined;
    this.#sink.text(text);
  }

  #reasoning(text: string): void {
    if (text === '') return;
    this.#open = undefined;
    this.#sink.reasoning(text);
  }

  #readCall(call: JsonObject): void {
    const piece = isJsonObject(call['function']) ? call['function'] : {};
    const index = typeof call['index'] === 'number' ? call['index'] : undefined;
    const id = isFilled(call['id']) ? call['id'] : undefined;
    const name = isFilled(piece['name']) ? piece['name'] : undefined;
    const open = this.#callFor(index, id, name);
    open.id ??= id;
    const json = argumentsText(piece['arguments']);
    if (open.started) {
      if (json !== '') this.#sink.toolArguments(json);
      return;
    }
    open.early += json;
    if (name === undefined) return;
    open.started = true;
    this.sawToolCall = true;
    this.#sink.toolCall({ id: open.id ?? `call_${this.#id}_${this.#calls}`, name });
    this.#calls += 1;
    if (open.early !== '') this.#sink.toolArguments(open.early);
  }

  #callFor(index: number | undefined, id: string | undefined, name: string | undefined): OpenCall {
    const open = this.#open;
    const sameIndex = open !== undefined && (index === undefined || open.index === undefined || index === open.index);
    // Gemini's OpenAI surface numbers all parallel calls 0 and tells them apart by id; others repeat the id in every piece.
    const otherId = open?.id !== undefined && id !== undefined && id !== open.id && (name !== undefined || index === undefined);
    if (open !== undefined && sameIndex && !otherId) return open;
    if (index !== undefined && this.#indexes.has(index) && name === undefined) {
      throw badReply('The model provider interleaved the pieces of several tool calls.');
    }
    if (index !== undefined) this.#indexes.add(index);
    this.#open = { index, id, started: false, early: '' };
    return this.#open;
  }
}

export function isFilled(raw: unknown): raw is string {
  return typeof raw === 'string' && raw !== '';
}

/** The words of content that may be a string or parts with `text`. */
export function textOfParts(raw: unknown): string {
  if (typeof raw === 'string') return raw;
  if (!Array.isArray(raw)) return '';
  return raw.map((part) => (isJsonObject(part) && typeof part['text'] === 'string' ? part['text'] : '')).join('');
}

/** Tool arguments as JSON text; a few servers send the object itself. */
export function argumentsText(raw: unknown): string {
  if (typeof raw === 'string') return raw;
  return isJsonObject(raw) ? JSON.stringify(raw) : '';
}
