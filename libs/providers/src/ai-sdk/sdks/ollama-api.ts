import { isJsonObject, type JsonObject } from '@pointsman/schemas';

export interface OllamaConfig {
  readonly modelId: string;
  readonly baseUrl: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly fetch: typeof globalThis.fetch;
}

/** Posts one request. Error statuses are thrown by the fetch itself. */
export function postToOllama({ baseUrl, headers, fetch }: OllamaConfig, path: string, body: object, options: { readonly headers?: Record<string, string | undefined>; readonly abortSignal?: AbortSignal }): Promise<Response> {
  const merged: Record<string, string> = { 'content-type': 'application/json', ...headers };
  for (const [name, value] of Object.entries(options.headers ?? {})) if (value !== undefined) merged[name] = value;
  return fetch(`${baseUrl}${path}`, { method: 'POST', headers: merged, body: JSON.stringify(body), ...(options.abortSignal === undefined ? {} : { signal: options.abortSignal }) });
}

/** @throws SyntaxError when the reply is not JSON, Error when it is not an object or holds Ollama's error text. */
export async function replyObject(response: Response): Promise<JsonObject> {
  const value: unknown = await response.json();
  if (!isJsonObject(value)) throw new Error('Ollama answered with JSON that is not an object.');
  return value;
}
