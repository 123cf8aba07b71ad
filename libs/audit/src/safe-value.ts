/** Deeper levels, and text beyond this many characters per value, are cut with a mark. */
const MAX_DEPTH = 8;
const MAX_CHARACTERS = 16 * 1024;
const CUT = '[cut]';
const REDACTED = '[redacted]';

/** Names of fields that hold secrets. `key_name`, `key_alias`, `token_count` and `max_tokens` do not. */
const SECRET_NAME = /^(?:key|token|api[_-]?key|secret|password|passwd|authorization|cookie|credentials?|private[_-]?key|master[_-]?key|salt[_-]?key)$|[_-](?:secret|password|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?)$/i;
/** A SHA-256 in hex: what a key is known by, and nothing that opens a door. */
const HASH = /^[0-9a-f]{64}$/;
/** Keys of this gateway and of providers and tokens, wherever they stand in a text. Every repetition is bounded: the text may be hostile. */
const SECRET_TEXT = /\b(?:sk|pk|rk)-[\w-]{8,}|\bAKIA[0-9A-Z]{16}\b|\bAIza[\w-]{30,}|\bgh[pousr]_\w{20,}|\beyJ[\w-]{10,500}\.[\w-]{10,2000}/gi;
const BEARER = /\b(bearer\s{1,8})[^\s"']{8,}/gi;
const URL_PASSWORD = /(:\/\/[^\s/:@]{0,128}:)[^\s/@]{1,256}(?=@)/g;

/**
 * A copy of a value that may be stored for ever: no secrets, no more than 8 levels and 16 KB, and only what JSON and Postgres' jsonb can hold
 * (no NUL, no half of a surrogate pair, no infinite number), so that its hash can be computed again from what a database gives back.
 */
export function safeValue(value: unknown): unknown {
  return copy(value, 0, { left: MAX_CHARACTERS });
}

/** A text as `safeValue` makes it, at most `maxCharacters` long. */
export function safeText(text: string, maxCharacters = 512): string {
  return redact(text, { left: maxCharacters });
}

interface Room {
  left: number;
}

function copy(value: unknown, depth: number, room: Room): unknown {
  room.left -= 1;
  switch (typeof value) {
    case 'string': return redact(value, room);
    // -0 has no spelling of its own in JSON.
    case 'number': return Number.isFinite(value) ? value + 0 : null;
    case 'boolean': return value;
    case 'bigint': return String(value);
    case 'object': break;
    default: return undefined;
  }
  if (value === null) return null;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (ArrayBuffer.isView(value)) return `[${String(value.byteLength)} bytes]`;
  if (depth >= MAX_DEPTH) return CUT;
  if (Array.isArray(value)) return copyList(value, depth, room);
  if (value instanceof Set) return copyList([...value], depth, room);
  return copyFields(value instanceof Map ? [...value].map(([key, item]): [string, unknown] => [String(key), item]) : Object.entries(value), depth, room);
}

function copyList(items: readonly unknown[], depth: number, room: Room): unknown[] {
  const copied: unknown[] = [];
  for (const item of items) {
    if (room.left <= 0) {
      copied.push(CUT);
      break;
    }
    copied.push(copy(item, depth + 1, room) ?? null);
  }
  return copied;
}

function copyFields(fields: readonly (readonly [string, unknown])[], depth: number, room: Room): Record<string, unknown> {
  // Without a prototype: a field may be called `__proto__`.
  const copied = Object.create(null) as Record<string, unknown>;
  for (const [name, item] of fields) {
    if (room.left <= 0) {
      copied[CUT] = true;
      break;
    }
    const field = redact(name, room);
    copied[field] = SECRET_NAME.test(name) && isSecret(item) ? REDACTED : copy(item, depth + 1, room);
  }
  return copied;
}

function isSecret(value: unknown): boolean {
  if (value === null || value === undefined || typeof value === 'boolean' || typeof value === 'number') return false;
  return typeof value !== 'string' || !(HASH.test(value) || value.startsWith('os.environ/'));
}

function redact(text: string, room: Room): string {
  // Cut first, with room for a secret that begins before the cut: a text may be very long.
  const head = text.length > room.left ? text.slice(0, room.left + 1_024) : text;
  const clean = head.replaceAll(SECRET_TEXT, REDACTED).replaceAll(BEARER, `$1${REDACTED}`).replaceAll(URL_PASSWORD, `$1${REDACTED}`).replaceAll('\0', '\uFFFD').toWellFormed();
  const most = Math.max(0, room.left);
  room.left -= clean.length;
  return clean.length > most || head.length < text.length ? `${clean.slice(0, most).toWellFormed()}${CUT}` : clean;
}
