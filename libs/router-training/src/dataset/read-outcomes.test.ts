import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { toFloat16Bits } from './float16.ts';
import { readOutcomes, readPrompts } from './read-outcomes.ts';

const float16 = (values: readonly number[]): string => Buffer.from(toFloat16Bits(values).buffer).toString('base64');
const trainingRow = {
  schema_version: 1, request_id: 'r1', trace_id: '0af7651916cd43dd8448eb211c80319c', at: '2026-01-02T03:04:05Z', embedder: { name: 'static', sha256: 'ab', dimensions: 2 }, embedding: float16([0.5, -0.25]), features: [1, 2, 3], strategy: 'llmrouter-hybrid',
  model_version: 'v1', candidates: ['a', 'b'], scores: [0.1, 0.2], propensity: 0.25, selected_model: 'b', outcome: { status: 200, latency_ms: 3, feedback_score: 0.75 },
};

async function read(content: string | Buffer, limit?: number) {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'data.jsonl.gz');
  await writeFile(file, content);
  return await readOutcomes([file], { limit });
}
const lines = (...rows: readonly object[]): string => rows.map((row) => JSON.stringify(row)).join('\n');

test('outcome rows, two-model rows and training rows are told apart line by line, gzipped or not', async () => {
  const text = lines({ id: '1', prompt: 'p', scores: { x: 0.5, y: 1 } }, { id: '2', subject: 's', prompt: 'q', big_correct: 1, small_correct: 0, small_response: 'forty-two' }, trainingRow);
  for (const content of [text, gzipSync(text)]) {
    const [scores, pair, stored] = await read(content);
    expect(scores).toMatchObject({ id: '1', prompt: 'p', weight: 1, quality: new Map([['x', 0.5], ['y', 1]]) });
    expect(pair).toMatchObject({ id: '2', subject: 's', quality: new Map([['big', 1], ['small', 0]]), answers: new Map([['small', 'forty-two']]) });
    expect(stored).toMatchObject({ id: 'r1', prompt: undefined, weight: 4, at: '2026-01-02T03:04:05Z', quality: new Map([['b', 0.75]]) });
    expect([...stored!.features!.embedding]).toEqual([0.5, -0.25]);
  }
});

test('what people said counts before what a judge said, a failed call is of no use, and a call nobody judged is left out', async () => {
  const outcomes = [{ status: 200, judge_score: 0.5 }, { status: 503 }, { status: 200 }, { status: 200, feedback_score: 0, judge_score: 1 }];
  const rows = await read(lines(...outcomes.map((outcome, index) => ({ ...trainingRow, request_id: `r${index}`, outcome: { latency_ms: 3, ...outcome } })), { ...trainingRow, request_id: 'r9', outcome: { status: 200, latency_ms: 3 }, signals: { empty: true } }));
  expect(rows.map(({ id, quality }) => [id, quality.get('b')])).toEqual([['r0', 0.5], ['r1', 0], ['r3', 0], ['r9', 0]]);
});

test('where a fallback had to serve, the selected model failed, and what was said is about the other', async () => {
  const [row] = await read(lines({ ...trainingRow, outcome: { ...trainingRow.outcome, served_model: 'a' } }));
  expect(row!.quality).toEqual(new Map([['b', 0], ['a', 0.75]]));
});

test('feedback that came later is joined to its request, the newest of several, and feedback of nobody is passed over', async () => {
  const silent = { ...trainingRow, outcome: { status: 200, latency_ms: 3 } };
  const said = (at: string, score: number, id = 'r1') => ({ schema_version: 1, kind: 'feedback', request_id: id, trace_id: trainingRow.trace_id, at, outcome: { feedback_score: score } });
  const rows = await read(lines(said('2026-01-02T04:00:00Z', 0.9), silent, said('2026-01-02T03:30:00Z', 0.1), said('2026-01-02T03:30:00Z', 0.4, 'nobody'), { ...silent, request_id: 'r2' }));
  expect(rows.map(({ id, quality }) => [id, quality.get('b')])).toEqual([['r1', 0.9]]);
});

test('a rare choice counts at most tenfold', async () => {
  expect((await read(lines({ ...trainingRow, propensity: 0.001 })))[0]!.weight).toBe(10);
});

test('a limit takes the first rows', async () => {
  const rows = Array.from({ length: 5 }, (_, index) => ({ id: `${index}`, prompt: 'p', scores: { x: 1 } }));
  expect((await read(lines(...rows), 2)).map(({ id }) => id)).toEqual(['0', '1']);
});

test.each([
  ['not JSON', '{"id":', /data\.jsonl\.gz:2: is not JSON/],
  ['no object', '[1]', /:2: is not a JSON object/],
  ['a quality out of range', '{"id":"1","prompt":"p","scores":{"x":2}}', /:2: scores\.x: /],
  ['a correctness out of range', '{"id":"1","prompt":"p","x_correct":2}', /:2: x_correct must be a number from 0 to 1/],
  ['no outcome', '{"id":"1","prompt":"p"}', /:2: has neither scores nor/],
  ['no prompt', '{"id":"1","scores":{"x":1}}', /:2: prompt: /],
  ['an odd embedding', JSON.stringify({ ...trainingRow, embedding: 'AAAA' }), /:2: embedding must be base64 of finite float16/],
  ['an embedding with infinity', JSON.stringify({ ...trainingRow, embedding: float16([Infinity]) }), /:2: embedding must be/],
  ['n-grams of two lengths', JSON.stringify({ ...trainingRow, ngrams: { index: [1], value: [] } }), /:2: ngrams\.index and ngrams\.value/],
  ['an n-gram that no bucket has', JSON.stringify({ ...trainingRow, ngrams: { index: [2 ** 18], value: [1] } }), /:2: ngrams\.index must be below 262144/],
])('a line with %s is refused with file, line and field', async (_, line, message) => {
  await expect(read(`\n${line}\n`)).rejects.toMatchObject({ code: 'invalid_dataset', message: expect.stringMatching(message) });
});

test('the content of a broken line is not repeated in the error', async () => {
  await expect(read('secret words that are not JSON')).rejects.not.toMatchObject({ message: expect.stringContaining('secret') });
});

test('a truncated gzip file, an endless line and a missing file are refused', async () => {
  const whole = gzipSync(lines(...Array.from({ length: 200 }, (_, index) => ({ id: `${index}`, prompt: `p${Math.sin(index)}`, scores: { x: 1 } }))));
  await expect(read(whole.subarray(0, whole.length - 20))).rejects.toMatchObject({ code: 'invalid_dataset' });
  await expect(read(gzipSync('x'.repeat(9 * 1024 * 1024)))).rejects.toMatchObject({ message: expect.stringContaining('longer than') });
  await expect(readOutcomes(['/nowhere/at-all.jsonl'])).rejects.toMatchObject({ code: 'invalid_dataset', message: expect.stringContaining('ENOENT') });
});

test('questions to be scored need no outcomes', async () => {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'prompts.jsonl');
  await writeFile(file, lines({ id: '1', prompt: 'p', x_correct: 'whatever', x_response: 'an answer' }));
  const read = [];
  for await (const row of readPrompts(file)) read.push(row);
  expect(read).toEqual([{ id: '1', prompt: 'p', answers: new Map([['x', 'an answer']]) }]);
});
