import type { JsonObject } from '@pointsman/schemas';

/** Content parts of chat completions, as translations write them. */
export function textPart(text: string): JsonObject {
  return { type: 'text', text };
}

export function imagePart(url: string, detail?: unknown): JsonObject {
  return { type: 'image_url', image_url: typeof detail === 'string' ? { url, detail } : { url } };
}

export function filePart(dataUrl: string, filename: string): JsonObject {
  return { type: 'file', file: { filename, file_data: dataUrl } };
}

/** Content in its plainest form: servers that take parts also take a string, the reverse is not so. */
export function plainContent(parts: readonly JsonObject[], separator = '\n'): JsonObject[] | string {
  const isPlain = parts.every((part) => part['type'] === 'text' && Object.keys(part).length === 2);
  return isPlain ? parts.map((part) => String(part['text'])).join(separator) : [...parts];
}

/** What only goes along when it was set: chat servers refuse some of these as null. */
export function withoutAbsent(fields: JsonObject): JsonObject {
  const kept: JsonObject = {};
  for (const [key, value] of Object.entries(fields)) if (value !== undefined && value !== null) kept[key] = value;
  return kept;
}
