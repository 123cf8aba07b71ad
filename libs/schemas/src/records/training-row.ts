import { z } from 'zod';

// What trace-exporter writes under `traces/` and training reads. Tolerant: a newer exporter may add fields.

const score = z.number().min(0).max(1);

/** How a request went. What is not known is left out. */
const outcomeSchema = z.object({
  /** HTTP status that the client got; 499 where it left before there was one. */
  status: z.number().int(),
  latency_ms: z.number().min(0),
  /** Milliseconds until the first content byte; of streams only. */
  ttft_ms: z.number().min(0).optional(),
  prompt_tokens: z.number().min(0).optional(),
  completion_tokens: z.number().min(0).optional(),
  cost_usd: z.number().min(0).optional(),
  /** The deployment that answered. Not `selected_model` where a fallback had to serve: then the outcome says nothing of the selected one but that it failed. */
  served_model: z.string().max(1_024).optional(),
  attempts: z.number().int().min(0).optional(),
  feedback_score: score.optional(),
  feedback_label: z.string().max(64).optional(),
  /** SHA-256 of the key that gave the feedback, first 16 hex digits. */
  feedback_key_hash: z.string().max(16).optional(),
  judge_score: score.optional(),
});

/** One routed request: contract of `kind: "request"`. */
export const trainingRowSchema = z.object({
  schema_version: z.literal(1),
  kind: z.literal('request').default('request'),
  request_id: z.string().min(1).max(256),
  trace_id: z.string().regex(/^[0-9a-f]{32}$/),
  /** When the request began. */
  at: z.iso.datetime(),
  embedder: z.object({ name: z.string().max(64), sha256: z.string().max(64), dimensions: z.number().int().min(0).max(8_192) }).optional(),
  /** Base64 of float16, little endian. Left out where no strategy read the prompt. */
  embedding: z.string().max(65_536).optional(),
  /** Text features in the order of `TEXT_FEATURES` (docs/routing-features.md). */
  features: z.array(z.number()).max(1_024).optional(),
  /** Hashed n-grams, only with `store_ngrams: true`. */
  ngrams: z.object({ index: z.array(z.number().int().min(0)).max(200_000), value: z.array(z.number()).max(200_000) }).optional(),
  /** Only with `store_prompts: true`, cut at 4,096 characters. */
  prompt: z.string().max(4_096).optional(),
  strategy: z.string().min(1).max(128),
  /** '' where nothing was trained. */
  model_version: z.string().max(128),
  /** Best first. */
  candidates: z.array(z.string().max(1_024)).max(1_024),
  /** In the order of `candidates`. */
  scores: z.array(z.number()).max(1_024),
  propensity: z.number().positive().max(1),
  selected_model: z.string().min(1).max(1_024),
  group: z.string().max(1_024).optional(),
  /** What the request's course says about the answer without anybody being asked. */
  signals: z.object({
    /** Stable code of the error that ended it. */
    error: z.string().max(128).optional(),
    empty: z.literal(true).optional(),
    /** The client left before the reply was complete. */
    aborted: z.literal(true).optional(),
    /** The request of the same key with the same prompt within the last 60 seconds. */
    retry_of: z.string().max(256).optional(),
  }).optional(),
  outcome: outcomeSchema,
});
export type TrainingRow = z.infer<typeof trainingRowSchema>;

/** Feedback whose request's row was written before it came: joined by `request_id` when rows are read. Of several, the newest counts. */
export const feedbackRowSchema = z.object({
  schema_version: z.literal(1),
  kind: z.literal('feedback'),
  request_id: z.string().min(1).max(256),
  /** Of the feedback, not of the request. */
  trace_id: z.string().regex(/^[0-9a-f]{32}$/),
  at: z.iso.datetime(),
  outcome: outcomeSchema.pick({ feedback_score: true, feedback_label: true, feedback_key_hash: true, judge_score: true }).extend({ feedback_comment: z.string().max(4_096).optional() }),
});
export type FeedbackRow = z.infer<typeof feedbackRowSchema>;

/** One line of an object under `traces/`. */
export const traceRowSchema = z.union([feedbackRowSchema, trainingRowSchema]);
export type TraceRow = z.infer<typeof traceRowSchema>;
