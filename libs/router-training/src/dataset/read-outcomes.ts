import { NGRAM_BUCKETS } from '@pointsman/routing';
import { feedbackRowSchema, trainingRowSchema, type FeedbackRow, type TrainingRow } from '@pointsman/schemas';
import type { z } from 'zod';
import { decodeFloat16 } from './float16.ts';
import type { OutcomeRow, StoredFeatures } from './outcome-row.ts';
import { invalidDataset, readLines, type TextLine } from './read-lines.ts';
import { correctnessRowSchema, outcomeRowSchema, promptRowSchema } from './row-schemas.ts';

export interface ReadOptions {
  /** Rows taken at most over all files, from the first on. */
  readonly limit?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Inverse propensities are cut here: a choice of one in a thousand must not count a thousandfold. */
const MAX_WEIGHT = 10;

/**
 * Rows of gzip (or plain) JSON Lines files, each line in any of the forms: outcomes `{id, prompt, scores}`, two models
 * `{id, prompt, x_correct, y_correct}` (columns `x` and `y`), or what the trace exporter writes. Feedback that came after its request's row was written is
 * joined to it, in whatever file it lies. Rows without a known quality are left out.
 * Throws an AppError `invalid_dataset` that names file, line and field.
 */
export async function readOutcomes(files: readonly string[], { limit = Number.MAX_SAFE_INTEGER, signal }: ReadOptions = {}): Promise<OutcomeRow[]> {
  const found: ((feedback: LateFeedback) => OutcomeRow | undefined)[] = [];
  const feedback = new Map<string, FeedbackRow>();
  let known = 0;
  for (const file of files) {
    for await (const line of readLines(file, signal)) {
      if (known >= limit) break;
      const value = parseObject(file, line);
      if (value['kind'] === 'feedback') {
        const row = parseWith(feedbackRowSchema, value, file, line);
        const earlier = feedback.get(row.request_id);
        if (earlier === undefined || Date.parse(row.at) >= Date.parse(earlier.at)) feedback.set(row.request_id, row);
      } else if ('selected_model' in value) {
        const row = parseWith(trainingRowSchema, value, file, line);
        const features = storedFeatures(file, line, row);
        found.push((late) => fromTrainingRow(row, features, late.get(row.request_id)));
      } else {
        const row = fromBenchmark(file, line, value);
        if (row === undefined) continue;
        found.push(() => row);
        // Only what is known of them counts: a training row may still get its feedback, or be left out.
        known += 1;
      }
    }
  }
  const rows: OutcomeRow[] = [];
  for (const make of found) {
    if (rows.length >= limit) break;
    const row = make(feedback);
    if (row !== undefined) rows.push(row);
  }
  return rows;
}

type LateFeedback = ReadonlyMap<string, FeedbackRow>;

/** A question to be scored, with what models answered where the file tells. */
export interface PromptRow {
  readonly id: string;
  readonly prompt: string;
  readonly answers: ReadonlyMap<string, string>;
}

/** Questions to be scored: any form with `id` and `prompt`; outcomes are not read. Throws as `readOutcomes`. */
export async function* readPrompts(file: string, signal?: AbortSignal): AsyncGenerator<PromptRow> {
  for await (const line of readLines(file, signal)) {
    const value = parseObject(file, line);
    const { id, prompt, responses } = parseWith(promptRowSchema, value, file, line);
    const answers = new Map(Object.entries(responses ?? {}));
    for (const [key, entry] of Object.entries(value)) if (key.endsWith('_response') && typeof entry === 'string') answers.set(key.slice(0, -'_response'.length), entry);
    yield { id, prompt, answers };
  }
}

function fromBenchmark(file: string, line: TextLine, value: Record<string, unknown>): OutcomeRow | undefined {
  if ('scores' in value) {
    const row = parseWith(outcomeRowSchema, value, file, line);
    const quality = new Map(Object.entries(row.scores));
    if (quality.size === 0) return undefined;
    return { id: row.id, subject: row.subject ?? '', prompt: row.prompt, features: undefined, quality, answers: new Map(Object.entries(row.responses ?? {})), weight: 1, at: undefined };
  }
  return fromCorrectness(file, line, value);
}

function fromCorrectness(file: string, line: TextLine, value: Record<string, unknown>): OutcomeRow {
  const row = parseWith(correctnessRowSchema, value, file, line);
  const quality = new Map<string, number>();
  const answers = new Map<string, string>();
  for (const [key, entry] of Object.entries(value)) {
    if (key.endsWith('_correct')) {
      if (typeof entry !== 'number' || !(entry >= 0 && entry <= 1)) throw invalidDataset(file, line.number, `${key} must be a number from 0 to 1`);
      quality.set(key.slice(0, -'_correct'.length), entry);
    } else if (key.endsWith('_response') && typeof entry === 'string') {
      answers.set(key.slice(0, -'_response'.length), entry);
    }
  }
  if (quality.size === 0) throw invalidDataset(file, line.number, 'has neither scores nor {model}_correct nor selected_model');
  return { id: row.id, subject: row.subject ?? '', prompt: row.prompt, features: undefined, quality, answers, weight: 1, at: undefined };
}

function fromTrainingRow(row: TrainingRow, features: StoredFeatures | undefined, late: FeedbackRow | undefined): OutcomeRow | undefined {
  const quality = observedQuality(row, late);
  if (quality.size === 0 || (features === undefined && row.prompt === undefined)) return undefined;
  return { id: row.request_id, subject: '', prompt: row.prompt, features, quality, answers: new Map(), weight: Math.min(MAX_WEIGHT, 1 / row.propensity), at: row.at };
}

/**
 * What a person said counts before what a judge said; a call that failed or brought nothing was of no use; a call that merely succeeded tells nothing.
 * Where a fallback had to serve, the selected model failed and what was said is about the other.
 */
function observedQuality({ outcome, signals, selected_model: selected }: TrainingRow, late: FeedbackRow | undefined): ReadonlyMap<string, number> {
  const served = outcome.served_model ?? selected;
  const said = late?.outcome.feedback_score ?? outcome.feedback_score ?? late?.outcome.judge_score ?? outcome.judge_score;
  const failed = outcome.status >= 500 || signals?.empty === true;
  const quality = new Map<string, number>();
  if (served !== selected) quality.set(selected, 0);
  if (said !== undefined) quality.set(served, said);
  else if (failed) quality.set(served, 0);
  return quality;
}

function storedFeatures(file: string, line: TextLine, row: TrainingRow): StoredFeatures | undefined {
  if (row.features === undefined) return undefined;
  const embedding = decodeFloat16(row.embedding ?? '');
  if (embedding === undefined) throw invalidDataset(file, line.number, 'embedding must be base64 of finite float16 numbers');
  const { ngrams } = row;
  if (ngrams !== undefined && ngrams.index.length !== ngrams.value.length) throw invalidDataset(file, line.number, 'ngrams.index and ngrams.value must be of one length');
  if (ngrams?.index.some((bucket) => bucket >= NGRAM_BUCKETS) === true) throw invalidDataset(file, line.number, `ngrams.index must be below ${NGRAM_BUCKETS}`);
  return {
    text: Float32Array.from(row.features), embedding,
    ngramIndex: ngrams === undefined ? undefined : Int32Array.from(ngrams.index),
    ngramValue: ngrams === undefined ? undefined : Float32Array.from(ngrams.value),
  };
}

function parseObject(file: string, line: TextLine): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(line.text);
  } catch {
    throw invalidDataset(file, line.number, 'is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalidDataset(file, line.number, 'is not a JSON object');
  return value as Record<string, unknown>;
}

function parseWith<T>(schema: z.ZodType<T>, value: unknown, file: string, line: TextLine): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw invalidDataset(file, line.number, `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'is not a row'}`);
}
