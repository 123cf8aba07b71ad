import { expect, test } from 'vitest';
import { estimateInputTokens } from './estimate-input-tokens.ts';

const turn = (content: string | object[]): Parameters<typeof estimateInputTokens>[0] => JSON.parse(JSON.stringify({ messages: [{ role: 'user', content }] })) as Parameters<typeof estimateInputTokens>[0];

test('counts four characters a token over system, messages and tools, and never nothing', () => {
  expect(estimateInputTokens({})).toBe(1);
  expect(estimateInputTokens(turn('x'.repeat(400)))).toBe(104);
  expect(estimateInputTokens(turn([{ type: 'text', text: 'x'.repeat(400) }]))).toBe(104);
  expect(estimateInputTokens({ system: 'x'.repeat(40), messages: [] })).toBe(10);
  expect(estimateInputTokens({ tools: [{ name: 'f', input_schema: { type: 'object' } }], messages: [] })).toBe(12);
});

test('a picture counts as a picture, not as its base64; a tool result as its words; earlier reasoning not at all', () => {
  expect(estimateInputTokens(turn([{ type: 'image', source: { type: 'base64', data: 'A'.repeat(1_000_000) } }]))).toBe(1404);
  expect(estimateInputTokens(turn([{ type: 'tool_result', tool_use_id: 't', content: [{ type: 'text', text: 'x'.repeat(40) }] }]))).toBe(14);
  expect(estimateInputTokens(turn([{ type: 'thinking', thinking: 'x'.repeat(4000), signature: 's' }]))).toBe(4);
  expect(estimateInputTokens(turn([{ type: 'document', title: 'abcd', source: { type: 'text', data: 'x'.repeat(40) } }]))).toBe(15);
});
