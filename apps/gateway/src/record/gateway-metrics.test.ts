import { DeploymentStats, type Candidate, type Decision } from '@pointsman/routing';
import { createMetrics } from '@pointsman/telemetry';
import { expect, test } from 'vitest';
import type { ExchangeRecord } from './exchange-record.ts';
import { GatewayMetrics } from './gateway-metrics.ts';

const usage = { promptTokens: 10, completionTokens: 5, totalTokens: 15, cachedTokens: 0, cacheCreationTokens: 0, cacheCreation1hTokens: 0, reasoningTokens: 0, audioInputTokens: 0, audioOutputTokens: 0 };

function exchangeRecord(change: Partial<ExchangeRecord>): ExchangeRecord {
  return {
    operation: 'chat', stream: false, requestedModel: 'gpt', group: 'gpt', decision: undefined, decisionAttributes: undefined, deployment: undefined, retries: 0, fallbacks: 0, upstreamMs: 0,
    ttftMs: undefined, usage, usageEstimated: false, costUsd: undefined, finishReason: 'stop', responseId: undefined, error: undefined, clientGone: false, endUser: undefined,
    cacheHit: false, cacheKey: undefined, recovered: false, ...change,
  };
}

function decisionFor(model: string, pattern: string | undefined): Decision {
  const candidate: Candidate = {
    id: 'w', group: 'openai/*', model, pattern, provider: 'openai', weight: undefined, rpm: undefined, tpm: undefined, order: undefined, tags: [],
    inputCostPerToken: undefined, outputCostPerToken: undefined, maxInputTokens: undefined, stats: new DeploymentStats(),
  };
  return { order: [candidate], scores: [1], strategy: 'simple-shuffle', modelVersion: '', propensity: 1, tookMs: 0.1, problem: undefined };
}

async function linesOf(act: (metrics: GatewayMetrics) => void, name: string): Promise<string[]> {
  const registry = createMetrics({ processMetrics: false });
  act(new GatewayMetrics(registry));
  const { text } = await registry.exposition();
  return text.split('\n').filter((line) => line.startsWith(`${name}{`));
}

test('made-up names under a wildcard are one series of the decisions, so that they cannot crowd out real models', async () => {
  const lines = await linesOf((metrics) => {
    for (let at = 0; at < 3_000; at += 1) metrics.decided(decisionFor(`openai/made-up-${String(at)}`, 'openai/*'));
    metrics.decided(decisionFor('openai/gpt-4o', undefined));
  }, 'router_decisions_total');
  expect(lines).toEqual([
    'router_decisions_total{strategy="simple-shuffle",model_version="",selected_model="openai/*"} 3000',
    'router_decisions_total{strategy="simple-shuffle",model_version="",selected_model="openai/gpt-4o"} 1',
  ]);
});

test('a request that used tokens of a model without a price is counted; priced, free and cached ones are not', async () => {
  const lines = await linesOf((metrics) => {
    const ended = (change: Partial<ExchangeRecord>): void => metrics.requestEnded({ route: '/v1/chat/completions', status: 200, durationMs: 1, record: exchangeRecord(change) });
    ended({});
    ended({ error: undefined, clientGone: true });
    ended({ costUsd: 0 });
    ended({ costUsd: 0.1 });
    ended({ cacheHit: true, costUsd: 0 });
    ended({ usage: undefined });
    ended({ usage: { ...usage, promptTokens: 0, completionTokens: 0, totalTokens: 0 } });
  }, 'gateway_unpriced_requests_total');
  expect(lines).toEqual(['gateway_unpriced_requests_total{model="gpt"} 2']);
});
