import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import type { SseEvent } from '../sse.ts';
import type { StreamInspector, StreamInspectorOptions } from '../stream-inspector.ts';
import { anthropicUsage, isTokenCount, type Usage } from '../usage.ts';
import { CollectedText } from './collected-text.ts';
import { parseOrUndefined } from './parse.ts';
import { errorInBody } from './stream-error.ts';
import { MutableStreamFacts, type StreamFacts } from './stream-facts.ts';
import { TextFrame } from './text-frame.ts';
import { UnreportedText } from './unreported-text.ts';

/** Reads the events of an Anthropic Messages stream. Event types that we do not know pass as events without content. */
export class MessagesInspector implements StreamInspector {
  readonly #facts = new MutableStreamFacts();
  readonly #frame = new TextFrame('"text":"', deltaText);
  readonly #collected: CollectedText;
  readonly unreported = new UnreportedText();
  #usage: Usage | undefined;
  #stopped = false;

  constructor(options: StreamInspectorOptions) {
    this.#collected = new CollectedText(options.collectText === true);
  }

  inspect(event: SseEvent): StreamFacts {
    const facts = this.#facts;
    const { data } = event;
    if (event.value === undefined) {
      if (this.#frame.matches(data)) {
        facts.resetUnparsed(data);
        if (this.#frame.hasText) {
          facts.hasContent = true;
          const text = this.#frame.textOf(data);
          this.unreported.add(text);
          if (this.#collected.wanted) this.#collected.add(text);
        }
        return facts;
      }
      if (data === '[DONE]') {
        facts.resetTerminal();
        return facts;
      }
    }
    const value = event.value ?? parseOrUndefined(data);
    if (!isJsonObject(value) || typeof value['type'] !== 'string') {
      facts.resetMalformed();
      if (isJsonObject(value) && errorInBody(value) !== undefined) {
        facts.reset(value);
        facts.error = errorInBody(value);
      }
      return facts;
    }
    facts.reset(value);
    this.#readEvent(value, event);
    return facts;
  }

  isComplete(): boolean {
    return this.#stopped;
  }

  usage(): Usage | undefined {
    return this.#usage;
  }

  collectedText(): string {
    return this.#collected.text;
  }

  canContinue(): boolean {
    return this.#collected.canContinue;
  }

  #readEvent(value: JsonObject, event: SseEvent): void {
    const facts = this.#facts;
    switch (value['type']) {
      case 'message_start':
        if (isJsonObject(value['message'])) this.#takeUsage(value['message']['usage']);
        else facts.resetMalformed();
        return;
      case 'content_block_start':
        this.#readBlock(value['content_block']);
        return;
      case 'content_block_delta':
        this.#readDelta(value, event);
        return;
      case 'message_delta': {
        this.#takeUsage(value['usage']);
        // message_start names a few output tokens before there is any output: only message_delta counts what was said.
        if (isJsonObject(value['usage']) && isTokenCount(value['usage']['output_tokens'])) this.unreported.reported(value['usage']['output_tokens']);
        const reason = isJsonObject(value['delta']) ? value['delta']['stop_reason'] : undefined;
        if (typeof reason === 'string' && reason !== '') {
          facts.finishReason = reason;
          this.#stopped = true;
        }
        return;
      }
      case 'message_stop':
        facts.isTerminal = true;
        this.#stopped = true;
        return;
      case 'error':
        facts.error = errorInBody(value);
        return;
      default:
    }
  }

  #takeUsage(raw: unknown): void {
    if (!isJsonObject(raw)) return;
    this.#usage = anthropicUsage(raw, this.#usage);
    this.#facts.usage = this.#usage;
  }

  #readBlock(block: unknown): void {
    if (!isJsonObject(block)) {
      this.#facts.resetMalformed();
    } else if (block['type'] === 'text') {
      if (typeof block['text'] === 'string' && block['text'] !== '') {
        this.#facts.hasContent = true;
        this.#collected.add(block['text']);
        this.unreported.add(block['text']);
      }
    } else if (block['type'] === 'thinking') {
      this.#collected.sawMoreThanText();
      if (typeof block['thinking'] === 'string' && block['thinking'] !== '') {
        this.#facts.hasContent = true;
        this.unreported.add(block['thinking']);
      }
    } else {
      this.#collected.sawMoreThanText();
      this.#facts.hasContent = true; // a tool's name and id, or a block of a kind that comes whole
      this.unreported.addUnknown(block['name']);
    }
  }

  #readDelta(value: JsonObject, event: SseEvent): void {
    const { delta } = value;
    if (!isJsonObject(delta)) {
      this.#facts.resetMalformed();
      return;
    }
    if (delta['type'] !== 'text_delta') {
      this.#facts.hasContent = delta['type'] !== 'thinking_delta' || delta['thinking'] !== '';
      this.#collected.sawMoreThanText();
      this.unreported.addUnknown(delta['thinking'] ?? delta['partial_json']);
      return;
    }
    if (typeof delta['text'] !== 'string' || delta['text'] === '') return;
    this.#facts.hasContent = true;
    this.#collected.add(delta['text']);
    this.unreported.add(delta['text']);
    if (event.value === undefined) this.#frame.learn(event.data);
  }
}

function deltaText(value: unknown): unknown {
  return isJsonObject(value) && isJsonObject(value['delta']) ? value['delta']['text'] : undefined;
}
