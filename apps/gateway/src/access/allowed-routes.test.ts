import { expect, test } from 'vitest';
import { readAllowedRoutes, refuseRoute, routeKind } from './allowed-routes.ts';
import type { Principal, Role } from './principal.ts';

function refusal(route: string, { role = 'user', routes = [], method = 'POST', url = route }: { role?: Role; routes?: readonly string[]; method?: string; url?: string } = {}) {
  const principal: Principal = { keyHash: 'h', keyAlias: undefined, role, models: undefined, aliases: undefined, userId: undefined, teamId: undefined, tags: [], access: undefined, routes: readAllowedRoutes(routes) };
  return refuseRoute(principal, { route, kind: routeKind(route), method, url });
}

test.each(['/v1/chat/completions', '/v1/messages', '/v1/models', '/model/info', '/v1/route', '/{provider}/*', '/metrics'])('an ordinary key may use %s', (route) => {
  expect(refusal(route)).toBeUndefined();
});

test.each(['/health', '/health/config'])('%s is for admins; viewers may read it', (route) => {
  expect(refusal(route, { method: 'GET' })).toMatchObject({ status: 403, code: 'admin_only', details: { denied: 'route_denied' } });
  expect(refusal(route, { method: 'GET', role: 'viewer' })).toBeUndefined();
  expect(refusal(route, { method: 'POST', role: 'viewer' })).toMatchObject({ status: 403 });
  expect(refusal(route, { role: 'admin' })).toBeUndefined();
});

test('routes of keys, teams and spend judge for themselves', () => {
  for (const route of ['/key/generate', '/team/info', '/user/list', '/budget/new', '/spend/logs', '/global/spend']) expect(refusal(route, { routes: ['llm_api_routes'] })).toBeUndefined();
});

test('allowed_routes bind everybody who has them, admins too: groups, paths, both spellings, stars', () => {
  expect(refusal('/v1/chat/completions', { routes: ['info_routes'] })).toMatchObject({ status: 403, message: expect.stringContaining('["info_routes"]') as string });
  expect(refusal('/v1/chat/completions', { routes: ['management_routes'], role: 'admin' })).toMatchObject({ status: 403 });
  expect(refusal('/v1/models', { routes: ['info_routes'], method: 'GET' })).toBeUndefined();
  for (const routes of [['llm_api_routes'], ['/v1/chat/completions'], ['/chat/completions'], ['/v1/chat/*'], ['/other', '/v1/*']]) {
    expect(refusal('/v1/chat/completions', { routes })).toBeUndefined();
    expect(refusal('/v1/chat/completions', { routes, url: '/chat/completions?x=1' })).toBeUndefined();
  }
  expect(refusal('/v1/embeddings', { routes: ['/chat/completions'] })).toMatchObject({ status: 403 });
  expect(refusal('/v1/chat/completions', { routes: ['constructor', '__proto__'] })).toMatchObject({ status: 403 });
});
