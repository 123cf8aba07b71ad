import { matchesPattern } from '../../access/name-pattern.ts';

/** Routes that LiteLLM counts as `info_routes`: what a key may ask about itself and what is around it. */
const INFO_ROUTES = new Set(['/key/info', '/team/info', '/team/list', '/user/info', '/user/list', '/key/list', '/budget/info', '/budget/list', '/budget/settings']);

interface Route {
  readonly method: 'get' | 'post';
  readonly path: string;
  readonly tag: string;
}

/** Whether a key whose `allowed_routes` are these may call an admin route. Entries are paths (with stars) or LiteLLM's groups; an empty list allows what the role allows. */
export function allowsRoute(allowedRoutes: readonly string[], { method, path, tag }: Route): boolean {
  if (allowedRoutes.length === 0) return true;
  return allowedRoutes.some((entry) => {
    switch (entry) {
      case 'management_routes': return tag !== 'Spend';
      case 'info_routes': return method === 'get' && INFO_ROUTES.has(path);
      case 'spend_tracking_routes': return tag === 'Spend' && path.startsWith('/spend/');
      case 'global_spend_tracking_routes': return tag === 'Spend' && path.startsWith('/global/');
      default: return matchesPattern(entry, path);
    }
  });
}

/** What LiteLLM's `key_type` stands for; undefined for `default`: what the role allows. */
export function routesOfKeyType(keyType: 'default' | 'llm_api' | 'management' | 'read_only'): string[] {
  switch (keyType) {
    case 'llm_api': return ['llm_api_routes'];
    case 'management': return ['management_routes'];
    case 'read_only': return ['info_routes'];
    case 'default': return [];
  }
}
