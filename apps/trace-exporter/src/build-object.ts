import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { trainingRowSchema, type TrainingRow } from '@pointsman/schemas';
import type { Commit } from './segment-file.ts';
import { segmentLines } from './segment-file.ts';
import type { WaitingFeedback, WaitingFeedbacks } from './waiting-feedbacks.ts';

const compress = promisify(gzip);

export interface JoinedRow {
  readonly strategy: string;
  readonly modelVersion: string;
}

export interface BuiltObject {
  /** Gzip JSONL; undefined where no line is left. */
  readonly body: Buffer | undefined;
  /** Lines of the object. */
  readonly rows: number;
  /** Feedback of the segment that became a row of its own. */
  readonly late: number;
  /** Rows that feedback was joined to, once per feedback. */
  readonly joined: readonly JoinedRow[];
  /** Of all records of the segment. */
  readonly keys: readonly string[];
}

/** The feedback that is there now for the rows of a segment. */
export function feedbackFor(bytes: Buffer, feedbacks: WaitingFeedbacks): string[] {
  if (feedbacks.size === 0) return [];
  const joined = new Set<string>();
  for (const { kind, json } of segmentLines(bytes)) {
    if (kind !== 'row') continue;
    const row = JSON.parse(json()) as Pick<TrainingRow, 'request_id'>;
    for (const { key } of feedbacks.about(row.request_id)) joined.add(key);
  }
  return [...joined];
}

/** The object of a segment: its rows with the feedback that its commit names, and its own feedback that no commit names. The same whenever it is made. */
export async function buildObject(bytes: Buffer, { joined }: Commit, feedbacks: WaitingFeedbacks): Promise<BuiltObject> {
  const byRequest = new Map<string, WaitingFeedback[]>();
  for (const key of joined) {
    const feedback = feedbacks.find(key);
    if (feedback !== undefined) byRequest.set(feedback.row.request_id, [...byRequest.get(feedback.row.request_id) ?? [], feedback]);
  }
  const lines: string[] = [];
  const keys: string[] = [];
  const joinedRows: JoinedRow[] = [];
  let late = 0;
  for (const { kind, key, json } of segmentLines(bytes)) {
    if (kind === 'commit') continue;
    keys.push(key);
    if (kind === 'feedback') {
      if (feedbacks.isJoined(key)) continue;
      late += 1;
      lines.push(json());
      continue;
    }
    const text = json();
    const found = byRequest.size === 0 ? undefined : judged(text, byRequest);
    if (found === undefined) {
      lines.push(text);
      continue;
    }
    // To the first row of the request: a client may have chosen one id twice.
    byRequest.delete(found.row.request_id);
    for (const _ of found.feedback) joinedRows.push({ strategy: found.row.strategy, modelVersion: found.row.model_version });
    lines.push(JSON.stringify(withFeedback(found.row, found.feedback)));
  }
  return { body: lines.length === 0 ? undefined : await compress(`${lines.join('\n')}\n`), rows: lines.length, late, joined: joinedRows, keys };
}

function judged(text: string, byRequest: ReadonlyMap<string, WaitingFeedback[]>): { readonly row: TrainingRow; readonly feedback: readonly WaitingFeedback[] } | undefined {
  const row: unknown = JSON.parse(text);
  const feedback = byRequest.get((row as Pick<TrainingRow, 'request_id'>).request_id);
  return feedback === undefined ? undefined : { row: trainingRowSchema.parse(row), feedback };
}

/** Of several verdicts of one kind the newest counts. */
function withFeedback(row: TrainingRow, feedback: readonly WaitingFeedback[]): TrainingRow {
  const { outcome } = row;
  const said = feedback.toSorted((a, b) => (a.row.at < b.row.at ? -1 : 1)).map(({ row: { outcome: { feedback_comment: _comment, ...verdict } } }) => verdict);
  return { ...row, outcome: Object.assign({}, outcome, ...said) as TrainingRow['outcome'] };
}
