export type JsonValue = string | number | boolean | null | JsonValue[] | JsonObject;
/** A parsed JSON object whose fields are not known: read with care, pass on unchanged. */
export interface JsonObject {
  [key: string]: JsonValue | undefined;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
