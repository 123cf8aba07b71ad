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

/** What the trace exporter writes (section "Records" of the contract). Tolerant: a newer exporter may add fields. */
export const storedTrainingRowSchema = z.object({
  schema_version: z.literal(1),
  request_id: z.string().min(1).max(256),
  at: z.iso.datetime({ offset: true }),
  embedder: z.union([z.string().max(64), z.object({ name: z.string().max(64), sha256: z.string().max(64).optional(), dimensions: z.number().int().min(0).max(8_192).optional() })]).optional(),
  /** Base64 of float16, little endian; '' where there is none. */
  embedding: z.string().max(65_536).optional(),
  features: z.array(z.number()).max(1_024).optional(),
  ngrams: z.object({ index: z.array(z.number().int().min(0).max(2 ** 18 - 1)).max(200_000), value: z.array(z.number()).max(200_000) }).optional(),
  prompt: z.string().max(MAX_PROMPT_CHARS).optional(),
  propensity: z.number().positive().max(1).optional(),
  selected_model: modelSchema,
  outcome: z.object({
    status: z.union([z.string().max(64), z.number()]),
    feedback_score: qualitySchema.nullish(),
    judge_score: qualitySchema.nullish(),
  }),
});
export type StoredTrainingRow = z.infer<typeof storedTrainingRowSchema>;
