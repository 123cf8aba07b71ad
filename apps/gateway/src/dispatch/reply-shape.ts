import type { AppError } from '@pointsman/errors';
import type { WireFormat } from '@pointsman/providers';
import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import { formatSse, replaceModel, streamErrorEvent, type SseEvent, type StreamFacts } from '@pointsman/wire-formats';

/**
 * Turns what a provider says into what the client asked for. One per attempt that may reach the client; stateful for streams.
 * Every method returns text that is ready to be written, '' where there is nothing to say.
 */
export interface ReplyShape {
  /** A whole reply. */
  json(value: JsonObject, text: string | undefined): string;
  /** One stream event and what the inspector found in it. */
  event(event: SseEvent, facts: StreamFacts): string;
  /** The reply was complete: what the client's format says at the end. */
  finish(): string;
  /** The reply broke after content had gone out: one error frame and nothing after it. */
  fail(error: AppError): string;
}

export interface PassThroughOptions {
  readonly format: WireFormat;
  /** The name the client asked for; replies name it instead of the provider's own. */
  readonly requestedModel: string;
  /** Whether the client asked for the usage chunk of a chat stream. The provider is always asked for it. */
  readonly wantsUsage: boolean;
  readonly requestId: string;
}

function modelNamedIn(value: unknown): string | undefined {
  if (!isJsonObject(value)) return undefined;
  if (typeof value['model'] === 'string') return value['model'];
  const holder = value['message'] ?? value['response'];
  return isJsonObject(holder) && typeof holder['model'] === 'string' ? holder['model'] : undefined;
}

/** The provider speaks the client's format: frames pass through as they came, but for the model's name. */
export class PassThroughReply implements ReplyShape {
  readonly #options: PassThroughOptions;
  readonly #endsWithDone: boolean;
  #sequenceNumber = 0;
  #sawTerminal = false;
  /** The name that the provider's stream uses, learned from its first event: often a dated variant of what was asked for. */
  #upstreamModel: string | undefined;

  constructor(options: PassThroughOptions) {
    this.#options = options;
    this.#endsWithDone = options.format === 'chat' || options.format === 'completions';
  }

  json(value: JsonObject, text: string | undefined): string {
    const named = modelNamedIn(value);
    const whole = text ?? JSON.stringify(value);
    return named === undefined ? whole : replaceModel(whole, named, this.#options.requestedModel);
  }

  event(event: SseEvent, facts: StreamFacts): string {
    // The terminal frame of the OpenAI formats is written by finish(), once it is known that the reply was complete.
    if (this.#endsWithDone) {
      if (facts.isTerminal) return '';
      if (facts.isUsageOnly && !this.#options.wantsUsage) return '';
    }
    if (facts.isTerminal) this.#sawTerminal = true;
    this.#sequenceNumber += 1;
    this.#upstreamModel ??= modelNamedIn(facts.value);
    const data = this.#upstreamModel === undefined ? event.data : replaceModel(event.data, this.#upstreamModel, this.#options.requestedModel);
    // A provider may spread one event over several data lines.
    if (data.includes('\n') || data.includes('\r')) return formatSse([{ event: event.event, data }]);
    return event.event === '' ? `data: ${data}\n\n` : `event: ${event.event}\ndata: ${data}\n\n`;
  }

  finish(): string {
    if (this.#endsWithDone) return 'data: [DONE]\n\n';
    // The reply is complete (its stop_reason came), only the last frame was not sent: clients of the Messages format wait for it.
    return this.#options.format === 'messages' && !this.#sawTerminal ? 'event: message_stop\ndata: {"type":"message_stop"}\n\n' : '';
  }

  fail(error: AppError): string {
    const { format, requestId } = this.#options;
    return formatSse([streamErrorEvent(format === 'embeddings' ? 'chat' : format, error, { requestId, sequenceNumber: this.#sequenceNumber })]);
  }
}
