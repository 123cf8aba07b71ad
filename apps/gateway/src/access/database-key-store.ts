import { AppError } from '@pointsman/errors';
import type { KeyAccess } from '@pointsman/database';
import type { DegradedMode } from '@pointsman/gateway-config';
import type { Clock } from '@pointsman/timing';
import { LRUCache } from 'lru-cache';
import { REQUEST_DEADLINE_MS } from '../state/dependency.ts';
import type { GatewayDatabase } from '../state/gateway-database.ts';
import { compilePrincipal } from './compile-principal.ts';
import { blockedKey, blockedTeam, expiredKey, keyNotCheckable, tooManyLookups, uncheckableKey } from './key-refusals.ts';
import type { KeyStore } from './key-store.ts';
import { LookupSlots } from './lookup-slots.ts';
import type { Principal } from './principal.ts';

/** Keys held in memory: about 2 KB each. */
const MAX_KEYS = 50_000;
/** Digests that the database did not know. */
const MAX_UNKNOWN = 20_000;
/** Keys that changed and were not asked for since. */
const MAX_CHANGED = 10_000;
/** How long a key is used without asking again; then it is asked for in the background. As LiteLLM's `user_api_key_cache_ttl`. */
const FRESH_MS = 60_000;
/** How long it is used while the question is under way; past it a request waits for the answer. */
const STALE_MS = 600_000;
/** Least time between two tries to refresh one key. */
const RETRY_MS = 2_000;
const UNKNOWN_MS = 3_000;

/** A key as the database confirmed it. */
class KnownKey {
  readonly principal: Principal;
  readonly #refusal: (() => AppError) | undefined;
  /** Milliseconds since the epoch. */
  readonly #expiresAt: number;
  readonly #isGraced: boolean;
  /** Monotonic. */
  confirmedAt: number;
  triedAt: number;
  /** Something changed: it must be asked for before it is used. */
  mustConfirm = false;

  constructor(access: KeyAccess, { now, confirmedAt }: { readonly now: number; readonly confirmedAt: number }) {
    const { key, team, grace_until } = access;
    this.principal = compilePrincipal(access, now);
    this.#refusal = key.blocked ? blockedKey : team?.blocked === true ? () => blockedTeam(team.team_id) : undefined;
    const expires = key.expires?.getTime() ?? Infinity;
    this.#isGraced = grace_until !== undefined && grace_until.getTime() < expires;
    this.#expiresAt = Math.min(expires, grace_until?.getTime() ?? Infinity);
    this.confirmedAt = confirmedAt;
    this.triedAt = confirmedAt;
  }

