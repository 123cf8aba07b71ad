import type { LanguageModelV4File, LanguageModelV4Source, SharedV4ProviderMetadata } from '@ai-sdk/provider';
import type { JsonObject } from '@pointsman/schemas';
import type { Dialect } from './dialect.ts';

/** A generated image as LiteLLM shows it: `images: [{type: 'image_url', …}]`. */
export function imageOf(file: LanguageModelV4File, index: number): JsonObject {
  const { data } = file;
  const url = data.type === 'url' ? data.url.href : `data:${file.mediaType};base64,${typeof data.data === 'string' ? data.data : Buffer.from(data.data).toString('base64')}`;
  return { type: 'image_url', index, image_url: { url, detail: 'auto' } };
}

/** A source as OpenAI's `url_citation`; sources without an address have no counterpart. */
export function annotationOf(source: LanguageModelV4Source): JsonObject | undefined {
  if (source.sourceType !== 'url') return undefined;
  return { type: 'url_citation', url_citation: { url: source.url, title: source.title ?? '', start_index: 0, end_index: 0 } };
}

/** Gemini's proof of thought on a text or a tool call. */
export function thoughtSignatureOf(metadata: SharedV4ProviderMetadata | undefined, dialect: Dialect): string | undefined {
  if (!dialect.thoughtSignatures) return undefined;
  const signature = metadata?.[dialect.name]?.['thoughtSignature'];
  return typeof signature === 'string' && signature !== '' ? signature : undefined;
}

/** The signature in both places where clients look: LiteLLM's field and the one of Google's OpenAI surface. */
export function toolCallExtras(metadata: SharedV4ProviderMetadata | undefined, dialect: Dialect): JsonObject {
  const signature = thoughtSignatureOf(metadata, dialect);
  return signature === undefined ? {} : { provider_specific_fields: { thought_signature: signature }, extra_content: { google: { thought_signature: signature } } };
}
