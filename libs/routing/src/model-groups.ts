import { bySpecificity, matchWildcard, parseWildcard, type Wildcard } from './wildcard.ts';

export interface ModelGroupMatch {
  /** The group (`model_name`) that serves; for a wildcard group its pattern. */
  readonly group: string;
  /** What the client asked for. */
  readonly requested: string;
  /** The name after the alias was followed: what the stars matched against. */
  readonly resolved: string;
  /** Whether an alias was followed. */
  readonly isAlias: boolean;
  /** What each star of a wildcard group stood for; empty for an exact group. For `fillWildcards`. */
  readonly captured: readonly string[];
}

export interface ModelGroupsOptions {
  /** Every `model_name` of the configuration, duplicates allowed, wildcards included. */
  readonly groups: Iterable<string>;
  /** `model_group_alias` */
  readonly aliases?: ReadonlyMap<string, { readonly group: string; readonly hidden: boolean }>;
  /** How many names that matched a wildcard are remembered. */
  readonly cacheSize?: number;
}

/** Longer than any model name; a client's longer one is not worth looking at. */
const MAX_NAME_LENGTH = 1_024;
/**
 * What no model is called, but an attacker's request may be: providers put names into paths and headers, and a wildcard lets the client choose
 * the name. Control characters and halves of characters, `?`, `#`, `%`, `\`, and the path segments `.` and `..`.
 */
const UNSAFE_IN_A_WILDCARD = /[\p{Cc}\p{Cs}?#%\\]|(?:^|\/)\.{1,2}(?:\/|$)/u;
const NOTHING_CAPTURED: readonly string[] = Object.freeze([]);

/**
 * From the name a client sent to the group that serves it: alias, then exact group, then the most specific wildcard
 * group (longest literal prefix). Immutable; built with a snapshot. Client names are only ever keys of a Map, so that
 * `__proto__` is a name like any other.
 */
export class ModelGroups {
  readonly #exact = new Map<string, ModelGroupMatch>();
  readonly #wildcards: readonly Wildcard[];
  readonly #listed: readonly string[];
  readonly #remembered = new Map<string, ModelGroupMatch>();
  readonly #cacheSize: number;

  constructor({ groups, aliases = new Map(), cacheSize = 1_000 }: ModelGroupsOptions) {
    this.#cacheSize = cacheSize;
    const names = [...new Set(groups)];
    this.#wildcards = names.filter(isWildcard).map(parseWildcard).sort(bySpecificity);
    const exact = names.filter((name) => !isWildcard(name));
    for (const name of exact) {
      this.#exact.set(name, { group: name, requested: name, resolved: name, isAlias: false, captured: NOTHING_CAPTURED });
    }
    const aliasMatches: ModelGroupMatch[] = [];
    for (const [alias, { group }] of aliases) {
      // The target may be a wildcard group itself, an exact group, or a name that a wildcard serves. Aliases do not chain.
      const match = this.#exact.get(group) ?? this.#matchWildcards(group);
      if (match !== undefined) aliasMatches.push({ ...match, requested: alias, isAlias: true });
    }
    for (const match of aliasMatches) this.#exact.set(match.requested, match);
    const visible = [...aliases].filter(([alias, { hidden }]) => !hidden && this.#exact.get(alias)?.isAlias === true).map(([alias]) => alias);
    this.#listed = [...new Set([...names, ...visible])];
  }

  /** The group that serves `name`, or undefined when none does. */
  resolve(name: string): ModelGroupMatch | undefined {
    const exact = this.#exact.get(name) ?? this.#remembered.get(name);
    if (exact !== undefined || this.#wildcards.length === 0 || name.length > MAX_NAME_LENGTH) return exact;
    const match = UNSAFE_IN_A_WILDCARD.test(name) ? undefined : this.#matchWildcards(name);
    // Misses are not remembered: they are what an attacker can make most of.
    if (match !== undefined) this.#remember(name, match);
    return match;
  }

  /** Every name that a client may be shown: groups as configured, wildcards included, and aliases that are not hidden. */
  list(): readonly string[] {
    return this.#listed;
  }

  #matchWildcards(name: string): ModelGroupMatch | undefined {
    for (const wildcard of this.#wildcards) {
      const captured = matchWildcard(wildcard, name);
      if (captured !== undefined) return { group: wildcard.pattern, requested: name, resolved: name, isAlias: false, captured };
    }
    return undefined;
  }

  #remember(name: string, match: ModelGroupMatch): void {
    if (this.#cacheSize <= 0) return;
    if (this.#remembered.size >= this.#cacheSize) {
      for (const oldest of this.#remembered.keys()) {
        this.#remembered.delete(oldest);
        break;
      }
    }
    this.#remembered.set(name, match);
  }
}

function isWildcard(name: string): boolean {
  return name.includes('*');
}
