import { DeleteObjectCommand, GetObjectCommand, HeadBucketCommand, HeadObjectCommand, ListObjectsV2Command, type GetObjectCommandOutput } from '@aws-sdk/client-s3';
import type { Readable } from 'node:stream';
import { startDeadline, type Deadline } from './deadline.ts';
import { checkKey, checkPrefix, keyProblem } from './object-keys.ts';
import { ObjectStoreError, type DownloadOptions, type ObjectHead, type ObjectStore, type ReadOptions, type UploadSource, type WriteOptions } from './object-store.ts';
import type { OpenObjectStoreOptions } from './open-object-store.ts';
import { readBody } from './read-body.ts';
import { S3Connection } from './s3-connection.ts';
import { downloadObject } from './s3-download.ts';
import { readFailure } from './s3-errors.ts';
import { headOf } from './s3-head.ts';
import { putObject } from './s3-put.ts';
import { uploadObject } from './s3-upload.ts';

/** How long a bucket that answered counts as being there: until then a missing object is believed without asking about the bucket. */
const BUCKET_SEEN_MS = 60_000;

/** A bucket by the AWS SDK. See `ObjectStore` for what it promises. */
export class S3Store implements ObjectStore {
  readonly url: string;
  readonly #connection: S3Connection;
  #bucketSeenAt = -Infinity;

  constructor(place: { readonly bucket: string; readonly prefix: string }, options: OpenObjectStoreOptions) {
    this.#connection = new S3Connection(place, options);
    this.url = this.#connection.url;
  }