  /** The principal, or undefined for the old name of a rotated key whose grace period is over. @throws AppError for an expired or blocked one. */
  use(now: number): Principal | undefined {
    if (now >= this.#expiresAt) {
      if (this.#isGraced) return undefined;
      throw expiredKey(this.#expiresAt, now);
    }
    if (this.#refusal !== undefined) throw this.#refusal();
    return this.principal;
  }
}

interface PendingLookup {
  readonly answer: Promise<KnownKey | undefined>;
  /** Something changed while it was under way: what it brings may be old. */
  isOutdated: boolean;
}

export interface DatabaseKeyStoreOptions {
  /** Asked first: the master key works whatever happens. */
  readonly master: KeyStore;
  readonly database: GatewayDatabase;
  readonly degradedMode: () => DegradedMode;
  readonly clock: Clock;
}

/**
 * Virtual keys. What is in memory answers at once; the database is asked for what is not, by few at a time. While the database is away, keys that it confirmed
 * within `fallback_key_ttl_s` and those of `fallback_keys` are accepted, and nobody else.
 */
export class DatabaseKeyStore implements KeyStore {
  readonly hasKeys = true;
  readonly #master: KeyStore;
  readonly #database: GatewayDatabase;
  readonly #degradedMode: () => DegradedMode;
  readonly #clock: Clock;
  readonly #known: LRUCache<string, KnownKey>;
  /** Digest → when it was not known, monotonic. */
  readonly #unknown = new LRUCache<string, number>({ max: MAX_UNKNOWN });
  /** Keys that were known until they changed: asked for before those that nobody has seen. */
  readonly #changed = new LRUCache<string, true>({ max: MAX_CHANGED });
  readonly #pending = new Map<string, PendingLookup>();
  readonly #slots = new LookupSlots();
  readonly #fallbacks = new Map<string, Principal>();
  /** New hash of a rotated key → old ones in memory: a change names the new one. */
  readonly #oldNames = new Map<string, Set<string>>();

  constructor({ master, database, degradedMode, clock }: DatabaseKeyStoreOptions) {
    this.#master = master;
    this.#database = database;
    this.#degradedMode = degradedMode;
    this.#clock = clock;
    this.#known = new LRUCache<string, KnownKey>({ max: MAX_KEYS, dispose: ({ principal }, token) => this.#forgetOldName(principal.keyHash, token) });
  }

  find(digest: Buffer): Principal | undefined | Promise<Principal | undefined> {
    const master = this.#master.find(digest);
    if (master !== undefined) return master;
    const token = digest.toString('hex');
    const known = this.#known.get(token);
    if (known === undefined) {
      const unknownAt = this.#unknown.get(token);
      if (unknownAt !== undefined && this.#clock.monotonic() - unknownAt < UNKNOWN_MS) return undefined;
      return this.#lookUp(token);
    }
    const now = this.#clock.monotonic();
    const age = now - known.confirmedAt;
    if (!known.mustConfirm) {
      if (age < FRESH_MS) return known.use(this.#clock.now());
      if (age < STALE_MS) {
        if (now - known.triedAt > RETRY_MS && !this.#slots.isBusy) {
          known.triedAt = now;
          // What comes of it is seen by the next request; a failure leaves the key as it is.
          this.#ask(token).catch(() => undefined);
        }
        return known.use(this.#clock.now());
      }
    }
    return this.#confirm(token, known);
  }

  /** These keys are not what they were (hashes; undefined: any key may have changed). */
  changed(tokens: readonly string[] | undefined): void {
    this.#unknown.clear();
    if (tokens === undefined) {
      for (const pending of this.#pending.values()) pending.isOutdated = true;
      for (const known of this.#known.values()) known.mustConfirm = true;
      return;
    }
    for (const token of tokens) {
      this.#forget(token);
      for (const old of [...this.#oldNames.get(token) ?? []]) this.#forget(old);
    }
    // A rotated key that is being asked for under its old name is not told apart from others: few are ever under way.
    for (const pending of this.#pending.values()) pending.isOutdated = true;
  }

  /** Keys in memory: for tests and for whoever wants to know what an outage would be survived with. */
  get size(): number {
    return this.#known.size;
  }

  #forget(token: string): void {
    if (this.#known.delete(token)) this.#changed.set(token, true);
  }

  #forgetOldName(current: string, token: string): void {
    const names = this.#oldNames.get(current);
    if (names?.delete(token) === true && names.size === 0) this.#oldNames.delete(current);
  }

  async #lookUp(token: string): Promise<Principal | undefined> {
    let known: KnownKey | undefined;
    try {
      known = await this.#ask(token);
    } catch (error) {
      return this.#withoutDatabase(token, error);
    }
    return known?.use(this.#clock.now());
  }

  /** The key was known; whether it still is has to be asked before it is used. */
  async #confirm(token: string, known: KnownKey): Promise<Principal | undefined> {
    let confirmed: KnownKey | undefined;
    try {
      confirmed = await this.#ask(token);
    } catch (error) {
      if (this.#clock.monotonic() - known.confirmedAt <= this.#degradedMode().fallbackKeyTtlMs) return known.use(this.#clock.now());
      return this.#withoutDatabase(token, error);
    }
    return confirmed?.use(this.#clock.now());
  }

  /** One question per key at a time, whoever asks. @throws AppError when it got no answer. */
  #ask(token: string): Promise<KnownKey | undefined> {
    const underWay = this.#pending.get(token);
    // A question from before a change may bring what was before it: ask again.
    if (underWay?.isOutdated === false) return underWay.answer;
    const pending: PendingLookup = { answer: this.#query(token, () => pending.isOutdated).finally(() => {
      if (this.#pending.get(token) === pending) this.#pending.delete(token);
    }), isOutdated: false };
    this.#pending.set(token, pending);
    return pending.answer;
  }

  async #query(token: string, isOutdated: () => boolean): Promise<KnownKey | undefined> {
    const found = await this.#slots.run(async () => {
      const askedAt = this.#clock.monotonic();
      const access = await this.#database.run((database, signal) => database.access.findAccess(token, signal), { deadlineMs: REQUEST_DEADLINE_MS });
      return access === undefined ? undefined : new KnownKey(access, { now: this.#clock.now(), confirmedAt: askedAt });
    }, { wasKnown: this.#known.has(token) || this.#changed.has(token) });
    if (found === undefined) throw tooManyLookups();
    const known = found.answer;
    this.#changed.delete(token);
    // What may be old already answers this request and is not kept.
    if (isOutdated()) return known;
    if (known === undefined) {
      this.#known.delete(token);
      this.#unknown.set(token, this.#clock.monotonic());
      return undefined;
    }
    this.#known.set(token, known);
    const { keyHash } = known.principal;
    if (keyHash !== token) this.#oldNames.set(keyHash, (this.#oldNames.get(keyHash) ?? new Set()).add(token));
    return known;
  }

  /** @throws AppError: what a caller is told whom nothing vouches for. */
  #withoutDatabase(token: string, error: unknown): Principal {
    if (!(error instanceof AppError && error.kind === 'unavailable') || error.code === 'key_lookups_busy') throw error;
    if (this.#degradedMode().fallbackKeys.has(token)) return this.#fallback(token);
    // A gateway that has just begun may know the key in a moment: try again, rather than "wrong key".
    if (error.code === 'database_starting') throw error;
    // So may one whose database was too busy for this once; only an outage that is established says what an SDK does not try again.
    throw this.#database.isAway ? uncheckableKey(token) : keyNotCheckable(error);
  }

  #fallback(token: string): Principal {
    const known = this.#fallbacks.get(token);
    if (known !== undefined) return known;
    const principal: Principal = {
      keyHash: token, keyAlias: `fallback:${token.slice(0, 8)}`, role: 'user', models: undefined, aliases: undefined, userId: undefined, teamId: undefined, tags: [], access: undefined,
    };
    // As many as the file names, which somebody wrote.
    this.#fallbacks.set(token, principal);
    return principal;
  }
}
