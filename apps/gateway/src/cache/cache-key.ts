import { hash } from 'node:crypto';
import type { WireFormat } from '@pointsman/providers';
import type { JsonObject, JsonValue } from '@pointsman/schemas';
import { isForTheGateway } from '../dispatch/gateway-parameters.ts';
import { LONG_STRING, shortenStrings } from '../http/long-strings.ts';
import type { JsonBody } from '../http/parse-json-body.ts';

/** Everything that decides what the reply to a request is and who may see it. */
export interface CacheKeyParts {
  /** Who may see the reply. */
  readonly scope: string;
  readonly namespace: string;
  readonly format: WireFormat;
  readonly stream: boolean;
  readonly group: string;
  /** The name that the client asked for: replies carry it. */
  readonly model: string;
  /** Tags that decide which deployments may answer. */
  readonly tags: readonly string[];
  /** The client's `anthropic-beta` header. */
  readonly beta: string;
  /** What the client sent, before anything was split off. */
  readonly body: JsonBody;
}

/** Changes with the canonical form: replicas of two versions must not take each other's keys. */
const VERSION = 'reply 1';
const NUL_ESCAPE = String.raw`\u0000`;

/** Says nothing to the model: who asks, and notes of the client. The rest stands among the parts. */
const NOT_ASKED = new Set(['metadata', 'user', 'model', 'stream']);
/** For the gateway, and yet may change what the client gets. */
const CHANGES_THE_REPLY = new Set(['guardrails']);

/**
 * SHA-256 in hex over the parts and the canonical body: the same for any order of keys, any white space and any spelling of a number, another one for
 * any other difference. Undefined where two different bodies could share a key: they hold whole numbers that a double cannot tell apart.
 *
 * Strings of several kilobytes take part as the digest of the bytes that came, not decoded: their decoding would cost more than everything else.
 * Equal bytes have equal digests; a long string that is spelt with other escapes has another key, which costs a hit and never gives a wrong one.
 */
export function cacheKeyOf(parts: CacheKeyParts): string | undefined {
  const canonical = new CanonicalText();
  const text = `${part(VERSION)}${part(parts.scope)}${part(parts.namespace)}${part(parts.format)}${parts.stream ? 't' : 'f'}${part(parts.group)}${part(parts.model)}`
    + `${canonical.of(parts.tags as string[])}${part(parts.beta)}${bodyText(parts.body, canonical)}`;
  if (!canonical.isExact) return undefined;
  // Half of a surrogate pair, which JSON can spell, has no UTF-8 of its own: all of them would be hashed as one character.
  return hash('sha256', text.isWellFormed() ? text : `escaped ${JSON.stringify(text)}`, 'hex');
}

function bodyText(body: JsonBody, canonical: CanonicalText): string {
  if (body.raw.length > LONG_STRING) {
    let taken = 0;
    const shortened = shortenStrings(body.raw, (from, to) => {
      taken += 1;
      return NUL_ESCAPE + hash('sha256', body.raw.subarray(from, to), 'hex');
    });
    // JSON has no other way to spell NUL: when there are no more than the stand-ins', no string of the client's can pass for one.
    if (shortened !== undefined && occurrences(shortened, NUL_ESCAPE) === taken) return `l${canonical.ofBody(JSON.parse(shortened) as JsonObject)}`;
  }
  return `w${canonical.ofBody(body.value)}`;
}

function occurrences(text: string, word: string): number {
  let count = 0;
  for (let at = text.indexOf(word); at !== -1; at = text.indexOf(word, at + word.length)) count += 1;
  return count;
}

/** With its length in front, a string needs no escapes to end where it ends. */
function part(text: string): string {
  return `"${String(text.length)}:${text}`;
}

/** JSON values as text: equal for equal values, different for different ones. Depth was bounded when the body was parsed. */
class CanonicalText {
  /** Whether every number could be told from its neighbours. */
  isExact = true;

  ofBody(body: JsonObject): string {
    const keys = Object.keys(body).sort();
    let text = '{';
    for (const key of keys) {
      if (NOT_ASKED.has(key) || (isForTheGateway(key) && !CHANGES_THE_REPLY.has(key))) continue;
      text += part(key) + this.of(body[key]);
    }
    return `${text}}`;
  }

  of(value: JsonValue | undefined): string {
    switch (typeof value) {
      case 'string': return part(value);
      case 'number':
        if (value > Number.MAX_SAFE_INTEGER || value < Number.MIN_SAFE_INTEGER) this.isExact = false;
        return `#${String(value)};`;
      case 'boolean': return value ? 't' : 'f';
      case 'object': return value === null ? 'n' : Array.isArray(value) ? this.#ofList(value) : this.#ofObject(value);
      case 'undefined': return 'n';
    }
  }

  #ofList(list: readonly JsonValue[]): string {
    let text = '[';
    for (const item of list) text += this.of(item);
    return `${text}]`;
  }

  #ofObject(object: JsonObject): string {
    const keys = Object.keys(object).sort();
    let text = '{';
    for (const key of keys) text += part(key) + this.of(object[key]);
    return `${text}}`;
  }
}
