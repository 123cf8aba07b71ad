import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import { errorFromReply, errorFromValue, maskSecrets } from '../error-reply.ts';
import { ProviderError, type ProviderFault } from '../provider-error.ts';
import type { WireHeaders } from '../wire-call.ts';

const MAX_MESSAGE_LENGTH = 500;
/** Google's tokens and AWS's key ids, and keys in an address. */
const CLOUD_SECRETS = /\bya29\.[\w.-]+|\b(?:AKIA|ASIA)[A-Z0-9]{12,}|([?&](?:key|api_key|access_token)=)[^&\s"']+/gi;
/** Bedrock's error types whose status says too little. https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_Errors */
const AWS_FAULTS: Readonly<Record<string, ProviderFault>> = {
  ThrottlingException: 'rate_limited',
  ServiceQuotaExceededException: 'rate_limited',
  ModelNotReadyException: 'overloaded',
  ModelTimeoutException: 'timeout',
  ModelErrorException: 'server_error',
  ExpiredTokenException: 'auth',
  UnrecognizedClientException: 'auth',
  InvalidSignatureException: 'auth',
  ServiceUnavailableException: 'overloaded',
  InternalServerException: 'server_error',
  ModelStreamErrorException: 'server_error',
};

/** The provider's words, fit for a client: one line, without anything that looks like a credential, at most 500 characters. */
export function providerMessage(text: string, secrets: readonly string[] = []): string {
  let masked = maskSecrets(text.slice(0, 8 * MAX_MESSAGE_LENGTH), undefined).replaceAll(CLOUD_SECRETS, (_match, name: string | undefined) => `${name ?? ''}***`);
  for (const secret of secrets) masked = maskSecrets(masked, secret);
  const line = masked.replaceAll(/\s+/g, ' ').trim();
  return line.length <= MAX_MESSAGE_LENGTH ? line : `${line.slice(0, MAX_MESSAGE_LENGTH - 1)}…`;
}

export interface FailedReply {
  readonly provider: string;
  readonly status: number;
  readonly headers: WireHeaders;
  /** The body, possibly cut. */
  readonly text: string;
  /** Credentials of the deployment, which must not come back out in a message. */
  readonly secrets: readonly string[];
}

/** The error of a reply whose status is not 2xx: what every provider shares, plus what Google and AWS say elsewhere. */
export function replyError({ provider, status, headers, text, secrets }: FailedReply): ProviderError {
  if (status >= 300 && status < 400) {
    return new ProviderError('bad_reply', provider, `The provider answered with a redirect (${status}), which is never followed: check api_base.`, { upstreamStatus: status });
  }
  const error = errorFromReply({ provider, status, headers, body: text, secret: undefined, nowMs: Date.now() });
  const awsType = headers['x-amzn-errortype'];
  const fault = typeof awsType === 'string' ? AWS_FAULTS[awsType.split(':')[0] ?? ''] : undefined;
  const retryAfterMs = error.retryAfterMs ?? retryInfo(text);
  return new ProviderError(fault ?? error.fault, provider, providerMessage(error.message, secrets), {
    upstreamStatus: status,
    ...(fault === undefined && error.fault === 'bad_request' ? { code: error.code } : {}),
    ...(error.param === undefined ? {} : { param: error.param }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

/** The error of an error object inside a stream that had begun with success. */
export function streamError(provider: string, value: JsonObject, secrets: readonly string[]): ProviderError {
  const error = errorFromValue(value, { provider, status: undefined, headers: {}, secret: undefined, nowMs: Date.now() }, 'stream_error');
  // Inside a stream AWS writes the same names in lower camel case.
  const type = value['type'];
  const awsFault = typeof type === 'string' && type.endsWith('Exception') ? AWS_FAULTS[`${type.charAt(0).toUpperCase()}${type.slice(1)}`] : undefined;
  return new ProviderError(awsFault ?? error.fault, provider, providerMessage(error.message, secrets), error.upstreamStatus === undefined ? {} : { upstreamStatus: error.upstreamStatus });
}

/** `google.rpc.RetryInfo` among the details of a Google error, in milliseconds. https://cloud.google.com/apis/design/errors#error_details */
function retryInfo(text: string): number | undefined {
  if (!text.includes('retryDelay')) return undefined;
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return undefined;
  }
  const outer: unknown = Array.isArray(body) ? body[0] : body;
  const error = isJsonObject(outer) ? outer['error'] : undefined;
  const details = isJsonObject(error) ? error['details'] : undefined;
  for (const detail of Array.isArray(details) ? details : []) {
    const delay = isJsonObject(detail) ? detail['retryDelay'] : undefined;
    const match = typeof delay === 'string' ? /^(\d+(?:\.\d+)?)s$/.exec(delay) : null;
    if (match !== null) return Number(match[1]) * 1000;
  }
  return undefined;
}
