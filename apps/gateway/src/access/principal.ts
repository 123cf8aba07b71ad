import type { KeyAccess } from '@pointsman/database';
import type { RouteRules } from './allowed-routes.ts';
import type { KeyLimits } from './key-limits.ts';
import { matchesPattern } from './name-pattern.ts';

/** What a caller may do besides calling models. `admin` is the master key and keys of `proxy_admin` users; `viewer` may read what admins see. */
export type Role = 'admin' | 'viewer' | 'user';

/** Who is calling, as far as limits, model access and the audit need to know. Never holds the key itself. */
export interface Principal {
  /** SHA-256 of the key, hex: the id of a key everywhere. */
  readonly keyHash: string;
  readonly keyAlias: string | undefined;
  readonly role: Role;
  /** Model groups the key may use; undefined = all. May hold wildcards (`openai/*`) and access groups. */
  readonly models: ReadonlySet<string> | undefined;
  /** What the key's team, or the user of a key without one, may use: both have to allow a model. */
  readonly ownerModels?: ReadonlySet<string> | undefined;
  /** Names the client may use → the model group they stand for, before the router's own aliases. */
  readonly aliases: ReadonlyMap<string, string> | undefined;
  readonly userId: string | undefined;
  readonly teamId: string | undefined;
  /** Tags that every request of the key carries. */
  readonly tags: readonly string[];
  /** The rows behind a virtual key; undefined for the master key and for keys that only `fallback_keys` vouches for. */
  readonly access: KeyAccess | undefined;
  /** Undefined where nothing is limited: the common case costs nothing. */
  readonly limits?: KeyLimits | undefined;
  /** The only routes that the key may use; undefined: what its role may. */
  readonly routes?: RouteRules | undefined;
}

/** What is asked of a deployment here: the access groups of `model_info`. */
interface Grouped {
  readonly info: Readonly<Record<string, unknown>>;
}

const NO_DEPLOYMENTS: readonly Grouped[] = [];

/** Whether the caller may ask for a model by this name. `deployments` are those behind it: their `access_groups` count as names of it. */
export function mayUseModel({ models, ownerModels }: Principal, name: string, deployments: readonly Grouped[] = NO_DEPLOYMENTS): boolean {
  return (models === undefined || allows(models, name, deployments)) && (ownerModels === undefined || allows(ownerModels, name, deployments));
}

function allows(models: ReadonlySet<string>, name: string, deployments: readonly Grouped[]): boolean {
  if (models.has(name)) return true;
  for (const allowed of models) if (allowed.includes('*') && matchesPattern(allowed, name)) return true;
  for (const { info } of deployments) {
    const groups = info['access_groups'];
    if (Array.isArray(groups) && groups.some((group) => typeof group === 'string' && models.has(group))) return true;
  }
  return false;
}
