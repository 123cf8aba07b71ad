import { z } from 'zod';

const block = z.looseObject({ type: z.string(), text: z.string().nullish() }).check((context) => {
  if (context.value.type === 'text' && typeof context.value.text !== 'string') {
    context.issues.push({ code: 'invalid_type', expected: 'string', input: context.value.text, path: ['text'] });
  }
});

const countedFields = {
  model: z.string().min(1),
  messages: z.array(z.looseObject({ role: z.enum(['user', 'assistant', 'system']), content: z.union([z.string(), z.array(block)]) })).min(1),
  system: z.union([z.string(), z.array(block)]).nullish(),
  tools: z.array(z.looseObject({ name: z.string().min(1).nullish(), type: z.string().nullish(), input_schema: z.looseObject({}).nullish() })).nullish(),
  tool_choice: z.looseObject({ type: z.string(), name: z.string().nullish(), disable_parallel_tool_use: z.boolean().nullish() }).nullish(),
  thinking: z.looseObject({ type: z.string(), budget_tokens: z.int().min(1).nullish() }).nullish(),
} as const;

/** https://docs.anthropic.com/en/api/messages */
export const messagesBodySchema = z.looseObject({
  ...countedFields,
  max_tokens: z.int().min(1),
  stream: z.boolean().nullish(),
  stop_sequences: z.array(z.string()).nullish(),
  temperature: z.number().nullish(),
  top_p: z.number().nullish(),
  top_k: z.int().nullish(),
  metadata: z.looseObject({ user_id: z.string().nullish() }).nullish(),
});

/** https://docs.anthropic.com/en/api/messages-count-tokens */
export const countTokensBodySchema = z.looseObject(countedFields);
