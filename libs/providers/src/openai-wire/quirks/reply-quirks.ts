import { isJsonObject, type JsonObject, type JsonValue } from '@pointsman/schemas';
import type { QuirkName } from './quirk-names.ts';
import { mapField, without } from './rewrite.ts';

/** What a reply change may look at besides the reply. */
export interface ReplyContext {
  readonly request: JsonObject;
}

/** Changes a whole reply or the parsed chunk of a stream; the value itself when there is nothing to change. */
export type ReplyChange = (value: JsonObject, context: ReplyContext) => JsonObject;

export interface ReplyQuirk {
  /** For whole replies. */
  readonly reply: ReplyChange;
  /**
   * For streams. Every event that the change must see contains one of the `marks`: only those are parsed.
   * `begin` is called once per stream, for changes that remember earlier events.
   */
  readonly stream?: { readonly marks: readonly string[]; begin(): ReplyChange };
}

const perEvent = (mark: string, change: ReplyChange): ReplyQuirk => ({ reply: change, stream: { marks: [mark], begin: () => change } });

export const REPLY_QUIRKS: Readonly<Partial<Record<QuirkName, ReplyQuirk>>> = {
  /** Perplexity's numbered citations become OpenAI's `url_citation` annotations. In a stream the list travels untouched. */
  citations_to_annotations: {
    reply: (value) => {
      const citations = value['citations'];
      if (!Array.isArray(citations) || citations.length === 0) return value;
      const results = Array.isArray(value['search_results']) ? value['search_results'] : [];
      return mapField(value, 'choices', (choice) => mapMessage(choice, (message) => annotate(message, citations, results)));
    },
  },

  /** xAI finishes a tool call with `stop` or an empty reason. */
  finish_reason_for_tools: {
    reply: (value) => mapField(value, 'choices', (choice) => {
      const message = choice['message'];
      return isJsonObject(message) && hasToolCalls(message) ? finishWithTools(choice) : choice;
    }),
    stream: {
      marks: ['"tool_calls"', '"stop"', '"finish_reason":""', '"finish_reason": ""'],
      begin: () => {
        const calling = new Set<JsonValue | undefined>();
        return (value) => mapField(value, 'choices', (choice) => {
          const delta = choice['delta'];
          if (isJsonObject(delta) && hasToolCalls(delta)) calling.add(choice['index']);
          return calling.has(choice['index']) ? finishWithTools(choice) : choice;
        });
      },
    },
  },

  /** `reasoning` (OpenRouter, Together) is `reasoning_content` elsewhere; clients get both. */
  reasoning_field: perEvent('"reasoning"', (value) => mapField(value, 'choices', (choice) => mapMessage(choice, (message) => {
    const reasoning = message['reasoning'];
    return typeof reasoning === 'string' && message['reasoning_content'] === undefined ? { ...message, reasoning_content: reasoning } : message;
  }))),

  /** xAI counts reasoning beside the completion; OpenAI, and every bill made from it, counts it inside. */
  reasoning_tokens_into_completion: perEvent('"reasoning_tokens"', (value) => {
    const usage = value['usage'];
    if (!isJsonObject(usage)) return value;
    const details = usage['completion_tokens_details'];
    const reasoning = isJsonObject(details) ? details['reasoning_tokens'] : undefined;
    const { prompt_tokens: prompt, completion_tokens: completion, total_tokens: total } = usage;
    if (typeof reasoning !== 'number' || typeof prompt !== 'number' || typeof completion !== 'number' || reasoning <= 0) return value;
    return total === prompt + completion + reasoning ? { ...value, usage: { ...usage, completion_tokens: completion + reasoning } } : value;
  }),

  search_queries_in_usage: perEvent('"num_search_queries"', (value) => {
    const usage = value['usage'];
    if (!isJsonObject(usage) || typeof usage['num_search_queries'] !== 'number') return value;
    const details = usage['prompt_tokens_details'];
    return { ...value, usage: { ...usage, prompt_tokens_details: { ...(isJsonObject(details) ? details : {}), web_search_requests: usage['num_search_queries'] } } };
  }),

  /** Mistral's reasoning models answer with content parts, `thinking` among them. */
  thinking_blocks: perEvent('"thinking"', (value) => mapField(value, 'choices', (choice) => mapMessage(choice, splitThinking))),

  /** Some models on Fireworks write the call of a tool as JSON into the content. */
  tool_calls_in_content: {
    reply: (value, { request }) => (Array.isArray(request['tools']) ? mapField(value, 'choices', (choice) => {
      const message = choice['message'];
      if (!isJsonObject(message) || hasToolCalls(message)) return choice;
      const call = toolCallIn(message['content'], request['tools']);
      return call === undefined ? choice : { ...choice, finish_reason: 'tool_calls', message: { ...message, content: null, tool_calls: [call] } };
    }) : value),
  },
};

