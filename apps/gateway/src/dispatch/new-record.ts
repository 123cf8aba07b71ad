import type { ExchangeRecord } from '../record/exchange-record.ts';

/** What is known of a call before anything was done for it. */
export function newRecord({ operation, stream, requestedModel, group, endUser }: Pick<ExchangeRecord, 'operation' | 'stream' | 'requestedModel' | 'group' | 'endUser'>): ExchangeRecord {
  return {
    operation, stream, requestedModel, group, decision: undefined, decisionAttributes: undefined, deployment: undefined, retries: 0, fallbacks: 0, upstreamMs: 0,
    ttftMs: undefined, usage: undefined, usageEstimated: false, costUsd: undefined, finishReason: undefined, responseId: undefined, error: undefined,
    clientGone: false, recovered: false, endUser, cacheHit: false, cacheKey: undefined,
  };
}
