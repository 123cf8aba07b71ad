import { AppError } from '@pointsman/errors';
import { describe, expect, test } from 'vitest';
import { MAX_ERROR_MESSAGE_LENGTH, anthropicErrorBody, openAiErrorBody, streamErrorEvent } from './error-bodies.ts';

const badRole = new AppError('invalid_request', 'invalid_type', 'Bad role.', { param: 'messages[0].role' });

describe('error bodies', () => {
  test('the OpenAI envelope has four fields, param null when there is none', () => {
    expect(openAiErrorBody(badRole)).toEqual({ error: { message: 'Bad role.', type: 'invalid_request_error', param: 'messages[0].role', code: 'invalid_type' } });
    expect(openAiErrorBody(new AppError('rate_limited', '429', 'Slow.')).error).toEqual({ message: 'Slow.', type: 'rate_limit_error', param: null, code: '429' });
  });

  test.each([
    [400, 'invalid_request_error'], [401, 'authentication_error'], [403, 'permission_error'], [404, 'not_found_error'], [405, 'invalid_request_error'],
    [408, 'timeout_error'], [413, 'request_too_large'], [422, 'invalid_request_error'], [429, 'rate_limit_error'], [499, 'api_error'], [500, 'api_error'],
    [502, 'api_error'], [503, 'overloaded_error'], [504, 'timeout_error'], [529, 'overloaded_error'],
  ])('status %i is Anthropic %s', (status, type) => {
    expect(anthropicErrorBody(new AppError('internal', 'x', 'm', { status }))).toEqual({ type: 'error', error: { type, message: 'm' } });
  });

  test('an Anthropic body quotes the request id when there is one', () => {
    expect(anthropicErrorBody(badRole, 'req_1')).toEqual({ type: 'error', error: { type: 'invalid_request_error', message: 'Bad role.' }, request_id: 'req_1' });
  });

  test('a long message is cut', () => {
    const { message } = openAiErrorBody(new AppError('internal', 'x', 'm'.repeat(100_000))).error;
    expect(message).toHaveLength(MAX_ERROR_MESSAGE_LENGTH);
    expect(message.endsWith('…')).toBe(true);
  });

  test('each stream format has its own error frame', () => {
    expect(streamErrorEvent('chat', badRole)).toMatchObject({ event: '', value: openAiErrorBody(badRole) });
    expect(streamErrorEvent('completions', badRole)).toMatchObject({ event: '', value: openAiErrorBody(badRole) });
    expect(streamErrorEvent('messages', badRole, { requestId: 'r' })).toMatchObject({ event: 'error', value: anthropicErrorBody(badRole, 'r') });
    const event = streamErrorEvent('responses', badRole, { sequenceNumber: 4 });
    expect(event.event).toBe('error');
    expect(JSON.parse(event.data)).toEqual({ type: 'error', code: 'invalid_type', message: 'Bad role.', param: 'messages[0].role', sequence_number: 4 });
  });
});
