import { json, type Script, type UpstreamCall } from '@pointsman/testing';

/** Kinds of provider whose wire a scripted upstream plays here; `simulated` runs inside the gateway and needs no server. */
export const PLAYED_KINDS = ['openai', 'anthropic', 'gemini'] as const;
export type PlayedKind = (typeof PLAYED_KINDS)[number];
export type ProviderKind = PlayedKind | 'simulated';

export const GREETING = ['Hello ', 'there, ', 'friend 👋'] as const;
export const GREETING_TEXT = GREETING.join('');
export const AFTER_TOOLS = 'Mild in Paris, warm in Rome.';
export const OF_AN_IMAGE = 'A pixel.';
export const THOUGHT = 'They greet me.';
export const SIGNATURE = 'c2lnbmF0dXJl';
export const PERSON = { name: 'Ada', age: 36 } as const;
export const TOOL_INPUTS = [{ city: 'Paris' }, { city: 'Rome' }] as const;
/** What every played reply says it used. */
export const USED = { prompt: 12, completion: 5 } as const;
/** A transparent PNG of one pixel, base64. */
export const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
/** The key of every played deployment: no client may ever see it, and no provider another one. */
export const PROVIDER_KEY = 'sk-provider-0123456789abcdefghij';

/** How the played provider refuses a model of the name `fails-STATUS`. */
const REFUSALS: Readonly<Record<number, { readonly message: string; readonly anthropic: string; readonly gemini: string }>> = {
  400: { message: 'temperature: must be lower', anthropic: 'invalid_request_error', gemini: 'INVALID_ARGUMENT' },
  401: { message: 'this key is not good', anthropic: 'authentication_error', gemini: 'UNAUTHENTICATED' },
  404: { message: 'no such model here', anthropic: 'not_found_error', gemini: 'NOT_FOUND' },
  429: { message: 'slow down', anthropic: 'rate_limit_error', gemini: 'RESOURCE_EXHAUSTED' },
  500: { message: 'the engine fell over', anthropic: 'api_error', gemini: 'INTERNAL' },
  503: { message: 'too busy', anthropic: 'overloaded_error', gemini: 'UNAVAILABLE' },
};
export const REFUSED_STATUSES = Object.keys(REFUSALS).map(Number);

type Json = Readonly<Record<string, unknown>>;
type Turn = 'greeting' | 'tools' | 'after-tools' | 'image' | 'person' | 'thought';

/** Answers like the provider of that kind: what the request asks for decides what comes back. */
export function playProvider(kind: PlayedKind): (call: UpstreamCall) => Script {
  return (call) => {
    const model = modelAsked(call);
    const failure = /^fails-(\d+)$/.exec(model)?.[1];
    if (failure !== undefined) return refusal(kind, Number(failure));
    if (model === 'stalls') return { before: [{ end: 'stall' }], steps: [] };
    if (model === 'stalls-midway') return stalling(PLAYERS[kind](call, 'greeting'));
    return PLAYERS[kind](call, turnOf(call));
  };
}

/** One entry of `model_list` for the model `name` of a played provider. */
export function playedDeployment(kind: ProviderKind, group: string, name: string, url: string, params: object = {}): object {
  if (kind === 'simulated') return { model_name: group, litellm_params: { model: 'simulated/swift', simulated_ttft_ms: 0, simulated_tokens_per_s: 0, ...params } };
  return { model_name: group, litellm_params: { model: `${kind}/${name}`, api_base: kind === 'openai' ? `${url}/v1` : url, api_key: PROVIDER_KEY, ...params } };
}

function modelAsked({ json: body, path }: UpstreamCall): string {
  const named = (body as Json | undefined)?.['model'];
  if (typeof named === 'string') return named;
  return /\/models\/([^:/]+)/.exec(path)?.[1] ?? '';
}

function turnOf({ body }: UpstreamCall): Turn {
  if (body.includes('"tool_call_id"') || body.includes('"tool_result"') || body.includes('"functionResponse"') || body.includes('"function_call_output"')) return 'after-tools';
  if (body.includes('"get_weather"')) return 'tools';
  if (body.includes('json_schema') || body.includes('responseJsonSchema')) return 'person';
  if (body.includes(PIXEL)) return 'image';
  if (body.includes('"thinking"')) return 'thought';
  return 'greeting';
}

