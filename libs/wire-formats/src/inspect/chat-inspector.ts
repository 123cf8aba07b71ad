import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import type { SseEvent } from '../sse.ts';
import type { StreamInspector, StreamInspectorOptions } from '../stream-inspector.ts';
import { openAiUsage, serviceTierOf, type Usage } from '../usage.ts';
import { CollectedText } from './collected-text.ts';
import { parseOrUndefined } from './parse.ts';
import { describe, errorInBody } from './stream-error.ts';
import { MutableStreamFacts, type StreamFacts } from './stream-facts.ts';
import { TextFrame } from './text-frame.ts';
import { UnreportedText } from './unreported-text.ts';

/** Reads chat completion chunks, and those of the legacy completions, which put `text` where chat has `delta`. */
export class ChatInspector implements StreamInspector {
  readonly #facts = new MutableStreamFacts();
  readonly #frame: TextFrame;
  readonly #textKey: 'content' | 'text';
  readonly #collected: CollectedText;
  readonly unreported = new UnreportedText();
  readonly #choices: number;
  /** The service tier that an earlier chunk named. */
  #serviceTier: Usage['serviceTier'];
  readonly #seen = new Set<number>();
  readonly #finished = new Set<number>();
  #usage: Usage | undefined;
  /** Whether the chunk under inspection has a choice with anything else than text of choice 0. */
  #plainText = true;

  constructor(format: 'chat' | 'completions', options: StreamInspectorOptions) {
    this.#textKey = format === 'chat' ? 'content' : 'text';
    this.#frame = format === 'chat' ? new TextFrame('"content":"', chatText) : new TextFrame('"text":"', completionText);
    this.#collected = new CollectedText(options.collectText === true);
    this.#choices = options.choices ?? 1;
    if (this.#choices > 1) this.#collected.sawMoreThanText();
  }

  inspect(event: SseEvent): StreamFacts {
    const facts = this.#facts;
    const { data } = event;
    if (event.value === undefined) {
      if (event.event === '' && this.#frame.matches(data)) {
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
    if (!isJsonObject(value)) {
      facts.resetMalformed();
      return facts;
    }
    facts.reset(value);
    facts.error = errorInBody(value) ?? (event.event === 'error' ? describe(value, value) : undefined);
    // Groq keeps the usage of a stream in a field of its own.
    this.#serviceTier = serviceTierOf(value['service_tier']) ?? this.#serviceTier;
    facts.usage = openAiUsage(value['usage'], this.#serviceTier) ?? openAiUsage(groqUsage(value), this.#serviceTier);
    if (facts.usage !== undefined) this.#usage = facts.usage;
    const { choices } = value;
    if (Array.isArray(choices)) this.#readChoices(choices, event);
    else if (facts.error === undefined && facts.usage === undefined) facts.resetMalformed();
    // A running count counts the text of its own chunk too.
    if (facts.usage !== undefined) this.unreported.reported(facts.usage.completionTokens);
    facts.isUsageOnly = facts.usage !== undefined && (!Array.isArray(choices) || choices.length === 0);
    return facts;
  }

  isComplete(): boolean {
    return this.#finished.size >= Math.max(this.#choices, this.#seen.size);
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

  #readChoices(choices: readonly unknown[], event: SseEvent): void {
    const facts = this.#facts;
    this.#plainText = true;
    for (const choice of choices) {
      if (!isJsonObject(choice)) {
        facts.resetMalformed();
        return;
      }
      const index = typeof choice['index'] === 'number' ? choice['index'] : 0;
      this.#seen.add(index);
      if (index !== 0) {
        this.#plainText = false;
        this.#collected.sawMoreThanText();
      }
      const reason = choice['finish_reason'];
      if (typeof reason === 'string' && reason !== '') {
        facts.finishReason ??= reason;
        this.#finished.add(index);
        this.#plainText = false;
      }
      this.#readDelta(this.#textKey === 'text' ? choice : (choice['delta'] ?? choice['message']));
    }
    const isOrdinary = this.#plainText && choices.length === 1 && facts.hasContent && facts.usage === undefined && facts.error === undefined;
    if (isOrdinary && event.event === '' && event.value === undefined) this.#frame.learn(event.data);
  }

  #readDelta(delta: unknown): void {
    if (!isJsonObject(delta)) return;
    const text = delta[this.#textKey];
    if (typeof text === 'string') {
      if (text !== '') {
        this.#facts.hasContent = true;
        this.#collected.add(text);
        this.unreported.add(text);
      }
    } else if (Array.isArray(text) && text.length > 0) {
      for (const part of text) if (isJsonObject(part)) this.unreported.addUnknown(part['text'] ?? part['thinking']);
      this.#sawMoreThanText(); // Mistral's reasoning models stream content as an array of parts
    }
    if (this.#textKey === 'text') return;
    const calls = delta['tool_calls'];
    if ((Array.isArray(calls) && calls.length > 0) || isFilled(delta['reasoning_content']) || isFilled(delta['reasoning']) || isFilled(delta['reasoning_details'])
      || isFilled(delta['thinking_blocks']) || isFilled(delta['refusal']) || isFilled(delta['function_call']) || isFilled(delta['audio']) || isFilled(delta['images'])) {
      this.#sawMoreThanText();
      addWordsOf(delta, this.unreported);
    }
  }

  #sawMoreThanText(): void {
    this.#plainText = false;
    this.#facts.hasContent = true;
    this.#collected.sawMoreThanText();
  }
}

/** A delta field with something in it: providers send null, '' and [] to say nothing. */
function isFilled(field: unknown): boolean {
  if (typeof field === 'string') return field !== '';
  if (Array.isArray(field)) return field.length > 0;
  return isJsonObject(field);
}

/** What a chat message or delta says besides its content. */
function addWordsOf(delta: JsonObject, unreported: UnreportedText): void {
  // The same reasoning may come under two names.
  unreported.addUnknown(isFilled(delta['reasoning_content']) ? delta['reasoning_content'] : delta['reasoning']);
  unreported.addUnknown(delta['refusal']);
  const calls = Array.isArray(delta['tool_calls']) ? delta['tool_calls'] : [{ function: delta['function_call'] }];
  for (const call of calls) {
    const made = isJsonObject(call) ? call['function'] : undefined;
    if (!isJsonObject(made)) continue;
    unreported.addUnknown(made['name']);
    unreported.addUnknown(made['arguments']);
  }
}

function groqUsage(value: JsonObject): unknown {
  const extra = value['x_groq'];
  return isJsonObject(extra) ? extra['usage'] : undefined;
}

function chatText(value: unknown): unknown {
  const delta = firstChoice(value)?.['delta'];
  return isJsonObject(delta) ? delta['content'] : undefined;
}

function completionText(value: unknown): unknown {
  return firstChoice(value)?.['text'];
}

function firstChoice(value: unknown): JsonObject | undefined {
  if (!isJsonObject(value) || !Array.isArray(value['choices'])) return undefined;
  const choice = value['choices'][0];
  return isJsonObject(choice) ? choice : undefined;
}
