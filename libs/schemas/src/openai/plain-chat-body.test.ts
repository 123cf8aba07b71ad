import { expect, test } from 'vitest';
import { chatBodySchema } from './chat-body.ts';
import { isPlainChatBody } from './plain-chat-body.ts';

const call = { id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } };
const tool = { type: 'function', function: { name: 'f', description: 'd', parameters: { type: 'object' }, strict: true } };
const odd: readonly unknown[] = [undefined, null, true, false, 0, -1, 1, 1.5, 129, 2 ** 60, '', 'x', [], {}, [''], [1], [null], [{}], [call], [tool], { url: 'u' }, { name: 'f' }, { name: '' }, { include_usage: true }, { include_usage: 1 }];

const plainBody = (): Record<string, unknown> => ({
  model: 'm', stream: true, temperature: 0.5, top_p: 1, n: 2, max_tokens: 5, max_completion_tokens: 6, stop: 'x', user: 'u', stream_options: { include_usage: true }, metadata: {},
  tools: [structuredClone(tool)], tool_choice: 'auto', parallel_tool_calls: true, reasoning_effort: 'low', presence_penalty: 0, frequency_penalty: 0, logprobs: false, unknown: [1],
  messages: [
    { role: 'system', content: 'x' },
    { role: 'user', name: 'n', content: [{ type: 'text', text: 'x' }, { type: 'image_url', image_url: { url: 'u', detail: 'low' } }] },
    { role: 'assistant', content: null, tool_calls: [structuredClone(call)] },
    { role: 'tool', tool_call_id: 'c', content: 'x' },
  ],
});

/** Every object and array inside, the body included. */
function holders(value: unknown): (Record<string, unknown>)[] {
  if (typeof value !== 'object' || value === null) return [];
  return [value as Record<string, unknown>, ...Object.values(value).flatMap(holders)];
}

test('takes the shapes that clients usually send', () => {
  expect(isPlainChatBody(plainBody())).toBe(true);
  expect(isPlainChatBody({ model: 'm', messages: [{ role: 'user', content: 'hi' }] })).toBe(true);
});

test('never takes what the schema refuses: every field of a body replaced by every odd value', () => {
  const fields = [...Object.keys(chatBodySchema.shape), 'role', 'content', 'name', 'tool_calls', 'tool_call_id', 'type', 'text', 'image_url', 'input_audio', 'file', 'url', 'id', 'function', 'arguments', 'description', 'parameters', 'strict', 'include_usage', '0'];
  const places = holders(plainBody()).length;
  let taken = 0;
  let refused = 0;
  for (let place = 0; place < places; place += 1) {
    for (const field of fields) {
      for (const value of odd) {
        const body = plainBody();
        const holder = holders(body)[place] as Record<string, unknown>;
        if (Array.isArray(holder) && field !== '0') continue;
        holder[field] = value;
        const isRight = chatBodySchema.safeParse(body).success;
        if (isRight) taken += 1;
        else refused += 1;
        if (!isRight && isPlainChatBody(body)) expect.fail(`the guard took ${field}=${JSON.stringify(value)} in place ${place}, the schema did not`);
      }
    }
  }
  expect(taken).toBeGreaterThan(1000);
  expect(refused).toBeGreaterThan(1000);
});

test('never takes what the schema refuses: random pairs of changes', () => {
  let seed = 7;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff;
    return (seed >>> 8) % below;
  };
  for (let round = 0; round < 5000; round += 1) {
    const body = plainBody();
    for (let change = 0; change < 2; change += 1) {
      const all = holders(body);
      const holder = all[random(all.length)] as Record<string, unknown>;
      const keys = Object.keys(holder);
      const key = keys[random(keys.length)];
      if (key === undefined) continue;
      if (random(4) > 0) holder[key] = structuredClone(odd[random(odd.length)]);
      else if (Array.isArray(holder)) holder.splice(Number(key), 1);
      else Reflect.deleteProperty(holder, key);
    }
    if (isPlainChatBody(body)) expect(chatBodySchema.safeParse(body).success, JSON.stringify(body)).toBe(true);
  }
});

test.each([undefined, null, 7, 'x', [], {}])('%j is not a plain body', (body) => {
  expect(isPlainChatBody(body)).toBe(false);
});