const TEXTS: Readonly<Record<Turn, readonly string[]>> = {
  greeting: GREETING, thought: GREETING, tools: [], 'after-tools': [AFTER_TOOLS], image: [OF_AN_IMAGE], person: [JSON.stringify(PERSON).slice(0, 9), JSON.stringify(PERSON).slice(9)],
};

/** The first half of a stream, then silence until the other side leaves. */
function stalling(script: Script): Script {
  return { ...script, steps: [...script.steps.slice(0, Math.ceil(script.steps.length / 2)), { end: 'stall' }] };
}

function refusal(kind: PlayedKind, status: number): Script {
  const { message, anthropic, gemini } = REFUSALS[status] ?? { message: 'refused', anthropic: 'api_error', gemini: 'UNKNOWN' };
  const headers: Record<string, string> = status === 429 ? { 'retry-after': '17' } : {};
  if (kind === 'anthropic') return json({ type: 'error', error: { type: anthropic, message } }, { status: status === 503 ? 529 : status, headers });
  if (kind === 'gemini') return json({ error: { code: status, message, status: gemini } }, { status, headers });
  return json({ error: { message, type: 'provider_says', param: null, code: null } }, { status, headers });
}

function frames(lines: readonly string[]): Script {
  return { headers: { 'content-type': 'text/event-stream' }, framing: 'chunked', steps: lines };
}

const PLAYERS: Readonly<Record<PlayedKind, (call: UpstreamCall, turn: Turn) => Script>> = { openai: playOpenAi, anthropic: playAnthropic, gemini: playGemini };

function playOpenAi({ path, json: asked }: UpstreamCall, turn: Turn): Script {
  const body = (asked ?? {}) as Json;
  if (path.endsWith('/embeddings')) return openAiEmbeddings(body);
  if (path.endsWith('/responses')) return openAiResponses(body, turn);
  if (path.endsWith('/completions') && !path.endsWith('/chat/completions')) return openAiCompletions(body);
  const head = { id: 'chatcmpl-played', created: 1_700_000_000, model: `${String(body['model'])}-2026-01-01` };
  const usage = { prompt_tokens: USED.prompt, completion_tokens: USED.completion, total_tokens: USED.prompt + USED.completion };
  const text = TEXTS[turn];
  const calls = turn === 'tools' ? TOOL_INPUTS.map((input, index) => ({ index, id: `call_${String(index)}`, type: 'function', function: { name: 'get_weather', arguments: JSON.stringify(input) } })) : [];
  const finish = turn === 'tools' ? 'tool_calls' : 'stop';
  const count = typeof body['n'] === 'number' ? body['n'] : 1;
  if (body['stream'] !== true) {
    const message = { role: 'assistant', content: text.length === 0 ? null : text.join(''), refusal: null, ...(calls.length === 0 ? {} : { tool_calls: calls.map(({ index: _index, ...call }) => call) }) };
    return json({ ...head, object: 'chat.completion', choices: Array.from({ length: count }, (_, index) => ({ index, message, logprobs: null, finish_reason: finish })), usage });
  }
  const chunk = (choices: readonly object[], more: object = {}): string => `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices, ...more })}\n\n`;
  const lines: string[] = [];
  for (let index = 0; index < count; index += 1) {
    lines.push(chunk([{ index, delta: { role: 'assistant', content: calls.length === 0 ? '' : null }, finish_reason: null }]));
    lines.push(...text.map((content) => chunk([{ index, delta: { content }, finish_reason: null }])));
    for (const call of calls) {
      lines.push(chunk([{ index, delta: { tool_calls: [{ ...call, function: { name: 'get_weather', arguments: '' } }] }, finish_reason: null }]));
      const half = Math.floor(call.function.arguments.length / 2);
      for (const part of [call.function.arguments.slice(0, half), call.function.arguments.slice(half)]) lines.push(chunk([{ index, delta: { tool_calls: [{ index: call.index, function: { arguments: part } }] }, finish_reason: null }]));
    }
    lines.push(chunk([{ index, delta: {}, finish_reason: finish }]));
  }
  const wantsUsage = (body['stream_options'] as Json | undefined)?.['include_usage'] === true;
  if (wantsUsage) lines.push(chunk([], { usage }));
  return frames([...lines, 'data: [DONE]\n\n']);
}

