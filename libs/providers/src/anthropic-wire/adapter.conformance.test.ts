import type { JsonObject } from '@pointsman/schemas';
import { describeProviderConformance, type ConformanceFixture } from '../provider.conformance.ts';
import { UpstreamPools } from '../upstream-pools.ts';
import { createAnthropicWireProvider } from './adapter.ts';

const pools = new UpstreamPools();
const tool: JsonObject = { name: 'get_weather', input_schema: { type: 'object', properties: { city: { type: 'string' } } } };
const request: JsonObject = { model: 'asked-for', max_tokens: 100, system: 'Be brief.', messages: [{ role: 'user', content: 'Say hello' }] };
const streamRequest: JsonObject = { ...request, stream: true };
const headers = { 'x-api-key': 'sk-ant-test-key', 'anthropic-version': '2023-06-01', authorization: undefined };
const upstream = (body: JsonObject) => ({ path: '/v1/messages', headers, body: { model: 'claude-sonnet-4-5', ...body } });

const usage = { input_tokens: 10, cache_creation_input_tokens: 200, cache_read_input_tokens: 3000, output_tokens: 7 };
const reply = (content: JsonObject[], stopReason = 'end_turn'): JsonObject => ({ id: 'msg_01', type: 'message', role: 'assistant', model: 'claude-sonnet-4-5', content, stop_reason: stopReason, stop_sequence: null, usage });
const thinking: JsonObject = { type: 'thinking', thinking: 'Hmm.', signature: 'sig-1' };
const toolUse: JsonObject[] = [{ type: 'tool_use', id: 'toolu_a', name: 'get_weather', input: { city: 'Paris' } }, { type: 'tool_use', id: 'toolu_b', name: 'get_weather', input: { city: 'Rome' } }];

function stream(blocks: JsonObject[][], stopReason = 'end_turn'): JsonObject[] {
  return [
    { type: 'message_start', message: { ...reply([]), stop_reason: null, usage: { ...usage, output_tokens: 1 } } }, { type: 'ping' },
    ...blocks.flatMap(([start, ...deltas], index): JsonObject[] => [{ type: 'content_block_start', index, content_block: start ?? {} }, ...deltas.map((delta) => ({ type: 'content_block_delta', index, delta })), { type: 'content_block_stop', index }]),
    { type: 'message_delta', delta: { stop_reason: stopReason, stop_sequence: null }, usage: { output_tokens: 7 } }, { type: 'message_stop' },
  ];
}
const bytes = (events: readonly JsonObject[]): string => events.map((event) => `event: ${String(event['type'])}\ndata: ${JSON.stringify(event)}\n\n`).join('');
const refusal = (type: string, message: string): string => JSON.stringify({ type: 'error', error: { type, message } });

const whole = (name: string, body: JsonObject, value: JsonObject): ConformanceFixture => ({ case: name, format: 'messages', request: body, expectUpstream: upstream({}), reply: { body: JSON.stringify(value) }, expect: { json: value } });
const events = (name: string, body: JsonObject, values: JsonObject[]): ConformanceFixture => ({ case: name, format: 'messages', request: { ...body, stream: true }, expectUpstream: upstream({ stream: true }), reply: { body: bytes(values) }, expect: { events: values } });
const failure = (name: string, status: number, body: string, expectation: Extract<ConformanceFixture['expect'], { fault: unknown }>, replyHeaders: Record<string, string> = {}): ConformanceFixture => ({ case: name, format: 'messages', request, expectUpstream: upstream({}), reply: { status, headers: replyHeaders, body }, expect: { upstreamStatus: status, ...expectation } });

