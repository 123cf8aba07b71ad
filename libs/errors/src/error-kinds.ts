export interface ErrorKindFacts {
  readonly status: number;
  /** `error.type` of the OpenAI envelope. */
  readonly type: string;
  readonly retryable: boolean;
}

/** What each kind of failure means to the caller: HTTP status, envelope type, and whether to try again. */
export const ERROR_KINDS = {
  invalid_request: { status: 400, type: 'invalid_request_error', retryable: false },
  unauthenticated: { status: 401, type: 'auth_error', retryable: false },
  forbidden: { status: 403, type: 'permission_error', retryable: false },
  not_found: { status: 404, type: 'invalid_request_error', retryable: false },
  method_not_allowed: { status: 405, type: 'invalid_request_error', retryable: false },
  request_timeout: { status: 408, type: 'timeout_error', retryable: false },
  conflict: { status: 409, type: 'invalid_request_error', retryable: false },
  payload_too_large: { status: 413, type: 'invalid_request_error', retryable: false },
  unprocessable: { status: 422, type: 'invalid_request_error', retryable: false },
  budget_exceeded: { status: 422, type: 'budget_exceeded', retryable: false },
  rate_limited: { status: 429, type: 'rate_limit_error', retryable: true },
  client_closed: { status: 499, type: 'client_closed_request', retryable: false },
  internal: { status: 500, type: 'internal_server_error', retryable: false },
  not_supported: { status: 501, type: 'not_supported_error', retryable: false },
  upstream_failed: { status: 502, type: 'upstream_error', retryable: true },
  unavailable: { status: 503, type: 'service_unavailable', retryable: true },
  deadline_exceeded: { status: 504, type: 'timeout_error', retryable: true },
} as const satisfies Record<string, ErrorKindFacts>;

export type ErrorKind = keyof typeof ERROR_KINDS;
