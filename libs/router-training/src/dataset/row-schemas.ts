import { z } from 'zod';

const MAX_PROMPT_CHARS = 2_000_000;
const qualitySchema = z.number().min(0).max(1);
const modelSchema = z.string().min(1).max(256);

/** `{id, prompt, scores: {model: 0..1}}`: outcomes of many models. */
export const outcomeRowSchema = z.object({
  id: z.string().min(1).max(512),
  subject: z.string().max(256).optional(),
  prompt: z.string().min(1).max(MAX_PROMPT_CHARS),
  scores: z.record(modelSchema, qualitySchema),
  responses: z.record(modelSchema, z.string().max(MAX_PROMPT_CHARS)).optional(),
});

/** The two-model form: `{name}_correct` (0 or 1, or graded) and perhaps `{name}_response`, for any names. */
export const correctnessRowSchema = z.looseObject({
  id: z.string().min(1).max(512),
  subject: z.string().max(256).optional(),
  prompt: z.string().min(1).max(MAX_PROMPT_CHARS),
});

/** A question without outcomes: enough to be scored. */
export const promptRowSchema = z.object({ id: z.string().min(1).max(512), prompt: z.string().min(1).max(MAX_PROMPT_CHARS), responses: z.record(modelSchema, z.string().max(MAX_PROMPT_CHARS)).optional() });
