import type { LanguageModelV4FinishReason, LanguageModelV4StreamPart, LanguageModelV4Usage, SharedV4ProviderMetadata } from '@ai-sdk/provider';
import type { JsonObject } from '@pointsman/schemas';
import type { SseEvent } from '@pointsman/wire-formats';
import { annotationOf, imageOf, thoughtSignatureOf, toolCallExtras } from './reply-parts.ts';
import type { Dialect } from './dialect.ts';
import { finishReasonOf } from './finish-reason.ts';
import { openAiUsageOf } from './usage.ts';

export interface ChunkOptions {
  readonly dialect: Dialect;
  readonly model: string;
  /** Unix time in seconds. */
  readonly created: number;
  /** Used until the provider names its own id. */
  readonly id: string;
}

interface ToolProgress {
  readonly index: number;
  streamed: boolean;
}

/** Turns the parts of one AI SDK stream into OpenAI chat completion chunks. Holds no text, only positions. */
export class ChatChunks {
  readonly #dialect: Dialect;
  readonly #head: { id: string; readonly object: 'chat.completion.chunk'; readonly created: number; readonly model: string };
  readonly #tools = new Map<string, ToolProgress>();
  #began = false;
  #images = 0;
  #finish: { readonly reason: LanguageModelV4FinishReason; readonly usage: LanguageModelV4Usage } | undefined;

  constructor({ dialect, model, created, id }: ChunkOptions) {
    this.#dialect = dialect;
    this.#head = { id, object: 'chat.completion.chunk', created, model };
  }

  /** Whether anything of an answer has come. */
  get began(): boolean {
    return this.#began;
  }

  /** Adds the chunks that one part makes to `events`. The finish waits for `end`. */
  take(part: LanguageModelV4StreamPart, events: SseEvent[]): void {
    switch (part.type) {
      case 'text-delta':
        if (part.delta !== '') this.#emit({ content: part.delta }, events);
        this.#textSignature(part.providerMetadata, events);
        return;
      case 'text-end':
        this.#textSignature(part.providerMetadata, events);
        return;
      case 'reasoning-start':
      case 'reasoning-end':
        this.#signature(part.providerMetadata, events);
        return;
      case 'reasoning-delta':
        if (part.delta !== '') this.#emit(this.#dialect.signatureOf === undefined ? { reasoning_content: part.delta } : { reasoning_content: part.delta, thinking_blocks: [{ type: 'thinking', thinking: part.delta }] }, events);
        this.#signature(part.providerMetadata, events);
        return;
      case 'tool-input-start':
        if (part.providerExecuted !== true) this.#startTool(part.id, part.toolName, '', part.providerMetadata, events);
        return;
      case 'tool-input-delta': {
        const tool = this.#tools.get(part.id);
        if (tool === undefined || part.delta === '') return;
        tool.streamed = true;
        this.#emit({ tool_calls: [{ index: tool.index, function: { arguments: part.delta } }] }, events);
        return;
      }
      case 'tool-call': {
        if (part.providerExecuted === true) return;
        const tool = this.#tools.get(part.toolCallId);
        if (tool === undefined) this.#startTool(part.toolCallId, part.toolName, part.input, part.providerMetadata, events);
        else if (!tool.streamed && part.input !== '') this.#emit({ tool_calls: [{ index: tool.index, function: { arguments: part.input } }] }, events);
        return;
      }
      case 'file': {
        const image = imageOf(part, this.#images);
        this.#images += 1;
        this.#emit({ images: [image] }, events);
        return;
      }
      case 'source': {
        const annotation = annotationOf(part);
        if (annotation !== undefined) this.#emit({ annotations: [annotation] }, events);
        return;
      }
      case 'raw': {
        const plan = this.#dialect.planOf?.(part.rawValue);
        if (plan !== undefined) this.#emit({ reasoning_content: plan }, events);
        return;
      }
      case 'response-metadata':
        if (part.id !== undefined && part.id !== '') this.#head.id = part.id;
        return;
      case 'finish':
        this.#finish = { reason: part.finishReason, usage: part.usage };
        return;
      default:
    }
  }

  /**
   * The end of the stream: the finish chunk, the usage chunk when the provider reported usage, and `[DONE]`.
   * Returns what failed instead when the provider never said that it had finished.
   */
  end(): { readonly events: readonly SseEvent[] } | { readonly failed: 'empty' | 'truncated' | 'provider-error'; readonly raw: string | undefined } {
    if (this.#finish === undefined) return { failed: this.#began ? 'truncated' : 'empty', raw: undefined };
    const outcome = finishReasonOf(this.#finish.reason);
    if ('failed' in outcome) return outcome.failed === 'truncated' && !this.#began ? { failed: 'empty', raw: undefined } : outcome;
    const events: SseEvent[] = [];
    if (!this.#began) this.#begin(events);
    events.push(this.#chunk({}, outcome.reason));
    const usage = openAiUsageOf(this.#finish.usage);
    if (usage !== undefined) events.push(toEvent({ ...this.#head, choices: [], usage }));
    events.push({ event: '', data: '[DONE]' });
    return { events };
  }

  #startTool(id: string, name: string, input: string, metadata: SharedV4ProviderMetadata | undefined, events: SseEvent[]): void {
    const tool = { index: this.#tools.size, streamed: input !== '' };
    this.#tools.set(id, tool);
    this.#emit({ tool_calls: [{ index: tool.index, id, type: 'function', function: { name, arguments: input }, ...toolCallExtras(metadata, this.#dialect) }] }, events);
  }

  #signature(metadata: SharedV4ProviderMetadata | undefined, events: SseEvent[]): void {
    if (metadata === undefined) return;
    const found = this.#dialect.signatureOf?.(metadata);
    if (found?.signature !== undefined) this.#emit({ thinking_blocks: [{ type: 'thinking', thinking: '', signature: found.signature }] }, events);
    if (found?.redacted !== undefined) this.#emit({ thinking_blocks: [{ type: 'redacted_thinking', data: found.redacted }] }, events);
  }

  #textSignature(metadata: SharedV4ProviderMetadata | undefined, events: SseEvent[]): void {
    const signature = thoughtSignatureOf(metadata, this.#dialect);
    if (signature !== undefined) this.#emit({ provider_specific_fields: { thought_signatures: [signature] } }, events);
  }

  #emit(delta: JsonObject, events: SseEvent[]): void {
    if (!this.#began) this.#begin(events);
    events.push(this.#chunk(delta, null));
  }

  #begin(events: SseEvent[]): void {
    this.#began = true;
    events.push(this.#chunk({ role: 'assistant', content: '' }, null));
  }

  #chunk(delta: JsonObject, finishReason: string | null): SseEvent {
    return toEvent({ ...this.#head, choices: [{ index: 0, delta, finish_reason: finishReason }] });
  }
}

function toEvent(value: JsonObject): SseEvent {
  return { event: '', data: JSON.stringify(value), value };
}
