import type { LanguageModelV4Message, LanguageModelV4Prompt, LanguageModelV4ToolResultPart, SharedV4ProviderOptions } from '@ai-sdk/provider';
import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import { badRequest } from './bad-request.ts';
import { cacheOptionsOf, contentParts } from './content.ts';
import type { Dialect, ThinkingBlock } from './dialect.ts';

type AssistantPart = Extract<LanguageModelV4Message, { role: 'assistant' }>['content'][number];

/**
 * OpenAI `messages` as an AI SDK prompt.
 * @throws UnmappableRequestError naming the message that cannot be mapped.
 */
export function promptOf(messages: unknown, dialect: Dialect): LanguageModelV4Prompt {
  if (!Array.isArray(messages) || messages.length === 0) throw badRequest('messages', 'a non-empty array of messages');
  const system: LanguageModelV4Message[] = [];
  const prompt: LanguageModelV4Message[] = [];
  const toolNames = new Map<string, string>();
  messages.forEach((message: unknown, index) => {
    const path = `messages[${index}]`;
    if (!isJsonObject(message)) throw badRequest(path, 'an object with a role');
    switch (message['role']) {
      case 'system':
      case 'developer':
        (dialect.systemFirst ? system : prompt).push(...systemMessages(message, path, dialect));
        break;
      case 'user':
        prompt.push({ role: 'user', content: contentParts(message['content'], `${path}.content`, dialect), ...cacheOptionsOf(message, dialect) });
        break;
      case 'assistant':
        prompt.push({ role: 'assistant', content: assistantParts(message, path, dialect, toolNames), ...cacheOptionsOf(message, dialect) });
        break;
      case 'tool':
      case 'function':
        addToolResult(prompt, message, path, dialect, toolNames);
        break;
      default:
        throw badRequest(`${path}.role`, 'one of system, developer, user, assistant, tool');
    }
  });
  return system.length === 0 ? prompt : [...system, ...prompt];
}

/** One message per part, so that each may carry its own cache breakpoint. */
function systemMessages(message: JsonObject, path: string, dialect: Dialect): LanguageModelV4Message[] {
  const whole = cacheOptionsOf(message, dialect);
  return contentParts(message['content'], `${path}.content`, dialect).map((part) => {
    if (part.type !== 'text') throw badRequest(`${path}.content`, 'text only');
    const options = part.providerOptions ?? whole.providerOptions;
    return { role: 'system', content: part.text, ...(options === undefined ? {} : { providerOptions: options }) };
  });
}

function assistantParts(message: JsonObject, path: string, dialect: Dialect, toolNames: Map<string, string>): AssistantPart[] {
  const parts: AssistantPart[] = [...reasoningParts(message, dialect)];
  const content = message['content'];
  const signatures = dialect.thoughtSignatures ? thoughtSignatures(message) : [];
  if (content !== null && content !== undefined && content !== '') {
    for (const part of contentParts(content, `${path}.content`, dialect)) {
      const signature = part.type === 'text' ? signatures.shift() : undefined;
      parts.push(signature === undefined ? part : { ...part, providerOptions: { ...part.providerOptions, ...signatureOptions(dialect, signature) } });
    }
  }
  const calls = message['tool_calls'];
  if (Array.isArray(calls)) {
    calls.forEach((call: unknown, index) => {
      const at = `${path}.tool_calls[${index}]`;
      if (!isJsonObject(call) || typeof call['id'] !== 'string' || !isJsonObject(call['function'])) throw badRequest(at, 'an object with id and function');
      const name = call['function']['name'];
      if (typeof name !== 'string') throw badRequest(`${at}.function.name`, 'a string');
      toolNames.set(call['id'], name);
      const signature = dialect.thoughtSignatures ? toolCallSignature(call) : undefined;
      const cache = cacheOptionsOf(call, dialect).providerOptions;
      const providerOptions = { ...cache, ...(signature === undefined ? {} : signatureOptions(dialect, signature)) };
      parts.push({
        type: 'tool-call',
        toolCallId: call['id'],
        toolName: name,
        input: toolInput(call['function']['arguments'], `${at}.function.arguments`),
        ...(Object.keys(providerOptions).length === 0 ? {} : { providerOptions }),
      });
    });
  } else if (isJsonObject(message['function_call']) && typeof message['function_call']['name'] === 'string') {
    const name = message['function_call']['name'];
    toolNames.set(name, name);
    parts.push({ type: 'tool-call', toolCallId: name, toolName: name, input: toolInput(message['function_call']['arguments'], `${path}.function_call.arguments`) });
  }
  return parts;
}

