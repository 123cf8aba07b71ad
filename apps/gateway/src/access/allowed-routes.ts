import { AppError } from '@pointsman/errors';
import { matchesPattern } from './name-pattern.ts';
import type { Principal } from './principal.ts';

/**
 * What a route is for. `llm`: calling models and what belongs to it; `info`: seeing what models there are; `admin`: what shows the state of the gateway;
 * `managed`: keys, teams, users, budgets and spend, whose routes judge their callers themselves, since whose key or team it is matters there.
 */
export type RouteKind = 'llm' | 'info' | 'admin' | 'managed';

/** `allowed_routes` of a key, read once. */
export interface RouteRules {
  readonly kinds: ReadonlySet<RouteKind>;
  /** Paths as written, with stars. */
  readonly paths: readonly string[];
  /** As written: what a refusal shows. */
  readonly written: readonly string[];
}

/** By the beginning of a route's pattern. */
const MANAGED = ['/key', '/team', '/user', '/budget', '/spend', '/global'] as const;
const ADMIN = ['/health', '/config', '/audit', '/reload', '/router'] as const;
const INFO: ReadonlySet<string> = new Set(['/v1/models', '/v1/models/{id}', '/model/info', '/metrics']);

/** LiteLLM's names of groups of routes. */
const GROUPS: Readonly<Record<string, readonly RouteKind[]>> = {
  llm_api_routes: ['llm', 'info'], openai_routes: ['llm', 'info'], anthropic_routes: ['llm'], mapped_pass_through_routes: ['llm'], passthrough_routes: ['llm'],
  info_routes: ['info'], management_routes: ['admin'], spend_tracking_routes: [], global_spend_tracking_routes: [],
};

/** The kind of a route by its pattern, worked out once per route. */
export function routeKind(route: string): RouteKind {
  if (INFO.has(route)) return 'info';
  if (isBelow(route, MANAGED)) return 'managed';
  return isBelow(route, ADMIN) ? 'admin' : 'llm';
}

function isBelow(route: string, prefixes: readonly string[]): boolean {
  return prefixes.some((prefix) => route === prefix || route.startsWith(`${prefix}/`));
}

/** Reads `allowed_routes`; undefined where there are none. */
export function readAllowedRoutes(written: readonly string[]): RouteRules | undefined {
  if (written.length === 0) return undefined;
  const kinds = new Set<RouteKind>();
  const paths: string[] = [];
  for (const route of written) {
    if (Object.hasOwn(GROUPS, route)) for (const kind of GROUPS[route] ?? []) kinds.add(kind);
    else paths.push(route);
  }
  return { kinds, paths, written };
}

/** A request for a route: its pattern with its kind, and what the client sent. */
export interface RouteQuestion {
  readonly route: string;
  readonly kind: RouteKind;
  readonly method: string | undefined;
  readonly url: string | undefined;
}

/**
 * Whether a caller may use a route: ordinary keys those of models, viewers may also read what admins see, and `allowed_routes` bind everybody who has them.
 * Returns the refusal, or undefined.
 */
export function refuseRoute({ role, routes }: Principal, { route, kind, method, url }: RouteQuestion): AppError | undefined {
  if (kind === 'managed') return undefined;
  if (routes !== undefined && !routes.kinds.has(kind) && !names(routes, route, url)) {
    return new AppError('forbidden', '403', `Virtual key is not allowed to call this route. Only allowed to call routes: ${JSON.stringify(routes.written).slice(0, 500)}. Tried to call route: ${route}`, { details: { denied: 'route_denied' } });
  }
  if (kind !== 'admin' || role === 'admin') return undefined;
  if (role === 'viewer' && (method === 'GET' || method === 'HEAD')) return undefined;
  return new AppError('forbidden', 'admin_only', `Only the master key or an admin key may use this route. Route=${route}`, { details: { denied: 'route_denied' } });
}

/** `/chat/completions` means both spellings, and so does `/v1/chat/completions`. */
function names({ paths }: RouteRules, route: string, url: string | undefined): boolean {
  const path = url?.split('?', 1)[0] ?? route;
  const bare = path.startsWith('/v1/') ? path.slice(3) : path;
  const spellings = [route, bare, `/v1${bare}`];
  return paths.some((allowed) => spellings.some((spelling) => matchesPattern(allowed, spelling)));
}
