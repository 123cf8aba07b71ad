import { S3Client, type PutObjectCommandInput } from '@aws-sdk/client-s3';
import { backoffMs, sleep } from '@pointsman/timing';
import type { Deadline } from './deadline.ts';
import { ObjectStoreError } from './object-store.ts';
import type { OpenObjectStoreOptions } from './open-object-store.ts';
import { isWorthAnotherSignature, readFailure, toObjectStoreError } from './s3-errors.ts';

const DEFAULT_IDLE_MS = 15_000;
const DEFAULT_PART_BYTES = 8 << 20;
const BACKOFF = { baseMs: 200, maxMs: 3_000 };

/** Encryption fields of every write. */
export type EncryptionInput = Pick<PutObjectCommandInput, 'ServerSideEncryption' | 'SSEKMSKeyId'>;

/** A bucket and a client for it: what every kind of request needs. */
export class S3Connection {
  readonly client: S3Client;
  readonly bucket: string;
  /** `s3://bucket/prefix` */
  readonly url: string;
  readonly idleMs: number;
  readonly partBytes: number;
  readonly listPageSize: number;
  readonly encryption: EncryptionInput;
  /**
   * The digest sent along with every write. AWS wants one where a bucket locks by default. Compatible servers do not all take one, and need none:
   * the signature covers the SHA-256 of the body.
   */
  readonly checksum: 'CRC32' | undefined;
  readonly #prefix: string;
  readonly #maxAttempts: number;
  readonly #servedAt = new WeakMap<object, Date>();

  constructor({ bucket, prefix }: { readonly bucket: string; readonly prefix: string }, options: OpenObjectStoreOptions) {
    this.bucket = bucket;
    this.#prefix = prefix === '' ? '' : `${prefix}/`;
    this.url = `s3://${bucket}${prefix === '' ? '' : `/${prefix}`}`;
    this.idleMs = options.idleTimeoutMs ?? DEFAULT_IDLE_MS;
    this.partBytes = options.partBytes ?? DEFAULT_PART_BYTES;
    this.listPageSize = options.listPageSize ?? 1000;
    this.#maxAttempts = options.maxAttempts ?? 3;
    this.encryption = encryptionOf(options.sse);
    const { endpoint } = options;
    this.checksum = endpoint === undefined ? 'CRC32' : undefined;
    const region = options.region ?? (endpoint === undefined ? undefined : 'us-east-1');
    this.client = new S3Client({
      ...(endpoint === undefined ? { followRegionRedirects: true } : { endpoint }),
      ...(region === undefined ? {} : { region }),
      ...(options.credentials === undefined ? {} : { credentials: options.credentials }),
      forcePathStyle: options.forcePathStyle ?? endpoint !== undefined,
      // Tries are counted here: the SDK would repeat a conditional write and report its own first success as a lost race.
      maxAttempts: 1,
      retryMode: 'standard',
      // Named on each write instead (`checksum`): the SDK's default adds one to parts and not to the request that begins them, which S3 refuses.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      // The SDK's checking stream neither ends nor fails when the connection breaks (aws-sdk-js-v3 issue 8098); lengths and digests are checked here.
      responseChecksumValidation: 'WHEN_REQUIRED',
      requestHandler: { connectionTimeout: Math.min(5_000, this.idleMs), socketTimeout: this.idleMs, httpAgent: { keepAlive: true, maxSockets: 64 }, httpsAgent: { keepAlive: true, maxSockets: 64 } },
    });
    this.client.middlewareStack.add(
      (next) => async (args) => {
        const result = await next(args);
        const { headers } = result.response as { readonly headers?: Readonly<Record<string, string>> };
        const date = new Date(headers?.['date'] ?? NaN);
        if (result.output !== undefined && !Number.isNaN(date.getTime())) this.#servedAt.set(result.output, date);
        return result;
      },
      { step: 'deserialize', name: 'serverDate', priority: 'high' },
    );
  }

  /** Bucket and key as a request wants them. */
  at(key: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.bucket, Key: this.#prefix + key };
  }

  /** The store's own key of a bucket's one, undefined when it lies elsewhere. */
  relative(key: string): string | undefined {
    return key.startsWith(this.#prefix) ? key.slice(this.#prefix.length) : undefined;
  }

  /** When the server answered, by its own clock: a write's answer says no other time. */
  servedAt(output: object): Date {
    return this.#servedAt.get(output) ?? new Date();
  }

  /**
   * Runs a request, again when trying again can help, until the deadline. `request` turns the answers it expects into values.
   * @throws ObjectStoreError, or whatever ended the deadline.
   */
  async attempt<T>(what: string, deadline: Deadline, request: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await deadline.race(request());
      } catch (error) {
        if (deadline.signal.aborted) throw deadline.signal.reason;
        const failure = toObjectStoreError(error, `${what} of ${this.url}`);
        const again = failure.retryable ? this.#maxAttempts : isWorthAnotherSignature(readFailure(error)) ? 2 : 1;
        if (attempt >= again) throw failure;
        await sleep(backoffMs(attempt - 1, BACKOFF, Math.random), deadline.signal);
        if (deadline.signal.aborted) throw deadline.signal.reason;
      }
    }
  }

  close(): void {
    this.client.destroy();
  }
}

function encryptionOf(sse: OpenObjectStoreOptions['sse']): EncryptionInput {
  if (sse === undefined) return {};
  if (typeof sse === 'string') return { ServerSideEncryption: sse };
  if (sse.kmsKeyId === '') throw new ObjectStoreError('invalid', 'The KMS key id is empty.');
  return { ServerSideEncryption: 'aws:kms', SSEKMSKeyId: sse.kmsKeyId };
}
