import { appendFileSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { decodeTraces } from '@pointsman/telemetry';
import { temporaryDirectory } from '@pointsman/testing';
import { ManualClock } from '@pointsman/timing';
import { expect, test } from 'vitest';
import { buildObject, feedbackFor } from './build-object.ts';
import { feedbackSpan, requestSpan, stableHex, traces } from './exporter.fixture.ts';
import { readSpan, type ReceivedRecord } from './received-record.ts';
import { RowSpool, SpoolRefusedError, type Segment } from './row-spool.ts';

function record(kind: 'request' | 'feedback', requestId: string, attributes: Readonly<Record<string, unknown>> = {}): ReceivedRecord {
  const ids = { traceId: stableHex(`t${kind}${requestId}${JSON.stringify(attributes)}`, 16), spanId: stableHex(`s${kind}${requestId}`, 8) };
  const [span] = decodeTraces('json', Buffer.from(traces((kind === 'request' ? requestSpan : feedbackSpan)({ requestId, ...ids, attributes }))));
  const found = readSpan(span!);
  if (found === undefined || found === 'skipped') throw new Error('no record');
  return found;
}
const row = (requestId: string): ReceivedRecord => record('request', requestId);
const verdict = (requestId: string, score = 0.5): ReceivedRecord => record('feedback', requestId, { 'router.feedback_score': score });

const clock = new ManualClock();
let dropped: string[] = [];
function open(directory: string, { maxBytes = 1 << 20, inHand }: { readonly maxBytes?: number; readonly inHand?: () => Segment | undefined } = {}): RowSpool {
  dropped = [];
  return new RowSpool({ directory, podName: 'pod/1', maxBytes, flushIntervalMs: 1_000, clock, onDropped: (reason, count) => dropped.push(`${reason} ${String(count)}`), ...(inHand === undefined ? {} : { inHand }) });
}

/** Commits the oldest segment and makes its object, without telling the spool that it is done. */
async function made(spool: RowSpool): Promise<{ readonly segment: Segment; readonly lines: readonly Record<string, unknown>[]; readonly keys: readonly string[] }> {
  const segment = spool.segments[0]!;
  const bytes = await spool.read(segment);
  if (segment.commit === undefined) spool.commit(segment, feedbackFor(bytes, spool.feedbacks));
  const { body, keys } = await buildObject(bytes, segment.commit!, spool.feedbacks);
  return { segment, keys, lines: body === undefined ? [] : gunzipSync(body).toString().trimEnd().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>) };
}
const told = (lines: readonly Record<string, unknown>[]) => lines.map(({ kind, request_id: id, outcome }) => `${String(kind)} ${String(id)} ${String((outcome as { feedback_score?: number }).feedback_score ?? '-')}`);

test('a span that is sent again is taken once: in one request, in the next, after a restart, and after its object was written', async () => {
  await using directory = await temporaryDirectory();
  const first = open(directory.path);
  expect(first.append([row('a'), row('a'), row('b')])).toEqual({ added: 2, duplicates: 1, tooLarge: 0 });
  expect(first.append([row('b')])).toEqual({ added: 0, duplicates: 1, tooLarge: 0 });
  const second = open(directory.path);
  expect(second.append([row('a'), row('c')])).toEqual({ added: 1, duplicates: 1, tooLarge: 0 });
  const { segment, keys } = await made(second);
  second.done(segment, keys);
  const third = open(directory.path);
  expect(third.append([row('a'), row('b'), row('c')])).toEqual({ added: 0, duplicates: 3, tooLarge: 0 });
});

test('a line that was cut off is passed over, and its span taken when it comes again', async () => {
  await using directory = await temporaryDirectory();
  open(directory.path).append([row('a')]);
  const [file = ''] = readdirSync(directory.path);
  const line = readFileSync(join(directory.path, file));
  rmSync(join(directory.path, file));
  const killed = open(directory.path);
  killed.append([row('b')]);
  const [torn = ''] = readdirSync(directory.path);
  appendFileSync(join(directory.path, torn), line.subarray(0, line.length - 5));
  const spool = open(directory.path);
  expect(spool.backlog.rows).toBe(1);
  expect(spool.append([row('a')]).added).toBe(1);
  expect(told((await made(spool)).lines)).toEqual(['request b -']);
});

