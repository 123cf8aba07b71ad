import { describe, expect, test } from 'vitest';
import { checkChatBody, checkCompletionBody, checkCountTokensBody, checkEmbeddingBody, checkMessagesBody, checkResponsesBody, type BodyCheck } from './check-body.ts';

const hello = [{ role: 'user', content: 'hello' }];
const chat = (rest: object): object => ({ model: 'm', messages: hello, ...rest });
const turn = (message: unknown): object => ({ model: 'm', messages: [message] });

function refused(check: BodyCheck, body: unknown): [string | undefined, string, string] {
  const error = check(body);
  if (error === undefined) throw new Error('the body was accepted');
  expect(error.kind).toBe('invalid_request');
  expect(error.status).toBe(400);
  return [error.param, error.code, error.message];
}

describe('checkChatBody', () => {
  test.each([
    ['the smallest body', chat({})],
    ['parameters that nobody here knows', chat({ future: { deep: [1] }, metadata: { tags: ['a'] }, cache: {}, mock_response: 'x' })],
    ['null for absent', chat({ temperature: null, stream: null, tools: null, stop: null, n: null, user: null, response_format: null, stream_options: null })],
    ['every role', chat({ messages: ['developer', 'system', 'user', 'assistant', 'tool', 'function'].map((role) => ({ role, content: 'x' })) })],
    ['tool calls without content', turn({ role: 'assistant', content: null, tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } }] })],
    ['a custom tool call', turn({ role: 'assistant', tool_calls: [{ id: 'c', type: 'custom', custom: { name: 'f', input: 'x' } }] })],
    ['images, audio, files and parts of a kind to come', turn({ role: 'user', content: [{ type: 'text', text: 'x' }, { type: 'image_url', image_url: { url: 'u' } }, { type: 'image_url', image_url: 'u' }, { type: 'input_audio', input_audio: { data: 'A', format: 'wav' } }, { type: 'file', file: { file_id: 'f' } }, { type: 'video_url', video_url: {} }] })],
    ['stop as a string and as a list', chat({ stop: ['a', 'b'] })],
    ['tools and choice', chat({ tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }, { type: 'web_search' }], tool_choice: { type: 'function', function: { name: 'f' } } })],
    ['a JSON schema', chat({ response_format: { type: 'json_schema', json_schema: { name: 'a', schema: {} } } })],
    ['a body with odd own keys', JSON.parse('{"model":"m","messages":[{"role":"user","content":"x","__proto__":{"role":7}}],"__proto__":{"model":7}}')],
  ])('accepts %s', (_name, body) => {
    expect(checkChatBody(body)).toBeUndefined();
  });

  const roles = "'developer', 'system', 'user', 'assistant', 'tool' and 'function'";
  test.each<[unknown, string | undefined, string, string]>([
    [{ model: 'm' }, 'messages', 'missing_required_parameter', "Missing required parameter: 'messages'."],
    [{ messages: hello }, 'model', 'missing_required_parameter', "Missing required parameter: 'model'."],
    [chat({ model: 7 }), 'model', 'invalid_type', "Invalid type for 'model': expected a string, but got a number instead."],
    [chat({ model: '' }), 'model', 'invalid_value', "Invalid value for 'model': expected a non-empty string, but got '' instead."],
    [chat({ messages: [] }), 'messages', 'invalid_value', "Invalid value for 'messages': expected a non-empty array, but got an empty array instead."],
    [chat({ messages: 'hi' }), 'messages', 'invalid_type', "Invalid type for 'messages': expected an array, but got a string instead."],
    [turn(null), 'messages[0]', 'invalid_type', "Invalid type for 'messages[0]': expected an object, but got null instead."],
    [turn({ content: 'x' }), 'messages[0].role', 'missing_required_parameter', "Missing required parameter: 'messages[0].role'."],
    [turn({ role: 'usr', content: 'x' }), 'messages[0].role', 'invalid_value', `Invalid value for 'messages[0].role': 'usr'. Supported values are: ${roles}.`],
    [turn({ role: 'user' }), 'messages[0].content', 'missing_required_parameter', "Missing required parameter: 'messages[0].content'."],
    [turn({ role: 'user', content: null }), 'messages[0].content', 'invalid_type', "Invalid type for 'messages[0].content': expected a string, but got null instead."],
    [turn({ role: 'user', content: 5 }), 'messages[0].content', 'invalid_type', "Invalid type for 'messages[0].content': expected a string or an array, but got a number instead."],
    [turn({ role: 'user', content: [{ type: 'text' }] }), 'messages[0].content[0].text', 'missing_required_parameter', "Missing required parameter: 'messages[0].content[0].text'."],
    [turn({ role: 'user', content: [{ type: 'image_url', image_url: {} }] }), 'messages[0].content[0].image_url.url', 'missing_required_parameter', "Missing required parameter: 'messages[0].content[0].image_url.url'."],
    [turn({ role: 'assistant', tool_calls: [{ function: {} }] }), 'messages[0].tool_calls[0].function.name', 'missing_required_parameter', "Missing required parameter: 'messages[0].tool_calls[0].function.name'."],
    [chat({ stream: 'yes' }), 'stream', 'invalid_type', "Invalid type for 'stream': expected a boolean, but got a string instead."],
    [chat({ temperature: '1' }), 'temperature', 'invalid_type', "Invalid type for 'temperature': expected a number, but got a string instead."],
    [chat({ n: 0 }), 'n', 'invalid_value', "Invalid value for 'n': expected a number not below 1, but got 0 instead."],
    [chat({ n: 1000 }), 'n', 'invalid_value', "Invalid value for 'n': expected at most 128, but got 1000 instead."],
    [chat({ max_tokens: 1.5 }), 'max_tokens', 'invalid_type', "Invalid type for 'max_tokens': expected an integer, but got a number with decimals instead."],
    [chat({ stop: 7 }), 'stop', 'invalid_type', "Invalid type for 'stop': expected a string or an array, but got a number instead."],
    [chat({ stop: ['a', 7] }), 'stop[1]', 'invalid_type', "Invalid type for 'stop[1]': expected a string, but got a number instead."],
    [chat({ tools: [{ type: 'function', function: { name: '' } }] }), 'tools[0].function.name', 'invalid_value', "Invalid value for 'tools[0].function.name': expected a non-empty string, but got '' instead."],
    [chat({ tool_choice: 1 }), 'tool_choice', 'invalid_type', "Invalid type for 'tool_choice': expected a string or an object, but got a number instead."],
    [chat({ response_format: 'json' }), 'response_format', 'invalid_type', "Invalid type for 'response_format': expected an object, but got a string instead."],
    [chat({ stream_options: { include_usage: 1 } }), 'stream_options.include_usage', 'invalid_type', "Invalid type for 'stream_options.include_usage': expected a boolean, but got a number instead."],
    [[], undefined, 'invalid_type', 'Invalid type for the body: expected an object, but got an array instead.'],
    [null, undefined, 'invalid_type', 'Invalid type for the body: expected an object, but got null instead.'],
  ])('refuses %j and names the field', (body, param, code, message) => {
    expect(refused(checkChatBody, body)).toEqual([param, code, message]);
  });

  test('quotes a long value only in short', () => {
    expect(refused(checkChatBody, turn({ role: 'x'.repeat(10_000), content: 'x' }))[2].length).toBeLessThan(250);
  });

  test('a route that names the model needs none in the body, but a wrong one is still wrong', () => {
    expect(checkChatBody({ messages: hello }, { modelFromPath: true })).toBeUndefined();
    expect(checkChatBody({ messages: hello, model: 7 }, { modelFromPath: true })?.param).toBe('model');
    expect(checkChatBody({ n: 0 }, { modelFromPath: true })?.param).toBe('messages');
  });

  test('leaves the body as it was', () => {
    const body = chat({ extra: { a: 1 } });
    const before = structuredClone(body);
    checkChatBody(body);
    expect(body).toEqual(before);
  });
});

