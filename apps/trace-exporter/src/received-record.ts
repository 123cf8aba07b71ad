import { feedbackRowSchema, trainingRowSchema, type FeedbackRow, type TrainingRow } from '@pointsman/schemas';
import { attribute, type ReceivedSpan, type ReceivedValue } from '@pointsman/telemetry';

/** What one span gives: identified by its trace and span id, so that a span that is sent twice is one record. */
export type ReceivedRecord =
  | { readonly kind: 'request'; readonly key: string; readonly row: TrainingRow }
  | { readonly kind: 'feedback'; readonly key: string; readonly row: FeedbackRow };

/** `skipped`: a span of a routed request of which no row can be made, or that nobody routed. Undefined: any other span. */
export type ReadSpan = ReceivedRecord | 'skipped' | undefined;

/** Strategy label of replies that came out of the gateway's cache: nobody chose. */
const CACHED = 'cache';
const HEX_KEY = /^[0-9a-f]{48}$/;

type Attributes = ReceivedSpan['attributes'];

const text = (attributes: Attributes, key: string): string | undefined => {
  const value = attributes.get(key);
  return typeof value === 'string' ? value : undefined;
};
const number = (attributes: Attributes, key: string): number | undefined => {
  const value = attributes.get(key);
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
};
function listOf<T extends string | number>(value: ReceivedValue | undefined, type: 'string' | 'number'): T[] | undefined {
  return Array.isArray(value) && value.every((item) => typeof item === type) ? (value as T[]) : undefined;
}
const numbers = (attributes: Attributes, key: string): number[] | undefined => listOf<number>(attributes.get(key), 'number')?.map(shortened);

/** Seven significant digits: all that a float32 has. Its digits as a double would triple the row. */
function shortened(value: number): number {
  return Number.isInteger(value) ? value : Number(value.toPrecision(7));
}

/** Makes a record of a span of the gateway's. Nothing is taken over that is not named here: what else stands in a span never reaches a file. */
export function readSpan(span: ReceivedSpan): ReadSpan {
  const { attributes } = span;
  if (attributes.has(attribute.ROUTER_FEEDBACK_REQUEST_ID)) return readFeedback(span);
  // The decision's own span has no request id: the request's has everything.
  if (!attributes.has(attribute.ROUTER_STRATEGY) || !attributes.has(attribute.LLM_REQUEST_ID)) return undefined;
  const strategy = text(attributes, attribute.ROUTER_STRATEGY);
  const candidates = listOf<string>(attributes.get(attribute.ROUTER_CANDIDATES), 'string');
  if (strategy === CACHED || candidates === undefined || candidates.length === 0) return 'skipped';
  const result = trainingRowSchema.safeParse({
    schema_version: 1,
    kind: 'request',
    request_id: text(attributes, attribute.LLM_REQUEST_ID),
    trace_id: span.traceId,
    at: timeOf(span.startMs),
    ...featuresOf(attributes),
    prompt: text(attributes, attribute.ROUTER_PROMPT),
    strategy,
    model_version: text(attributes, attribute.ROUTER_MODEL_VERSION) ?? '',
    candidates,
    scores: numbers(attributes, attribute.ROUTER_SCORES) ?? [],
    propensity: number(attributes, attribute.ROUTER_PROPENSITY),
    selected_model: text(attributes, attribute.ROUTER_SELECTED_MODEL),
    group: text(attributes, attribute.LLM_MODEL_GROUP),
    signals: signalsOf(attributes),
    outcome: {
      status: number(attributes, attribute.HTTP_RESPONSE_STATUS_CODE),
      // Microseconds: beyond them, the difference of two times since 1970 is noise.
      latency_ms: Math.round(Math.max(0, span.endMs - span.startMs) * 1_000) / 1_000,
      ttft_ms: mapped(number(attributes, attribute.LLM_TIME_TO_FIRST_TOKEN_MS), shortened),
      prompt_tokens: number(attributes, attribute.LLM_USAGE_PROMPT_TOKENS),
      completion_tokens: number(attributes, attribute.LLM_USAGE_COMPLETION_TOKENS),
      cost_usd: number(attributes, attribute.LLM_COST_USD),
      served_model: text(attributes, attribute.LLM_MODEL),
      attempts: number(attributes, attribute.LLM_ATTEMPTS),
    },
  });
  const key = span.traceId + span.spanId;
  if (!result.success || !HEX_KEY.test(key) || result.data.scores.length !== result.data.candidates.length) return 'skipped';
  return { kind: 'request', key, row: result.data };
}

