import type { KeyAccess } from '@pointsman/database';

/** What a caller may do besides calling models. `admin` is the master key and keys of `proxy_admin` users; `viewer` may read what admins see. */
export type Role = 'admin' | 'viewer' | 'user';

/** Who is calling, as far as limits, model access and the audit need to know. Never holds the key itself. */
export interface Principal {
  /** SHA-256 of the key, hex: the id of a key everywhere. */
  readonly keyHash: string;
  readonly keyAlias: string | undefined;
  readonly role: Role;
  /** Model groups the key may use; undefined = all. May hold wildcards (`openai/*`). */
  readonly models: ReadonlySet<string> | undefined;
  /** Names the client may use → the model group they stand for, before the router's own aliases. */
  readonly aliases: ReadonlyMap<string, string> | undefined;
  readonly userId: string | undefined;
  readonly teamId: string | undefined;
  /** Tags that every request of the key carries. */
  readonly tags: readonly string[];
  /** The rows behind a virtual key; undefined for the master key and for keys that only `fallback_keys` vouches for. */
  readonly access: KeyAccess | undefined;
}

/** Whether the caller may ask for a model by this name. */
export function mayUseModel({ models }: Principal, name: string): boolean {
  return models === undefined || models.has(name);
}
