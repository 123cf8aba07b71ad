import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import { boundedMessage } from '../error-bodies.ts';

/** A failure that a provider reports in the body: of a stream event, or of a reply that claims success. */
export interface StreamErrorFacts {
  readonly message: string;
  readonly type: string | undefined;
  readonly code: string | undefined;
  readonly param: string | undefined;
  /** The HTTP status that the provider names or its error type implies. */
  readonly status: number | undefined;
}

/** https://docs.anthropic.com/en/api/errors, and the OpenAI types that say as much. */
const STATUS_OF_TYPE: ReadonlyMap<string, number> = new Map([
  ['invalid_request_error', 400], ['authentication_error', 401], ['billing_error', 402], ['permission_error', 403], ['not_found_error', 404],
  ['request_too_large', 413], ['rate_limit_error', 429], ['rate_limit_exceeded', 429], ['insufficient_quota', 429], ['tokens', 429], ['requests', 429],
  ['api_error', 500], ['server_error', 500], ['internal_server_error', 500], ['service_unavailable', 503], ['timeout_error', 504], ['overloaded_error', 529],
]);

/**
 * The error inside a parsed body, or undefined. Knows `{"error": {…}}` and `{"error": "text"}` (OpenAI and most others),
 * `{"type": "error", …}` (Anthropic, Responses) and `{"object": "error", "message": …}` (older vLLM).
 */
export function errorInBody(value: unknown): StreamErrorFacts | undefined {
  if (!isJsonObject(value)) return undefined;
  const error = value['error'];
  if (isJsonObject(error)) return describe(error, value);
  if (typeof error === 'string' && error !== '') return describe({ ...value, message: error }, value);
  if (value['type'] === 'error' || value['object'] === 'error') return describe(value, value);
  return undefined;
}

/** The error of an object that is known to be one. */
export function describe(error: JsonObject, body: JsonObject): StreamErrorFacts {
  const message = text(error['message']) ?? text(error['detail']) ?? text(body['message']) ?? 'The model provider reported an error without a message.';
  const type = error['type'] === 'error' ? undefined : text(error['type']);
  const code = text(error['code']) ?? (typeof error['code'] === 'number' ? String(error['code']) : undefined);
  const named = httpStatus(error['status']) ?? httpStatus(error['status_code']) ?? httpStatus(error['code']) ?? httpStatus(body['status']);
  return {
    message: boundedMessage(message),
    type,
    code,
    param: text(error['param']),
    status: named ?? STATUS_OF_TYPE.get(type ?? '') ?? STATUS_OF_TYPE.get(code ?? ''),
  };
}

function text(raw: unknown): string | undefined {
  return typeof raw === 'string' && raw !== '' ? raw : undefined;
}

function httpStatus(raw: unknown): number | undefined {
  const status = typeof raw === 'string' && /^\d{3}$/.test(raw) ? Number(raw) : raw;
  return typeof status === 'number' && Number.isInteger(status) && status >= 400 && status <= 599 ? status : undefined;
}
