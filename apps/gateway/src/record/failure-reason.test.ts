import { AppError } from '@pointsman/errors';
import { ProviderError } from '@pointsman/providers';
import { expect, test } from 'vitest';
import { failureReason } from './failure-reason.ts';

test.each([
  [new ProviderError('rate_limited', 'openai', 'slow down'), 'upstream'],
  [new ProviderError('auth', 'openai', 'wrong key'), 'upstream'],
  [new ProviderError('truncated', 'openai', 'cut'), 'upstream'],
  [new ProviderError('timeout', 'openai', 'late'), 'timeout'],
  [new ProviderError('bad_request', 'openai', 'no'), undefined],
  [new ProviderError('context_window', 'openai', 'long'), undefined],
  [new AppError('rate_limited', 'no_healthy_deployment', 'all open'), 'no_deployment'],
  [new AppError('rate_limited', 'no_deployments_available', 'cooling'), 'no_deployment'],
  [new AppError('rate_limited', 'rpm_limit', 'yours'), undefined],
  [new AppError('deadline_exceeded', 'request_timeout', 'late'), 'timeout'],
  [new AppError('unavailable', 'gateway_draining', 'soon'), 'unavailable'],
  [new AppError('internal', 'internal', 'ours'), 'internal'],
  [new AppError('invalid_request', '400', 'yours'), undefined],
  [new AppError('unauthenticated', '401', 'yours'), undefined],
])('%s', (error, reason) => {
  expect(failureReason(error)).toBe(reason);
});
