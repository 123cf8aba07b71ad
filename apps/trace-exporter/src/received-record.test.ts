import { decodeTraces } from '@pointsman/telemetry';
import { describe, expect, test } from 'vitest';
import { feedbackSpan, requestSpan, traces } from './exporter.fixture.ts';
import { readSpan } from './received-record.ts';

const read = (span: object) => readSpan(decodeTraces('json', Buffer.from(traces(span)))[0]!);
const request = (attributes: Readonly<Record<string, unknown>>) => read(requestSpan({ requestId: 'r1', traceId: '1'.repeat(32), spanId: '2'.repeat(16), attributes }));

describe('a span of a request', () => {
  test('is a row: decision, features, outcome', () => {
    expect(request({ 'llm.time_to_first_token_ms': 12.5, 'error.type': 'ignored without a signal' })).toEqual({
      kind: 'request', key: '1'.repeat(32) + '2'.repeat(16),
      row: {
        schema_version: 1, kind: 'request', request_id: 'r1', trace_id: '1'.repeat(32), at: '2026-01-01T00:00:00.000Z',
        embedder: { name: 'static', dimensions: 4, sha256: 'ab'.repeat(32) }, embedding: Buffer.alloc(8, 1).toString('base64'), features: [0.1, 2, 3],
        strategy: 'llmrouter-knn', model_version: 'v1', candidates: ['simulated/swift', 'simulated/steady'], scores: [0.75, 0.5], propensity: 1, selected_model: 'simulated/swift', group: 'auto',
        outcome: { status: 200, latency_ms: 250, ttft_ms: 12.5, prompt_tokens: 5, completion_tokens: 7, cost_usd: 0.00012, served_model: 'simulated/swift', attempts: 1 },
      },
    });
  });

  test('tells its signals', () => {
    expect(request({ 'router.signal.error': true, 'error.type': 'provider_timeout', 'router.signal.retry_of': 'r0' })).toMatchObject({ row: { signals: { error: 'provider_timeout', retry_of: 'r0' } } });
    expect(request({ 'router.signal.empty': true })).toMatchObject({ row: { signals: { empty: true } } });
    expect(request({ 'router.signal.aborted': true })).toMatchObject({ row: { signals: { aborted: true } } });
  });

  test('takes over nothing that is not named', () => {
    expect(JSON.stringify(request({ 'gen_ai.prompt': 'secret words', 'llm.user': 'secret person', 'gen_ai.request.model': 'secret name', __proto__: null, 'http.request.body': 'secret' }))).not.toContain('secret');
  });

  test('with an embedding of another length is a row without one', () => {
    const found = request({ 'router.embedding': Buffer.alloc(6).toString('base64') });
    expect(found).toMatchObject({ kind: 'request', row: { features: [0.1, 2, 3] } });
    expect(found).not.toHaveProperty('row.embedding');
  });

  test.each([
    ['a reply out of the cache', { 'router.strategy': 'cache' }], ['no candidates', { 'router.candidates': [] }], ['scores for others', { 'router.scores': [1] }],
    ['a propensity that is none', { 'router.propensity': 0 }], ['candidates that are no names', { 'router.candidates': [1, 2] }], ['no status', { 'http.response.status_code': 'x' }],
    ['an id that is too long', { 'llm.request_id': 'x'.repeat(300) }],
  ])('with %s is skipped', (_, attributes) => {
    expect(request(attributes)).toBe('skipped');
  });

  test('without ids is skipped', () => {
    expect(read(requestSpan({ requestId: 'r1', traceId: '', spanId: '' }))).toBe('skipped');
  });
});

test('feedback is read; a judge is told from a client', () => {
  expect(read(feedbackSpan({ requestId: 'r1', attributes: { 'router.feedback.label': 'wrong' } }))).toMatchObject({ kind: 'feedback', row: { kind: 'feedback', request_id: 'r1', outcome: { feedback_score: 0.5, feedback_label: 'wrong', feedback_key_hash: '0123456789abcdef' } } });
  const judged = read(feedbackSpan({ requestId: 'r1', attributes: { 'router.feedback.source': 'judge' } }));
  expect(judged).toMatchObject({ kind: 'feedback', row: { outcome: { judge_score: 0.5 } } });
  expect(judged).not.toHaveProperty('row.outcome.feedback_score');
  expect(read(feedbackSpan({ requestId: 'r1', attributes: { 'router.feedback_score': 2 } }))).toBe('skipped');
});

test('any other span is nothing', () => {
  expect(read({ traceId: '1'.repeat(32), spanId: '2'.repeat(16), name: 'router.decide', attributes: [{ key: 'router.strategy', value: { stringValue: 'llmrouter-knn' } }] })).toBeUndefined();
  expect(read({ traceId: '1'.repeat(32), spanId: '2'.repeat(16), name: 'llm.attempt' })).toBeUndefined();
});
