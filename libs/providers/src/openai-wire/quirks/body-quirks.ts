import { isJsonObject, type JsonObject, type JsonValue } from '@pointsman/schemas';
import type { WireFormat } from '../../provider.ts';
import type { QuirkName } from './quirk-names.ts';
import { mapChanged, mapMessages, mapTools, textOnly, without } from './rewrite.ts';

export interface BodyContext {
  /** The model's name at the provider. */
  readonly model: string;
  /** The operator asked for parameters that a model refuses to be left out (`drop_params`). */
  readonly dropParams: boolean;
}

/** Returns the body itself when there is nothing to change, else a changed copy: the client's body is never touched. */
export type BodyChange = (body: JsonObject, context: BodyContext) => JsonObject;

export interface BodyQuirk {
  /** The formats whose bodies it knows; `['chat']` by default. */
  readonly formats?: readonly WireFormat[];
  readonly change: BodyChange;
}

const SCHEMA_FIELDS = ['$id', '$schema', 'additionalProperties', 'strict'] as const;
const DEEPEST_SCHEMA = 32;

/** o1, o3-mini, o4-mini, gpt-5 and later; the chat variants of gpt-5 take the older parameters. */
const OPENAI_REASONING_MODEL = /^(?:o[1-9]\d*(?:-|$)|gpt-(?:[5-9]|\d{2,})(?!.*chat))/;
const REASONING_REFUSES = ['top_p', 'presence_penalty', 'frequency_penalty', 'logprobs', 'top_logprobs', 'logit_bias'] as const;
const XAI_REASONING_MODEL = /^grok-(?:3-mini|[4-9]|\d{2,}|code)(?!.*non-reasoning)/;
const THINKING_MODEL = /thinking|reasoner|-r1|k2[.-][5-9]/i;