function openAiEmbeddings(body: Json): Script {
  const inputs = Array.isArray(body['input']) ? body['input'] : [body['input']];
  const data = inputs.map((_, index) => {
    const vector = Float32Array.of(index + 0.5, 1, -2);
    return { object: 'embedding', index, embedding: body['encoding_format'] === 'base64' ? Buffer.from(vector.buffer).toString('base64') : [...vector] };
  });
  return json({ object: 'list', data, model: body['model'], usage: { prompt_tokens: USED.prompt, total_tokens: USED.prompt } });
}

function openAiCompletions(body: Json): Script {
  const head = { id: 'cmpl-played', object: 'text_completion', created: 1_700_000_000, model: body['model'] };
  const usage = { prompt_tokens: USED.prompt, completion_tokens: USED.completion, total_tokens: USED.prompt + USED.completion };
  if (body['stream'] !== true) return json({ ...head, choices: [{ index: 0, text: GREETING_TEXT, logprobs: null, finish_reason: 'stop' }], usage });
  const chunk = (text: string, finish: string | null): string => `data: ${JSON.stringify({ ...head, choices: [{ index: 0, text, logprobs: null, finish_reason: finish }] })}\n\n`;
  return frames([...GREETING.map((text) => chunk(text, null)), chunk('', 'stop'), `data: ${JSON.stringify({ ...head, choices: [], usage })}\n\n`, 'data: [DONE]\n\n']);
}

function openAiResponses(body: Json, turn: Turn): Script {
  const text = TEXTS[turn];
  const item = { id: 'msg_played', type: 'message', role: 'assistant', status: 'completed', content: [{ type: 'output_text', text: text.join(''), annotations: [] }] };
  const calls = TOOL_INPUTS.map((input, index) => ({ id: `fc_${String(index)}`, type: 'function_call', status: 'completed', call_id: `call_${String(index)}`, name: 'get_weather', arguments: JSON.stringify(input) }));
  const whole = {
    id: 'resp_played', object: 'response', created_at: 1_700_000_000, status: 'completed', model: body['model'], output: turn === 'tools' ? calls : [item], parallel_tool_calls: true,
    tools: [], tool_choice: 'auto', error: null, incomplete_details: null, instructions: null, metadata: {}, temperature: 1, top_p: 1,
    usage: { input_tokens: USED.prompt, output_tokens: USED.completion, total_tokens: USED.prompt + USED.completion, input_tokens_details: { cached_tokens: 0 }, output_tokens_details: { reasoning_tokens: 0 } },
  };
  if (body['stream'] !== true) return json(whole);
  const events: Json[] = [
    { type: 'response.created', response: { ...whole, status: 'in_progress', output: [], usage: null } },
    { type: 'response.output_item.added', output_index: 0, item: { ...item, status: 'in_progress', content: [] } },
    { type: 'response.content_part.added', output_index: 0, content_index: 0, item_id: item.id, part: { type: 'output_text', text: '', annotations: [] } },
    ...text.map((delta) => ({ type: 'response.output_text.delta', output_index: 0, content_index: 0, item_id: item.id, delta })),
    { type: 'response.output_text.done', output_index: 0, content_index: 0, item_id: item.id, text: text.join('') },
    { type: 'response.content_part.done', output_index: 0, content_index: 0, item_id: item.id, part: item.content[0] },
    { type: 'response.output_item.done', output_index: 0, item },
    { type: 'response.completed', response: whole },
  ];
  return frames(events.map((event, index) => `event: ${String(event['type'])}\ndata: ${JSON.stringify({ ...event, sequence_number: index })}\n\n`));
}

