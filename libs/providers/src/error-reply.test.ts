import { describe, expect, test } from 'vitest';
import { errorFromReply, errorFromValue, maskSecrets, retryAfter } from './error-reply.ts';
import type { ProviderError, ProviderFault } from './provider-error.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');

function errorOf(status: number, body: unknown, headers: Record<string, string> = {}, secret?: string): ProviderError {
  return errorFromReply({ provider: 'p', status, headers, body: typeof body === 'string' ? body : JSON.stringify(body), secret, nowMs: NOW });
}

describe('the fault', () => {
  const rows: readonly (readonly [number, unknown, ProviderFault])[] = [
    [400, { error: { message: 'bad', type: 'invalid_request_error' } }, 'bad_request'],
    [422, { detail: [{ loc: ['body', 'messages'], msg: 'field required' }] }, 'bad_request'],
    [413, { error: 'too big' }, 'bad_request'],
    [401, '', 'auth'], [403, '', 'auth'], [402, { error: { message: 'Insufficient Balance' } }, 'auth'],
    [400, { error: { message: 'Incorrect API key provided', code: 'invalid_api_key' } }, 'auth'],
    [400, [{ error: { code: 400, message: 'API key not valid. Please pass a valid API key.', status: 'INVALID_ARGUMENT' } }], 'auth'],
    [404, { error: { message: 'no such model' } }, 'not_found'],
    [404, { error: { code: 'DeploymentNotFound', message: 'The API deployment for this resource does not exist.' } }, 'not_found'],
    [400, { error: { message: 'unknown model', code: 'model_not_found' } }, 'not_found'],
    [400, { error: { message: 'Model decommissioned', code: 'model_decommissioned' } }, 'not_found'],
    [408, '', 'timeout'], [429, '', 'rate_limited'], [503, '', 'overloaded'], [529, '', 'overloaded'],
    [500, '', 'server_error'], [502, '', 'server_error'], [504, '', 'server_error'],
    // Context windows, in the words of many providers
    [400, { error: { message: 'x', code: 'context_length_exceeded' } }, 'context_window'],
    [400, { object: 'error', message: "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens", type: 'BadRequestError', code: 400 }, 'context_window'],
    [400, { type: 'error', error: { type: 'invalid_request_error', message: 'prompt is too long: 210000 tokens > 200000 maximum' } }, 'context_window'],
    [400, { message: 'Input is too long for requested model.' }, 'context_window'],
    [400, { error: { code: 400, message: 'The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).', status: 'INVALID_ARGUMENT' } }, 'context_window'],
    [422, { error: 'Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000', error_type: 'validation' }, 'context_window'],
    [400, { object: 'error', message: 'Prompt contains 50000 tokens and 0 draft tokens, too large for model with 32768 maximum context length', type: 'invalid_request_error' }, 'context_window'],
    [413, { error: { message: 'Please reduce the length of the messages or completion.', type: 'invalid_request_error' } }, 'context_window'],
    [400, { error: { message: "The input (9000 tokens) is longer than the model's context length (8192 tokens)." } }, 'context_window'],
    [400, { error: { message: 'input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000' } }, 'context_window'],
    [400, { message: 'too many tokens: total number of tokens in the prompt cannot exceed 4081' }, 'context_window'],
    // Content policy
    [400, { error: { message: 'The response was filtered due to the prompt triggering Azure OpenAI\'s content management policy.', code: 'content_filter', status: 400, innererror: { code: 'ResponsibleAIPolicyViolation' } } }, 'content_policy'],
    [400, { error: { message: 'Your request was rejected as a result of our safety system.', code: 'content_policy_violation' } }, 'content_policy'],
    [400, { code: 'data_inspection_failed', message: 'Input data may contain inappropriate content.' }, 'content_policy'],
    [403, { error: { message: 'This prompt was flagged by moderation', code: 403 } }, 'content_policy'],
    // Not what the words seem to say
    [400, { error: { message: 'max_tokens is too large: 999999. This model supports at most 16384 completion tokens.', param: 'max_tokens' } }, 'bad_request'],
    [404, { error: { message: 'no such API key or context length' } }, 'not_found'],
    [429, { error: { message: 'maximum context length tokens per minute' } }, 'rate_limited'],
    [307, '', 'bad_reply'],
  ];
  test.each(rows)('%i %j is %s', (status, body, fault) => {
    expect(errorOf(status, body).fault).toBe(fault);
  });
});

