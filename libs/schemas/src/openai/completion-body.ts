import { z } from 'zod';
import { samplingFields, stopField } from './chat-body.ts';

const tokens = z.array(z.int());

/** https://platform.openai.com/docs/api-reference/completions/create: text, several texts, tokens, or several token lists. */
export const completionBodySchema = z.looseObject({
  ...samplingFields,
  prompt: z.union([z.string(), z.array(z.string()).min(1), tokens.min(1), z.array(tokens).min(1)]),
  n: z.int().min(1).max(128).nullish(),
  best_of: z.int().min(1).nullish(),
  max_tokens: z.int().min(0).nullish(),
  stop: stopField,
  echo: z.boolean().nullish(),
  suffix: z.string().nullish(),
  logprobs: z.int().min(0).nullish(),
  presence_penalty: z.number().nullish(),
  frequency_penalty: z.number().nullish(),
  logit_bias: z.looseObject({}).nullish(),
  seed: z.int().nullish(),
});

/** https://platform.openai.com/docs/api-reference/embeddings/create */
export const embeddingBodySchema = z.looseObject({
  model: z.string().min(1),
  input: z.union([z.string(), z.array(z.string()).min(1), tokens.min(1), z.array(tokens).min(1)]),
  encoding_format: z.string().nullish(),
  dimensions: z.int().min(1).nullish(),
  user: z.string().nullish(),
});