function reasoningParts(message: JsonObject, dialect: Dialect): AssistantPart[] {
  const blocks = message['thinking_blocks'];
  if (Array.isArray(blocks) && dialect.thinkingOptions !== undefined) {
    const parts: AssistantPart[] = [];
    for (const block of blocks as unknown[]) {
      if (!isJsonObject(block)) continue;
      if (block['type'] === 'thinking' && typeof block['thinking'] === 'string' && typeof block['signature'] === 'string') {
        parts.push({ type: 'reasoning', text: block['thinking'], providerOptions: dialect.thinkingOptions({ type: 'thinking', thinking: block['thinking'], signature: block['signature'] }) });
      } else if (block['type'] === 'redacted_thinking' && typeof block['data'] === 'string') {
        parts.push({ type: 'reasoning', text: '', providerOptions: dialect.thinkingOptions({ type: 'redacted_thinking', data: block['data'] } satisfies ThinkingBlock) });
      }
    }
    return parts;
  }
  const text = message['reasoning_content'];
  return dialect.takesUnsignedReasoning && typeof text === 'string' && text !== '' ? [{ type: 'reasoning', text }] : [];
}

function addToolResult(prompt: LanguageModelV4Message[], message: JsonObject, path: string, dialect: Dialect, toolNames: ReadonlyMap<string, string>): void {
  const id = message['tool_call_id'] ?? message['name'];
  if (typeof id !== 'string') throw badRequest(`${path}.tool_call_id`, 'a string');
  const given = message['name'];
  const content = message['content'];
  const result: LanguageModelV4ToolResultPart = {
    type: 'tool-result',
    toolCallId: id,
    toolName: toolNames.get(id) ?? (typeof given === 'string' ? given : 'unknown'),
    output: typeof content === 'string' || content === null || content === undefined
      ? { type: 'text', value: content ?? '' }
      : { type: 'content', value: contentParts(content, `${path}.content`, dialect).map((part) => (part.type === 'text' ? { type: 'text', text: part.text, ...(part.providerOptions === undefined ? {} : { providerOptions: part.providerOptions }) } : part)) },
    ...cacheOptionsOf(message, dialect),
  };
  // The results of parallel calls belong into one turn: Gemini refuses them one by one.
  const last = prompt.at(-1);
  if (last?.role === 'tool') last.content.push(result);
  else prompt.push({ role: 'tool', content: [result] });
}

function toolInput(text: unknown, path: string): unknown {
  if (isJsonObject(text)) return text;
  if (text === undefined || text === null || text === '') return {};
  try {
    return JSON.parse(String(text)) as unknown;
  } catch {
    throw badRequest(path, 'JSON text');
  }
}

function signatureOptions(dialect: Dialect, signature: string): SharedV4ProviderOptions {
  return { [dialect.name]: { thoughtSignature: signature } };
}

/** Where LiteLLM and Google's own OpenAI surface put a thought signature. */
function toolCallSignature(call: JsonObject): string | undefined {
  for (const holder of [call, call['function']]) {
    if (!isJsonObject(holder)) continue;
    const fields = holder['provider_specific_fields'];
    if (isJsonObject(fields) && typeof fields['thought_signature'] === 'string') return fields['thought_signature'];
    const signature = extraContentSignature(holder);
    if (signature !== undefined) return signature;
  }
  return undefined;
}

function thoughtSignatures(message: JsonObject): string[] {
  const fields = message['provider_specific_fields'];
  const list = isJsonObject(fields) ? fields['thought_signatures'] : undefined;
  if (Array.isArray(list)) return list.filter((one): one is string => typeof one === 'string');
  const signature = extraContentSignature(message);
  return signature === undefined ? [] : [signature];
}

function extraContentSignature(holder: JsonObject): string | undefined {
  const extra = holder['extra_content'];
  const google = isJsonObject(extra) ? extra['google'] : undefined;
  return isJsonObject(google) && typeof google['thought_signature'] === 'string' ? google['thought_signature'] : undefined;
}
