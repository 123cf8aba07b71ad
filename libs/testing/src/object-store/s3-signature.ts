import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { S3Fault } from './s3-xml.ts';

export interface SignatureContext {
  /** As sent, still encoded, without the query. */
  readonly path: string;
  readonly rawQuery: string;
  /** The server's clock, milliseconds since 1970. */
  readonly now: number;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

const MAX_SKEW_MS = 15 * 60_000;

/**
 * Checks the Authorization header of a request by Signature Version 4.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
 * @throws S3Fault 403 as S3 does.
 */
export function checkSignature(request: IncomingMessage, context: SignatureContext): void {
  const authorization = request.headers.authorization;
  if (authorization === undefined) throw new S3Fault(403, 'AccessDenied', 'Access Denied.');
  const parts = /^AWS4-HMAC-SHA256 Credential=([^/,]+)\/(\d{8})\/([^/,]+)\/s3\/aws4_request,\s*SignedHeaders=([^,]+),\s*Signature=([0-9a-f]{64})$/.exec(authorization);
  if (parts === null) throw new S3Fault(400, 'AuthorizationHeaderMalformed', 'The authorization header is malformed.');
  const [, accessKeyId = '', , region = '', signedHeaders = '', signature = ''] = parts;
  if (accessKeyId !== context.accessKeyId) throw new S3Fault(403, 'InvalidAccessKeyId', 'The access key id does not exist.');
  if (region !== context.region) throw new S3Fault(400, 'AuthorizationHeaderMalformed', `The region is wrong; expecting '${context.region}'.`);
  const stamp = String(request.headers['x-amz-date'] ?? '');
  const signedAt = Date.parse(stamp.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'));
  if (!(Math.abs(signedAt - context.now) <= MAX_SKEW_MS)) throw new S3Fault(403, 'RequestTimeTooSkewed', 'The difference between the request time and the current time is too large.');

  const names = signedHeaders.split(';');
  if (!names.includes('host')) throw new S3Fault(403, 'AccessDenied', 'The host must be signed.');
  const expected = signatureOf({ method: request.method ?? '', path: context.path, rawQuery: context.rawQuery, headers: request.headers, signedHeaders: names, stamp, region, secretAccessKey: context.secretAccessKey });
  if (!timingSafeEqual(expected, Buffer.from(signature, 'hex'))) throw new S3Fault(403, 'SignatureDoesNotMatch', 'The request signature does not match.');
}

/** The signature of a request, 32 bytes. `headers`: names in lower case; `signedHeaders` in order. */
export function signatureOf({ method, path, rawQuery, headers, signedHeaders, stamp, region, secretAccessKey }: {
  readonly method: string;
  readonly path: string;
  readonly rawQuery: string;
  readonly headers: IncomingMessage['headers'];
  readonly signedHeaders: readonly string[];
  /** `x-amz-date`: 20261123T170000Z */
  readonly stamp: string;
  readonly region: string;
  readonly secretAccessKey: string;
}): Buffer {
  const canonical = [
    method, path, canonicalQuery(rawQuery),
    ...signedHeaders.map((name) => `${name}:${String(headers[name] ?? '').trim().replace(/ +/g, ' ')}`),
    '', signedHeaders.join(';'), String(headers['x-amz-content-sha256'] ?? ''),
  ].join('\n');
  const day = stamp.slice(0, 8);
  const toSign = ['AWS4-HMAC-SHA256', stamp, `${day}/${region}/s3/aws4_request`, createHash('sha256').update(canonical).digest('hex')].join('\n');
  const key = [day, region, 's3', 'aws4_request'].reduce<Buffer | string>((secret, word) => createHmac('sha256', secret).update(word).digest(), `AWS4${secretAccessKey}`);
  return createHmac('sha256', key).update(toSign).digest();
}

function canonicalQuery(rawQuery: string): string {
  if (rawQuery === '') return '';
  return rawQuery.split('&').map((pair) => (pair.includes('=') ? pair : `${pair}=`)).sort().join('&');
}
