import type { WireFormat } from '@pointsman/providers';
import type { JsonObject, JsonValue } from '@pointsman/schemas';
import { createStreamInspector } from '@pointsman/wire-formats';
import { expect, test } from 'vitest';
import { chatConfig, chatReply, chunk, FakeProvider, fakeSnapshot } from '../fake-gateway.fixture.ts';
import { parseJsonBody } from '../http/parse-json-body.ts';
import type { Deployment, GroupPlan } from '../snapshot/snapshot.ts';
import { ContinuedReply, type Continuation } from './continue-stream.ts';
import type { DispatchRequest } from './dispatch.ts';
import { splitGatewayParameters } from './gateway-parameters.ts';
import { PassThroughReply, type ReplyShape } from './reply-shape.ts';
import { requestFor } from './request-for.ts';

function planOf(formats: readonly WireFormat[], bodyDefaults?: ReadonlyMap<string, JsonValue>, id = 'openai'): GroupPlan {
  const provider = new FakeProvider(() => undefined, { id, formats });
  const plan = fakeSnapshot(chatConfig(['d']), { providers: { d: provider }, ...(bodyDefaults === undefined ? {} : { bodyDefaults }) }).plan('chat');
  if (plan === undefined || plan instanceof Promise) throw new Error('no plan');
  return plan;
}

interface Prepared {
  readonly format: WireFormat;
  readonly body: JsonObject;
  readonly raw: Buffer | undefined;
  readonly shape: ReplyShape;
  /** The bytes that the client sent. */
  readonly sent: Buffer;
}

interface PrepareOptions {
  readonly formats?: readonly WireFormat[];
  readonly defaults?: ReadonlyMap<string, JsonValue>;
  readonly continuing?: Continuation;
  readonly provider?: string;
}

function prepare(format: WireFormat, body: JsonObject, { formats = ['chat'], defaults, continuing, provider }: PrepareOptions = {}): Prepared {
  const plan = planOf(formats, defaults, provider);
  const sent = Buffer.from(JSON.stringify(body));
  const request: DispatchRequest = {
    format, body: parseJsonBody(sent), stream: body['stream'] === true, requestedModel: 'chat', plan, parameters: splitGatewayParameters({}).parameters, prompt: () => '', promptTokens: () => 0, user: undefined,
    about: () => ({ text: '', system: '', turns: 1, images: 0, tools: 0, wantsJson: false }), session: () => undefined,
  };
  const prepared = requestFor(plan.deployments[0] as Deployment, request, { servingName: 'serving', requestId: 'req-1', continuing });
  return { format: prepared.format, body: prepared.body.value, raw: prepared.body.raw, shape: prepared.shape, sent };
}

const CHAT: JsonObject = { model: 'chat', messages: [{ role: 'user', content: 'hi' }], x_unknown: [1, { a: null }] };
const MESSAGES: JsonObject = { model: 'chat', max_tokens: 10, system: 'be brief', messages: [{ role: 'user', content: 'hi' }] };

test('the common request goes on as it came: the same bytes', () => {
  const { format, body, raw, shape, sent } = prepare('chat', CHAT);
  expect(format).toBe('chat');
  expect(body).toEqual(CHAT);
  expect(raw).toBe(sent);
  expect(shape).toBeInstanceOf(PassThroughReply);
});

test('a provider that speaks Messages gets Messages, byte for byte', () => {
  const { format, raw, sent } = prepare('messages', MESSAGES, { formats: ['chat', 'messages'] });
  expect(format).toBe('messages');
  expect(raw).toBe(sent);
});

test('defaults fill what the client left out, never what it said, and the bytes no longer hold', () => {
  const defaults = new Map<string, JsonValue>([['temperature', 0.1], ['max_tokens', 50], ['seed', 7]]);
  const { body, raw } = prepare('chat', { ...CHAT, temperature: 0.9, seed: null }, { defaults });
  expect(body).toEqual({ ...CHAT, temperature: 0.9, seed: null, max_tokens: 50 });
  expect(raw).toBeUndefined();
  expect(CHAT).not.toHaveProperty('max_tokens');
});

test('defaults that change nothing leave the bytes alone', () => {
  const { body, raw, sent } = prepare('chat', CHAT, { defaults: new Map([['model', 'other']]) });
  expect(body).toEqual(CHAT);
  expect(raw).toBe(sent);
});

