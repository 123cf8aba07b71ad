import { isAscii, isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { AppError } from '@pointsman/errors';
import { isJsonObject, type JsonObject } from '@pointsman/schemas';

/** Deeper bodies are an attack on recursive readers downstream; the deepest honest one is a nested tool schema. */
export const MAX_BODY_DEPTH = 64;

export interface JsonBody {
  /** The exact bytes that came. */
  readonly raw: Buffer;
  readonly value: JsonObject;
}

function tooLarge(maxBytes: number): AppError {
  return new AppError('payload_too_large', 'request_too_large',
    `The request body is larger than max_request_size_mb = ${String(Math.round(maxBytes / 1_048_576))} MB.`, { param: 'request_body' });
}

/**
 * Collects a request body of at most `maxBytes`. A declared length over the limit is refused before a byte is read.
 * `done` hears exactly once. Callbacks rather than a promise: most bodies are one chunk, and this runs on every request.
 */
export function readBody(req: IncomingMessage, maxBytes: number, done: (error: AppError | undefined, raw: Buffer | undefined) => void): void {
  const declared = req.headers['content-length'];
  if (declared !== undefined && Number(declared) > maxBytes) {
    done(tooLarge(maxBytes), undefined);
    return;
  }
  let first: Buffer | undefined;
  let rest: Buffer[] | undefined;
  let size = 0;
  let settled = false;
  const settle = (error: AppError | undefined, raw: Buffer | undefined): void => {
    if (settled) return;
    settled = true;
    done(error, raw);
  };
  req.on('data', (chunk: Buffer) => {
    if (settled) return;
    size += chunk.length;
    if (size > maxBytes) {
      first = undefined;
      rest = undefined;
      settle(tooLarge(maxBytes), undefined);
      return;
    }
    if (first === undefined) first = chunk;
    else (rest ??= [first]).push(chunk);
  });
  req.on('end', () => {
    settle(undefined, rest === undefined ? first ?? Buffer.alloc(0) : Buffer.concat(rest, size));
  });
  const gone = (cause?: unknown): void => {
    // `close` follows every request, whole or cut: an error object is made only for the cut one.
    if (!settled) settle(new AppError('client_closed', 'client_closed_request', 'The client left before its request was complete.', { cause }), undefined);
  };
  req.on('error', gone);
  req.on('close', gone);
}

function invalid(message: string, cause?: unknown): AppError {
  return new AppError('invalid_request', 'invalid_json', message, { param: 'request_body', cause });
}

/** Walks a parsed value once: refuses depth and `__proto__`, both of which only an attacker sends. Returns what is wrong. */
function findHazard(value: unknown, path: string, depth: number): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  if (depth > MAX_BODY_DEPTH) return `the body is nested deeper than ${String(MAX_BODY_DEPTH)} levels`;
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) {
      const item: unknown = value[index];
      if (typeof item !== 'object' || item === null) continue;
      const hazard = findHazard(item, path, depth + 1);
      if (hazard !== undefined) return hazard;
    }
    return undefined;
  }
  for (const key in value) {
    if (key === '__proto__') return 'the key `__proto__` is not accepted';
    const item = (value as Record<string, unknown>)[key];
    if (typeof item !== 'object' || item === null) continue;
    const hazard = findHazard(item, key, depth + 1);
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
  const start = raw.length >= 3 && raw[0] === 0xef && raw[1] === 0xbb && raw[2] === 0xbf ? 3 : 0;
  let value: unknown;
  try {
    value = JSON.parse(ascii ? raw.latin1Slice() : raw.utf8Slice(start));
  } catch (cause) {
    // V8 quotes the text around the mistake: a prompt must not come back in an error or a log line.
    const position = /position (\d+)(?: \(line (\d+) column (\d+)\))?/.exec(cause instanceof Error ? cause.message : '');
    const where = position === null ? 'it ends too early or is not JSON' : `unexpected character at position ${String(position[1])}`;
    throw invalid(`Invalid JSON payload: ${where}.`);
  }
  if (!isJsonObject(value)) throw invalid('Invalid JSON payload: a JSON object was expected.');
  const hazard = findHazard(value, '', 1);
  if (hazard !== undefined) throw invalid(`Invalid JSON payload: ${hazard}.`);
  return { raw: start === 0 ? raw : raw.subarray(start), value };
}
