import { JSONParseError, type LanguageModelV4, type LanguageModelV4CallOptions, type LanguageModelV4Content, type LanguageModelV4FinishReason, type LanguageModelV4GenerateResult, type LanguageModelV4StreamResult, type LanguageModelV4Message, type LanguageModelV4StreamPart, type LanguageModelV4Usage, type SharedV4Warning } from '@ai-sdk/provider';
import { isJsonObject, type JsonObject, type JsonValue } from '@pointsman/schemas';
import { randomUUID } from 'node:crypto';
import { badRequest } from '../bad-request.ts';
import type { Dialect, RequestDraft } from '../dialect.ts';
import { NdjsonReader } from './ndjson-reader.ts';
import { postToOllama, replyObject, type OllamaConfig } from './ollama-api.ts';
import { thinkingOf } from './reasoning-budget.ts';

/** Top-level fields of /api/chat; every other parameter is a model option. https://github.com/ollama/ollama/blob/main/docs/api.md#generate-a-chat-completion */
const TOP_LEVEL = new Set(['keep_alive', 'think', 'truncate', 'shift', 'logprobs', 'top_logprobs']);

export const ollamaDialect: Dialect = {
  name: 'ollama',
  systemFirst: false,
  takesUnsignedReasoning: true,
  cacheOptions: undefined,
  thinkingOptions: undefined,
  signatureOf: undefined,
  thoughtSignatures: false,
  hostedTool: undefined,
  refine,
  knownEvents: undefined,
  planOf: undefined,
  embeddingOptions({ rest }) {
    const own: Record<string, JsonValue> = {};
    for (const name of ['keep_alive', 'truncate', 'options']) {
      const value = rest.get(name);
      if (value !== undefined) own[name] = value;
    }
    return Object.keys(own).length === 0 ? undefined : { ollama: own as JsonObject & Record<string, JsonValue> };
  },
};

function refine({ own, rest, warn }: RequestDraft): void {
  const thinking = thinkingOf(rest.get('thinking'));
  rest.delete('thinking');
  if (thinking !== undefined) own['think'] = thinking.type !== 'disabled';
  for (const name of ['parallel_tool_calls', 'service_tier']) if (rest.delete(name) && name === 'parallel_tool_calls') warn('parallel_tool_calls is not supported by this provider');
  const options: JsonObject = {};
  for (const [key, value] of rest) {
    if (TOP_LEVEL.has(key)) own[key] = value;
    else if (key === 'options' && isJsonObject(value)) Object.assign(options, value);
    else options[key] = value;
  }
  rest.clear();
  if (Object.keys(options).length > 0) own['options'] = options;
}

/** Ollama's own chat API: newline-delimited JSON, `thinking`, native tool calls, images as base64. */
export class OllamaChatModel implements LanguageModelV4 {
  readonly specificationVersion = 'v4';
  readonly provider = 'ollama';
  readonly modelId: string;
  /** Ollama fetches nothing itself. */
  readonly supportedUrls = {};
  readonly #config: OllamaConfig;

  constructor(config: OllamaConfig) {
    this.modelId = config.modelId;
    this.#config = config;
  }

