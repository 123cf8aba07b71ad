import type { Usage } from '../usage.ts';
import type { StreamErrorFacts } from './stream-error.ts';

/** The formats that stream. */
export type StreamFormat = 'chat' | 'completions' | 'responses' | 'messages';

/**
 * What one event of a provider's stream says.
 * An inspector fills the same object again and again: read it before the next `inspect`, do not keep it.
 */
export interface StreamFacts {
  /** The parsed JSON; undefined for `[DONE]` and for malformed data. Parsed on first read where the inspector could do without. */
  readonly value: unknown;
  /** The data is not JSON, or not an object of this format. */
  readonly malformed: boolean;
  /** Text, reasoning, a tool call or a refusal for the client: once such an event went out, another provider can no longer start over. */
  readonly hasContent: boolean;
  /** The reason to stop in the provider's own word, when this event carries one. */
  readonly finishReason: string | undefined;
  /** The format's last event: `[DONE]`, message_stop, response.completed, response.incomplete, response.failed. */
  readonly isTerminal: boolean;
  /** The provider reports a failure inside the stream. */
  readonly error: StreamErrorFacts | undefined;
  /** Tokens so far, when this event tells. Later ones replace earlier ones; for Anthropic the input side of message_start is merged in. */
  readonly usage: Usage | undefined;
  /** A chat or completions chunk with usage and no choices: to be withheld from a client that did not ask for usage. */
  readonly isUsageOnly: boolean;
}

/** The reusable facts of one inspector. */
export class MutableStreamFacts implements StreamFacts {
  malformed = false;
  hasContent = false;
  finishReason: string | undefined = undefined;
  isTerminal = false;
  error: StreamErrorFacts | undefined = undefined;
  usage: Usage | undefined = undefined;
  isUsageOnly = false;
  #value: unknown = undefined;
  /** Valid JSON that nobody has needed to parse yet. */
  #unparsed: string | undefined = undefined;

  get value(): unknown {
    if (this.#unparsed !== undefined) {
      this.#value = JSON.parse(this.#unparsed);
      this.#unparsed = undefined;
    }
    return this.#value;
  }

  reset(value: unknown): void {
    this.#value = value;
    this.#unparsed = undefined;
    this.malformed = false;
    this.hasContent = false;
    this.finishReason = undefined;
    this.isTerminal = false;
    this.error = undefined;
    this.usage = undefined;
    this.isUsageOnly = false;
  }

  /** For JSON that is known to be valid without a parse. */
  resetUnparsed(data: string): void {
    this.reset(undefined);
    this.#unparsed = data;
  }

  resetMalformed(): void {
    this.reset(undefined);
    this.malformed = true;
  }

  resetTerminal(): void {
    this.reset(undefined);
    this.isTerminal = true;
  }
}
