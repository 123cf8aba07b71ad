import { describeUnknown } from '@pointsman/errors';
import { MASK, Secret } from './secret.ts';

const MAX_DEPTH = 5;
const MAX_STRING_LENGTH = 2048;
const MAX_ENTRIES = 64;

/** Field names whose value is never printed, compared in lower case without `-` and `_`. Counts such as `prompt_tokens` do not match. */
const SECRET_NAMES = new Set([
  'authorization', 'proxyauthorization', 'apikey', 'xapikey', 'xgoogapikey', 'xlitellmapikey', 'token', 'accesstoken', 'refreshtoken', 'idtoken', 'sessiontoken', 'bearertoken', 'securitytoken',
  'password', 'passwd', 'pwd', 'secret', 'clientsecret', 'masterkey', 'litellmmasterkey', 'secretkey', 'secretaccesskey', 'awssecretaccesskey', 'awssessiontoken', 'privatekey', 'credentials', 'cookie', 'setcookie', 'databaseurl', 'redisurl',
]);
const NAME_SEPARATORS = /[-_]/g;
/** Keys of OpenAI, Anthropic and LiteLLM shape, and bearer headers, wherever they stand in a text. */
const SECRET_TEXT = /\bsk-[A-Za-z0-9_-]{4,}|\b[Bb]earer\s+[A-Za-z0-9._~+/=-]{8,}/g;
/** The password of `scheme://user:password@host`. */
const URL_PASSWORD = /(:\/\/[^\s:/@]*:)[^\s@/]+@/g;

function isSecretName(name: string): boolean {
  const plain = name.toLowerCase().replace(NAME_SEPARATORS, '');
  return SECRET_NAMES.has(plain) || plain.endsWith('apikey') || plain.endsWith('password') || plain.endsWith('secret');
}

/** The text, cut at 2,048 characters, with anything that looks like a key or a password masked. */
export function redactText(text: string): string {
  // Masked before it is cut: half a key must not survive the cut. What is far too long is cut first, so that no pattern runs over megabytes.
  let result = text.length > MAX_STRING_LENGTH * 4 ? text.slice(0, MAX_STRING_LENGTH * 4) : text;
  if (result.includes('sk-') || result.includes('earer')) result = result.replace(SECRET_TEXT, MASK);
  if (result.includes('://')) result = result.replace(URL_PASSWORD, `$1${MASK}@`);
  return result.length > MAX_STRING_LENGTH ? `${result.slice(0, MAX_STRING_LENGTH)}… (${text.length} characters)` : result;
}

function redactEntries(target: Record<string, unknown>, source: object, depth: number): Record<string, unknown> {
  let count = 0;
  for (const [name, value] of Object.entries(source)) {
    // Assigning it would set the prototype; nobody needs to read it in a log.
    if (name === '__proto__') continue;
    if ((count += 1) > MAX_ENTRIES) {
      target['…'] = 'more entries';
      break;
    }
    target[name] = isSecretName(name) && value !== undefined && value !== null ? MASK : redact(value, depth + 1);
  }
  return target;
}

/**
 * A copy that is safe to print: secrets masked by type, by name and by look; strings, depth (5) and entries (64) bounded.
 * Errors become one line with their causes; maps and class instances are shown by their own fields only.
 */
export function redact(value: unknown, depth = 0): unknown {
  switch (typeof value) {
    case 'string':
      return redactText(value);
    case 'number':
      return Number.isFinite(value) ? value : String(value);
    case 'boolean':
    case 'undefined':
      return value;
    case 'bigint':
      return value.toString();
    case 'function':
    case 'symbol':
      return `[${typeof value}]`;
    default:
  }
  if (value === null) return null;
  if (value instanceof Secret) return MASK;
  if (value instanceof Error) return redactText(describeUnknown(value));
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString();
  if (value instanceof URL) return redactText(value.href);
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (depth >= MAX_DEPTH) return Array.isArray(value) ? '[array]' : '[object]';
  if (Array.isArray(value)) {
    const items = value.slice(0, MAX_ENTRIES).map((item) => redact(item, depth + 1));
    return value.length > MAX_ENTRIES ? [...items, `… ${value.length} items`] : items;
  }
  return redactEntries({}, value as object, depth);
}

/** Adds fields, made safe to print, to a log line. */
export function addRedacted(line: Record<string, unknown>, fields: object): Record<string, unknown> {
  return redactEntries(line, fields, 0);
}
