import { AppError } from '@pointsman/errors';
import type { Decision } from '@pointsman/routing';
import { createLocalChannel } from '@pointsman/redis';
import { createMetrics } from '@pointsman/telemetry';
import { eventually } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { entry, fakeSnapshot, startFakeGateway, TEST_KEY } from '../fake-gateway.fixture.ts';
import { routeKind } from '../access/allowed-routes.ts';
import { newRecord } from '../dispatch/new-record.ts';
import type { ExchangeRecord } from '../record/exchange-record.ts';
import { groupsWithCanary } from './groups-with-canary.ts';
import { meanOf, meanScore, wilson } from './intervals.ts';
import { ModelArms } from './model-arms.ts';

const CONFIG = `model_list:\n${entry('auto', 'm')}${entry('plain', 'p')}router_settings:
  strategies:
    auto: { routing_strategy: llmrouter-knn, routing_strategy_args: { model_name: knn, model_version: v1, canary: { model_version: v2, weight: 10 } } }
`;
const snapshot = fakeSnapshot(CONFIG, {});

function recordOf(version: string, change: Partial<ExchangeRecord> = {}): ExchangeRecord {
  const record = newRecord({ operation: 'chat', stream: false, requestedModel: 'auto', group: 'auto', endUser: undefined });
  const decision: Decision = { order: [], scores: [], strategy: 'llmrouter-knn', modelVersion: version, propensity: 1, tookMs: 2, problem: undefined };
  return Object.assign(record, { decision, costUsd: 0.01 }, change);
}
const ended = (arms: ModelArms, requestId: string, record: ExchangeRecord): void => arms.requestEnded({ requestId, snapshot, elapsedMs: () => 500 }, record);

test('requests count for the version that decided them: failures apart from what the caller did wrong, the cache not at all', async () => {
  const metrics = createMetrics({ processMetrics: false });
  const arms = new ModelArms(metrics);
  ended(arms, 'a', recordOf('v1'));
  ended(arms, 'b', recordOf('v2'));
  ended(arms, 'c', recordOf('v2', { error: new AppError('upstream_failed', 'x', 'x') }));
  ended(arms, 'd', recordOf('v2', { error: new AppError('invalid_request', 'x', 'x') }));
  ended(arms, 'e', recordOf('v2', { cacheHit: true }));
  ended(arms, 'f', recordOf('v2', { clientGone: true }));
  ended(arms, 'g', recordOf(''));
  expect(arms.tally('auto', 'v1')).toMatchObject({ requests: 1, failed: 0, measures: { request_seconds: { count: 1, sum: 0.5, squares: 0.25 }, cost_usd: { sum: 0.01 }, decision_seconds: { sum: 0.002 } } });
  expect(arms.tally('auto', 'v2')).toMatchObject({ requests: 4, failed: 1, refused: 1, measures: { request_seconds: { count: 1 }, decision_seconds: { count: 3 } } });
  const { text } = await metrics.exposition();
  expect(text).toContain('router_arm_requests_total{router_model="knn",model_version="v2",outcome="failed"} 1');
  expect(text).toContain('router_arm_sum_total{router_model="knn",model_version="v1",measure="request_seconds"} 0.5');
});

test('a score counts once for the version that decided; the oldest requests are forgotten', () => {
  const arms = new ModelArms(createMetrics({ processMetrics: false }), { maxRemembered: 2 });
  for (const id of ['a', 'b', 'c']) ended(arms, id, recordOf('v2'));
  arms.scored({ requestId: 'c', score: 0.5, source: 'feedback' });
  arms.scored({ requestId: 'c', score: 1, source: 'feedback' });
  arms.scored({ requestId: 'c', score: 0.9, source: 'judge' });
  arms.scored({ requestId: 'a', score: 1, source: 'feedback' });
  expect(arms.tally('auto', 'v2')?.measures).toMatchObject({ feedback: { count: 1, sum: 0.5 }, judge: { count: 1, sum: 0.9 } });
});

test('a score that reaches another replica is counted by the one that served the request, once', async () => {
  const channel = createLocalChannel();
  const [here, there] = [new ModelArms(createMetrics({ processMetrics: false })), new ModelArms(createMetrics({ processMetrics: false }))];
  for (const arms of [here, there]) arms.shareWith(channel);
  ended(there, 'a', recordOf('v2'));
  here.scored({ requestId: 'a', score: 0.25, source: 'feedback' });
  here.scored({ requestId: 'nobody', score: 0.25, source: 'feedback' });
  for (const odd of ['{', '[]', '{"id":"a","score":7,"source":"judge"}', 'null']) await channel.publish('arm-scores', odd);
  await eventually(() => expect(there.tally('auto', 'v2')?.measures).toMatchObject({ feedback: { count: 1, sum: 0.25 }, judge: { count: 0 } }));
});

test('groups with a canary are those whose own strategy has one', () => {
  expect(groupsWithCanary(snapshot.config.router, ['auto', 'plain'])).toEqual([{ group: 'auto', model: 'knn', stable: 'v1', canary: 'v2', weight: 10 }]);
});

test('intervals are those of the textbooks', () => {
  expect(wilson(0, 0)).toBeUndefined();
  expect(wilson(1, 10)).toEqual({ value: 0.1, low: expect.closeTo(0.0179, 3) as number, high: expect.closeTo(0.4042, 3) as number });
  expect(wilson(0, 100)).toMatchObject({ low: 0, high: expect.closeTo(0.037, 3) as number });
  expect(meanOf({ count: 4, sum: 8, squares: 20 })).toEqual({ value: 2, low: expect.closeTo(0.8684, 3) as number, high: expect.closeTo(3.1316, 3) as number });
  expect(meanScore({ count: 2, sum: 1, squares: 1 })).toEqual({ value: 0.5, low: 0, high: 1 });
});

test('GET /router/experiments shows the arms with their intervals to admins', async () => {
  await using gateway = await startFakeGateway(CONFIG);
  ended(gateway.metrics.arms, 'a', recordOf('v2'));
  await gateway.post('/v1/feedback', { request_id: 'a', score: 0.75 });
  const response = await fetch(`${gateway.url}/router/experiments`, { headers: { authorization: `Bearer ${TEST_KEY}` } });
  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({
    scope: 'replica', data: [{
      group: 'auto', model: 'knn', canary_weight: 10, arms: [
        { arm: 'stable', model_version: 'v1', requests: 0, error_rate: null, feedback: null },
        { arm: 'canary', model_version: 'v2', requests: 1, error_rate: { value: 0, low: 0, high: 0.793451 }, latency_s: { value: 0.5, low: null, high: null }, feedback: { value: 0.75, count: 1 }, cost_usd: { value: 0.01 } },
      ],
    }],
  });
  expect((await fetch(`${gateway.url}/router/experiments`)).status).toBe(401);
  expect(routeKind('/router/experiments')).toBe('admin');
});