describe('the other bodies', () => {
  test.each<[BodyCheck, unknown]>([
    [checkCompletionBody, { model: 'm', prompt: 'x' }],
    [checkCompletionBody, { model: 'm', prompt: ['x', 'y'], logprobs: 3, echo: true }],
    [checkCompletionBody, { model: 'm', prompt: [[1, 2], [3]] }],
    [checkEmbeddingBody, { model: 'm', input: 'x' }],
    [checkEmbeddingBody, { model: 'm', input: [1, 2, 3], encoding_format: 'base64', dimensions: 256 }],
    [checkResponsesBody, { model: 'm', input: 'x' }],
    [checkResponsesBody, { model: 'm', input: [{ role: 'user', content: [{ type: 'input_text', text: 'x' }] }, { type: 'function_call_output', call_id: 'c', output: 'x' }] }],
    [checkResponsesBody, { model: 'm', previous_response_id: 'r' }],
    [checkMessagesBody, { model: 'm', max_tokens: 1, messages: hello, system: [{ type: 'text', text: 'x', cache_control: { type: 'ephemeral' } }], tools: [{ name: 'f', input_schema: {} }, { type: 'bash_20250124', name: 'bash' }] }],
    [checkCountTokensBody, { model: 'm', messages: hello }],
  ])('accept good ones (%#)', (check, body) => {
    expect(check(body)).toBeUndefined();
  });

  test.each<[BodyCheck, unknown, string]>([
    [checkCompletionBody, { model: 'm' }, 'prompt'],
    [checkCompletionBody, { model: 'm', prompt: [] }, 'prompt'],
    [checkCompletionBody, { model: 'm', prompt: 7 }, 'prompt'],
    [checkCompletionBody, { model: 'm', prompt: [[1, 'x']] }, 'prompt[0][1]'],
    [checkEmbeddingBody, { model: 'm' }, 'input'],
    [checkEmbeddingBody, { model: 'm', input: { a: 1 } }, 'input'],
    [checkEmbeddingBody, { model: 'm', input: 'x', dimensions: 0 }, 'dimensions'],
    [checkResponsesBody, { model: 'm' }, 'input'],
    [checkResponsesBody, { model: 'm', input: [{ role: 'user', content: [{ text: 'x' }] }] }, 'input[0].content[0].type'],
    [checkResponsesBody, { model: 'm', input: 'x', tools: [{}] }, 'tools[0].type'],
    [checkMessagesBody, { model: 'm', messages: hello }, 'max_tokens'],
    [checkMessagesBody, { model: 'm', max_tokens: 1, messages: [{ role: 'tool', content: 'x' }] }, 'messages[0].role'],
    [checkMessagesBody, { model: 'm', max_tokens: 1, messages: [{ role: 'user', content: [{ type: 'text' }] }] }, 'messages[0].content[0].text'],
    [checkCountTokensBody, { model: 'm' }, 'messages'],
  ])('refuse bad ones and name the field (%#)', (check, body, param) => {
    expect(refused(check, body)[0]).toBe(param);
  });
});
