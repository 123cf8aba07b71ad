import { isAscii, isUtf8 } from 'node:buffer';
import { AppError } from '@pointsman/errors';
import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import { shortenStrings } from './long-strings.ts';

/** Deeper bodies are an attack on recursive readers downstream; the deepest honest one is a nested tool schema. */
export const MAX_BODY_DEPTH = 64;

/** Below this many bytes a body is parsed whole: there is nothing to win. */
const SHORTEN_FROM_BYTES = 8_192;

/** A JSON object that a client sent: as bytes, in outline, and whole when somebody asks. */
export class JsonBody {
  /** The exact bytes that came. */
  readonly raw: Buffer;
  /**
   * The object with a stand-in for each string of several kilobytes; where there is none, the object itself.
   * Right for every question but what such a string says.
   */
  readonly outline: JsonObject;
  #value: JsonObject | undefined;

  constructor(raw: Buffer, outline: JsonObject, isWhole: boolean) {
    this.raw = raw;
    this.outline = outline;
    this.#value = isWhole ? outline : undefined;
  }

  /**
   * The whole object, parsed when first asked for.
   * @throws AppError `invalid_request` when one of the long strings is not valid JSON inside: the outline cannot tell.
   */
  get value(): JsonObject {
    return (this.#value ??= parse(this.raw.toString('utf8')));
  }
}

function invalid(message: string): AppError {
  return new AppError('invalid_request', 'invalid_json', message, { param: 'request_body' });
}

/** @throws AppError that says where the text is wrong. V8 quotes the text around a mistake: a prompt must not come back in an error or a log line. */
function parse(text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const position = /position (\d+)/.exec(cause instanceof Error ? cause.message : '');
    throw invalid(`Invalid JSON payload: ${position === null ? 'it ends too early or is not JSON' : `unexpected character at position ${String(position[1])}`}.`);
  }
  if (!isJsonObject(value)) throw invalid('Invalid JSON payload: a JSON object was expected.');
  return value;
}

/** The outline out of a shortened text; a mistake is looked for in the whole text, whose positions mean something to the caller. */
function parseOutline(shortened: string, raw: Buffer): JsonObject {
  try {
    return parse(shortened);
  } catch (error) {
    parse(raw.toString('utf8'));
    throw error;
  }
}

/** Walks a parsed value once: refuses depth and `__proto__`, which only an attacker sends. Returns what is wrong. */
function findHazard(value: object, depth: number): string | undefined {
  if (depth > MAX_BODY_DEPTH) return `the body is nested deeper than ${String(MAX_BODY_DEPTH)} levels`;
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) {
      const item: unknown = value[index];
      if (typeof item !== 'object' || item === null) continue;
      const hazard = findHazard(item, depth + 1);
      if (hazard !== undefined) return hazard;
    }
    return undefined;
  }
  for (const key in value) {
    if (key === '__proto__') return 'the key `__proto__` is not accepted';
    const item = (value as Record<string, unknown>)[key];
    if (typeof item !== 'object' || item === null) continue;
    const hazard = findHazard(item, depth + 1);
    if (hazard !== undefined) return hazard;
  }
  return undefined;
}

/**
 * Parses a JSON object body.
 * @throws AppError `invalid_request` with param `request_body`: invalid UTF-8, broken JSON, not an object, too deep, `__proto__`.
 */
export function parseJsonBody(raw: Buffer): JsonBody {
  if (raw.length === 0) throw invalid('Invalid JSON payload: the request body is empty; a JSON object was expected.');
  // Most bodies are ASCII, and ASCII is checked and copied several times faster than UTF-8.
  const ascii = isAscii(raw);
  if (!ascii && !isUtf8(raw)) throw invalid('Invalid JSON payload: the request body is not valid UTF-8.');
  // A byte order mark, which some Windows clients send, is no part of JSON.
  const bytes = raw.length >= 3 && raw[0] === 0xef && raw[1] === 0xbb && raw[2] === 0xbf ? raw.subarray(3) : raw;
  const shortened = bytes.length >= SHORTEN_FROM_BYTES ? shortenStrings(bytes) : undefined;
  const outline = shortened === undefined ? parse(bytes.toString(ascii ? 'latin1' : 'utf8')) : parseOutline(shortened, bytes);
  const hazard = findHazard(outline, 1);
  if (hazard !== undefined) throw invalid(`Invalid JSON payload: ${hazard}.`);
  return new JsonBody(bytes, outline, shortened === undefined);
}
