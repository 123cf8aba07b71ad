import type { LanguageModelV4FilePart, LanguageModelV4TextPart, SharedV4ProviderOptions } from '@ai-sdk/provider';
import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import { badRequest } from './bad-request.ts';
import type { Dialect } from './dialect.ts';

const IMAGE_TYPES: Readonly<Record<string, string>> = { png: 'image/png', jpg: 'image/jpeg', jpeg: 'image/jpeg', gif: 'image/gif', webp: 'image/webp', bmp: 'image/bmp', heic: 'image/heic' };
const AUDIO_TYPES: Readonly<Record<string, string>> = { wav: 'audio/wav', mp3: 'audio/mpeg', flac: 'audio/flac', ogg: 'audio/ogg' };

/** The parts of a user message or a tool result. `path` names them in errors. */
export function contentParts(content: unknown, path: string, dialect: Dialect): (LanguageModelV4TextPart | LanguageModelV4FilePart)[] {
  if (typeof content === 'string') return [{ type: 'text', text: content }];
  if (!Array.isArray(content)) throw badRequest(path, 'a string or an array of content parts');
  return content.map((part: unknown, index) => contentPart(part, `${path}[${index}]`, dialect));
}

/** `cache_control` of a message, part or tool as the SDK's provider options. */
export function cacheOptionsOf(holder: JsonObject, dialect: Dialect): { readonly providerOptions?: SharedV4ProviderOptions } {
  const cacheControl = holder['cache_control'];
  return isJsonObject(cacheControl) && dialect.cacheOptions !== undefined ? { providerOptions: dialect.cacheOptions(cacheControl) } : {};
}

function contentPart(part: unknown, path: string, dialect: Dialect): LanguageModelV4TextPart | LanguageModelV4FilePart {
  if (typeof part === 'string') return { type: 'text', text: part };
  if (!isJsonObject(part)) throw badRequest(path, 'an object with a type');
  const cache = cacheOptionsOf(part, dialect);
  switch (part['type']) {
    case 'text':
      if (typeof part['text'] !== 'string') throw badRequest(`${path}.text`, 'a string');
      return { type: 'text', text: part['text'], ...cache };
    case 'image_url': {
      const image = part['image_url'];
      const url = isJsonObject(image) ? image['url'] : image;
      if (typeof url !== 'string') throw badRequest(`${path}.image_url.url`, 'a data: URL or an https: URL');
      const given = isJsonObject(image) ? image['format'] : undefined;
      return { ...fileFromUrl(url, `${path}.image_url.url`, typeof given === 'string' ? given : undefined, 'image/*'), ...cache };
    }
    case 'input_audio': {
      const audio = part['input_audio'];
      if (!isJsonObject(audio) || typeof audio['data'] !== 'string') throw badRequest(`${path}.input_audio.data`, 'base64 text');
      const format = typeof audio['format'] === 'string' ? audio['format'] : 'wav';
      return { type: 'file', mediaType: AUDIO_TYPES[format] ?? `audio/${format}`, data: { type: 'data', data: audio['data'] }, ...cache };
    }
    case 'file': {
      const file = part['file'];
      if (!isJsonObject(file)) throw badRequest(`${path}.file`, 'an object with file_data or file_id');
      const source = file['file_data'] ?? file['file_id'];
      if (typeof source !== 'string') throw badRequest(`${path}.file.file_data`, 'a data: URL');
      const given = typeof file['format'] === 'string' ? file['format'] : undefined;
      const filename = typeof file['filename'] === 'string' ? { filename: file['filename'] } : {};
      return { ...fileFromUrl(source, `${path}.file.file_data`, given, 'application/pdf'), ...filename, ...cache };
    }
    default:
      throw badRequest(`${path}.type`, 'one of text, image_url, input_audio, file');
  }
}

function fileFromUrl(url: string, path: string, givenType: string | undefined, fallbackType: string): LanguageModelV4FilePart {
  if (url.startsWith('data:')) {
    const comma = url.indexOf(',');
    const [type = '', ...flags] = url.slice(5, comma === -1 ? 5 : comma).split(';');
    if (comma === -1 || type === '') throw badRequest(path, 'a data: URL with a media type');
    const payload = url.slice(comma + 1);
    const data = flags.at(-1) === 'base64' ? payload : Buffer.from(decodeURIComponent(payload), 'utf8');
    return { type: 'file', mediaType: givenType ?? type, data: { type: 'data', data } };
  }
  const parsed = URL.parse(url);
  if (parsed === null || !['https:', 'http:', 'gs:', 's3:'].includes(parsed.protocol)) throw badRequest(path, 'a data: URL or an https: URL');
  const extension = parsed.pathname.slice(parsed.pathname.lastIndexOf('.') + 1).toLowerCase();
  const guessed = extension === 'pdf' ? 'application/pdf' : Object.hasOwn(IMAGE_TYPES, extension) ? IMAGE_TYPES[extension] : undefined;
  return { type: 'file', mediaType: givenType ?? guessed ?? fallbackType, data: { type: 'url', url: parsed, originalUrl: url } };
}
