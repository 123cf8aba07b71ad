import { createRequire } from 'node:module';
import { expect, test } from 'vitest';
import { tokenizerOf } from './tokenizer-of-model.ts';

const { modelToEncodingMap } = createRequire(import.meta.url)('gpt-tokenizer/cjs/mapping') as { modelToEncodingMap: Readonly<Record<string, string>> };

/** The library puts every model that nobody gives text to (pictures, sound, video, moderation) somewhere as well. */
const TEXT_MODEL = /^(?:gpt-[345]|o\d|chatgpt-4|text-embedding|davinci-002|babbage-002|codex-mini)/;

test('every text model of OpenAI that the library knows is counted in its own vocabulary, exactly', () => {
  const models = Object.entries(modelToEncodingMap).filter(([model, encoding]) => TEXT_MODEL.test(model) && (encoding === 'o200k_base' || encoding === 'cl100k_base'));
  expect(models.length).toBeGreaterThan(15);
  for (const [model, encoding] of models) expect([model, tokenizerOf(model).encoding, tokenizerOf(model).factor]).toEqual([model, encoding, 1]);
});

test.each([
  ['gpt-4', 'cl100k_base'], ['gpt-4-turbo-2024-04-09', 'cl100k_base'], ['gpt-35-turbo', 'cl100k_base'], ['ft:gpt-3.5-turbo-0125:acme::1', 'cl100k_base'], ['text-embedding-3-small', 'cl100k_base'],
  ['gpt-4o-mini', 'o200k_base'], ['gpt-4.1', 'o200k_base'], ['gpt-4.5-preview', 'o200k_base'], ['openai/gpt-oss-120b', 'o200k_base'], ['ft:gpt-4o-2024-08-06:acme::1', 'o200k_base'], ['o3', 'o200k_base'],
])('%s is counted with %s', (model, encoding) => {
  expect(tokenizerOf(model)).toMatchObject({ encoding, factor: 1 });
});

test.each([
  ['us.anthropic.claude-sonnet-4-5-20250929-v1:0', 1.12, 1400], ['gemini-2.5-pro', 1.12, 258], ['meta-llama/Llama-3.3-70B', 1, 765], ['mistral-large-latest', 1.08, 765],
  ['Qwen/Qwen3-32B', 1, 765], ['deepseek-chat', 1.08, 765], ['nobody-knows', 1, 765], ['__proto__', 1, 765], ['', 1, 765],
])('%s is counted by its family: factor %d, %d tokens a picture', (model, factor, imageTokens) => {
  expect(tokenizerOf(model)).toMatchObject({ encoding: 'o200k_base', factor, imageTokens });
});