function readFeedback(span: ReceivedSpan): ReadSpan {
  const { attributes } = span;
  const score = number(attributes, attribute.ROUTER_FEEDBACK_SCORE);
  const isJudge = text(attributes, attribute.ROUTER_FEEDBACK_SOURCE) === 'judge';
  const result = feedbackRowSchema.safeParse({
    schema_version: 1,
    kind: 'feedback',
    request_id: text(attributes, attribute.ROUTER_FEEDBACK_REQUEST_ID),
    trace_id: span.traceId,
    at: timeOf(span.startMs),
    outcome: isJudge ? { judge_score: score } : {
      feedback_score: score,
      feedback_label: text(attributes, attribute.ROUTER_FEEDBACK_LABEL),
      feedback_key_hash: text(attributes, attribute.LLM_KEY_HASH),
      feedback_comment: text(attributes, attribute.ROUTER_FEEDBACK_COMMENT),
    },
  });
  const key = span.traceId + span.spanId;
  return result.success && score !== undefined && HEX_KEY.test(key) ? { kind: 'feedback', key, row: result.data } : 'skipped';
}

/** The embedder is `name/dimensions/sha256`. An embedding of another length was cut on the way and is worth nothing. */
function featuresOf(attributes: Attributes): Partial<Pick<TrainingRow, 'embedder' | 'embedding' | 'features' | 'ngrams'>> {
  const [name, dimensions, sha256] = text(attributes, attribute.ROUTER_EMBEDDER)?.split('/') ?? [];
  const embedder = name === undefined || dimensions === undefined || sha256 === undefined ? undefined : { name, dimensions: Number(dimensions), sha256 };
  const embedding = text(attributes, attribute.ROUTER_EMBEDDING);
  const isWhole = embedder !== undefined && embedding !== undefined && Buffer.byteLength(embedding, 'base64') === 2 * embedder.dimensions;
  const index = listOf<number>(attributes.get(attribute.ROUTER_NGRAM_INDEX), 'number');
  const value = numbers(attributes, attribute.ROUTER_NGRAM_VALUE);
  const features = numbers(attributes, attribute.ROUTER_FEATURES);
  return {
    ...(embedder === undefined ? {} : { embedder }),
    ...(isWhole ? { embedding } : {}),
    ...(features === undefined ? {} : { features }),
    ...(index === undefined || value === undefined || index.length !== value.length ? {} : { ngrams: { index, value } }),
  };
}

function signalsOf(attributes: Attributes): TrainingRow['signals'] {
  const holds = (key: string): boolean => attributes.get(key) === true;
  const retryOf = text(attributes, attribute.ROUTER_SIGNAL_RETRY_OF);
  const signals = {
    ...(holds(attribute.ROUTER_SIGNAL_ERROR) ? { error: text(attributes, attribute.ERROR_TYPE) ?? 'unknown' } : {}),
    ...(holds(attribute.ROUTER_SIGNAL_EMPTY) ? { empty: true as const } : {}),
    ...(holds(attribute.ROUTER_SIGNAL_ABORTED) ? { aborted: true as const } : {}),
    ...(retryOf === undefined ? {} : { retry_of: retryOf }),
  };
  return Object.keys(signals).length === 0 ? undefined : signals;
}

function timeOf(epochMs: number): string | undefined {
  return epochMs > 0 && epochMs < 8.64e15 ? new Date(epochMs).toISOString() : undefined;
}

function mapped<T, U>(value: T | undefined, change: (value: T) => U): U | undefined {
  return value === undefined ? undefined : change(value);
}
