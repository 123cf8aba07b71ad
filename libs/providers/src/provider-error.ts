import { AppError, type AppErrorOptions, type ErrorKind } from '@pointsman/errors';

/** What went wrong at the provider, in the words that retries, fallbacks and breakers decide by. */
export type ProviderFault =
  | 'unreachable' // refused, reset or TLS failure before the status line
  | 'timeout' // no status line or no next byte in time
  | 'rate_limited' // 429
  | 'overloaded' // 503, 529
  | 'server_error' // other 5xx
  | 'auth' // 401, 403: our key is wrong, not the caller's
  | 'not_found' // 404: the deployment names a model the provider does not have
  | 'bad_request' // 400, 422: the caller's request
  | 'context_window' // the prompt is longer than the model takes
  | 'content_policy' // the provider's filter refused
  | 'bad_reply' // a success status with something that is not a reply: garbage, empty, malformed event
  | 'truncated' // the reply ended before the provider said that it was complete
  | 'stream_error'; // an error object inside a stream

const KIND_OF: Readonly<Record<ProviderFault, ErrorKind>> = {
  unreachable: 'upstream_failed',
  timeout: 'deadline_exceeded',
  rate_limited: 'rate_limited',
  overloaded: 'unavailable',
  server_error: 'upstream_failed',
  auth: 'upstream_failed',
  not_found: 'not_found',
  bad_request: 'invalid_request',
  context_window: 'invalid_request',
  content_policy: 'invalid_request',
  bad_reply: 'upstream_failed',
  truncated: 'upstream_failed',
  stream_error: 'upstream_failed',
};

const CODE_OF: Readonly<Partial<Record<ProviderFault, string>>> = {
  auth: 'provider_auth_error',
  context_window: 'context_length_exceeded',
  content_policy: 'content_policy_violation',
};

/** A failure of a provider call. The message is the provider's own words, shortened; bodies and credentials never get in. */
export class ProviderError extends AppError {
  readonly fault: ProviderFault;
  readonly provider: string;
  /** The provider's HTTP status, when there was one. */
  readonly upstreamStatus: number | undefined;

  constructor(fault: ProviderFault, provider: string, message: string, options: AppErrorOptions & { readonly upstreamStatus?: number; readonly code?: string } = {}) {
    super(KIND_OF[fault], options.code ?? CODE_OF[fault] ?? `provider_${fault}`, message, {
      // LiteLLM answers with the status that the provider gave: a 500 is told from a gateway's own 502.
      ...(fault === 'server_error' && options.upstreamStatus === 500 ? { status: 500, type: 'internal_server_error' } : {}),
      ...options,
      ...(fault === 'auth' ? { type: 'provider_auth_error' } : {}),
      details: { provider, fault, ...(options.upstreamStatus === undefined ? {} : { upstream_status: options.upstreamStatus }), ...options.details },
    });
    this.name = 'ProviderError';
    this.fault = fault;
    this.provider = provider;
    this.upstreamStatus = options.upstreamStatus;
  }
}

/** Whether the deployment itself is at fault, so that a breaker and a cooldown should count it; a bad request is the caller's. */
export function countsAgainstDeployment(fault: ProviderFault): boolean {
  return fault !== 'bad_request' && fault !== 'context_window' && fault !== 'content_policy';
}
