import type { JsonObject } from '@pointsman/schemas';
import { describe, expect, test } from 'vitest';
import { BODY_QUIRKS, rename, type BodyContext } from './body-quirks.ts';
import { QUIRK_NAMES, type QuirkName } from './quirk-names.ts';
import { REPLY_QUIRKS } from './reply-quirks.ts';

const context: BodyContext = { model: 'some-model', dropParams: false };

function apply(name: QuirkName, body: JsonObject, overrides: Partial<BodyContext> = {}): JsonObject {
  const quirk = BODY_QUIRKS[name];
  if (quirk === undefined) throw new Error(`${name} changes no request.`);
  deepFreeze(body); // a transformation that touched the client's body would throw
  return quirk.change(body, { ...context, ...overrides });
}

function deepFreeze(value: unknown): void {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return;
  Object.freeze(value);
  Object.values(value).forEach(deepFreeze);
}

const tool = (parameters: JsonObject): JsonObject => ({ type: 'function', function: { name: 'f', parameters } });
const user = { role: 'user', content: 'Hi' };
const call = { id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } };

test('every quirk has an implementation', () => {
  expect(QUIRK_NAMES.filter((name) => BODY_QUIRKS[name] === undefined && REPLY_QUIRKS[name] === undefined)).toEqual([]);
});

test('a plain body passes every quirk as the same object', () => {
  const body: JsonObject = { model: 'm', messages: [{ role: 'system', content: 'S' }, user, { role: 'assistant', content: 'A' }], temperature: 0.5, tools: [tool({ type: 'object', properties: {} })], tool_choice: 'auto' };
  for (const [name, quirk] of Object.entries(BODY_QUIRKS)) if (quirk.formats?.includes('responses') !== true) expect(quirk.change(body, context), name).toBe(body);
});

test('bodies that are not as expected pass every quirk', () => {
  const odd: JsonObject[] = [{}, { messages: 'x', tools: 'y' }, { messages: [1, null, 'x', [], { role: 1, content: [null, 1, {}] }], tools: [null, {}, { function: 1 }] }, { messages: [{ role: 'tool', content: [1] }], tool_choice: {}, thinking: 1, temperature: 'hot' }];
  for (const body of odd) for (const quirk of Object.values(BODY_QUIRKS)) expect(() => quirk.change(body, { model: 'gpt-5', dropParams: true })).not.toThrow();
});

interface Row {
  readonly quirk: QuirkName;
  readonly what: string;
  readonly body: JsonObject;
  readonly expected: JsonObject;
  readonly context?: Partial<BodyContext>;
}

