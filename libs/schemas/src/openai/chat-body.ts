import { z } from 'zod';

/** Every schema here is loose: a parameter that we do not know is the provider's business. Null counts as absent, as it does at OpenAI. */
const text = z.string();

const contentPart = z
  .looseObject({
    type: z.string(),
    text: text.nullish(),
    image_url: z.union([text, z.looseObject({ url: text })]).nullish(),
    input_audio: z.looseObject({ data: text }).nullish(),
    file: z.looseObject({}).nullish(),
  })
  .check((context) => {
    const part = context.value;
    const field = part.type === 'text' || part.type === 'image_url' || part.type === 'input_audio' ? part.type : undefined;
    if (field !== undefined && (part[field] === undefined || part[field] === null)) {
      context.issues.push({ code: 'invalid_type', expected: field === 'input_audio' ? 'object' : 'string', input: part[field], path: [field] });
    }
  });

export const CHAT_ROLES = ['developer', 'system', 'user', 'assistant', 'tool', 'function'] as const;

const toolCall = z.looseObject({
  id: text.nullish(),
  type: text.nullish(),
  function: z.looseObject({ name: text, arguments: text.nullish() }).nullish(),
});

export const chatMessageSchema = z
  .looseObject({
    role: z.enum(CHAT_ROLES),
    content: z.union([text, z.array(contentPart)]).nullish(),
    name: text.nullish(),
    tool_calls: z.array(toolCall).nullish(),
    tool_call_id: text.nullish(),
  })
  .check((context) => {
    const { role, content } = context.value;
    // An assistant may have called tools instead of speaking, and some tools return nothing; the other roles exist for their content.
    if ((content === undefined || content === null) && (role === 'user' || role === 'system' || role === 'developer')) {
      context.issues.push({ code: 'invalid_type', expected: 'string', input: content, path: ['content'] });
    }
  });

const chatTool = z.looseObject({
  type: text,
  function: z.looseObject({ name: text.min(1), description: text.nullish(), parameters: z.looseObject({}).nullish(), strict: z.boolean().nullish() }).nullish(),
});

/** The fields of one request that all the generating OpenAI formats share. */
export const samplingFields = {
  model: text.min(1),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  temperature: z.number().nullish(),
  top_p: z.number().nullish(),
  user: text.nullish(),
} as const;

export const stopField = z.union([text, z.array(text)]).nullish();

/** https://platform.openai.com/docs/api-reference/chat/create */
export const chatBodySchema = z.looseObject({
  ...samplingFields,
  messages: z.array(chatMessageSchema).min(1),
  n: z.int().min(1).max(128).nullish(),
  max_tokens: z.int().min(1).nullish(),
  max_completion_tokens: z.int().min(1).nullish(),
  stop: stopField,
  presence_penalty: z.number().nullish(),
  frequency_penalty: z.number().nullish(),
  logit_bias: z.looseObject({}).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).nullish(),
  seed: z.int().nullish(),
  response_format: z.looseObject({ type: text, json_schema: z.looseObject({ name: text.nullish(), schema: z.looseObject({}).nullish() }).nullish() }).nullish(),
  tools: z.array(chatTool).nullish(),
  tool_choice: z.union([text, z.looseObject({ type: text.nullish(), function: z.looseObject({ name: text }).nullish() })]).nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  reasoning_effort: text.nullish(),
  metadata: z.looseObject({}).nullish(),
});
