import { AppError } from '@pointsman/errors';
import type { WireFormat } from '@pointsman/providers';
import type { JsonObject } from '@pointsman/schemas';
import {
  formatSse, translateToChat, type ChatExtension, type ChatStreamTranslator, type ChatTranslation, type SseEvent, type StreamFacts, type TranslatableFormat,
} from '@pointsman/wire-formats';
import type { ReplyShape } from './reply-shape.ts';

const TRANSLATABLE: ReadonlySet<WireFormat> = new Set<TranslatableFormat>(['messages', 'responses', 'completions']);

function isTranslatable(format: WireFormat): format is TranslatableFormat {
  return TRANSLATABLE.has(format);
}

const ANTHROPIC_EXTENSIONS: ReadonlySet<ChatExtension> = new Set(['reasoning', 'cache_control', 'top_k']);
const REASONING_EXTENSION: ReadonlySet<ChatExtension> = new Set(['reasoning']);

/** What a provider's chat format takes beyond OpenAI's. */
function extensionsOf(provider: string): ReadonlySet<ChatExtension> | undefined {
  if (provider === 'anthropic' || provider === 'bedrock' || provider === 'vertex_ai') return ANTHROPIC_EXTENSIONS;
  if (provider === 'deepseek' || provider === 'moonshot') return REASONING_EXTENSION;
  return undefined;
}

export interface TranslateQuestion {
  readonly format: WireFormat;
  readonly body: JsonObject;
  readonly requestedModel: string;
  readonly requestId: string;
  readonly provider: string;
}

/**
 * A request of another format as a chat request for this provider, with the way back.
 * @throws AppError `invalid_request` naming the field that has no meaning in chat completions.
 */
export function translate({ format, body, requestedModel, requestId, provider }: TranslateQuestion): { readonly body: JsonObject; readonly shape: ReplyShape } {
  if (!isTranslatable(format)) throw new AppError('not_supported', 'format_not_supported', `Provider '${provider}' does not serve ${format}.`, { param: 'model' });
  const keep = extensionsOf(provider);
  const translation = translateToChat(format, body, {
    id: requestId.replaceAll(/[^a-zA-Z0-9]/g, ''), createdAt: Math.floor(Date.now() / 1000), model: requestedModel, requestId,
    ...(keep === undefined ? {} : { keep }),
  });
  return { body: translation.request, shape: new TranslatedReply(translation) };
}

/** The provider speaks chat, the client something else. */
class TranslatedReply implements ReplyShape {
  readonly #translation: ChatTranslation;
  #stream: ChatStreamTranslator | undefined;

  constructor(translation: ChatTranslation) {
    this.#translation = translation;
  }

  json(value: JsonObject): string {
    return JSON.stringify(this.#translation.reply(value));
  }

  event(_event: SseEvent, facts: StreamFacts): string {
    // [DONE] carries no chunk; the end is told by finish().
    if (facts.isTerminal || facts.value === undefined) return '';
    return formatSse(this.#translator().push(facts.value));
  }

  finish(): string {
    return formatSse(this.#translator().finish());
  }

  fail(error: AppError): string {
    return formatSse(this.#translator().fail(error));
  }

  #translator(): ChatStreamTranslator {
    return (this.#stream ??= this.#translation.stream());
  }
}
