import type { AppError } from '@pointsman/errors';
import { countsAgainstDeployment, ProviderError } from '@pointsman/providers';
import type { metric } from '@pointsman/telemetry';

/** Refusals with the status of a caller's limit, although it is the deployments that are out. */
const NO_DEPLOYMENT: ReadonlySet<string> = new Set(['no_healthy_deployment', 'no_deployments_available', 'no_candidates']);

/**
 * Why a request failed that its caller did nothing to fail; undefined where it was the caller's doing: a bad request, a key, a limit of its own.
 * The status cannot tell: a provider's 429 and a group whose breakers are all open are 429 too (LiteLLM's statuses), and a stream that breaks has said 200.
 */
export function failureReason(error: AppError): metric.FailureReason | undefined {
  if (NO_DEPLOYMENT.has(error.code)) return 'no_deployment';
  if (error instanceof ProviderError) return error.fault === 'timeout' ? 'timeout' : countsAgainstDeployment(error.fault) ? 'upstream' : undefined;
  switch (error.kind) {
    case 'upstream_failed': return 'upstream';
    case 'deadline_exceeded': return 'timeout';
    case 'unavailable': return 'unavailable';
    case 'internal': return 'internal';
    default: return undefined;
  }
}