const text: JsonObject = { type: 'text', text: 'Hello 👋' };
const image: JsonObject = { ...request, messages: [{ role: 'user', content: [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'aGk=' } }] }] };
const toolResults: JsonObject = { ...request, tools: [tool], messages: [{ role: 'user', content: 'Weather?' }, { role: 'assistant', content: [thinking, ...toolUse] }, { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_a', content: '18' }, { type: 'tool_result', tool_use_id: 'toolu_b', content: '24' }] }] };

describeProviderConformance({
  name: 'anthropic, messages on the wire',
  createProvider: (baseUrl) => createAnthropicWireProvider({ provider: 'anthropic', model: 'claude-sonnet-4-5', apiKey: 'sk-ant-test-key', apiBase: `${baseUrl}/v1`, apiVersion: undefined, params: {} }, { pools, env: {} }),
  fixtures: [
    { ...whole('reply', request, reply([text])), expectUpstream: upstream({ max_tokens: 100, system: 'Be brief.', messages: [{ role: 'user', content: 'Say hello' }] }) },
    events('stream', streamRequest, stream([[{ type: 'text', text: '' }, ...['Grüß', ' Gott', ' 👋'].map((part): JsonObject => ({ type: 'text_delta', text: part }))]])),
    whole('parallel-tools', { ...request, tools: [tool] }, reply([text, ...toolUse], 'tool_use')),
    events('parallel-tools-stream', { ...request, tools: [tool] }, stream([[{ type: 'tool_use', id: 'toolu_a', name: 'get_weather', input: {} }, { type: 'input_json_delta', partial_json: '{"city"' }, { type: 'input_json_delta', partial_json: ':"Paris"}' }], [{ type: 'tool_use', id: 'toolu_b', name: 'get_weather', input: {} }, { type: 'input_json_delta', partial_json: '{}' }]], 'tool_use')),
    { ...whole('tool-results', toolResults, reply([text])), expectUpstream: upstream({ messages: toolResults['messages'] ?? [] }) },
    { ...whole('image', image, reply([text])), expectUpstream: upstream({ messages: image['messages'] ?? [] }) },
    { ...whole('json-schema', { ...request, output_config: { format: { type: 'json_schema', schema: { type: 'object' } } } }, reply([{ type: 'text', text: '{}' }])), expectUpstream: upstream({ output_config: { format: { type: 'json_schema' } } }) },
    { ...whole('reasoning', { ...request, thinking: { type: 'enabled', budget_tokens: 50 } }, reply([thinking, text])), expectUpstream: upstream({ thinking: { type: 'enabled', budget_tokens: 50 }, max_tokens: 100 }) },
    events('reasoning-stream', request, stream([[{ type: 'thinking', thinking: '' }, { type: 'thinking_delta', thinking: 'Hmm.' }, { type: 'signature_delta', signature: 'sig-1' }]])),
    whole('usage-details', request, reply([text])),
    events('usage-details-stream', request, stream([[text]])),
    failure('error-context-window', 400, refusal('invalid_request_error', 'prompt is too long: 210000 tokens > 200000 maximum'), { fault: 'context_window' }),
    failure('error-auth', 401, refusal('authentication_error', 'invalid x-api-key'), { fault: 'auth' }),
    failure('error-not-found', 404, refusal('not_found_error', 'model: nope'), { fault: 'not_found' }),
    failure('error-rate-limited', 429, refusal('rate_limit_error', 'slow down'), { fault: 'rate_limited', retryAfterMs: 7000 }, { 'retry-after': '7' }),
    failure('error-server', 500, refusal('api_error', 'Internal server error'), { fault: 'server_error' }),
    failure('error-overloaded', 529, refusal('overloaded_error', 'Overloaded'), { fault: 'overloaded' }),
    failure('error-html', 502, '<html><head><title>Bad Gateway</title></head></html>', { fault: 'server_error' }, { 'content-type': 'text/html' }),
    { case: 'error-in-stream', format: 'messages', request: streamRequest, expectUpstream: upstream({}), reply: { body: bytes([...stream([[{ type: 'text', text: '' }, { type: 'text_delta', text: 'Hel' }]]).slice(0, 4), { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }]) }, expect: { fault: 'overloaded', message: /Overloaded/ } },
  ],
});
