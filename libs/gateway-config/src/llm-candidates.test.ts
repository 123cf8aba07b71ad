import { expect, test } from 'vitest';
import { ConfigRejectedError } from './config-rejected-error.ts';
import { parseLlmCandidates } from './llm-candidates.ts';

const CANDIDATE = { provider: 'openai', model_id: 'gpt-4o', cost_per_1k_tokens: { input: 0.0025, output: 0.01 }, context_window: 128_000, quality_score: 0.92, capabilities: ['code'], tier: 'premium', house_field: [1] };

test.each([undefined, 'candidates', 'models'])('candidates are read with the fields that nobody here knows (inside %s)', (wrapper) => {
  const entries = { 'gpt-4o': CANDIDATE, tiny: {} };
  expect(parseLlmCandidates(JSON.stringify(wrapper === undefined ? entries : { [wrapper]: entries }))).toEqual(new Map<string, unknown>([['gpt-4o', CANDIDATE], ['tiny', {}]]));
});

test('every entry that cannot be used is named', () => {
  expect(() => parseLlmCandidates('{"a": {"cost_per_1k_tokens": {"input": "free"}}, "b": 5, "__proto__": {}}')).toThrow(/: a\.cost_per_1k_tokens\.input: .*: b: expected a mapping.*not allowed/);
});

test.each(['', '[]', '{', '"text"', 'null'])('%j is refused', (text) => {
  expect(() => parseLlmCandidates(text)).toThrow(ConfigRejectedError);
});
