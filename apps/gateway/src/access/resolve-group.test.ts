import { expect, test } from 'vitest';
import { chatConfig, fakeSnapshot } from '../fake-gateway.fixture.ts';
import type { Exchange } from '../http/exchange.ts';
import { mayUseModel, type Principal } from './principal.ts';
import { resolveGroup } from './resolve-group.ts';

const snapshot = fakeSnapshot(chatConfig(['a']));
const asking = (models: ReadonlySet<string> | undefined): Pick<Exchange, 'snapshot' | 'principal'> => {
  const principal: Principal = { keyHash: 'h', keyAlias: undefined, role: 'user', aliases: undefined, tags: [], access: undefined, models, userId: undefined, teamId: undefined };
  return { snapshot, principal };
};

test('a configured group is found for a key that may use everything or just this', () => {
  expect(resolveGroup(asking(undefined), 'chat', '/x')).toBe(snapshot.plan('chat'));
  expect(resolveGroup(asking(new Set(['chat'])), 'chat', '/x')).toBe(snapshot.plan('chat'));
});

test('a group that the key may not use is 401, as LiteLLM says it', () => {
  expect(() => resolveGroup(asking(new Set(['other'])), 'chat', '/x')).toThrow(expect.objectContaining({ status: 401, type: 'key_model_access_denied', param: 'model' }));
  expect(mayUseModel(asking(new Set()).principal, 'chat')).toBe(false);
});

test('a name nobody configured is 400 and says where to look', () => {
  expect(() => resolveGroup(asking(undefined), 'nope', '/chat/completions')).toThrow(expect.objectContaining({
    status: 400, param: 'model', message: '/chat/completions: Invalid model name passed in model=nope. Call `/v1/models` to view available models for your key.',
  }));
});

test.each(['__proto__', 'constructor', 'toString'])('a name of JavaScript\'s own is no group: %s', (name) => {
  expect(() => resolveGroup(asking(undefined), name, '/x')).toThrow(expect.objectContaining({ status: 400 }));
});

test('a name of megabytes does not come back whole', () => {
  expect(() => resolveGroup(asking(undefined), 'x'.repeat(1_000_000), '/x')).toThrow(expect.objectContaining({ message: expect.stringMatching(/^.{0,400}$/) as string }));
});