/** Changes the `message` of a whole choice or the `delta` of a streamed one. */
function mapMessage(choice: JsonObject, change: (message: JsonObject) => JsonObject): JsonObject {
  const field = choice['message'] === undefined ? 'delta' : 'message';
  const message = choice[field];
  if (!isJsonObject(message)) return choice;
  const next = change(message);
  return next === message ? choice : { ...choice, [field]: next };
}

function hasToolCalls(message: JsonObject): boolean {
  return Array.isArray(message['tool_calls']) && message['tool_calls'].length > 0;
}

function finishWithTools(choice: JsonObject): JsonObject {
  return choice['finish_reason'] === 'stop' || choice['finish_reason'] === '' ? { ...choice, finish_reason: 'tool_calls' } : choice;
}

function splitThinking(message: JsonObject): JsonObject {
  const content = message['content'];
  if (!Array.isArray(content)) return message;
  let text = '';
  let reasoning = '';
  for (const part of content) {
    if (!isJsonObject(part)) continue;
    if (part['type'] === 'thinking') reasoning += textOf(part['thinking']);
    else text += textOf(part['text']);
  }
  return { ...without(message, 'content'), content: text, ...(reasoning === '' ? {} : { reasoning_content: reasoning }) };
}

function textOf(value: JsonValue | undefined): string {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return '';
  return value.map((part) => (isJsonObject(part) && typeof part['text'] === 'string' ? part['text'] : '')).join('');
}

function annotate(message: JsonObject, citations: readonly JsonValue[], results: readonly JsonValue[]): JsonObject {
  const content = message['content'];
  if (typeof content !== 'string' || message['annotations'] !== undefined) return message;
  const annotations: JsonValue[] = [];
  for (const match of content.matchAll(/\[(\d{1,3})\]/g)) {
    const url = citations[Number(match[1]) - 1];
    if (typeof url !== 'string') continue;
    const result = results[Number(match[1]) - 1];
    const title = isJsonObject(result) && typeof result['title'] === 'string' ? result['title'] : '';
    annotations.push({ type: 'url_citation', url_citation: { start_index: match.index, end_index: match.index + match[0].length, url, title } });
  }
  return annotations.length === 0 ? message : { ...message, annotations };
}

function toolCallIn(content: JsonValue | undefined, tools: JsonValue | undefined): JsonObject | undefined {
  if (typeof content !== 'string' || !content.trimStart().startsWith('{') || !Array.isArray(tools)) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch {
    return undefined;
  }
  if (!isJsonObject(value)) return undefined;
  const name = value['name'];
  const known = tools.some((tool) => isJsonObject(tool) && isJsonObject(tool['function']) && tool['function']['name'] === name);
  if (typeof name !== 'string' || !known) return undefined;
  return { id: `call_${name}`, type: 'function', function: { name, arguments: JSON.stringify(value['parameters'] ?? value['arguments'] ?? {}) } };
}