describe('the message', () => {
  const rows: readonly (readonly [unknown, string])[] = [
    [{ error: { message: 'one' } }, 'one'],
    [{ error: 'two' }, 'two'],
    [{ message: 'three' }, 'three'],
    [{ detail: 'four' }, 'four'],
    [{ detail: [{ loc: ['body', 0, 'role'], msg: 'wrong' }] }, 'body.0.role: wrong'],
    [[{ error: { message: 'five' } }], 'five'],
    [{ errors: [{ code: 7, message: 'six' }] }, 'six'],
    ['"seven"', 'seven'],
    ['plain text', 'plain text'],
    ['', 'The provider answered HTTP 500 and gave no reason.'],
    ['{}', 'The provider answered HTTP 500 and gave no reason.'],
    ['null', 'The provider answered HTTP 500 and gave no reason.'],
    ['<html><body>no title</body></html>', 'The provider answered with an HTML page.'],
    [{ error: { message: 'Provider returned error', metadata: { raw: 'upstream words' } } }, 'Provider returned error: upstream words'],
  ];
  test.each(rows)('of %j', (body, message) => {
    expect(errorOf(500, body).message).toBe(message);
  });

  test('is at most 500 characters on one line', () => {
    const { message } = errorOf(500, { error: { message: `line\n${'x'.repeat(2000)}` } });
    expect(message).toHaveLength(500);
    expect(message).not.toContain('\n');
  });

  test('shows no credential', () => {
    const words = 'Incorrect API key provided: sk-proj-abcdEFGH1234. Authorization: Bearer abc.def-ghi123. Key AIzaSyA1234567890abc gsk_12345678 my-own-secret';
    const { message } = errorOf(401, { error: { message: words } }, {}, 'my-own-secret');
    expect(message).toBe('Incorrect API key provided: *** Authorization: Bearer *** Key *** *** ***');
  });

  test('keeps words that only look a little like one', () => {
    expect(maskSecrets('a sketching task-oriented api-version disk-based hf model', undefined)).toBe('a sketching task-oriented api-version disk-based hf model');
  });
});

test('a bad request keeps the parameter and code that the provider named', () => {
  expect(errorOf(400, { error: { message: 'x', param: 'messages[0].role', code: 'invalid_value' } })).toMatchObject({ param: 'messages[0].role', code: 'invalid_value', upstreamStatus: 400 });
});

describe('retry-after', () => {
  test.each([
    [{ 'retry-after': '7' }, 7000],
    [{ 'retry-after': '0.5' }, 500],
    [{ 'retry-after': 'Thu, 01 Jan 2026 00:00:30 GMT' }, 30_000],
    [{ 'retry-after': 'Wed, 31 Dec 2025 00:00:00 GMT' }, 0],
    [{ 'retry-after-ms': '250', 'retry-after': '9' }, 250],
    [{ 'retry-after': '99999999' }, 86_400_000],
    [{ 'retry-after': 'soon' }, undefined],
    [{ 'retry-after': '' }, undefined],
    [{}, undefined],
  ] as const)('%j is %s ms', (headers, expected) => {
    expect(retryAfter(headers, NOW)).toBe(expected);
    expect(errorOf(429, '', headers).retryAfterMs).toBe(expected);
  });
});

test('an error inside a reply is judged by its own status, type and words', () => {
  const inside = (error: unknown): ProviderFault => errorFromValue({ error } as never, { provider: 'p', status: undefined, headers: {}, secret: undefined, nowMs: NOW }, 'stream_error').fault;
  expect(inside({ message: 'x', code: 429 })).toBe('rate_limited');
  expect(inside({ message: 'x', type: 'overloaded_error' })).toBe('overloaded');
  expect(inside({ message: 'x', code: '502' })).toBe('server_error');
  expect(inside({ message: 'maximum context length is 5' })).toBe('context_window');
  expect(inside({ message: 'x' })).toBe('stream_error');
  expect(inside('words')).toBe('stream_error');
});
