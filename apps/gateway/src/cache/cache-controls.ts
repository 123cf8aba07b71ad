import { AppError } from '@pointsman/errors';
import { isJsonObject } from '@pointsman/schemas';

/** What a request says about the cache: LiteLLM's body parameter `cache`, and what `cache-control` adds. */
export interface CacheControls {
  /** Do not answer with a stored reply. The new one is stored. */
  readonly noCache: boolean;
  /** Do not store the reply. */
  readonly noStore: boolean;
  /** Opts in where the configuration says `mode: default_off`. */
  readonly useCache: boolean;
  /** How long the reply is kept. */
  readonly ttlMs: number | undefined;
  /** The oldest stored reply that will do. */
  readonly maxAgeMs: number | undefined;
  /** Replies of one namespace are not seen in another. Always within what the caller may see. */
  readonly namespace: string | undefined;
}

export const NO_CONTROLS: CacheControls = { noCache: false, noStore: false, useCache: false, ttlMs: undefined, maxAgeMs: undefined, namespace: undefined };

const KNOWN = ['no-cache', 'no-store', 'use-cache', 'ttl', 's-maxage', 's-max-age', 'namespace'] as const;
/** A year. */
const MAX_SECONDS = 31_536_000;
const MAX_NAMESPACE_LENGTH = 256;

function wrong(param: string, expected: string): AppError {
  return new AppError('invalid_request', 'invalid_type', `Invalid value for '${param}': ${expected} was expected.`, { param });
}

/**
 * The body parameter `cache`; undefined where the client set none.
 * @throws AppError `invalid_request` naming the field. A key that nobody knows is refused: `no_store` that is not heard would store what must not be.
 */
export function readCacheControls(value: unknown): CacheControls | undefined {
  if (value === undefined || value === null) return undefined;
  if (!isJsonObject(value)) throw wrong('cache', 'an object such as {"no-cache": true}');
  for (const key of Object.keys(value)) {
    if (!(KNOWN as readonly string[]).includes(key)) throw wrong(`cache.${key.slice(0, 64)}`, `one of ${KNOWN.join(', ')}`);
  }
  const flag = (name: (typeof KNOWN)[number]): boolean => {
    const set = value[name] ?? false;
    if (typeof set !== 'boolean') throw wrong(`cache.${name}`, 'true or false');
    return set;
  };
  const seconds = (name: (typeof KNOWN)[number]): number | undefined => {
    const set = value[name] ?? undefined;
    if (set === undefined) return undefined;
    if (typeof set !== 'number' || !(set >= 0) || set > MAX_SECONDS) throw wrong(`cache.${name}`, `a number of seconds from 0 to ${String(MAX_SECONDS)}`);
    return set * 1000;
  };
  const namespace = value['namespace'] ?? undefined;
  if (namespace !== undefined && (typeof namespace !== 'string' || namespace.length > MAX_NAMESPACE_LENGTH)) {
    throw wrong('cache.namespace', `a string of at most ${String(MAX_NAMESPACE_LENGTH)} characters`);
  }
  return {
    noCache: flag('no-cache'), noStore: flag('no-store'), useCache: flag('use-cache'),
    ttlMs: seconds('ttl'), maxAgeMs: lesser(seconds('s-maxage'), seconds('s-max-age')), namespace,
  };
}

/** The controls with what the header `cache-control` adds (RFC 9111, 5.2.1): `no-cache`, `no-store`, `max-age`. Other directives mean nothing here. */
export function withCacheControl(controls: CacheControls, header: string): CacheControls {
  let { noCache, noStore, maxAgeMs } = controls;
  for (const part of header.split(',', 32)) {
    const directive = part.trim().toLowerCase();
    if (directive === 'no-cache') noCache = true;
    else if (directive === 'no-store') noStore = true;
    else if (directive.startsWith('max-age=')) {
      const age = directive.slice('max-age='.length);
      // An age that cannot be read means that nothing stored is fresh enough (RFC 9111, 4.2.1).
      maxAgeMs = lesser(maxAgeMs, /^\d{1,10}$/.test(age) ? Number(age) * 1000 : 0);
    }
  }
  return { ...controls, noCache, noStore, maxAgeMs };
}

function lesser(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Math.min(a, b);
}
