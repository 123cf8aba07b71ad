import { Secret } from '@pointsman/telemetry';
import { z } from 'zod';

// Schemas for environment variables: text in, value out. Add `.default(value)` or `.optional()` as needed.
// Messages say what was expected and never repeat what was given.

export interface NumberRange {
  readonly min?: number;
  readonly max?: number;
}

function rangeWords({ min, max }: NumberRange): string {
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`;
  if (min !== undefined) return ` of at least ${min}`;
  return max === undefined ? '' : ` of at most ${max}`;
}

function numberSetting(pattern: RegExp, words: string, range: NumberRange) {
  return z.string().transform((text, context) => {
    const value = pattern.test(text) ? Number(text) : Number.NaN;
    if (value >= (range.min ?? -Infinity) && value <= (range.max ?? Infinity)) return value;
    context.addIssue({ code: 'custom', message: `must be a ${words}${rangeWords(range)}` });
    return z.NEVER;
  });
}

/** A whole number. */
export function integer(range: NumberRange = {}) {
  return numberSetting(/^[+-]?\d{1,15}$/, 'whole number', range);
}

/** A number such as `0.25`. */
export function decimal(range: NumberRange = {}) {
  return numberSetting(/^[+-]?(\d+\.?\d*|\.\d+)$/, 'number', range);
}

/** A TCP port; 0 picks a free one. */
export function port() {
  return integer({ min: 0, max: 65_535 });
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A duration, in milliseconds: a bare number is seconds (`60`, `0.5`), or with a unit `500ms`, `30s`, `5m`, `1h`, `1d`. Range in milliseconds. */
export function durationMs({ min = 0, max = 366 * 86_400_000 }: NumberRange = {}) {
  return z.string().transform((text, context) => {
    const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?$/.exec(text);
    const value = match === null ? Number.NaN : Math.round(Number(match[1]) * (UNIT_MS[match[2] ?? 's'] as number));
    if (value >= min && value <= max) return value;
    context.addIssue({ code: 'custom', message: `must be a duration from ${min} ms to ${max} ms, in seconds or with a unit: 60, 500ms, 30s, 5m, 1h` });
    return z.NEVER;
  });
}

const TRUE_WORDS = new Set(['true', '1', 'yes', 'on']);
const FALSE_WORDS = new Set(['false', '0', 'no', 'off']);

/** `true`, `1`, `yes`, `on` or `false`, `0`, `no`, `off`, in any case. */
export function flag() {
  return z.string().transform((text, context) => {
    const word = text.toLowerCase();
    if (TRUE_WORDS.has(word)) return true;
    if (FALSE_WORDS.has(word)) return false;
    context.addIssue({ code: 'custom', message: 'must be true or false' });
    return z.NEVER;
  });
}

/** An absolute URL with one of the protocols (`http` and `https` when none are named), as text without a trailing slash. */
export function url(protocols: readonly string[] = ['http', 'https']) {
  return z.string().transform((text, context) => {
    const parsed = URL.canParse(text) ? new URL(text) : undefined;
    if (parsed !== undefined && protocols.includes(parsed.protocol.slice(0, -1))) return text.replace(/\/+$/, '');
    context.addIssue({ code: 'custom', message: `must be a URL that begins with ${protocols.map((name) => `${name}://`).join(' or ')}` });
    return z.NEVER;
  });
}

/** A URL that holds nothing but an address: no user, password, query or fragment. `instead` tells where such things belong. */
export function plainUrl(instead: string) {
  return url().refine((text) => {
    if (!URL.canParse(text)) return true;
    const { username, password, search, hash } = new URL(text);
    return `${username}${password}${search}${hash}` === '';
  }, { error: `must hold no user, password, query or fragment: ${instead}` });
}

/** Text. */
export function text() {
  return z.string();
}

/** One of the words. */
export function oneOf<const Words extends readonly [string, ...string[]]>(words: Words) {
  return z.enum(words, { error: `must be one of ${words.join(', ')}` });
}

/** Entries separated by commas, trimmed, without empty ones. */
export function list() {
  return z.string().transform((entries) => entries.split(',').map((entry) => entry.trim()).filter((entry) => entry !== ''));
}

/** A credential, wrapped so that it does not show itself. */
export function secret() {
  return z.string().transform((value) => new Secret(value));
}

/** `name=value,name=value` with percent-encoded values, as in `OTEL_RESOURCE_ATTRIBUTES` (https://opentelemetry.io/docs/specs/otel/resource/sdk/). */
export function pairs() {
  return z.string().transform((entries, context) => {
    const found = new Map<string, string>();
    for (const entry of entries.split(',')) {
      if (entry.trim() === '') continue;
      const equals = entry.indexOf('=');
      const name = entry.slice(0, equals).trim();
      try {
        if (equals > 0 && name !== '') {
          found.set(name, decodeURIComponent(entry.slice(equals + 1).trim()));
          continue;
        }
      } catch {
        // Reported below, with the entries that have no name.
      }
      context.addIssue({ code: 'custom', message: 'must be name=value pairs separated by commas' });
      return z.NEVER;
    }
    return Object.fromEntries(found);
  });
}
