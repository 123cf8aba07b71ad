import { z } from 'zod';
import { samplingFields } from './chat-body.ts';

const item = z.looseObject({
  type: z.string().nullish(),
  role: z.string().nullish(),
  content: z.union([z.string(), z.array(z.looseObject({ type: z.string() }))]).nullish(),
});

/** https://platform.openai.com/docs/api-reference/responses/create */
export const responsesBodySchema = z
  .looseObject({
    ...samplingFields,
    input: z.union([z.string(), z.array(item).min(1)]).nullish(),
    instructions: z.string().nullish(),
    max_output_tokens: z.int().min(1).nullish(),
    tools: z.array(z.looseObject({ type: z.string() })).nullish(),
    tool_choice: z.union([z.string(), z.looseObject({ type: z.string() })]).nullish(),
    parallel_tool_calls: z.boolean().nullish(),
    text: z.looseObject({ format: z.looseObject({ type: z.string() }).nullish() }).nullish(),
    reasoning: z.looseObject({ effort: z.string().nullish(), summary: z.string().nullish() }).nullish(),
    metadata: z.looseObject({}).nullish(),
    previous_response_id: z.string().nullish(),
    background: z.boolean().nullish(),
    store: z.boolean().nullish(),
    include: z.array(z.string()).nullish(),
  })
  .check((context) => {
    const { input, prompt, previous_response_id: previous, conversation } = context.value;
    if ([input, prompt, previous, conversation].every((field) => field === undefined || field === null)) {
      context.issues.push({ code: 'invalid_type', expected: 'string', input: undefined, path: ['input'] });
    }
  });