const rows: readonly Row[] = [
  { quirk: 'content_list_to_string', what: 'joins texts', body: { messages: [{ role: 'user', content: [{ type: 'text', text: 'a' }, { type: 'text', text: 'b' }] }] }, expected: { messages: [{ role: 'user', content: 'ab' }] } },
  { quirk: 'content_list_to_string', what: 'leaves images', body: { messages: [{ role: 'user', content: [{ type: 'text', text: 'a' }, { type: 'image_url', image_url: { url: 'u' } }] }] }, expected: { messages: [{ role: 'user', content: [{ type: 'text', text: 'a' }, { type: 'image_url', image_url: { url: 'u' } }] }] } },
  { quirk: 'tool_choice_required_to_any', what: 'required becomes any', body: { tool_choice: 'required' }, expected: { tool_choice: 'any' } },
  { quirk: 'strip_cache_control', what: 'everywhere', body: { messages: [{ role: 'user', cache_control: {}, content: [{ type: 'text', text: 'a', cache_control: { type: 'ephemeral' } }] }], tools: [{ ...tool({}), cache_control: {} }] }, expected: { messages: [{ role: 'user', content: [{ type: 'text', text: 'a' }] }], tools: [tool({})] } },
  { quirk: 'strip_cache_control_unless_claude', what: 'other models', body: { messages: [{ ...user, cache_control: {} }] }, expected: { messages: [user] } },
  { quirk: 'strip_cache_control_unless_claude', what: 'keeps it for Claude', body: { messages: [{ ...user, cache_control: {} }] }, expected: { messages: [{ ...user, cache_control: {} }] }, context: { model: 'claude-sonnet-4-5' } },
  { quirk: 'cache_control_into_content', what: 'of a string', body: { messages: [{ ...user, cache_control: { type: 'ephemeral' } }] }, expected: { messages: [{ role: 'user', content: [{ type: 'text', text: 'Hi', cache_control: { type: 'ephemeral' } }] }] } },
  { quirk: 'cache_control_into_content', what: 'onto the last part', body: { messages: [{ role: 'user', cache_control: { type: 'ephemeral' }, content: [{ type: 'text', text: 'a' }, { type: 'text', text: 'b' }] }] }, expected: { messages: [{ role: 'user', content: [{ type: 'text', text: 'a' }, { type: 'text', text: 'b', cache_control: { type: 'ephemeral' } }] }] } },
  { quirk: 'temperature_at_most_1', what: 'clamps', body: { temperature: 1.7 }, expected: { temperature: 1 } },
  { quirk: 'temperature_at_most_1_99', what: 'clamps', body: { temperature: 2 }, expected: { temperature: 1.99 } },
  { quirk: 'seed_to_random_seed', what: 'renames', body: { seed: 7 }, expected: { random_seed: 7 } },
  { quirk: 'thinking_param', what: 'an effort switches it on', body: { reasoning_effort: 'high' }, expected: { thinking: { type: 'enabled' } } },
  { quirk: 'thinking_param', what: 'no effort switches it off', body: { reasoning_effort: 'none' }, expected: { thinking: { type: 'disabled' } } },
  { quirk: 'thinking_param', what: 'a budget goes', body: { thinking: { type: 'enabled', budget_tokens: 1024 } }, expected: { thinking: { type: 'enabled' } } },
  { quirk: 'drop_non_function_tools', what: 'keeps functions', body: { tools: [{ type: 'web_search' }, tool({})], tool_choice: 'auto' }, expected: { tools: [tool({})], tool_choice: 'auto' } },
  { quirk: 'drop_non_function_tools', what: 'takes the choice along when none is left', body: { tools: [{ type: 'web_search' }], tool_choice: 'auto' }, expected: {} },
  { quirk: 'echo_reasoning_content', what: 'fills what a client lost', body: { messages: [{ role: 'assistant', tool_calls: [call] }] }, expected: { messages: [{ role: 'assistant', tool_calls: [call], reasoning_content: ' ' }] }, context: { model: 'deepseek-reasoner' } },
  { quirk: 'echo_reasoning_content', what: 'takes the field of other providers', body: { thinking: { type: 'enabled' }, messages: [{ role: 'assistant', reasoning: 'why', tool_calls: [call] }] }, expected: { thinking: { type: 'enabled' }, messages: [{ role: 'assistant', reasoning: 'why', reasoning_content: 'why', tool_calls: [call] }] } },
  { quirk: 'echo_reasoning_content', what: 'not for models that do not think', body: { messages: [{ role: 'assistant', tool_calls: [call] }] }, expected: { messages: [{ role: 'assistant', tool_calls: [call] }] } },
  { quirk: 'drop_empty_assistant_messages', what: 'drops', body: { messages: [user, { role: 'assistant', content: '' }, { role: 'assistant', content: null, tool_calls: [call] }] }, expected: { messages: [user, { role: 'assistant', content: null, tool_calls: [call] }] } },
  { quirk: 'name_only_on_tool_role', what: 'drops', body: { messages: [{ ...user, name: 'bob' }, { role: 'tool', name: 'f', content: 'x' }] }, expected: { messages: [user, { role: 'tool', name: 'f', content: 'x' }] } },
  { quirk: 'drop_null_function_call_fields', what: 'drops', body: { messages: [{ role: 'assistant', content: 'x', function_call: null, tool_calls: null }] }, expected: { messages: [{ role: 'assistant', content: 'x' }] } },
  { quirk: 'force_store_false', what: 'sets it', body: { input: 'x', store: true }, expected: { input: 'x', store: false } },
  { quirk: 'tool_choice_required_via_message', what: 'asks in words', body: { tool_choice: 'required', messages: [user] }, expected: { messages: [user, { role: 'user', content: 'Please select a tool to handle the current issue.' }] } },
  { quirk: 'tool_message_content_to_string', what: 'texts', body: { messages: [{ role: 'tool', content: [{ type: 'text', text: 'x' }] }] }, expected: { messages: [{ role: 'tool', content: 'x' }] } },
  { quirk: 'tool_message_content_to_string', what: 'anything else as JSON', body: { messages: [{ role: 'tool', content: [{ type: 'json', a: 1 }] }] }, expected: { messages: [{ role: 'tool', content: '[{"type":"json","a":1}]' }] } },
  { quirk: 'tool_choice_auto_only', what: 'goes when the operator drops parameters', body: { tool_choice: 'required' }, expected: {}, context: { dropParams: true } },
  { quirk: 'tool_choice_auto_only', what: 'else the provider answers for itself', body: { tool_choice: 'required' }, expected: { tool_choice: 'required' } },
  { quirk: 'no_stop_or_penalties_on_reasoning_models', what: 'drops', body: { stop: 'x', presence_penalty: 1, frequency_penalty: 1, top_p: 1 }, expected: { top_p: 1 }, context: { model: 'grok-4', dropParams: true } },
  { quirk: 'no_stop_or_penalties_on_reasoning_models', what: 'keeps for others', body: { stop: 'x' }, expected: { stop: 'x' }, context: { model: 'grok-3', dropParams: true } },
  { quirk: 'thinking_blocks', what: 'drops what is refused', body: { messages: [{ role: 'assistant', content: 'x', reasoning_content: 'y', thinking_blocks: [] }] }, expected: { messages: [{ role: 'assistant', content: 'x' }] } },
  {
    quirk: 'strip_schema_fields', what: 'at every level, but not properties of that name',
    body: { tools: [{ type: 'function', function: { name: 'f', strict: true, parameters: { $schema: 's', type: 'object', additionalProperties: false, properties: { strict: { type: 'boolean' }, list: { type: 'array', items: { type: 'object', additionalProperties: false } }, either: { anyOf: [{ $id: 'i', type: 'string' }] } } } } }] },
    expected: { tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'object', properties: { strict: { type: 'boolean' }, list: { type: 'array', items: { type: 'object' } }, either: { anyOf: [{ type: 'string' }] } } } } }] },
  },
  { quirk: 'openai_model_rules', what: 'renames max_tokens for o3', body: { max_tokens: 5, temperature: 0 }, expected: { max_completion_tokens: 5, temperature: 0 }, context: { model: 'o3-mini' } },
  { quirk: 'openai_model_rules', what: 'keeps the newer name when both are there', body: { max_tokens: 5, max_completion_tokens: 6 }, expected: { max_completion_tokens: 6 }, context: { model: 'gpt-5' } },
  { quirk: 'openai_model_rules', what: 'drops sampling when told to', body: { temperature: 0.2, top_p: 0.5, logit_bias: {} }, expected: {}, context: { model: 'gpt-5-mini', dropParams: true } },
  { quirk: 'openai_model_rules', what: 'keeps the only temperature there is', body: { temperature: 1 }, expected: { temperature: 1 }, context: { model: 'gpt-5', dropParams: true } },
  { quirk: 'openai_model_rules', what: 'not for gpt-4o', body: { max_tokens: 5 }, expected: { max_tokens: 5 }, context: { model: 'gpt-4o', dropParams: true } },
  { quirk: 'openai_model_rules', what: 'not for the chat variant', body: { max_tokens: 5 }, expected: { max_tokens: 5 }, context: { model: 'gpt-5-chat-latest' } },
];

