import type { JsonObject } from '@pointsman/schemas';
import { expect, test } from 'vitest';
import { sessionOf } from './session-of.ts';

const of = (value: JsonObject, { caller = 'key', format = 'chat' as const, header = undefined as string | undefined } = {}) => sessionOf({ format, value, caller, header });
const user = (content: string): JsonObject => ({ role: 'user', content });
const assistant = (content: string): JsonObject => ({ role: 'assistant', content });

test('later turns belong to the conversation that their first message began', () => {
  const first = of({ messages: [{ role: 'system', content: 'be brief' }, user('hello')] });
  const second = of({ messages: [{ role: 'system', content: 'be brief' }, user('hello'), assistant('hi'), user('and now?')] });
  expect(first).toMatchObject({ isContinued: false });
  expect(second).toEqual({ id: first?.id, isContinued: true });
});

test('another beginning, another system prompt and another caller are another conversation', () => {
  const messages = [user('hello'), assistant('hi'), user('and now?')];
  const ids = [
    of({ messages }), of({ messages: [user('good day'), assistant('hi'), user('and now?')] }), of({ messages: [{ role: 'system', content: 'be brief' }, ...messages] }),
    of({ messages }, { caller: 'other' }), of({ messages, system: 'be long' }),
  ].map((session) => session?.id);
  expect(new Set(ids).size).toBe(ids.length);
});

test('the id that a client gives counts from the first request on, in the body, the metadata or the header', () => {
  const messages = [user('anything')];
  expect(of({ messages, litellm_session_id: 's' })).toMatchObject({ isContinued: true });
  const ids = [of({ messages, litellm_session_id: 's' }), of({ messages: [user('else')], metadata: { session_id: 's' } }), of({ messages }, { header: 's' })].map((session) => session?.id);
  expect(new Set(ids).size).toBe(1);
  expect(of({ messages, litellm_session_id: 's' }, { caller: 'other' })?.id).not.toBe(ids[0]);
});

test('what has no turns is no conversation, whatever it holds', () => {
  for (const value of [{ input: 'text' }, { messages: 'x' }, { messages: [] }, { messages: [null, 5] }, {}] as JsonObject[]) expect(of(value)).toBeUndefined();
});
