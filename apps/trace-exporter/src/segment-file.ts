import { randomBytes } from 'node:crypto';

// A segment is a file of lines `R<key>\t<json>` (a row), `F<key>\t<json>` (feedback) and `C<json>` (what an earlier segment was written with). The key stands in front
// so that a start reads it without parsing rows.

const NEWLINE = 10;
const KEY_LENGTH = 48;
/** By the first byte of a line. */
const KINDS: Readonly<Record<number, 'row' | 'feedback' | 'commit'>> = { 82: 'row', 70: 'feedback', 67: 'commit' };
const NAME = /^(\d{12})~([\w.-]+-(\d{4})(\d{2})(\d{2})T\d{6}\.\d{3}Z-[0-9a-f]{8})\.(rows|seen)$/;

/** What an object was made of besides the rows of its segment. Written before the object, so that a repeat after a crash makes the same one. */
export interface Commit {
  readonly segment: string;
  /** Keys of the feedback that was joined to its rows. */
  readonly joined: readonly string[];
}

export interface SegmentLine {
  readonly kind: 'row' | 'feedback' | 'commit';
  /** '' of a commit. */
  readonly key: string;
  /** Decoded when asked for: a start wants the keys of half a gigabyte, and no rows. */
  readonly json: () => string;
}

/** The name of a new segment: its place in the order, and its identity (pod, time, chance), from which the object's key is made. */
export function newSegmentId(podName: string, nowMs: number): string {
  const pod = podName.replace(/[^\w.-]/g, '_').slice(0, 100) || 'pod';
  const stamp = new Date(nowMs).toISOString().replace(/[-:]/g, '');
  return `${pod}-${stamp}-${randomBytes(4).toString('hex')}`;
}

export function segmentFileName(sequence: number, id: string, kind: 'rows' | 'seen'): string {
  return `${String(sequence).padStart(12, '0')}~${id}.${kind}`;
}

export interface SegmentName {
  readonly sequence: number;
  readonly id: string;
  readonly kind: 'rows' | 'seen';
}

/** Undefined for a file of somebody else. */
export function parseSegmentFileName(name: string): SegmentName | undefined {
  const match = NAME.exec(name);
  if (match === null) return undefined;
  return { sequence: Number(match[1]), id: match[2] ?? '', kind: match[6] as 'rows' | 'seen' };
}

/** `traces/YYYY-MM-DD/{pod}-{timestamp}.jsonl.gz`: the same for a segment whoever asks, whenever. @throws for what is no id. */
export function objectKeyOf(id: string): string {
  const match = NAME.exec(segmentFileName(0, id, 'rows'));
  if (match === null) throw new Error('not the id of a segment');
  return `traces/${match[3] ?? ''}-${match[4] ?? ''}-${match[5] ?? ''}/${id}.jsonl.gz`;
}

export function formatLine(kind: 'row' | 'feedback', key: string, row: object): string {
  return `${kind === 'row' ? 'R' : 'F'}${key}\t${JSON.stringify(row)}\n`;
}

export function formatCommit(commit: Commit): string {
  return `C${JSON.stringify(commit)}\n`;
}

/** The whole lines of a segment. What a process that was killed left of a line is passed over: its sender was not told that it was taken. */
export function* segmentLines(bytes: Buffer): Generator<SegmentLine> {
  let start = 0;
  for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, start)) {
    const [from, to] = [start, end];
    start = end + 1;
    const kind = KINDS[bytes[from] ?? 0];
    const content = kind === 'commit' ? from + 1 : from + KEY_LENGTH + 2;
    if (kind === undefined || content > to) continue;
    yield { kind, key: kind === 'commit' ? '' : bytes.toString('latin1', from + 1, from + 1 + KEY_LENGTH), json: () => bytes.toString('utf8', content, to) };
  }
}

/** Keys of written rows, 24 bytes each. */
export function encodeKeys(keys: readonly string[]): Buffer {
  return Buffer.from(keys.join(''), 'hex');
}

export function decodeKeys(bytes: Buffer): string[] {
  const keys: string[] = [];
  for (let at = 0; at + KEY_LENGTH / 2 <= bytes.length; at += KEY_LENGTH / 2) keys.push(bytes.toString('hex', at, at + KEY_LENGTH / 2));
  return keys;
}