  async doGenerate(options: LanguageModelV4CallOptions): Promise<LanguageModelV4GenerateResult> {
    const warnings: SharedV4Warning[] = [];
    const reply = await replyObject(await postToOllama(this.#config, '/api/chat', { ...this.#body(options, warnings), stream: false }, options));
    const message = reply['message'];
    if (!isJsonObject(message)) throw new Error('Ollama answered without a message.');
    const content: LanguageModelV4Content[] = [];
    if (typeof message['thinking'] === 'string' && message['thinking'] !== '') content.push({ type: 'reasoning', text: message['thinking'] });
    if (typeof message['content'] === 'string' && message['content'] !== '') content.push({ type: 'text', text: message['content'] });
    const calls = toolCallsOf(message);
    content.push(...calls);
    return { content, finishReason: finishOf(reply, calls.length > 0), usage: usageOf(reply), warnings, response: { body: reply } };
  }

  async doStream(options: LanguageModelV4CallOptions): Promise<LanguageModelV4StreamResult> {
    const warnings: SharedV4Warning[] = [];
    const response = await postToOllama(this.#config, '/api/chat', { ...this.#body(options, warnings), stream: true }, options);
    if (response.body === null) throw new Error('Ollama answered without a body.');
    const source = response.body.getReader();
    const lines = new NdjsonReader();
    let toolCalls = false;

    const take = (line: string, controller: ReadableStreamDefaultController<LanguageModelV4StreamPart>): void => {
      let value: unknown;
      try {
        value = JSON.parse(line);
      } catch (cause) {
        throw new JSONParseError({ text: '', cause });
      }
      if (!isJsonObject(value)) throw new JSONParseError({ text: '', cause: undefined });
      if (value['error'] !== undefined) {
        controller.enqueue({ type: 'error', error: value });
        return;
      }
      const message = value['message'];
      if (isJsonObject(message)) {
        if (typeof message['thinking'] === 'string' && message['thinking'] !== '') controller.enqueue({ type: 'reasoning-delta', id: 'thinking', delta: message['thinking'] });
        if (typeof message['content'] === 'string' && message['content'] !== '') controller.enqueue({ type: 'text-delta', id: 'text', delta: message['content'] });
        for (const call of toolCallsOf(message)) {
          toolCalls = true;
          controller.enqueue(call);
        }
      }
      if (value['done'] === true) controller.enqueue({ type: 'finish', finishReason: finishOf(value, toolCalls), usage: usageOf(value) });
    };

    const stream = new ReadableStream<LanguageModelV4StreamPart>({
      start: (controller) => controller.enqueue({ type: 'stream-start', warnings }),
      async pull(controller) {
        // Reads on until something was enqueued: a pull that adds nothing would not be repeated.
        for (let before = controller.desiredSize; controller.desiredSize === before;) {
          const { done, value } = await source.read();
          if (done) {
            // A last line without its newline may be whole; a cut one is no line, and the missing `done` tells.
            const last = lines.end();
            if (last !== undefined && isWhole(last)) take(last, controller);
            controller.close();
            return;
          }
          for (const line of lines.push(value)) take(line, controller);
        }
      },
      cancel: (reason) => source.cancel(reason),
    });
    return { stream };
  }

  #body(options: LanguageModelV4CallOptions, warnings: SharedV4Warning[]): JsonObject {
    const own: JsonObject = { ...(options.providerOptions?.['ollama'] as JsonObject | undefined) };
    const extra = own['options'];
    delete own['options'];
    const settings: [string, JsonValue | undefined][] = [
      ['num_predict', options.maxOutputTokens], ['temperature', options.temperature], ['top_p', options.topP], ['top_k', options.topK], ['seed', options.seed],
      ['stop', options.stopSequences], ['presence_penalty', options.presencePenalty], ['frequency_penalty', options.frequencyPenalty],
    ];
    const modelOptions: JsonObject = { ...(isJsonObject(extra) ? extra : {}) };
    for (const [name, value] of settings) if (value !== undefined) modelOptions[name] = value;
    const tools = options.toolChoice?.type === 'none' ? undefined : options.tools?.flatMap((tool): JsonValue[] => (tool.type === 'function' ? [{ type: 'function', function: { name: tool.name, description: tool.description ?? '', parameters: tool.inputSchema as JsonObject } }] : []));
    if (options.toolChoice?.type === 'required' || options.toolChoice?.type === 'tool') warnings.push({ type: 'unsupported', feature: 'tool_choice' });
    const format = options.responseFormat?.type === 'json' ? ((options.responseFormat.schema as JsonObject | undefined) ?? 'json') : undefined;
    const think = thinkOf(options.reasoning, this.modelId);
    return {
      model: this.modelId,
      messages: options.prompt.flatMap(messagesOf),
      ...(tools === undefined || tools.length === 0 ? {} : { tools }),
      ...(format === undefined ? {} : { format }),
      ...(think === undefined ? {} : { think }),
      ...own,
      ...(Object.keys(modelOptions).length === 0 ? {} : { options: modelOptions }),
    };
  }
}

function isWhole(line: string): boolean {
  try {
    JSON.parse(line);
    return true;
  } catch {
    return false;
  }
}

/** Only gpt-oss has levels; every other thinking model is on or off. */
function thinkOf(reasoning: LanguageModelV4CallOptions['reasoning'], model: string): JsonValue | undefined {
  if (reasoning === undefined || reasoning === 'provider-default') return undefined;
  if (reasoning === 'none') return false;
  if (!model.includes('gpt-oss')) return true;
  if (reasoning === 'minimal' || reasoning === 'low') return 'low';
  return reasoning === 'medium' ? 'medium' : 'high';
}

function messagesOf(message: LanguageModelV4Message): JsonObject[] {
  switch (message.role) {
    case 'system':
      return [{ role: 'system', content: message.content }];
    case 'user': {
      const images: string[] = [];
      let text = '';
      for (const part of message.content) {
        if (part.type === 'text') text += text === '' ? part.text : `\n${part.text}`;
        else if (part.data.type === 'data' && part.mediaType.startsWith('image/')) images.push(typeof part.data.data === 'string' ? part.data.data : Buffer.from(part.data.data).toString('base64'));
        else throw badRequest('messages', 'text and images; Ollama takes no other files');
      }
      return [{ role: 'user', content: text, ...(images.length === 0 ? {} : { images }) }];
    }
    case 'assistant': {
      let text = '';
      let thinking = '';
      const calls: JsonValue[] = [];
      for (const part of message.content) {
        if (part.type === 'text') text += part.text;
        else if (part.type === 'reasoning') thinking += part.text;
        else if (part.type === 'tool-call') calls.push({ id: part.toolCallId, function: { name: part.toolName, arguments: part.input as JsonValue } });
      }
      return [{ role: 'assistant', content: text, ...(thinking === '' ? {} : { thinking }), ...(calls.length === 0 ? {} : { tool_calls: calls }) }];
    }
    case 'tool':
      return message.content.flatMap((part): JsonObject[] => {
        if (part.type !== 'tool-result') return [];
        const { output } = part;
        const text = output.type === 'text' ? output.value : output.type === 'content' ? output.value.map((one) => (one.type === 'text' ? one.text : '')).join('\n') : '';
        return [{ role: 'tool', content: text, tool_name: part.toolName, tool_call_id: part.toolCallId }];
      });
  }
}

function toolCallsOf(message: JsonObject): Extract<LanguageModelV4Content, { type: 'tool-call' }>[] {
  const calls = message['tool_calls'];
  if (!Array.isArray(calls)) return [];
  return calls.flatMap((call) => {
    const fn = isJsonObject(call) ? call['function'] : undefined;
    if (!isJsonObject(call) || !isJsonObject(fn) || typeof fn['name'] !== 'string') return [];
    const id = call['id'];
    return [{ type: 'tool-call' as const, toolCallId: typeof id === 'string' && id !== '' ? id : `call_${randomUUID()}`, toolName: fn['name'], input: JSON.stringify(fn['arguments'] ?? {}) }];
  });
}

/** Ollama says `stop` also for tool calls; `done` without a reason is what versions before 0.1.40 sent at the natural end. */
function finishOf(reply: JsonObject, toolCalls: boolean): LanguageModelV4FinishReason {
  if (reply['done'] !== true) return { unified: 'other', raw: undefined };
  const raw = typeof reply['done_reason'] === 'string' ? reply['done_reason'] : 'stop';
  if (raw === 'length') return { unified: 'length', raw };
  if (raw !== 'stop' && raw !== 'tool_calls') return { unified: 'other', raw };
  return { unified: toolCalls ? 'tool-calls' : 'stop', raw };
}

function usageOf(reply: JsonObject): LanguageModelV4Usage {
  const prompt = typeof reply['prompt_eval_count'] === 'number' ? reply['prompt_eval_count'] : undefined;
  const completion = typeof reply['eval_count'] === 'number' ? reply['eval_count'] : undefined;
  return {
    inputTokens: { total: prompt, noCache: undefined, cacheRead: undefined, cacheWrite: undefined },
    outputTokens: { total: completion, text: undefined, reasoning: undefined },
  };
}
