import type { KeyAccess } from '@pointsman/database';
import { readAllowedRoutes } from './allowed-routes.ts';
import { readKeyLimits } from './key-limits.ts';
import type { Principal, Role } from './principal.ts';

const ROLES: ReadonlyMap<string, Role> = new Map([['proxy_admin', 'admin'], ['proxy_admin_viewer', 'viewer']]);
const NO_TAGS: readonly string[] = [];

/**
 * Reads the rows behind a key once, so that requests need not. LiteLLM's words in `models`: none or `all-proxy-models` = all, `all-team-models` = what the team may,
 * `no-default-models` = none of its own.
 */
export function compilePrincipal(access: KeyAccess, now: number): Principal {
  const { key, team, user } = access;
  // What a user may use is asked only for keys without a team: a team's key is the team's.
  const owner = key.team_id === null ? user : team;
  return {
    keyHash: key.token,
    keyAlias: key.key_alias ?? undefined,
    role: (user === undefined ? undefined : ROLES.get(user.user_role)) ?? 'user',
    models: allowedModels(key.models),
    ownerModels: owner === undefined ? undefined : allowedModels(owner.models),
    aliases: readAliases(team?.aliases, key.aliases),
    userId: key.user_id ?? undefined,
    teamId: key.team_id ?? undefined,
    tags: key.tags.length === 0 ? NO_TAGS : key.tags,
    access,
    limits: readKeyLimits(access, now),
    routes: readAllowedRoutes(key.allowed_routes),
  };
}

function allowedModels(models: readonly string[]): ReadonlySet<string> | undefined {
  if (models.length === 0 || models.includes('all-proxy-models') || models.includes('all-team-models') || models.includes('*')) return undefined;
  return new Set(models.filter((model) => model !== 'no-default-models'));
}

/** The key's own names come before its team's. */
function readAliases(team: Readonly<Record<string, string>> | undefined, key: Readonly<Record<string, string>>): ReadonlyMap<string, string> | undefined {
  const aliases = new Map([...Object.entries(team ?? {}), ...Object.entries(key)]);
  return aliases.size === 0 ? undefined : aliases;
}
