import type { SpendLine } from '@pointsman/database';
import { AppError } from '@pointsman/errors';
import { openSpool } from '@pointsman/spool';
import { temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import type { Deployment } from '../snapshot/snapshot.ts';
import type { ExchangeRecord } from './exchange-record.ts';
import { createSpendLedger, type FinishedExchange } from './spend-ledger.ts';

const principal = { keyHash: 'd'.repeat(64), userId: 'user "1"', teamId: undefined };
const deployment = { configured: { group: 'gpt', model: 'gpt-4o-mini', id: 'deployment-1', provider: 'openai' } } as Deployment;
const usage = { promptTokens: 10, completionTokens: 5, totalTokens: 15, cachedTokens: 4, cacheCreationTokens: 0, cacheCreation1hTokens: 0, reasoningTokens: 2, audioInputTokens: 0, audioOutputTokens: 0 };

function exchangeRecord(change: Partial<ExchangeRecord> = {}): ExchangeRecord {
  return {
    operation: 'chat', stream: true, requestedModel: 'gpt', group: 'gpt', decision: undefined, decisionAttributes: undefined, deployment, retries: 0, fallbacks: 0, upstreamMs: 0, ttftMs: 100.5,
    usage, usageEstimated: false, costUsd: 0.000125, finishReason: 'stop', responseId: undefined, error: undefined, clientGone: false, endUser: undefined,
    cacheHit: false, cacheKey: undefined, recovered: false, ...change,
  };
}

function ledgerOf(): { book: (change?: Partial<ExchangeRecord>, finished?: Partial<FinishedExchange>) => SpendLine; lines: string[] } {
  const lines: string[] = [];
  const ledger = createSpendLedger({ spool: { append: (line) => lines.push(line) > 0 } });
  return {
    lines,
    book: (change, finished) => {
      expect(ledger.book({ requestId: 'req-1', traceId: 'trace-1', principal, record: exchangeRecord(change), endedAtMs: Date.UTC(2027, 0, 1, 0, 0, 1, 250), durationMs: 1_250.25, ...finished })).toBe(true);
      return JSON.parse(lines.at(-1) ?? '') as SpendLine;
    },
  };
}

test('a finished request is one line with everything the ledger knows of it, and nothing else', () => {
  const { book, lines } = ledgerOf();
  const line = book({ endUser: 'alice' }, { tags: ['a', 'b "c"'] });
  expect(line).toEqual({
    id: line.id, request_id: 'req-1', trace_id: 'trace-1', call_type: 'chat', api_key: 'd'.repeat(64), user_id: 'user "1"', team_id: null, end_user: 'alice',
    requested_model: 'gpt', model_group: 'gpt', model: 'gpt-4o-mini', model_id: 'deployment-1', provider: 'openai', spend: 0.000125,
    prompt_tokens: 10, completion_tokens: 5, total_tokens: 15, cached_tokens: 4, reasoning_tokens: 2, usage_estimated: false, cache_hit: false, stream: true,
    status: 'success', error_code: null, tags: ['a', 'b "c"'],
    start_time: '2026-12-31T23:59:59.999Z', completion_start_time: '2027-01-01T00:00:00.100Z', end_time: '2027-01-01T00:00:01.250Z',
  } satisfies SpendLine);
  expect(lines[0]).not.toContain('\n');
});

test('a request that nobody was asked for costs nothing and names no model', () => {
  const { book } = ledgerOf();
  expect(book({ deployment: undefined, usage: undefined, costUsd: undefined, ttftMs: undefined, error: new AppError('rate_limited', 'no_healthy_deployment', 'none') }))
    .toMatchObject({ model: null, model_id: null, provider: null, spend: 0, prompt_tokens: 0, total_tokens: 0, completion_start_time: null, status: 'failure', error_code: 'no_healthy_deployment' });
  // No price is known for the model: the row says so by naming the model with no spend.
  expect(book({ costUsd: undefined })).toMatchObject({ model: 'gpt-4o-mini', spend: 0, total_tokens: 15, status: 'success' });
  expect(book({ deployment: undefined, usage: undefined, costUsd: undefined, cacheHit: true })).toMatchObject({ cache_hit: true, spend: 0, status: 'success' });
});

test('the status tells whole answers, broken ones and failures apart', () => {
  const { book } = ledgerOf();
  const broken = new AppError('upstream_failed', 'stream_broken', 'broke');
  expect(book()).toMatchObject({ status: 'success', error_code: null });
  expect(book({ stream: false, ttftMs: undefined })).toMatchObject({ status: 'success', completion_start_time: null });
  expect(book({ error: broken })).toMatchObject({ status: 'partial', error_code: 'stream_broken', spend: 0.000125 });
  expect(book({ error: broken, ttftMs: undefined })).toMatchObject({ status: 'failure' });
  expect(book({ clientGone: true, usageEstimated: true })).toMatchObject({ status: 'partial', error_code: 'client_gone', usage_estimated: true });
  expect(book({ clientGone: true, ttftMs: undefined })).toMatchObject({ status: 'failure', error_code: 'client_gone' });
  expect(book({ recovered: true })).toMatchObject({ status: 'success' });
});

test('nothing that a client or a provider says can make a line the database would refuse', () => {
  const { book } = ledgerOf();
  const line = book({
    requestedModel: `a\0b"\\\n\ud800${'x'.repeat(5_000)}`, endUser: '\0', costUsd: NaN,
    usage: { ...usage, promptTokens: 1e300, completionTokens: -5, totalTokens: 3.9, cachedTokens: NaN },
  }, { requestId: 'é"', tags: Array.from({ length: 1_000 }, (_, at) => `tag ${String(at)}\0`) });
  expect(line.requested_model).toBe(`a\ufffdb"\\\n\ufffd${'x'.repeat(249)}`);
  expect(line).toMatchObject({ request_id: 'é"', end_user: '\ufffd', spend: 0, prompt_tokens: 2_147_483_647, completion_tokens: 0, total_tokens: 3, cached_tokens: 0 });
  expect(line.tags).toHaveLength(64);
  expect(line.tags[63]).toBe('tag 63\ufffd');
  expect(book({ costUsd: 1e-12 }).spend).toBe(1e-12);
  expect(book({ costUsd: Infinity }).spend).toBe(0);
});

test('ids are never the client\'s and never come twice, not even from two processes', () => {
  const one = ledgerOf();
  const other = ledgerOf();
  const ids = [...Array.from({ length: 500 }, () => one.book().id), ...Array.from({ length: 500 }, () => other.book({}, { requestId: 'the same' }).id)];
  expect(new Set(ids).size).toBe(1_000);
});

test('a request that was passed through is a line without tokens and price', () => {
  const { book } = ledgerOf();
  const whole = book();
  const line = book({ operation: 'passthrough', requestedModel: '', usage: undefined, costUsd: undefined, stream: false, ttftMs: undefined, error: new AppError('upstream_failed', 'gone', 'gone') });
  expect(Object.keys(line)).toEqual(Object.keys(whole));
  expect(line).toMatchObject({ call_type: 'passthrough', requested_model: '', provider: 'openai', model_id: 'deployment-1', spend: 0, total_tokens: 0, status: 'failure', error_code: 'gone' });
});

test('lines go through a spool as they are, and a full spool is told', async () => {
  await using directory = await temporaryDirectory();
  const received: string[] = [];
  const spool = await openSpool({ directory: directory.path, maxBytes: 2_000, batchMs: 1, deliver: (lines) => {
    received.push(...lines);
    return Promise.resolve();
  } });
  const ledger = createSpendLedger({ spool });
  const finished: FinishedExchange = { requestId: 'r', traceId: 't', principal, record: exchangeRecord(), endedAtMs: 0, durationMs: 0 };
  let booked = 0;
  while (booked < 100 && ledger.book(finished)) booked += 1;
  expect(booked).toBeGreaterThan(1);
  expect(booked).toBeLessThan(100);
  await spool.flush(AbortSignal.timeout(20_000));
  expect(received.map((line) => (JSON.parse(line) as SpendLine).status)).toEqual(Array.from({ length: booked }, () => 'success'));
  await spool.close();
});
