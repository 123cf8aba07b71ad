import { fileURLToPath } from 'node:url';
import { keyProblem } from './object-keys.ts';
import { ObjectStoreError, type ObjectStore } from './object-store.ts';

export interface ObjectStoreCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/** How new objects are encrypted: S3's own keys, the bucket's KMS key, or one KMS key by id or ARN. */
export type ServerSideEncryption = 'AES256' | 'aws:kms' | { readonly kmsKeyId: string };

export interface OpenObjectStoreOptions {
  /** `http(s)://host[:port]` of an S3-compatible server; AWS by default. */
  readonly endpoint?: string;
  /** By default what the AWS SDK finds (`AWS_REGION`, profile); `us-east-1` with an endpoint. */
  readonly region?: string;
  /** By default the SDK's chain: environment, web identity, profile, container and instance roles. */
  readonly credentials?: ObjectStoreCredentials;
  /** Asked for on every write. By default what the bucket does. */
  readonly sse?: ServerSideEncryption;
  /** `endpoint/bucket/key` instead of `bucket.endpoint/key`. True by default with an endpoint. */
  readonly forcePathStyle?: boolean;
  /** A connection on which no byte moves for so long, in milliseconds, counts as broken. 15,000 by default. */
  readonly idleTimeoutMs?: number;
  /** Bytes of one part of an upload: 8 MiB by default, at least 5 MiB for S3. Bodies up to this size are sent in one request. */
  readonly partBytes?: number;
  /** Keys asked for at once by `list`: 1000 by default, which is S3's most. */
  readonly listPageSize?: number;
  /** Tries of one request, the first included, when the store is away or says to slow down: 3 by default. */
  readonly maxAttempts?: number;
}

export type ObjectStorePlace = { readonly kind: 's3'; readonly bucket: string; readonly prefix: string } | { readonly kind: 'directory'; readonly path: string };

/**
 * Opens a bucket (`s3://bucket/prefix`) or a folder (`file:///dir`). Nothing is asked over the network yet; the AWS SDK is loaded for `s3:` only.
 * @throws ObjectStoreError `invalid` for an URL or endpoint that cannot be meant, without repeating what it holds when that may be a secret.
 */
export async function openObjectStore(url: string, options: OpenObjectStoreOptions = {}): Promise<ObjectStore> {
  const place = parseObjectStoreUrl(url);
  if (place.kind === 'directory') {
    const { DirectoryStore } = await import('./directory-store.ts');
    return new DirectoryStore(place.path);
  }
  if (options.endpoint !== undefined) checkEndpoint(options.endpoint);
  const { S3Store } = await import('./s3-store.ts');
  return new S3Store(place, options);
}

/** What an `OBJECT_STORE_URL` names: for settings that are checked before anything is opened. @throws ObjectStoreError `invalid` */
export function parseObjectStoreUrl(url: string): ObjectStorePlace {
  if (url.startsWith('s3://')) {
    const rest = url.slice('s3://'.length);
    if (rest.includes('@') || rest.includes('?') || rest.includes('#')) throw new ObjectStoreError('invalid', 'An object store URL is s3://bucket/prefix: no credentials, no query. Credentials come from the environment.');
    const slash = rest.indexOf('/');
    const bucket = slash === -1 ? rest : rest.slice(0, slash);
    const prefix = slash === -1 ? '' : rest.slice(slash + 1).replace(/\/$/, '');
    // https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html; capitals and underscores exist in old buckets.
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$/.test(bucket)) throw new ObjectStoreError('invalid', 'An object store URL is s3://bucket/prefix: the bucket name is not one.');
    const problem = prefix === '' ? undefined : keyProblem(prefix);
    if (problem !== undefined) throw new ObjectStoreError('invalid', `The prefix of the object store URL ${problem}.`);
    return { kind: 's3', bucket, prefix };
  }
  if (url.startsWith('file://')) {
    try {
      const parsed = new URL(url);
      if (parsed.search !== '' || parsed.hash !== '') throw new Error('query');
      return { kind: 'directory', path: fileURLToPath(parsed) };
    } catch (error) {
      throw new ObjectStoreError('invalid', 'An object store URL of a folder is file:///absolute/path.', { cause: error });
    }
  }
  throw new ObjectStoreError('invalid', 'An object store URL starts with s3:// or file:///.');
}

function checkEndpoint(endpoint: string): void {
  const parsed = URL.parse(endpoint);
  if (parsed === null || (parsed.protocol !== 'http:' && parsed.protocol !== 'https:')) throw new ObjectStoreError('invalid', 'The object store endpoint is not an http or https URL.');
  if (parsed.username !== '' || parsed.password !== '') throw new ObjectStoreError('invalid', 'The object store endpoint holds credentials: they come from the environment.');
}