export const BODY_QUIRKS: Readonly<Partial<Record<QuirkName, BodyQuirk>>> = {
  /** OpenRouter takes `cache_control` on content parts only. */
  cache_control_into_content: {
    change: (body) => mapMessages(body, (message) => {
      const control = message['cache_control'];
      const content = message['content'];
      if (control === undefined) return message;
      const rest = without(message, 'cache_control');
      if (typeof content === 'string') return { ...rest, content: [{ type: 'text', text: content, cache_control: control }] };
      const last = Array.isArray(content) ? content.at(-1) : undefined;
      if (!Array.isArray(content) || !isJsonObject(last)) return rest;
      return { ...rest, content: [...content.slice(0, -1), { ...last, cache_control: control }] };
    }),
  },

  content_list_to_string: { change: (body) => mapMessages(body, textContentToString) },

  /** Mistral answers 400 to an assistant message that says and calls nothing. */
  drop_empty_assistant_messages: {
    change: (body) => {
      const messages = body['messages'];
      if (!Array.isArray(messages) || !messages.some(saysNothing)) return body;
      return { ...body, messages: messages.filter((message) => !saysNothing(message)) };
    },
  },

  drop_non_function_tools: {
    change: (body) => {
      const tools = body['tools'];
      if (!Array.isArray(tools) || tools.every(isFunctionTool)) return body;
      const kept = tools.filter(isFunctionTool);
      return kept.length === 0 ? without(body, 'tools', 'tool_choice', 'parallel_tool_calls') : { ...body, tools: kept };
    },
  },

  drop_null_function_call_fields: { change: (body) => mapMessages(body, (message) => without(message, ...['function_call', 'tool_calls'].filter((name) => message[name] === null))) },

  /** While thinking, the model refuses its own tool call without the reasoning that led to it; clients that know only OpenAI's fields have lost it. */
  echo_reasoning_content: {
    change: (body, { model }) => {
      if (!THINKING_MODEL.test(model) && !isThinkingOn(body)) return body;
      return mapMessages(body, (message) => {
        if (message['role'] !== 'assistant' || !Array.isArray(message['tool_calls']) || typeof message['reasoning_content'] === 'string') return message;
        const reasoning = message['reasoning'];
        return { ...message, reasoning_content: typeof reasoning === 'string' && reasoning !== '' ? reasoning : ' ' };
      });
    },
  },

  force_store_false: { formats: ['responses'], change: (body) => (body['store'] === false ? body : { ...body, store: false }) },

  name_only_on_tool_role: { change: (body) => mapMessages(body, (message) => (message['role'] === 'tool' ? message : without(message, 'name'))) },

  no_stop_or_penalties_on_reasoning_models: {
    change: (body, { model, dropParams }) => (dropParams && XAI_REASONING_MODEL.test(model) ? without(body, 'stop', 'presence_penalty', 'frequency_penalty') : body),
  },

  /** Reasoning models know `max_completion_tokens` only, and refuse sampling parameters: those go only when the operator said so. */
  openai_model_rules: {
    change: (body, { model, dropParams }) => {
      if (!OPENAI_REASONING_MODEL.test(model)) return body;
      const renamed = rename(body, 'max_tokens', 'max_completion_tokens');
      if (!dropParams) return renamed;
      const dropped = without(renamed, ...REASONING_REFUSES);
      return dropped['temperature'] === 1 ? dropped : without(dropped, 'temperature');
    },
  },

  seed_to_random_seed: { formats: ['chat', 'completions'], change: (body) => rename(body, 'seed', 'random_seed') },

  strip_cache_control: { change: stripCacheControl },

  strip_cache_control_unless_claude: { change: (body, { model }) => (/claude/i.test(model) ? body : stripCacheControl(body)) },

  /** Mistral refuses tool schemas with these keywords. */
  strip_schema_fields: {
    change: (body) => mapTools(body, (tool) => {
      const fn = tool['function'];
      if (!isJsonObject(fn)) return tool;
      const parameters = fn['parameters'];
      const stripped = without(fn, 'strict');
      if (!isJsonObject(parameters)) return stripped === fn ? tool : { ...tool, function: stripped };
      const cleaned = cleanSchema(parameters, 0);
      return stripped === fn && cleaned === parameters ? tool : { ...tool, function: { ...stripped, parameters: cleaned } };
    }),
  },

  temperature_at_most_1: { formats: ['chat', 'completions'], change: (body) => clampTemperature(body, 1) },
  temperature_at_most_1_99: { formats: ['chat', 'completions'], change: (body) => clampTemperature(body, 1.99) },

  /** Reasoning is switched by `thinking: {type}`; there is no effort and no budget. */
  thinking_param: {
    change: (body) => {
      const effort = body['reasoning_effort'];
      const thinking = body['thinking'];
      if (isJsonObject(thinking)) {
        const type = thinking['type'];
        const plain = Object.keys(thinking).length === 1 && effort === undefined;
        return plain || typeof type !== 'string' ? body : { ...without(body, 'reasoning_effort'), thinking: { type } };
      }
      if (typeof effort !== 'string') return body;
      return { ...without(body, 'reasoning_effort'), thinking: { type: effort === 'none' ? 'disabled' : 'enabled' } };
    },
  },

  tool_choice_auto_only: {
    change: (body, { dropParams }) => {
      const choice = body['tool_choice'];
      return !dropParams || choice === undefined || choice === 'auto' || choice === 'none' ? body : without(body, 'tool_choice');
    },
  },

  tool_choice_required_to_any: { change: (body) => (body['tool_choice'] === 'required' ? { ...body, tool_choice: 'any' } : body) },

  /** Moonshot has no `required`; asking for it in words is what works. */
  tool_choice_required_via_message: {
    change: (body) => {
      const messages = body['messages'];
      if (body['tool_choice'] !== 'required' || !Array.isArray(messages)) return body;
      return { ...without(body, 'tool_choice'), messages: [...messages, { role: 'user', content: 'Please select a tool to handle the current issue.' }] };
    },
  },

  tool_message_content_to_string: {
    change: (body) => mapMessages(body, (message) => {
      const content = message['content'];
      if (message['role'] !== 'tool' || !Array.isArray(content)) return message;
      return { ...message, content: textOnly(content) ?? JSON.stringify(content) };
    }),
  },

  /** Mistral takes reasoning back as content parts only; the fields that clients keep it in are refused as unknown. */
  thinking_blocks: { change: (body) => mapMessages(body, (message) => (message['role'] === 'assistant' ? without(message, 'reasoning_content', 'thinking_blocks') : message)) },
};