test.each<[WireFormat, JsonObject]>([
  ['messages', MESSAGES], ['responses', { model: 'chat', input: 'hi' }], ['completions', { model: 'chat', prompt: 'hi' }],
])('a provider that speaks only chat serves %s through a translation', (format, body) => {
  const prepared = prepare(format, body);
  expect(prepared.format).toBe('chat');
  expect(prepared.raw).toBeUndefined();
  expect(JSON.stringify(prepared.body['messages'])).toContain('hi');
});

test('a translated reply comes back in the client\'s format under the name it asked for', () => {
  const { shape } = prepare('messages', MESSAGES);
  expect(JSON.parse(shape.json(chatReply('hello'), undefined))).toMatchObject({ type: 'message', role: 'assistant', model: 'serving', content: [{ type: 'text', text: 'hello' }], stop_reason: 'end_turn' });
});

test('a translated stream ends as the client\'s format ends', () => {
  const { shape } = prepare('messages', { ...MESSAGES, stream: true });
  const inspector = createStreamInspector('chat');
  const text = [...[chunk({ role: 'assistant', content: 'hel' }), chunk({ content: 'lo' }), chunk({}, 'stop')].map((value) => JSON.stringify(value)), '[DONE]']
    .map((data) => shape.event({ event: '', data }, inspector.inspect({ event: '', data }))).join('') + shape.finish();
  expect([...text.matchAll(/^event: (.*)$/gm)].map(([, name]) => name)).toEqual([
    'message_start', 'content_block_start', 'content_block_delta', 'content_block_delta', 'content_block_stop', 'message_delta', 'message_stop',
  ]);
  expect(text).not.toContain('[DONE]');
});

test('defaults are in the provider\'s words, so a translated request gets them too', () => {
  const { body } = prepare('messages', MESSAGES, { defaults: new Map([['seed', 7]]) });
  expect(body['seed']).toBe(7);
});

test('embeddings are never translated: a provider without them says so', () => {
  expect(() => prepare('embeddings', { model: 'chat', input: 'x' })).toThrow(expect.objectContaining({ kind: 'not_supported', code: 'format_not_supported', param: 'model' }));
});

test('a provider without chat cannot serve what would have to be translated', () => {
  expect(() => prepare('messages', MESSAGES, { formats: ['embeddings'] })).toThrow(expect.objectContaining({ kind: 'not_supported' }));
});

test('what chat cannot express is refused by the name of its field', () => {
  expect(() => prepare('responses', { model: 'chat', input: 'x', previous_response_id: 'resp_1' })).toThrow(expect.objectContaining({ kind: 'invalid_request', param: 'previous_response_id' }));
});

const continuing: Continuation = { text: 'Once', shape: new PassThroughReply({ format: 'chat', requestedModel: 'chat', wantsUsage: false, requestId: 'r' }), replyId: 'first' };

test('a continued chat stream carries the partial answer and is written by the first shape', () => {
  const { format, body, raw, shape } = prepare('chat', CHAT, { continuing });
  expect(format).toBe('chat');
  expect(raw).toBeUndefined();
  expect(body['messages']).toEqual([{ role: 'user', content: 'hi' }, { role: 'assistant', content: 'Once' }]);
  expect(shape).toBeInstanceOf(ContinuedReply);
});

test('a continued Messages stream is continued on chat, also by a provider that speaks Messages', () => {
  const { format, body } = prepare('messages', { ...MESSAGES, stream: true }, { formats: ['chat', 'messages'], continuing });
  expect(format).toBe('chat');
  expect(body['messages']).toEqual([{ role: 'system', content: 'be brief' }, { role: 'user', content: 'hi' }, { role: 'assistant', content: 'Once' }]);
  expect(body).not.toHaveProperty('system');
});

test('reasoning and cache marks survive a translation only for providers that know them', () => {
  const cached: JsonObject = { ...MESSAGES, system: [{ type: 'text', text: 'be brief', cache_control: { type: 'ephemeral' } }] };
  expect(JSON.stringify(prepare('messages', cached, { provider: 'bedrock' }).body)).toContain('cache_control');
  expect(JSON.stringify(prepare('messages', cached, { provider: 'openai' }).body)).not.toContain('cache_control');
});