test('feedback is joined to its row across files; what comes after the row was decided is a row of its own', async () => {
  await using directory = await temporaryDirectory();
  const spool = open(directory.path);
  spool.append([row('a'), row('b'), verdict('early')]);
  spool.seal();
  spool.append([verdict('a', 0.1), verdict('a', 0.9), row('c'), row('early')]);
  const first = await made(spool);
  expect(told(first.lines)).toEqual(['request a 0.9', 'request b -', 'feedback early 0.5']);
  spool.append([verdict('b')]);
  spool.done(first.segment, first.keys);
  spool.seal();
  expect(told((await made(spool)).lines)).toEqual(['request c -', 'request early -', 'feedback b 0.5']);
});

test('killed after the decision, before or after the object was written, the same object is made again, whatever came meanwhile', async () => {
  await using directory = await temporaryDirectory();
  const spool = open(directory.path);
  spool.append([row('a'), row('b')]);
  spool.seal();
  spool.append([verdict('a')]);
  const before = await made(spool);
  spool.append([verdict('b'), row('c')]);
  const restarted = open(directory.path);
  const after = await made(restarted);
  expect(after.segment.id).toBe(before.segment.id);
  expect(told(after.lines)).toEqual(['request a 0.5', 'request b -']);
  expect(after.lines).toEqual(before.lines);
  restarted.done(after.segment, after.keys);
  // And once more: the decision outlives the file that it was about.
  const again = open(directory.path);
  const rest: string[] = [];
  for (let { segment } = { segment: again.segments[0] }; segment !== undefined; segment = again.segments[0]) {
    const object = await made(again);
    rest.push(...told(object.lines));
    again.done(object.segment, object.keys);
    if (again.segments.every(({ rows, feedback }) => rows + feedback === 0)) break;
    again.seal();
  }
  expect(rest).toEqual(['feedback b 0.5', 'request c -']);
});

test('a spool that is full gives up its oldest rows and counts them; what is being written just now is counted by whoever writes it', async () => {
  await using directory = await temporaryDirectory();
  const hand: { segment?: Segment } = {};
  const spool = open(directory.path, { maxBytes: 64 * 1024, inHand: () => hand.segment });
  let sent = 0;
  while (dropped.length === 0) {
    spool.append(Array.from({ length: 5 }, () => row(`r${String(sent++)}`)));
    expect(spool.backlog.bytes).toBeLessThanOrEqual(64 * 1024);
  }
  expect(spool.backlog.rows + Number(dropped[0]?.split(' ')[1])).toBe(sent);
  const counted = dropped.length;
  const [oldest] = spool.segments;
  hand.segment = oldest!;
  while (oldest?.dropped !== true) spool.append([row(`r${String(sent++)}`)]);
  expect(dropped).toHaveLength(counted);
  expect(spool.append([row('x'.repeat(100))]).added).toBe(1);
});

test('a request larger than half the spool is refused for good', async () => {
  await using directory = await temporaryDirectory();
  const spool = open(directory.path, { maxBytes: 64 * 1024 });
  expect(spool.append(Array.from({ length: 100 }, (_, index) => row(`r${String(index)}`)))).toEqual({ added: 0, duplicates: 0, tooLarge: 100 });
  expect(spool.append([row('small')]).added).toBe(1);
});

test('a disk that refuses takes nothing and says so; the span is taken when it comes again', async () => {
  await using directory = await temporaryDirectory();
  const folder = join(directory.path, 'traces');
  const spool = open(folder);
  rmSync(folder, { recursive: true });
  writeFileSync(folder, 'a file where the folder was');
  expect(() => spool.append([row('a')])).toThrow(SpoolRefusedError);
  rmSync(folder);
  expect(() => spool.append([row('a')])).toThrow(SpoolRefusedError);
  // The failed try has made the folder again.
  expect(spool.append([row('a')])).toEqual({ added: 1, duplicates: 0, tooLarge: 0 });
});

test('files of others are left alone, and nobody else can read ours', async () => {
  await using directory = await temporaryDirectory();
  writeFileSync(join(directory.path, 'notes.txt'), 'mine');
  const spool = open(directory.path);
  spool.append([row('a')]);
  expect(readFileSync(join(directory.path, 'notes.txt'), 'utf8')).toBe('mine');
  expect(spool.segments[0]?.id).toMatch(/^pod_1-\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{8}$/);
  expect(statSync(spool.segments[0]!.path).mode & 0o777).toBe(0o600);
});