/** Moves a parameter to the name that the provider has for it; one that the client sent under that name stays. */
export function rename(body: JsonObject, from: string, to: string): JsonObject {
  const value = body[from];
  if (value === undefined) return body;
  const rest = without(body, from);
  return rest[to] === undefined ? { ...rest, [to]: value } : rest;
}

function textContentToString(message: JsonObject): JsonObject {
  const text = textOnly(message['content']);
  return text === undefined ? message : { ...message, content: text };
}

function saysNothing(message: JsonValue): boolean {
  if (!isJsonObject(message) || message['role'] !== 'assistant') return false;
  const { content, tool_calls: calls, function_call: call } = message;
  const empty = content === undefined || content === null || content === '' || (Array.isArray(content) && content.length === 0);
  return empty && !(Array.isArray(calls) && calls.length > 0) && (call === undefined || call === null);
}

function isFunctionTool(tool: JsonValue): boolean {
  return isJsonObject(tool) && tool['type'] === 'function';
}

function isThinkingOn(body: JsonObject): boolean {
  const thinking = body['thinking'];
  return isJsonObject(thinking) && thinking['type'] === 'enabled';
}

function clampTemperature(body: JsonObject, most: number): JsonObject {
  const temperature = body['temperature'];
  return typeof temperature === 'number' && temperature > most ? { ...body, temperature: most } : body;
}

function stripCacheControl(body: JsonObject): JsonObject {
  const messages = mapMessages(body, (message) => {
    const content = message['content'];
    const rest = without(message, 'cache_control');
    if (!Array.isArray(content)) return rest;
    const parts = mapChanged<JsonValue>(content, (part) => (isJsonObject(part) ? without(part, 'cache_control') : part));
    return parts === content ? rest : { ...rest, content: parts as JsonValue[] };
  });
  return mapTools(messages, (tool) => {
    const rest = without(tool, 'cache_control');
    const fn = rest['function'];
    if (!isJsonObject(fn) || fn['cache_control'] === undefined) return rest;
    return { ...rest, function: without(fn, 'cache_control') };
  });
}

/** Drops keywords at every level of a schema, but not properties that happen to have such a name. */
function cleanSchema(schema: JsonObject, depth: number): JsonObject {
  if (depth > DEEPEST_SCHEMA) return schema;
  let cleaned = without(schema, ...SCHEMA_FIELDS);
  for (const [name, value] of Object.entries(cleaned)) {
    const next = cleanSubschemas(name, value, depth);
    if (next !== value) cleaned = { ...cleaned, [name]: next };
  }
  return cleaned;
}

function cleanSubschemas(name: string, value: JsonValue | undefined, depth: number): JsonValue | undefined {
  if (name === 'properties' || name === '$defs' || name === 'definitions') {
    if (!isJsonObject(value)) return value;
    const entries = Object.entries(value);
    const next = mapChanged<readonly [string, JsonValue | undefined]>(entries, (entry) => {
      const [key, schema] = entry;
      if (!isJsonObject(schema)) return entry;
      const cleaned = cleanSchema(schema, depth + 1);
      return cleaned === schema ? entry : [key, cleaned];
    });
    return next === entries ? value : Object.fromEntries(next);
  }
  if (name === 'items' || name === 'not') return isJsonObject(value) ? cleanSchema(value, depth + 1) : value;
  if ((name === 'anyOf' || name === 'allOf' || name === 'oneOf') && Array.isArray(value)) {
    return mapChanged<JsonValue>(value, (schema) => (isJsonObject(schema) ? cleanSchema(schema, depth + 1) : schema)) as JsonValue[];
  }
  return value;
}
