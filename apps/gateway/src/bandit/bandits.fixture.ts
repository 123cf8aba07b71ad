import { parseGatewayConfig } from '@pointsman/gateway-config';
import { DeploymentStats, type Candidate } from '@pointsman/routing';
import { createLogger, createMetrics } from '@pointsman/telemetry';
import { systemClock } from '@pointsman/timing';
import { openBandits, type Bandits, type OpenBanditsOptions } from './open-bandits.ts';

export const GROUP = 'chat {1}';
export const candidate: Candidate = {
  id: 'one', group: GROUP, model: 'openai/one', provider: 'openai', weight: undefined, rpm: undefined, tpm: undefined, order: undefined, tags: [],
  inputCostPerToken: undefined, outputCostPerToken: undefined, maxInputTokens: undefined, stats: new DeploymentStats(),
};
export const { config } = parseGatewayConfig({ files: [{ path: 'none', text: 'model_list: []' }], env: {}, providerIds: new Set(['openai']), implementedStrategies: new Set(['simple-shuffle']), providerOfModel: () => undefined });

/** The bandits of one replica, with what it knows of the candidate. */
export interface OpenedBandits {
  readonly bandits: Bandits;
  readonly count: () => number;
  readonly sum: () => number;
}

export function opened(directory: string, more: Partial<OpenBanditsOptions> = {}): OpenedBandits {
  // The timer is out of the way: tests exchange when they mean to.
  const bandits = openBandits({
    redisUrl: undefined, home: directory, environment: 'prod', openStore: undefined, replicaId: Math.random().toString(36), clock: systemClock,
    logger: createLogger({ service: 'test', level: 'error', write: () => undefined }), metrics: createMetrics({ processMetrics: false }), exchangeEveryMs: 1e8, snapshotEveryMs: 1e8, ...more,
  });
  return { bandits, count: () => bandits.learner(GROUP).totals().get('openai/one')?.count ?? 0, sum: () => bandits.learner(GROUP).totals().get('openai/one')?.b[0] ?? 0 };
}
