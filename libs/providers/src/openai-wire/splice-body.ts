import { isUtf8 } from 'node:buffer';

const MODEL_KEY = Buffer.from('"model"');
/** An escape that could hide one of the letters of `model`, all of which are U+006x. No serialiser writes one. */
const HIDDEN_LETTER = Buffer.from('\\u006');
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;

/**
 * The body with another model name and, optionally, more fields at its front, made by copying bytes: no parse, one copy.
 * `fields` is JSON text such as `"stream_options":{"include_usage":true}`; the body must not have them yet.
 *
 * Why one search is proof enough. `rawBody` is valid JSON whose parsed form has a string under `model`. That key is spelled either
 * with an escape, which needs `\u006x` and is ruled out, or as the literal bytes `"model"`. So if those bytes occur exactly once, they are
 * that key: not a nested one, not a string, not a second `model`, for each of these would be a second occurrence.
 *
 * Undefined when the bytes leave any doubt; the caller then serialises the parsed body. `allocate` gives memory of at least the length asked for.
 */
export function spliceBody(rawBody: Buffer, model: string, fields: string | undefined, allocate: (bytes: number) => Buffer = Buffer.allocUnsafe): Buffer | undefined {
  const keyAt = rawBody.indexOf(MODEL_KEY);
  if (keyAt === -1 || rawBody.includes(MODEL_KEY, keyAt + MODEL_KEY.length) || rawBody.includes(HIDDEN_LETTER)) return undefined;
  // Bytes that are no UTF-8 were replaced when the body was parsed: the provider must see what we saw.
  if (!isUtf8(rawBody)) return undefined;

  const open = skipSpace(rawBody, 0);
  if (rawBody[open] !== OPEN_BRACE) return undefined;
  const colon = skipSpace(rawBody, keyAt + MODEL_KEY.length);
  if (rawBody[colon] !== COLON) return undefined;
  const valueStart = skipSpace(rawBody, colon + 1);
  if (rawBody[valueStart] !== QUOTE) return undefined;
  const valueEnd = stringEnd(rawBody, valueStart);
  if (valueEnd === -1) return undefined;

  const quoted = JSON.stringify(model);
  const insertion = fields === undefined ? '' : `${fields},`;
  const quotedBytes = Buffer.byteLength(quoted);
  const insertionBytes = Buffer.byteLength(insertion);
  if (insertionBytes === 0 && quotedBytes === valueEnd - valueStart && rawBody.toString('utf8', valueStart, valueEnd) === quoted) return rawBody;

  const length = rawBody.length - (valueEnd - valueStart) + quotedBytes + insertionBytes;
  const spliced = allocate(length);
  let at = rawBody.copy(spliced, 0, 0, open + 1);
  at += spliced.write(insertion, at);
  at += rawBody.copy(spliced, at, open + 1, valueStart);
  at += spliced.write(quoted, at);
  rawBody.copy(spliced, at, valueEnd);
  return spliced.length === length ? spliced : spliced.subarray(0, length);
}

function skipSpace(bytes: Buffer, from: number): number {
  let at = from;
  while (at < bytes.length) {
    const byte = bytes[at];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break;
    at += 1;
  }
  return at;
}

/** The position after the closing quote of the string that starts at `from`; -1 when it has none. */
function stringEnd(bytes: Buffer, from: number): number {
  for (let at = from + 1; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (byte === BACKSLASH) at += 1;
    else if (byte === QUOTE) return at + 1;
  }
  return -1;
}
