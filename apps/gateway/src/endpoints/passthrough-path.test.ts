import { expect, test } from 'vitest';
import { ownRouteFor, safeSuffix, suffixOfRoute } from './passthrough-path.ts';

test.each([
  'files', '/a//b', '//a', '/a/../b', '/a/./b', '/..', '/a/%2e%2e/b', '/a/%2E/b', '/a/%252e%252e/b', '/a%2fb', '/a%2Fb', '/a%5cb', '/a\\b', '/a/..;/b', '/a;x=1/b', '/a%3bx', '/a%3fb', '/a#b', '/a%23b',
  '/a%00', '/a%0d%0ab', '/%zz', '/%', '/ä', '/a b', '/%ff',
])('%s is no path that every server reads alike', (path) => {
  expect(() => safeSuffix(path)).toThrow(expect.objectContaining({ status: 400, code: 'invalid_path' }) as Error);
});

test.each(['/', '/a', '/a/', '/models/gemini-2.5-flash:countTokens', '/a.b/..c/d', "/a%20b/%C3%A4?x=../%2f//;'", '/a@b+c=d,e~f'])('%s is passed on as it is', (path) => {
  expect(safeSuffix(path)).toBe(path);
});

test('nothing at all is the root', () => expect(safeSuffix('')).toBe('/'));

test.each([
  ['/v1/images', '/images/generations?model=img'], ['/v1/images', '/images/edits'], ['/v1/images', '/images/variations'], ['/v1/audio', '/audio/transcriptions'], ['/v1/audio', '/audio/translations'],
  ['/v1/audio', '/audio/speech'], ['/v1/moderations', '/moderations'], ['/v1/rerank', '/rerank?x=1'], ['/v1/files', '/files'], ['/v1/files', '/files/file-1'], ['/v1/files', '/files/file-1/content'],
  ['/v1/batches', '/batches?limit=3'], ['/v1/batches', '/batches/b_1'], ['/v1/batches', '/batches/b_1/cancel'],
])('%s takes %s', (route, suffix) => {
  expect(suffixOfRoute(route, suffix)).toBe(suffix);
});

test.each([
  ['/v1/images', '/images'], ['/v1/images', '/images/chat/completions'], ['/v1/images', '/Images/generations'], ['/v1/images', '/V1/images/generations'], ['/v1/images', '/images/generations/x'],
  ['/v1/audio', '/audio/chat'], ['/v1/moderations', '/moderations/x'], ['/v1/rerank', '/rerank/'], ['/v1/files', '/files/f/content/x'], ['/v1/files', '/files/f/cancel'], ['/v1/batches', '/batches/b/content'],
])('%s has no %s', (route, suffix) => {
  expect(() => suffixOfRoute(route, suffix)).toThrow(expect.objectContaining({ status: 404 }) as Error);
});

test.each<[string, string | undefined]>([
  ['/v1/chat/completions', '/v1/chat/completions'], ['/chat/completions?x=1', '/v1/chat/completions'], ['/chat/completion%73/', '/v1/chat/completions'], ['/openai/deployments/d/Chat/Completions', '/v1/chat/completions'],
  ['/v1/completions', '/v1/completions'], ['/embeddings', '/v1/embeddings'], ['/v1/responses', '/v1/responses'], ['/v1/messages', '/v1/messages'],
  ['/v1/responses/r1', undefined], ['/v1/messages/count_tokens', undefined], ['/models', undefined], ['/x?y=/chat/completions', undefined],
])('what asks for %s has %s here', (suffix, route) => {
  expect(ownRouteFor(suffix)).toBe(route);
});