/** https://docs.anthropic.com/en/api/messages and …/messages-streaming */
function playAnthropic({ path, json: asked }: UpstreamCall, turn: Turn): Script {
  const body = (asked ?? {}) as Json;
  if (path.endsWith('/count_tokens')) return json({ input_tokens: 321 });
  const usage = { input_tokens: USED.prompt, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: USED.completion };
  const text = TEXTS[turn];
  const calls = turn === 'tools' ? TOOL_INPUTS.map((input, index) => ({ type: 'tool_use', id: `toolu_${String(index)}`, name: 'get_weather', input })) : [];
  const stopReason = turn === 'tools' ? 'tool_use' : 'end_turn';
  const message = { id: 'msg_played', type: 'message', role: 'assistant', model: `${String(body['model'])}-20260101`, content: [] as object[], stop_reason: stopReason as string | null, stop_sequence: null, usage };
  const thinking = turn === 'thought' ? [{ type: 'thinking', thinking: THOUGHT, signature: SIGNATURE }] : [];
  if (body['stream'] !== true) return json({ ...message, content: [...thinking, ...(text.length === 0 ? [] : [{ type: 'text', text: text.join('') }]), ...calls] });
  const events: Json[] = [{ type: 'message_start', message: { ...message, stop_reason: null, usage: { ...usage, output_tokens: 1 } } }];
  let index = 0;
  const block = (start: object, deltas: readonly object[]): void => {
    events.push({ type: 'content_block_start', index, content_block: start }, ...deltas.map((delta) => ({ type: 'content_block_delta', index, delta })), { type: 'content_block_stop', index });
    index += 1;
  };
  if (thinking.length > 0) block({ type: 'thinking', thinking: '', signature: '' }, [{ type: 'thinking_delta', thinking: THOUGHT }, { type: 'signature_delta', signature: SIGNATURE }]);
  if (text.length > 0) block({ type: 'text', text: '' }, text.map((piece) => ({ type: 'text_delta', text: piece })));
  for (const call of calls) {
    const whole = JSON.stringify(call.input);
    block({ ...call, input: {} }, [{ type: 'input_json_delta', partial_json: whole.slice(0, 5) }, { type: 'input_json_delta', partial_json: whole.slice(5) }]);
  }
  events.push({ type: 'message_delta', delta: { stop_reason: stopReason, stop_sequence: null }, usage: { output_tokens: USED.completion } }, { type: 'message_stop' });
  return frames(events.map((event) => `event: ${String(event['type'])}\ndata: ${JSON.stringify(event)}\n\n`));
}

/** https://ai.google.dev/api/generate-content */
function playGemini({ path, json: asked }: UpstreamCall, turn: Turn): Script {
  if (path.includes(':batchEmbedContents')) {
    const { requests } = asked as { readonly requests: readonly unknown[] };
    return json({ embeddings: requests.map((_, index) => ({ values: [index + 0.5, 1, -2] })) });
  }
  if (path.includes(':embedContent')) return json({ embedding: { values: [0.5, 1, -2] } });
  const text = TEXTS[turn];
  const usageMetadata = { promptTokenCount: USED.prompt, candidatesTokenCount: USED.completion, totalTokenCount: USED.prompt + USED.completion };
  const reply = (parts: readonly object[], finishReason?: string): object => ({
    candidates: [{ content: { role: 'model', parts }, index: 0, ...(finishReason === undefined ? {} : { finishReason }) }], usageMetadata, modelVersion: 'played', responseId: 'played-1',
  });
  const calls = turn === 'tools' ? TOOL_INPUTS.map((args, index) => ({ functionCall: { id: `fc_${String(index)}`, name: 'get_weather', args } })) : [];
  if (!path.includes(':streamGenerateContent')) return json(reply([...(text.length === 0 ? [] : [{ text: text.join('') }]), ...calls], 'STOP'));
  const replies = [...text.map((piece) => reply([{ text: piece }])), ...(calls.length === 0 ? [] : [reply(calls)]), reply([{ text: '' }], 'STOP')];
  return frames(replies.map((one) => `data: ${JSON.stringify(one)}\r\n\r\n`));
}
