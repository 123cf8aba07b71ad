import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import type { SseEvent } from '../sse.ts';
import type { StreamInspector, StreamInspectorOptions } from '../stream-inspector.ts';
import { usageOfReply, type Usage } from '../usage.ts';
import { CollectedText } from './collected-text.ts';
import { parseOrUndefined } from './parse.ts';
import { describe, errorInBody } from './stream-error.ts';
import { MutableStreamFacts, type StreamFacts } from './stream-facts.ts';
import { UnreportedText } from './unreported-text.ts';

/** Reads the events of an OpenAI Responses stream. Event types that we do not know pass as events without content. */
export class ResponsesInspector implements StreamInspector {
  readonly #facts = new MutableStreamFacts();
  readonly #collected: CollectedText;
  readonly unreported = new UnreportedText();
  #usage: Usage | undefined;
  #complete = false;

  constructor(options: StreamInspectorOptions) {
    this.#collected = new CollectedText(options.collectText === true);
  }

  inspect(event: SseEvent): StreamFacts {
    const facts = this.#facts;
    if (event.value === undefined && event.data === '[DONE]') {
      facts.resetTerminal();
      return facts;
    }
    const value = event.value ?? parseOrUndefined(event.data);
    if (!isJsonObject(value)) {
      facts.resetMalformed();
      return facts;
    }
    facts.reset(value);
    if (typeof value['type'] === 'string') {
      this.#readEvent(value['type'], value);
      return facts;
    }
    facts.error = errorInBody(value);
    if (facts.error === undefined) facts.resetMalformed();
    return facts;
  }

  isComplete(): boolean {
    return this.#complete;
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

  #readEvent(type: string, value: JsonObject): void {
    switch (type) {
      case 'response.output_text.delta':
        if (typeof value['delta'] !== 'string' || value['delta'] === '') return;
        this.#facts.hasContent = true;
        this.unreported.add(value['delta']);
        if (value['output_index'] === 0 || value['output_index'] === undefined) this.#collected.add(value['delta']);
        else this.#collected.sawMoreThanText();
        return;
      case 'response.output_item.added':
        // A message's text is still to come, and so is a reasoning summary; a call's name is content by itself.
        if (isJsonObject(value['item']) && value['item']['type'] !== 'message') this.#sawItem(value['item']);
        return;
      case 'response.completed':
      case 'response.incomplete':
      case 'response.failed':
        this.#readEnd(type, value['response']);
        return;
      case 'error':
        this.#facts.error = errorInBody(value);
        return;
      case 'response.output_text.done':
        if (typeof value['text'] === 'string' && value['text'] !== '') this.#facts.hasContent = true;
        return;
      default:
        if (type.endsWith('.delta') || type === 'response.image_generation_call.partial_image') {
          this.#facts.hasContent = value['delta'] !== '';
          // Sound comes as base64, which is no text.
          if (!type.startsWith('response.audio.')) this.unreported.addUnknown(value['delta']);
          this.#collected.sawMoreThanText();
        }
    }
  }

  #sawItem(item: JsonObject): void {
    this.#collected.sawMoreThanText();
    if (item['type'] === 'reasoning') return;
    this.#facts.hasContent = true;
    this.unreported.addUnknown(item['name']);
  }

  #readEnd(type: string, response: unknown): void {
    const facts = this.#facts;
    if (!isJsonObject(response)) {
      facts.resetMalformed();
      return;
    }
    facts.isTerminal = true;
    facts.usage = usageOfReply('responses', response);
    if (facts.usage !== undefined) {
      this.#usage = facts.usage;
      this.unreported.reported(facts.usage.completionTokens);
    }
    if (type === 'response.failed') {
      const error = response['error'];
      facts.error = describe(isJsonObject(error) ? error : {}, {});
      return;
    }
    this.#complete = true;
    const reason = isJsonObject(response['incomplete_details']) ? response['incomplete_details']['reason'] : undefined;
    facts.finishReason = type === 'response.completed' ? 'completed' : typeof reason === 'string' ? reason : 'incomplete';
  }
}
