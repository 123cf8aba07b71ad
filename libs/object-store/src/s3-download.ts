import { GetObjectCommand, type GetObjectCommandOutput } from '@aws-sdk/client-s3';
import { backoffMs, sleep } from '@pointsman/timing';
import type { Readable } from 'node:stream';
import { startDeadline } from './deadline.ts';
import { createTargetFile, type TargetFile } from './target-file.ts';
import { ObjectStoreError, type DownloadOptions, type ObjectHead } from './object-store.ts';
import { readBody } from './read-body.ts';
import type { S3Connection } from './s3-connection.ts';
import { BrokenBody, readFailure, toObjectStoreError } from './s3-errors.ts';
import { headOf } from './s3-head.ts';

/** How often an object may change under a download before that is an error. */
const MAX_CHANGES = 3;
/** How many tries in a row may bring no byte. */
const MAX_FRUITLESS = 3;
const BACKOFF = { baseMs: 100, maxMs: 3_000 };

/** The object is no longer the one that the download began with. */
class Changed extends Error {}

/** A whole object into a new file, picked up where a connection broke. The file is removed when that fails. */
export async function downloadObject(connection: S3Connection, key: string, path: string, options: DownloadOptions): Promise<{ readonly head: ObjectHead; readonly sha256: string } | undefined> {
  const what = `Downloading ${key} of ${connection.url}`;
  using deadline = startDeadline(options, what);
  await using file = await createTargetFile(path);
  let changes = 0;
  let fruitless = 0;
  let first: ObjectHead | undefined;
  for (;;) {
    const before = file.bytes;
    try {
      const got = await deadline.race(fetchRest(connection, key, { file, first, options, signal: deadline.signal, onHead: (head) => (first = head) }));
      if (got === undefined) {
        if (first === undefined) return undefined;
        throw new Changed();
      }
      return { head: got, sha256: await deadline.race(file.keep()) };
    } catch (error) {
      if (deadline.signal.aborted) throw deadline.signal.reason;
      if (error instanceof Changed) {
        changes += 1;
        if (changes > MAX_CHANGES) throw new ObjectStoreError('changed', `${what}: it changed ${changes} times meanwhile.`);
        first = undefined;
        await file.restart();
        continue;
      }
      const failure = toObjectStoreError(error, what);
      // A disk does not empty itself while the origin is asked again.
      if (!failure.retryable || failure.kind === 'no_space') throw failure;
      fruitless = file.bytes > before ? 0 : fruitless + 1;
      if (fruitless >= MAX_FRUITLESS) throw failure;
      await sleep(backoffMs(fruitless, BACKOFF, Math.random), deadline.signal);
      if (deadline.signal.aborted) throw deadline.signal.reason;
    }
  }
}

/** One request for what is missing. Undefined when there is no such object. @throws Changed, BrokenBody, ObjectStoreError, the SDK's errors */
async function fetchRest(connection: S3Connection, key: string, { file, first, options, signal, onHead }: {
  readonly file: TargetFile;
  readonly first: ObjectHead | undefined;
  readonly options: DownloadOptions;
  readonly signal: AbortSignal;
  readonly onHead: (head: ObjectHead) => void;
}): Promise<ObjectHead | undefined> {
  const start = file.bytes;
  if (first !== undefined && start === first.bytes) return first;
  let output: GetObjectCommandOutput;
  try {
    output = await connection.client.send(new GetObjectCommand({
      ...connection.at(key), VersionId: options.version, ...(first === undefined ? {} : { IfMatch: first.etag }), ...(start === 0 ? {} : { Range: `bytes=${start}-` }),
    }), { abortSignal: signal });
  } catch (error) {
    const { status, code } = readFailure(error);
    if ((status === 404 && code !== 'NoSuchBucket') || status === 405) return undefined;
    if (status === 412 || status === 416) throw new Changed();
    throw error;
  }
  const body = output.Body as Readable;
  try {
    // "bytes 100-199/200"; RFC 9110 section 14.4.
    const range = /^bytes (\d+)-\d+\/(\d+)$/.exec(output.ContentRange ?? '');
    if (start > 0 && range === null) throw new Changed(); // the server sends everything again: it ignores ranges
    if (start > 0 && Number(range?.[1]) !== start) throw new BrokenBody('another range was sent than asked for');
    const total = range === null ? output.ContentLength : Number(range[2]);
    const head = headOf(key, output, total ?? 0);
    if (first !== undefined && (head.etag !== first.etag || head.bytes !== first.bytes)) throw new Changed();
    const tooLarge = (bytes: number): ObjectStoreError => new ObjectStoreError('too_large', `${key} of ${connection.url} has ${bytes} bytes or more; ${options.maxBytes} are allowed.`);
    if ((total ?? 0) > options.maxBytes) throw tooLarge(total ?? 0);
    if (total !== undefined) onHead(head);
    await readBody(body, {
      expectedBytes: output.ContentLength, idleMs: connection.idleMs, signal,
      onChunk: async (chunk) => {
        if (file.bytes + chunk.length > options.maxBytes) throw tooLarge(file.bytes + chunk.length);
        await file.append(chunk);
        options.onProgress?.(file.bytes, total ?? file.bytes);
      },
    });
    // Without a length there is nothing to resume by, and nothing to compare with but the end itself.
    if (total !== undefined && file.bytes !== total) throw new BrokenBody(`${file.bytes} of ${total} bytes arrived`);
    return total === undefined ? { ...head, bytes: file.bytes } : head;
  } finally {
    body.destroy();
  }
}
