import { ObjectStoreError } from './object-store.ts';

/** What is known of a failed request. Never a message of the other side: S3 repeats key ids and signatures in some of them. */
export interface S3Failure {
  /** HTTP status; undefined when there was no answer. */
  readonly status: number | undefined;
  /** S3's error code, Node's, or the error's name. */
  readonly code: string;
  readonly requestId: string | undefined;
}

/** A body that stopped before its announced end: cut off, or silent for too long. */
export class BrokenBody extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'BrokenBody';
  }
}

export function readFailure(error: unknown): S3Failure {
  const { name, code, Code, $metadata } = (typeof error === 'object' && error !== null ? error : {}) as {
    readonly name?: unknown; readonly code?: unknown; readonly Code?: unknown;
    readonly $metadata?: { readonly httpStatusCode?: number; readonly requestId?: string };
  };
  const word = [code, Code, name].find((one): one is string => typeof one === 'string' && /^\w[\w.-]{0,60}$/.test(one));
  const requestId = $metadata?.requestId;
  return { status: $metadata?.httpStatusCode, code: word ?? 'Error', requestId: requestId !== undefined && /^[\w-]{1,80}$/.test(requestId) ? requestId : undefined };
}

/** Clocks apart, or a role's token just run out: the SDK learns from the answer, so the next try can succeed. */
export function isWorthAnotherSignature({ code }: S3Failure): boolean {
  return code === 'RequestTimeTooSkewed' || code === 'RequestExpired' || code === 'ExpiredToken' || code === 'ExpiredTokenException';
}

const DENIED = new Set(['AccessDenied', 'InvalidAccessKeyId', 'SignatureDoesNotMatch', 'ExpiredToken', 'ExpiredTokenException', 'InvalidToken', 'TokenRefreshRequired', 'AccountProblem', 'AllAccessDisabled', 'RequestTimeTooSkewed', 'RequestExpired', 'CredentialsProviderError', 'TokenProviderError', 'ProviderError']);
const UNAVAILABLE = new Set(['RequestTimeout', 'SlowDown', 'ServiceUnavailable', 'InternalError', 'OperationAborted', 'ConditionalRequestConflict', 'Throttling', 'ThrottlingException', 'TooManyRequests', 'BandwidthLimitExceeded']);
const TIMEOUTS = new Set(['TimeoutError', 'ETIMEDOUT', 'ESOCKETTIMEDOUT']);

/**
 * What a failure asks of the caller: wait, fix the rights, fix the name.
 * Codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
 */
export function toObjectStoreError(error: unknown, what: string): ObjectStoreError {
  if (error instanceof ObjectStoreError) return error;
  const failure = readFailure(error);
  const { status, code, requestId } = failure;
  const told = `${status === undefined ? '' : `${status} `}${code}${requestId === undefined ? '' : `, request ${requestId}`}`;
  const fail = (kind: ObjectStoreError['kind'], words: string): ObjectStoreError => new ObjectStoreError(kind, `${what} ${words} (${told}).`);
  if (code === 'NoSuchBucket') return fail('missing_bucket', 'failed: there is no such bucket');
  if (DENIED.has(code)) return fail('denied', code.endsWith('ProviderError') ? 'failed: no credentials could be had' : 'was refused');
  // A lack of s3:ListBucket makes S3 answer 403 for an object that is not there.
  if (status === 401 || status === 403) return code === 'InvalidObjectState' ? fail('invalid', 'failed: the object is archived') : fail('denied', 'was refused; without the right to list, so is an object that is not there');
  if (TIMEOUTS.has(code)) return fail('timeout', 'failed: no byte moved for too long');
  if (error instanceof BrokenBody) return fail('unavailable', `failed: ${error.message}`);
  if (status === 301 || status === 307 || code === 'PermanentRedirect' || code === 'AuthorizationHeaderMalformed') return fail('invalid', 'failed: the bucket is in another region');
  if (error instanceof Error && error.message === 'Region is missing') return new ObjectStoreError('invalid', `${what} failed: no region is set (AWS_REGION).`);
  if (UNAVAILABLE.has(code) || status === undefined || status === 429 || status >= 500) return fail('unavailable', status === undefined ? 'failed: the store cannot be reached' : 'failed: the store is unwell');
  // An answer that is a success and still an error is one that was not understood.
  if (status < 300) return fail('unavailable', 'failed: the answer was not understood');
  return fail('invalid', 'was not understood or not possible');
}