  async head(key: string, options: ReadOptions = {}): Promise<ObjectHead | undefined> {
    checkKey(key);
    using deadline = startDeadline(options, `Asking for ${key}`);
    const { client, at } = this.#on(key);
    const found = await this.#connection.attempt(`Asking for ${key}`, deadline, async () => {
      try {
        return headOf(key, await client.send(new HeadObjectCommand({ ...at, VersionId: options.version }), { abortSignal: deadline.signal }));
      } catch (error) {
        // 405: the version is a delete marker.
        const { status, code } = readFailure(error);
        if ((status === 404 && code !== 'NoSuchBucket') || status === 405) return undefined;
        throw error;
      }
    });
    if (found === undefined) await this.#checkBucket(deadline);
    else this.#bucketSeenAt = performance.now();
    return found;
  }

  async read(key: string, options: ReadOptions & { readonly maxBytes: number; readonly unlessEtag?: string }): Promise<{ readonly head: ObjectHead; readonly body: Buffer } | 'unchanged' | undefined> {
    checkKey(key);
    using deadline = startDeadline(options, `Reading ${key}`);
    const { client, at } = this.#on(key);
    return await this.#connection.attempt(`Reading ${key}`, deadline, async () => {
      let output: GetObjectCommandOutput;
      try {
        output = await client.send(new GetObjectCommand({ ...at, VersionId: options.version, IfNoneMatch: options.unlessEtag }), { abortSignal: deadline.signal });
      } catch (error) {
        const { status, code } = readFailure(error);
        if (status === 304) return 'unchanged';
        if ((status === 404 && code !== 'NoSuchBucket') || status === 405) return undefined;
        throw error;
      }
      const body = output.Body as Readable;
      const chunks: Buffer[] = [];
      let bytes = 0;
      const tooLarge = (size: number): ObjectStoreError => new ObjectStoreError('too_large', `${key} of ${this.url} has ${size} bytes or more; ${options.maxBytes} are allowed.`);
      if ((output.ContentLength ?? 0) > options.maxBytes) {
        body.destroy();
        throw tooLarge(output.ContentLength ?? 0);
      }
      await readBody(body, {
        expectedBytes: output.ContentLength, idleMs: this.#connection.idleMs, signal: deadline.signal,
        onChunk: (chunk) => {
          bytes += chunk.length;
          if (bytes > options.maxBytes) throw tooLarge(bytes);
          chunks.push(chunk);
        },
      });
      this.#bucketSeenAt = performance.now();
      const head = headOf(key, output, bytes);
      // A server that ignores If-None-Match.
      return head.etag === options.unlessEtag ? 'unchanged' : { head, body: Buffer.concat(chunks) };
    });
  }

  async download(key: string, file: string, options: DownloadOptions): Promise<{ readonly head: ObjectHead; readonly sha256: string } | undefined> {
    checkKey(key);
    return await downloadObject(this.#connection, key, file, options);
  }

  async write(key: string, body: Buffer | string, options: WriteOptions = {}): Promise<ObjectHead | false> {
    checkKey(key);
    using deadline = startDeadline(options, `Writing ${key}`);
    const bytes = typeof body === 'string' ? Buffer.from(body) : body;
    const written = await putObject(this.#connection, key, bytes, options, deadline);
    if (written !== false) options.onProgress?.(bytes.length);
    return written;
  }

  async upload(key: string, source: UploadSource, options: WriteOptions = {}): Promise<ObjectHead | false> {
    checkKey(key);
    return await uploadObject(this.#connection, key, source, options);
  }

  async delete(key: string, options: ReadOptions = {}): Promise<void> {
    checkKey(key);
    using deadline = startDeadline(options, `Deleting ${key}`);
    const { client, at } = this.#on(key);
    await this.#connection.attempt(`Deleting ${key}`, deadline, async () => {
      try {
        await client.send(new DeleteObjectCommand({ ...at, VersionId: options.version }), { abortSignal: deadline.signal });
      } catch (error) {
        const { code } = readFailure(error);
        // MinIO's answer for a version under retention; S3 says AccessDenied.
        if (options.version !== undefined && (code === 'InvalidRequest' || code === 'ObjectLocked')) throw new ObjectStoreError('denied', `${key} of ${this.url}: the version is under retention.`);
        if (code !== 'NoSuchKey' && code !== 'NoSuchVersion') throw error;
      }
    });
  }

  async *list(prefix: string, options: ReadOptions & { readonly after?: string } = {}): AsyncIterable<ObjectHead> {
    checkPrefix(prefix);
    const { client, bucket, listPageSize } = this.#connection;
    const what = `Listing ${prefix === '' ? 'everything' : prefix}`;
    let token: string | undefined;
    do {
      using deadline = startDeadline(options, what);
      const page = await this.#connection.attempt(what, deadline, () => client.send(new ListObjectsV2Command({
        Bucket: bucket, Prefix: this.#connection.at(prefix).Key, MaxKeys: listPageSize, ContinuationToken: token,
        StartAfter: token === undefined && options.after !== undefined ? this.#connection.at(options.after).Key : undefined,
        // Other people's keys may hold what XML cannot.
        EncodingType: 'url',
      }), { abortSignal: deadline.signal }));
      for (const { Key, ETag, Size, LastModified } of page.Contents ?? []) {
        const key = this.#connection.relative(page.EncodingType === 'url' ? decodeURIComponent((Key ?? '').replaceAll('+', ' ')) : (Key ?? ''));
        // A key that cannot be asked for here: a console's folder marker, or a path that leads out.
        if (key === undefined || keyProblem(key) !== undefined) continue;
        yield { key, bytes: Size ?? 0, etag: ETag ?? '', modifiedAt: LastModified ?? new Date(0) };
      }
      token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
  }

  close(): void {
    this.#connection.close();
  }

  #on(key: string): { readonly client: S3Connection['client']; readonly at: ReturnType<S3Connection['at']> } {
    return { client: this.#connection.client, at: this.#connection.at(key) };
  }

  /** A HEAD's 404 has no body that says what is missing, the object or the bucket. */
  async #checkBucket(deadline: Deadline): Promise<void> {
    if (performance.now() - this.#bucketSeenAt < BUCKET_SEEN_MS) return;
    const { client, bucket } = this.#connection;
    const isThere = await this.#connection.attempt('Asking for the bucket', deadline, async () => {
      try {
        await client.send(new HeadBucketCommand({ Bucket: bucket }), { abortSignal: deadline.signal });
        return true;
      } catch (error) {
        const { status } = readFailure(error);
        if (status === 404) return false;
        // Who may read objects need not have the right to ask about the bucket.
        if (status === 403) return true;
        throw error;
      }
    });
    if (!isThere) throw new ObjectStoreError('missing_bucket', `${this.url}: there is no such bucket.`);
    this.#bucketSeenAt = performance.now();
  }
}