describe.each(rows)('$quirk: $what', ({ quirk, body, expected, context: overrides }) => {
  test('as a copy', () => {
    expect(apply(quirk, body, overrides)).toEqual(expected);
  });
});

test('every request quirk is told about', () => {
  expect(Object.keys(BODY_QUIRKS).filter((name) => !rows.some((row) => row.quirk === name))).toEqual([]);
});

test('a renamed parameter keeps the value that the client gave under the provider\'s name', () => {
  expect(rename({ max_completion_tokens: 5, max_tokens: 6 }, 'max_completion_tokens', 'max_tokens')).toEqual({ max_tokens: 6 });
  expect(rename({ max_completion_tokens: 5 }, 'max_completion_tokens', 'max_tokens')).toEqual({ max_tokens: 5 });
});

test('a field called __proto__ stays a field', () => {
  const body = JSON.parse('{"__proto__":{"polluted":true},"seed":1,"messages":[{"role":"user","name":"n","content":"x","__proto__":{"polluted":true}}]}') as JsonObject;
  const changed = apply('name_only_on_tool_role', apply('seed_to_random_seed', body));
  expect(JSON.stringify(changed)).toBe('{"__proto__":{"polluted":true},"messages":[{"role":"user","content":"x","__proto__":{"polluted":true}}],"random_seed":1}');
  expect((changed as { polluted?: unknown }).polluted).toBeUndefined();
});
