import { AppError } from '@pointsman/errors';
import { ProviderError, type Provider, type ProviderCall, type ProviderRequest, type ReplySink, type WireFormat } from '@pointsman/providers';
import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import { createStreamInspector, usageOfReply, type SseEvent, type StreamInspector, type Usage } from '@pointsman/wire-formats';
import type { ReplyShape } from './reply-shape.ts';

/** What an attempt tells the dispatch it belongs to. */
export interface AttemptListener {
  /** A whole reply, in the client's format. */
  onReply(attempt: Attempt, text: string): void;
  /** Stream text for the client; the first call carries the first content. Returns false when the client is slower than the provider. */
  onText(attempt: Attempt, text: string): boolean;
  /** The stream was complete: `text` is what the client's format ends with. */
  onComplete(attempt: Attempt, text: string): void;
  onFailed(attempt: Attempt, error: ProviderError): void;
}

export interface AttemptOptions {
  readonly provider: Provider;
  /** The format spoken with the provider. */
  readonly format: WireFormat;
  readonly request: ProviderRequest;
  readonly shape: ReplyShape;
  readonly listener: AttemptListener;
  /** Keep the text for `stream_recovery: continue`. */
  readonly collectText: boolean;
  /** How many choices were asked for (`n`): all of them must finish. */
  readonly choices: number;
}

/** Replies of providers that were asked for a stream and sent JSON, and the reverse, are told apart by what arrives, not by what was asked. */
const NO_TEXT = '';

/** A stream that says so much, in UTF-16 units, before its first content is not a reply. */
const MAX_HELD_LENGTH = 1_048_576;

/** How long a provider may keep its connection open after it said that the reply is complete. */
const LINGER_MS = 1_000;

/**
 * One call to one deployment. Holds stream text back until the first content, so that anything that breaks before it can be tried elsewhere;
 * after that every event goes out with the read that brought it.
 */
export class Attempt implements ReplySink {
  readonly #options: AttemptOptions;
  readonly #inspector: StreamInspector | undefined;
  #call: ProviderCall | undefined;
  #held = NO_TEXT;
  #committed = false;
  #ended = false;
  #sawTerminal = false;
  /** The provider's connection has ended by itself. */
  #closed = false;
  #linger: NodeJS.Timeout | undefined;
  /** As the provider reports it. */
  usage: Usage | undefined;
  /** A whole reply whose provider did not say what was used, or only of the prompt. */
  uncountedReply: JsonObject | undefined;
  finishReason: string | undefined;
  responseId: string | undefined;
  /** Monotonic milliseconds. */
  readonly startedAt: number = performance.now();
  acceptedAt: number | undefined;
  firstContentAt: number | undefined;

  constructor(options: AttemptOptions) {
    this.#options = options;
    const { format } = options;
    this.#inspector = options.request.stream && format !== 'embeddings' ? createStreamInspector(format, { collectText: options.collectText, choices: options.choices }) : undefined;
  }

  /** Whether content has gone to the client. */
  get committed(): boolean {
    return this.#committed;
  }

  get inspector(): StreamInspector | undefined {
    return this.#inspector;
  }

  get format(): WireFormat {
    return this.#options.format;
  }

  get shape(): ReplyShape {
    return this.#options.shape;
  }

  get request(): ProviderRequest {
    return this.#options.request;
  }

  start(): void {
    try {
      this.#call = this.#options.provider.start(this.#options.request, this);
    } catch (error) {
      // Long strings of a body are parsed only when an adapter reads them: what is wrong inside is found here, and is the caller's mistake.
      const refused = error instanceof AppError && error.kind === 'invalid_request';
      this.#failWith(refused ? new ProviderError('bad_request', this.#options.provider.id, error.message, { code: error.code, cause: error, ...(error.param === undefined ? {} : { param: error.param }) }) : this.#asProviderError(error));
    }
  }

  /** Stops the call; nothing is reported afterwards. */
  cancel(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#call?.cancel();
  }

  resume(): void {
    this.#call?.resume();
  }

  onStart(): void {
    this.acceptedAt = performance.now();
  }

