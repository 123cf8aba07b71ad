import { expect, test } from 'vitest';
import { chatConfig, entry, fakeSnapshot } from '../fake-gateway.fixture.ts';
import { compilePrincipal } from './compile-principal.ts';
import { keyAccess, keyRow, teamRow, userRow } from './key-access.fixture.ts';
import { mayUseModel } from './principal.ts';
import { resolveGroup } from './resolve-group.ts';

const ALL = ['gpt-4o', 'openai/gpt-4o', 'openai/o3', 'claude'];

function allowed(keyModels: readonly string[], teamModels?: readonly string[], userModels?: readonly string[]): string[] {
  const key = keyRow('sk-a', { models: [...keyModels], team_id: teamModels === undefined ? null : 't1', user_id: userModels === undefined ? null : 'u1' });
  const principal = compilePrincipal(keyAccess(key, {
    team: teamModels === undefined ? undefined : teamRow({ models: [...teamModels] }), user: userModels === undefined ? undefined : userRow({ models: [...userModels] }),
  }), 0);
  return ALL.filter((model) => mayUseModel(principal, model));
}

test.each<[string, readonly string[], string[]]>([
  ['none named is all', [], ALL],
  ['all-proxy-models is all', ['all-proxy-models'], ALL],
  ['a star is all', ['*'], ALL],
  ['names', ['gpt-4o', 'claude'], ['gpt-4o', 'claude']],
  ['wildcards', ['openai/*'], ['openai/gpt-4o', 'openai/o3']],
  ['no-default-models is none', ['no-default-models'], []],
  ['a prefix is no wildcard', ['openai'], []],
])('models of a key: %s', (_what, models, expected) => {
  expect(allowed(models)).toEqual(expected);
});

test('a team\'s key may use what both allow', () => {
  expect(allowed([], ['gpt-4o'])).toEqual(['gpt-4o']);
  expect(allowed(['all-team-models'], ['openai/*'])).toEqual(['openai/gpt-4o', 'openai/o3']);
  expect(allowed(['openai/o3', 'claude'], ['openai/*'])).toEqual(['openai/o3']);
  expect(allowed(['claude'], [])).toEqual(['claude']);
});

test('what a user may use binds keys without a team only', () => {
  expect(allowed([], undefined, ['claude'])).toEqual(['claude']);
  expect(allowed([], ['gpt-4o'], ['claude'])).toEqual(['gpt-4o']);
});

test.each([['proxy_admin', 'admin'], ['proxy_admin_viewer', 'viewer'], ['internal_user', 'user'], ['constructor', 'user'], ['', 'user']])('the user role %s is %s', (userRole, role) => {
  expect(compilePrincipal(keyAccess(keyRow('sk-a', { user_id: 'u1' }), { user: userRow({ user_role: userRole }) }), 0).role).toBe(role);
});

test('a key without limits carries none', () => {
  expect(compilePrincipal(keyAccess(keyRow('sk-a', { team_id: 't1', user_id: 'u1' }), { team: teamRow(), user: userRow() }), 0)).toMatchObject({ limits: undefined, routes: undefined, aliases: undefined });
});

const snapshot = fakeSnapshot(chatConfig(['a'], `${entry('grouped', 'b').replace('id: b', 'id: b, access_groups: [beta]')}`));

function resolve(model: string, change: Parameters<typeof keyRow>[1], teamAliases: Record<string, string> = {}): unknown {
  const principal = compilePrincipal(keyAccess(keyRow('sk-a', { team_id: 't1', ...change }), { team: teamRow({ aliases: teamAliases }) }), 0);
  try {
    return (resolveGroup({ snapshot, principal }, model, '/x') as { group: string }).group;
  } catch (error) {
    return (error as { type: string }).type;
  }
}

test('a name of the key\'s own stands for its target, whose permission counts; the team\'s names too, the key\'s first', () => {
  expect(resolve('fast', { aliases: { fast: 'chat' } })).toBe('chat');
  expect(resolve('fast', { aliases: { fast: 'chat' }, models: ['chat'] })).toBe('chat');
  expect(resolve('fast', { aliases: { fast: 'chat' }, models: ['fast'] })).toBe('key_model_access_denied');
  expect(resolve('fast', {}, { fast: 'grouped' })).toBe('grouped');
  expect(resolve('fast', { aliases: { fast: 'chat' } }, { fast: 'grouped' })).toBe('chat');
  expect(resolve('__proto__', { aliases: { fast: 'chat' } })).toBe('invalid_request_error');
});

test('an access group of a model counts as a name of it', () => {
  expect(resolve('grouped', { models: ['beta'] })).toBe('grouped');
  expect(resolve('chat', { models: ['beta'] })).toBe('key_model_access_denied');
});

test('a team that may not is told as the team\'s', () => {
  const principal = compilePrincipal(keyAccess(keyRow('sk-a', { team_id: 't1' }), { team: teamRow({ models: ['grouped'] }) }), 0);
  expect(() => resolveGroup({ snapshot, principal }, 'chat', '/x')).toThrow(expect.objectContaining({ status: 401, type: 'team_model_access_denied', details: { denied: 'model_denied', model: 'chat' } }));
});
