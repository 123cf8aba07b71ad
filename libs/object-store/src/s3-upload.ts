import { AbortMultipartUploadCommand, CompleteMultipartUploadCommand, CreateMultipartUploadCommand, UploadPartCommand, type CompletedPart } from '@aws-sdk/client-s3';
import { randomUUID } from 'node:crypto';
import { startDeadline, type Deadline } from './deadline.ts';
import { ObjectStoreError, type ObjectHead, type UploadSource, type WriteOptions } from './object-store.ts';
import type { S3Connection } from './s3-connection.ts';
import { conditionFields, putObject, settleWrite, writeFields } from './s3-put.ts';
import { versionOf } from './s3-head.ts';
import { openSource } from './upload-source.ts';

/** S3's most; https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
const MAX_PARTS = 10_000;
/** Parts on their way at once: what a single connection leaves of a long line's speed, for 24 MiB of memory. */
const PARTS_AT_ONCE = 3;
const CLEAN_UP_MS = 10_000;

/** A source of any size: in one request when it fits into a part, otherwise in parts that are taken back when anything fails. */
export async function uploadObject(connection: S3Connection, key: string, from: UploadSource, options: WriteOptions): Promise<ObjectHead | false> {
  const conditions = conditionFields(options);
  using deadline = startDeadline(options, `Uploading ${key}`);
  await using source = await openSource(from);
  const partBytes = Math.max(connection.partBytes, Math.ceil((source.bytes ?? 0) / MAX_PARTS));
  const parts = source.parts(partBytes, deadline)[Symbol.asyncIterator]();
  const first = await parts.next();
  const firstBody = first.done === true ? Buffer.alloc(0) : first.value;
  const second = first.done === true ? first : await parts.next();
  if (second.done === true) {
    const written = await putObject(connection, key, firstBody, options, deadline);
    if (written !== false) options.onProgress?.(firstBody.length);
    return written;
  }
  return await inParts(connection, key, { bodies: chain([firstBody, second.value], parts), deadline, options, conditions });
}

async function inParts(connection: S3Connection, key: string, { bodies, deadline, options, conditions }: {
  readonly bodies: AsyncIterable<Buffer>;
  readonly deadline: Deadline;
  readonly options: WriteOptions;
  readonly conditions: ReturnType<typeof conditionFields>;
}): Promise<ObjectHead | false> {
  const { client } = connection;
  const what = `Uploading ${key}`;
  const writeId = randomUUID();
  const at = connection.at(key);
  const fields = writeFields(connection, options, writeId);
  const created = await connection.attempt(what, deadline, () => client.send(new CreateMultipartUploadCommand({ ...at, ...fields }), { abortSignal: deadline.signal }));
  const upload = { ...at, UploadId: created.UploadId };
  let finished = false;
  try {
    const done: CompletedPart[] = [];
    let bytes = 0;
    let sent = 0;
    let number = 0;
    const onTheWay = new Set<Promise<void>>();
    const failed = new AbortController();
    // The first part that fails ends the others too.
    const partDeadline: Deadline = { ...deadline, signal: AbortSignal.any([deadline.signal, failed.signal]) };
    const send = async (PartNumber: number, body: Buffer): Promise<void> => {
      const output = await connection.attempt(what, partDeadline, () => client.send(
        new UploadPartCommand({ ...upload, PartNumber, Body: body, ContentLength: body.length, ChecksumAlgorithm: fields.ChecksumAlgorithm }), { abortSignal: partDeadline.signal },
      ));
      // An upload that was begun with a digest is only completed with those of its parts.
      const { ETag, ChecksumCRC32, ChecksumSHA256 } = output;
      done.push({ PartNumber, ETag, ChecksumCRC32, ChecksumSHA256 });
      sent += body.length;
      options.onProgress?.(sent);
    };
    try {
      for await (const body of bodies) {
        number += 1;
        if (number > MAX_PARTS) throw new ObjectStoreError('too_large', `${what}: more than ${MAX_PARTS} parts.`);
        bytes += body.length;
        const part: Promise<void> = send(number, body).finally(() => onTheWay.delete(part));
        onTheWay.add(part);
        part.catch((error: unknown) => failed.abort(error));
        if (onTheWay.size >= PARTS_AT_ONCE) await Promise.race(onTheWay);
        // A part may have failed, and left the set, while the source was read.
        if (failed.signal.aborted) throw failed.signal.reason;
      }
      await Promise.all(onTheWay);
      if (failed.signal.aborted) throw failed.signal.reason;
    } catch (error) {
      // Parts that arrive after the upload was taken back would be stored, and paid for, until somebody notices.
      failed.abort(error);
      await Promise.allSettled(onTheWay);
      throw error;
    }
    done.sort((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0));
    const head = await settleWrite(connection, key, {
      what, deadline, writeId,
      // The upload no longer exists: it was completed by a try whose answer was lost.
      isGone: ({ status, code }) => status === 404 && (code === 'NoSuchUpload' || (code !== 'NoSuchBucket' && options.ifMatch !== undefined)),
      send: async () => {
        const output = await client.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts: done }, ...conditions }), { abortSignal: deadline.signal });
        return { key, bytes, etag: output.ETag ?? '', modifiedAt: connection.servedAt(output), ...versionOf(output.VersionId) };
      },
    });
    finished = head !== false;
    return head;
  } finally {
    if (!finished) await takeBack(connection, upload);
  }
}

/** Removes the parts of an upload that came to nothing. A failure here leaves them to the bucket's lifecycle rule: the first error is the one that matters. */
async function takeBack(connection: S3Connection, upload: { readonly Bucket: string; readonly Key: string; readonly UploadId: string | undefined }): Promise<void> {
  using deadline = startDeadline({ timeoutMs: CLEAN_UP_MS }, 'Taking an upload back');
  await connection.attempt('Taking an upload back', deadline, () => connection.client.send(new AbortMultipartUploadCommand(upload), { abortSignal: deadline.signal })).catch(() => undefined);
}

async function* chain(first: readonly Buffer[], rest: AsyncIterator<Buffer>): AsyncIterable<Buffer> {
  yield* first;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
}
