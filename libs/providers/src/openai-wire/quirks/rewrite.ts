import { isJsonObject, type JsonObject, type JsonValue } from '@pointsman/schemas';

/** Copies an object without some of its fields; the object itself when it has none of them. */
export function without(object: JsonObject, ...names: readonly string[]): JsonObject {
  if (!names.some((name) => Object.hasOwn(object, name))) return object;
  // fromEntries defines fields rather than assigning them: a field called __proto__ stays a field.
  return Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));
}

/** Maps a list, copying it only when some item became another one. */
export function mapChanged<T>(items: readonly T[], change: (item: T) => T): readonly T[] {
  let copy: T[] | undefined;
  for (let index = 0; index < items.length; index += 1) {
    const item = items[index] as T;
    const next = change(item);
    if (next === item) continue;
    copy ??= items.slice();
    copy[index] = next;
  }
  return copy ?? items;
}

/** Changes each message that is an object. */
export function mapMessages(body: JsonObject, change: (message: JsonObject) => JsonObject): JsonObject {
  return mapField(body, 'messages', change);
}

/** Changes each tool that is an object. */
export function mapTools(body: JsonObject, change: (tool: JsonObject) => JsonObject): JsonObject {
  return mapField(body, 'tools', change);
}

/** Changes each object of the list in a field; anything else stays as it is. */
export function mapField(object: JsonObject, field: string, change: (item: JsonObject) => JsonObject): JsonObject {
  const items = object[field];
  if (!Array.isArray(items)) return object;
  const next = mapChanged<JsonValue>(items, (item) => (isJsonObject(item) ? change(item) : item));
  return next === items ? object : { ...object, [field]: next as JsonValue[] };
}

/** The text of a content list that holds nothing but text; undefined for any other. */
export function textOnly(content: JsonValue | undefined): string | undefined {
  if (!Array.isArray(content)) return undefined;
  let text = '';
  for (const part of content) {
    if (!isJsonObject(part) || part['type'] !== 'text' || typeof part['text'] !== 'string') return undefined;
    text += part['text'];
  }
  return text;
}
