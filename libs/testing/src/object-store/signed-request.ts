import { createHash } from 'node:crypto';
import { signatureOf } from './s3-signature.ts';

export interface SignedRequest {
  /** `http://host:port` */
  readonly endpoint: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly method: string;
  /** Begins with a slash; encoded as it is to be sent. */
  readonly path: string;
  /** Without the question mark, encoded. */
  readonly query?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** One S3 request signed by hand: for what a test asks of a server past the client under test, such as making a bucket. */
export async function signedS3Request({ endpoint, region, accessKeyId, secretAccessKey, method, path, query = '', headers = {}, body = '' }: SignedRequest): Promise<Response> {
  const stamp = new Date().toISOString().replace(/[-:]|\.\d+/g, '');
  const signed: Record<string, string> = { ...headers, host: new URL(endpoint).host, 'x-amz-date': stamp, 'x-amz-content-sha256': createHash('sha256').update(body).digest('hex') };
  const names = Object.keys(signed).map((name) => name.toLowerCase()).sort();
  const signature = signatureOf({ method, path, rawQuery: query, headers: signed, signedHeaders: names, stamp, region, secretAccessKey }).toString('hex');
  const authorization = `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${stamp.slice(0, 8)}/${region}/s3/aws4_request, SignedHeaders=${names.join(';')}, Signature=${signature}`;
  const { host: _host, ...sent } = signed; // fetch sets it
  return await fetch(`${endpoint}${path}${query === '' ? '' : `?${query}`}`, { method, headers: { ...sent, authorization }, ...(body === '' ? {} : { body }) });
}
