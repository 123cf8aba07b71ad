import { AppError } from '@pointsman/errors';
import type { WireFormat } from '@pointsman/providers';
import type { JsonObject } from '@pointsman/schemas';
import { createStreamInspector, SseParser, type SseEvent } from '@pointsman/wire-formats';
import { expect, test } from 'vitest';
import { PassThroughReply } from './reply-shape.ts';

function shapeOf(format: WireFormat, { wantsUsage = false } = {}): PassThroughReply {
  return new PassThroughReply({ format, requestedModel: 'my-model', wantsUsage, requestId: 'req-1' });
}

/** What a client reads of a provider's events. */
function through(format: Exclude<WireFormat, 'embeddings'>, events: readonly SseEvent[], shape = shapeOf(format)): string {
  const inspector = createStreamInspector(format);
  return events.map((event) => shape.event(event, inspector.inspect(event))).join('');
}

const plain = (value: JsonObject | string): SseEvent => ({ event: '', data: typeof value === 'string' ? value : JSON.stringify(value) });
const typed = (value: JsonObject): SseEvent => ({ event: String(value['type']), data: JSON.stringify(value) });
const chunk = (content: string, model = 'gpt-4o-2024-08-06'): JsonObject => ({ id: 'c', model, choices: [{ index: 0, delta: { content } }] });
const broke = new AppError('upstream_failed', 'provider_truncated', 'It broke.');

test('a reply names the model that the client asked for, although the provider answers with a dated name', () => {
  const value = { id: 'c', model: 'gpt-4o-2024-08-06', choices: [] };
  expect(JSON.parse(shapeOf('chat').json(value, JSON.stringify(value)))).toEqual({ ...value, model: 'my-model' });
  expect(JSON.parse(shapeOf('chat').json(value, undefined))).toEqual({ ...value, model: 'my-model' });
});

test('a reply without a model goes out byte for byte', () => {
  const text = '{ "object":"list",  "data": [] }';
  expect(shapeOf('embeddings').json(JSON.parse(text) as JsonObject, text)).toBe(text);
});

test('text that looks like the provider\'s model name is not touched', () => {
  const value = { model: 'gpt-4o', choices: [{ message: { content: 'I am "model":"gpt-4o", truly gpt-4o' } }] };
  expect(JSON.parse(shapeOf('chat').json(value, JSON.stringify(value)))).toEqual({ ...value, model: 'my-model' });
});

test('every chunk of a stream names the model that the client asked for', () => {
  const text = through('chat', [plain(chunk('Hel')), plain(chunk('lo'))]);
  expect(text).toBe([chunk('Hel', 'my-model'), chunk('lo', 'my-model')].map((value) => `data: ${JSON.stringify(value)}\n\n`).join(''));
});

test('Anthropic\'s message_start and Responses events name the model inside', () => {
  const start = { type: 'message_start', message: { id: 'm', model: 'claude-x-20250101', role: 'assistant' } };
  expect(through('messages', [typed(start)])).toBe(`event: message_start\ndata: ${JSON.stringify({ ...start, message: { ...start.message, model: 'my-model' } })}\n\n`);
  const created = { type: 'response.created', response: { id: 'r', model: 'gpt-4o-2024-08-06' } };
  expect(through('responses', [typed(created)])).toBe(`event: response.created\ndata: ${JSON.stringify({ ...created, response: { id: 'r', model: 'my-model' } })}\n\n`);
});

test('the usage chunk that only the gateway asked for is withheld', () => {
  const usage = plain({ id: 'c', choices: [], usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } });
  expect(through('chat', [usage])).toBe('');
  expect(through('chat', [usage], shapeOf('chat', { wantsUsage: true }))).toBe(`data: ${usage.data}\n\n`);
});

test('usage on a chunk with a choice goes out either way', () => {
  const last = plain({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }], usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } });
  expect(through('chat', [last])).toBe(`data: ${last.data}\n\n`);
});

test('[DONE] is written by finish alone, so that it never follows a broken reply', () => {
  expect(through('chat', [plain('[DONE]')])).toBe('');
  expect(shapeOf('chat').finish()).toBe('data: [DONE]\n\n');
  expect(shapeOf('completions').finish()).toBe('data: [DONE]\n\n');
  expect(shapeOf('responses').finish()).toBe('');
});

test('a complete Messages stream ends with one message_stop, whether the provider sent it or not', () => {
  const shape = shapeOf('messages');
  const stop = 'event: message_stop\ndata: {"type":"message_stop"}\n\n';
  expect(shape.finish()).toBe(stop);
  expect(through('messages', [typed({ type: 'message_stop' })], shape) + shape.finish()).toBe(stop);
});

test('the last event of the other formats passes through', () => {
  expect(through('messages', [typed({ type: 'message_stop' })])).toBe('event: message_stop\ndata: {"type":"message_stop"}\n\n');
});

test('an event over several data lines stays one event', () => {
  const spread = '{\n"id":"c",\r"choices":[{"index":0,"delta":{"content":"hi"}}]}';
  const read = new SseParser({}).push(Buffer.from(through('chat', [plain(spread)])));
  expect(read).toHaveLength(1);
  expect(JSON.parse(read[0]?.data ?? '')).toEqual(JSON.parse(spread));
});

test('a reply that breaks ends with one error frame in the client\'s format, and no [DONE]', () => {
  expect(shapeOf('chat').fail(broke)).toBe('data: {"error":{"message":"It broke.","type":"upstream_error","param":null,"code":"provider_truncated"}}\n\n');
  expect(shapeOf('completions').fail(broke)).toBe(shapeOf('chat').fail(broke));
  expect(shapeOf('messages').fail(broke)).toBe('event: error\ndata: {"type":"error","error":{"type":"api_error","message":"It broke."},"request_id":"req-1"}\n\n');
  expect(shapeOf('embeddings').fail(broke)).toContain('"code":"provider_truncated"');
});

test('the error of a Responses stream carries the number after the events that went out', () => {
  const shape = shapeOf('responses');
  through('responses', [typed({ type: 'response.created', response: {} }), typed({ type: 'response.in_progress', response: {} })], shape);
  expect(shape.fail(broke)).toMatch(/^event: error\ndata: \{.*"sequence_number":2\}\n\n$/);
});