  onJson({ value, text }: { readonly value: JsonObject; readonly text: string | undefined }): void {
    if (this.#ended) return;
    if (this.#inspector !== undefined) {
      this.#fail('bad_reply', 'The provider answered a streaming request with a reply that is not a stream.');
      return;
    }
    const usage = usageOfReply(this.#options.format, value);
    this.usage = usage;
    if (usage === undefined || usage.promptTokens === 0 || (usage.completionTokens === 0 && this.#options.format !== 'embeddings')) this.uncountedReply = value;
    const id = value['id'];
    if (typeof id === 'string') this.responseId = id;
    this.finishReason = finishReasonOf(this.#options.format, value);
    let reply: string;
    try {
      reply = this.#options.shape.json(value, text);
    } catch (error) {
      this.#failWith(this.#asProviderError(error));
      return;
    }
    this.#ended = true;
    this.#options.listener.onReply(this, reply);
  }

  onEvents(events: readonly SseEvent[]): void {
    if (this.#ended) return;
    const inspector = this.#inspector;
    if (inspector === undefined) {
      this.#fail('bad_reply', 'The provider answered with a stream that was not asked for.');
      return;
    }
    const { shape } = this.#options;
    let text = NO_TEXT;
    let failure: ProviderError | undefined;
    for (const event of events) {
      if (this.#sawTerminal) break; // anything after [DONE] is not part of the reply
      const facts = inspector.inspect(event);
      if (facts.malformed) {
        failure = this.#error('bad_reply', 'The provider sent an event that is not JSON of the expected shape.');
        break;
      }
      if (facts.error !== undefined) {
        const { message, code } = facts.error;
        failure = this.#error('stream_error', message, code);
        break;
      }
      if (facts.usage !== undefined) this.usage = facts.usage;
      this.responseId ??= idOf(facts.value);
      if (facts.finishReason !== undefined) this.finishReason = facts.finishReason;
      if (facts.isTerminal) this.#sawTerminal = true;
      try {
        text += shape.event(event, facts);
      } catch (error) {
        failure = this.#asProviderError(error);
        break;
      }
      if (facts.hasContent) {
        this.firstContentAt ??= performance.now();
        this.#committed = true;
      } else if (!this.#committed && facts.finishReason !== undefined) {
        // An empty answer with a reason is an answer.
        this.#committed = true;
      }
    }
    if (this.#committed) {
      if (this.#held !== NO_TEXT) {
        text = this.#held + text;
        this.#held = NO_TEXT;
      }
      if (text !== NO_TEXT && !this.#options.listener.onText(this, text)) this.#call?.pause();
    } else {
      this.#held += text;
      if (this.#held.length > MAX_HELD_LENGTH) failure ??= this.#error('bad_reply', 'The provider sent a long stream without any content.');
    }
    if (failure !== undefined) this.#failWith(failure);
    else if (this.#sawTerminal) this.#complete();
  }

  onEnd(): void {
    this.#closed = true;
    clearTimeout(this.#linger);
    if (this.#ended) return;
    if (this.#inspector === undefined) {
      this.#fail('bad_reply', 'The provider ended its reply without an answer.');
      return;
    }
    this.#complete();
  }

  onError(error: ProviderError): void {
    this.#closed = true;
    clearTimeout(this.#linger);
    if (this.#ended) return;
    // Some servers never end their last chunk: what the provider declared complete is complete.
    if (error.fault === 'truncated' && this.#committed && this.#inspector?.isComplete() === true) {
      this.#complete();
      return;
    }
    this.#failWith(error);
  }

  /** The provider says that it is done: only if the format's own end was seen is it true. */
  #complete(): void {
    const inspector = this.#inspector;
    if (!this.#committed) {
      this.#fail('bad_reply', 'The provider ended the stream before it sent any content.');
      return;
    }
    if (inspector !== undefined && !inspector.isComplete()) {
      this.#fail('truncated', 'The provider ended the stream before it said that the answer was complete.');
      return;
    }
    const text = this.#options.shape.finish();
    this.#ended = true;
    // Cancelling here would cost a connection: the end of the body is usually in the next packet. A server that never sends it is left behind.
    if (!this.#closed) this.#linger = setTimeout(() => this.#call?.cancel(), LINGER_MS).unref();
    this.#options.listener.onComplete(this, text);
  }

  #error(fault: 'bad_reply' | 'truncated' | 'stream_error', message: string, code?: string): ProviderError {
    return new ProviderError(fault, this.#options.provider.id, message, code === undefined ? {} : { code });
  }

  #asProviderError(error: unknown): ProviderError {
    if (error instanceof ProviderError) return error;
    return new ProviderError('bad_reply', this.#options.provider.id, error instanceof AppError ? error.message : 'The reply of the provider could not be translated.', { cause: error });
  }

  #fail(fault: 'bad_reply' | 'truncated', message: string): void {
    this.#failWith(this.#error(fault, message));
  }

  #failWith(error: ProviderError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#call?.cancel();
    this.#options.listener.onFailed(this, error);
  }
}

function idOf(value: unknown): string | undefined {
  return isJsonObject(value) && typeof value['id'] === 'string' ? value['id'] : undefined;
}

/** Why a whole reply ended, in the words of its format: those that the stream inspector reports for a stream. */
function finishReasonOf(format: WireFormat, value: JsonObject): string | undefined {
  const choice = Array.isArray(value['choices']) ? value['choices'][0] : undefined;
  const details = value['incomplete_details'];
  const reason = format === 'messages' ? value['stop_reason'] : format !== 'responses' ? (isJsonObject(choice) ? choice['finish_reason'] : undefined)
    : isJsonObject(details) ? details['reason'] : value['status'];
  return typeof reason === 'string' ? reason : undefined;
}
