import { AppError } from '@pointsman/errors';
import { expect, test } from 'vitest';
import { MAX_BODY_DEPTH, parseJsonBody } from './parse-json-body.ts';

function refusal(bytes: Buffer | string): AppError {
  try {
    void parseJsonBody(Buffer.from(bytes)).value;
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
  throw new Error('the body was accepted');
}

const nested = (depth: number): string => `{"a":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}}`;
const long = 'x'.repeat(10_000);

test.each<[string, Buffer | string, RegExp]>([
  ['nothing', '', /is empty/],
  ['an array', '[1]', /a JSON object was expected/],
  ['a string', '"hi"', /a JSON object was expected/],
  ['null', 'null', /a JSON object was expected/],
  ['a cut object', '{"model":"chat"', /Invalid JSON payload/],
  ['two objects', '{}{}', /position 2/],
  ['a single quote', "{'a':1}", /position 1/],
  ['a raw line break in a string', '{"a":"\n"}', /position 6/],
  ['NaN', '{"a":NaN}', /not JSON/],
  ['invalid UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), /not valid UTF-8/],
  ['UTF-16', Buffer.from('{"a":1}\u00e4', 'utf16le'), /not valid UTF-8/],
  ['an overlong encoding', Buffer.from([0x7b, 0x22, 0xc0, 0x80, 0x22, 0x3a, 0x31, 0x7d]), /not valid UTF-8/],
  ['a body nested too deep', nested(MAX_BODY_DEPTH + 1), /nested deeper than 64 levels/],
  ['100,000 brackets', `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`, /nested deeper|Invalid JSON/],
  ['__proto__ at the top', '{"__proto__":{"isAdmin":true}}', /__proto__/],
  ['__proto__ with an escape', '{"__pr\\u006fto__":{}}', /__proto__/],
  ['__proto__ deep inside', '{"a":[{"b":{"__proto__":1}}]}', /__proto__/],
  ['__proto__ beside a long string', `{"prompt":"${long}","__proto__":{}}`, /__proto__/],
  ['a long string with a raw line break, once it is read', `{"prompt":"${long}\n"}`, /Invalid JSON payload/],
  ['a mistake after a long string, at its place in the whole body', `{"prompt":"${long}",}`, new RegExp(`position ${String(long.length + 13)}\\b`)],
])('%s is refused', (_name, bytes, message) => {
  const error = refusal(bytes);
  expect(error).toMatchObject({ kind: 'invalid_request', status: 400, param: 'request_body', code: 'invalid_json' });
  expect(error.message).toMatch(message);
});

test('a refusal never quotes the body: prompts stay out of errors and logs', () => {
  const error = refusal('{"prompt":"my secret" oops}');
  expect(`${error.message} ${String(error.cause)} ${JSON.stringify(error.details)}`).not.toMatch(/secret|oops/);
});

test('what JSON means is what is read', () => {
  const text = '{"a":[1,2.5e3,true,null,{"b":"\\u00e4\\n\\"🙂"}],"constructor":1,"":0}';
  expect(parseJsonBody(Buffer.from(text)).value).toEqual(JSON.parse(text));
});

test('the deepest body allowed passes', () => {
  expect(() => parseJsonBody(Buffer.from(nested(MAX_BODY_DEPTH)))).not.toThrow();
});

test('a byte order mark is not part of the body', () => {
  const { raw, value } = parseJsonBody(Buffer.from('\ufeff{"a":"ä"}'));
  expect(value).toEqual({ a: 'ä' });
  expect(raw.toString()).toBe('{"a":"ä"}');
});

test('the bytes are the ones that came, not a copy', () => {
  const bytes = Buffer.from('{"a":1}');
  expect(parseJsonBody(bytes).raw).toBe(bytes);
});

test.each([
  ['a long prompt', { model: 'chat', messages: [{ role: 'user', content: long }], stream: true }],
  ['quotes and backslashes at the end of long strings', { a: `${long}\\`, b: `${long}"`, c: `${long}\\"`, d: `\\${long}`, e: 'short' }],
  ['a long key', { [long]: 'short', b: long }],
  ['long strings beyond ASCII', { a: 'ä'.repeat(5_000), b: '🙂'.repeat(5_000) }],
  ['many short strings', { a: Array.from({ length: 1_000 }, (_, index) => `item ${String(index)}`), b: long }],
])('the outline has the structure of the whole body, and the whole body is whole: %s', (_name, body) => {
  for (const text of [JSON.stringify(body), JSON.stringify(body, undefined, 2)]) {
    const parsed = parseJsonBody(Buffer.from(text));
    const shape = (value: unknown): unknown => JSON.stringify(value, (_key, inner: unknown) => typeof inner === 'string' && (inner.length > 2_000 || inner === '(long string)') ? 'long' : inner);
    expect(shape(parsed.outline)).toBe(shape(body));
    expect(parsed.value).toEqual(body);
    expect(parsed.value).toBe(parsed.value);
  }
});

test('the outline of a long prompt is had without reading it', () => {
  expect(parseJsonBody(Buffer.from(JSON.stringify({ model: 'chat', prompt: long }))).outline).toEqual({ model: 'chat', prompt: '(long string)' });
});
