import { HeadObjectCommand, PutObjectCommand, type PutObjectCommandInput } from '@aws-sdk/client-s3';
import { randomUUID } from 'node:crypto';
import type { Deadline } from './deadline.ts';
import { ObjectStoreError, type ObjectHead, type WriteOptions } from './object-store.ts';
import type { S3Connection } from './s3-connection.ts';
import { readFailure, type S3Failure } from './s3-errors.ts';
import { headOf, versionOf } from './s3-head.ts';

/** The object's metadata by which a writer knows its own work again. */
const WRITE_ID = 'write-id';

/** Two requests touched the key at once and S3 decided neither: it asks to try again. */
class Undecided extends ObjectStoreError {
  constructor(what: string) {
    super('unavailable', `${what} met another write of the same object again and again.`);
  }
}

/** The fields that all ways of writing share. */
export type WriteFields = Pick<PutObjectCommandInput, 'ContentType' | 'ServerSideEncryption' | 'SSEKMSKeyId' | 'ObjectLockMode' | 'ObjectLockRetainUntilDate' | 'ChecksumAlgorithm' | 'Metadata'>;

export function writeFields(connection: S3Connection, options: WriteOptions, writeId: string): WriteFields {
  return {
    ...connection.encryption,
    ...(connection.checksum === undefined ? {} : { ChecksumAlgorithm: connection.checksum }),
    Metadata: { [WRITE_ID]: writeId },
    ...(options.contentType === undefined ? {} : { ContentType: options.contentType }),
    // S3 takes an object under retention only with a checksum of its body.
    ...(options.retainUntil === undefined ? {} : { ObjectLockMode: 'COMPLIANCE', ObjectLockRetainUntilDate: options.retainUntil, ChecksumAlgorithm: 'SHA256' }),
  };
}

/** `If-Match` and `If-None-Match` of the request that makes a write visible. */
export function conditionFields({ ifMatch, ifAbsent }: WriteOptions): { readonly IfMatch?: string; readonly IfNoneMatch?: '*' } {
  if (ifMatch !== undefined && ifAbsent === true) throw new ObjectStoreError('invalid', 'A write is either for an object that is there (ifMatch) or for one that is not (ifAbsent).');
  return { ...(ifMatch === undefined ? {} : { IfMatch: ifMatch }), ...(ifAbsent === true ? { IfNoneMatch: '*' } : {}) };
}

/**
 * Sends the request that makes a write visible, until it is known what became of it. A condition that fails after a try whose answer was lost may have failed
 * on our own object: its write id tells.
 */
export async function settleWrite(connection: S3Connection, key: string, { what, deadline, writeId, isGone, send }: {
  readonly what: string;
  readonly deadline: Deadline;
  readonly writeId: string;
  /** Whether an answer says that a condition cannot hold, or that the work was done before. */
  readonly isGone: (failure: S3Failure) => boolean;
  readonly send: () => Promise<ObjectHead>;
}): Promise<ObjectHead | false> {
  let unknown = false;
  try {
    return await connection.attempt(what, deadline, async () => {
      try {
        return await send();
      } catch (error) {
        const failure = readFailure(error);
        if (failure.status === 412 || isGone(failure)) return unknown ? await ownWrite(connection, key, writeId, deadline) : false;
        if (failure.status === 409 && failure.code === 'ConditionalRequestConflict') throw new Undecided(what);
        if (failure.status === undefined || failure.status >= 500) unknown = true;
        throw error;
      }
    });
  } catch (error) {
    if (error instanceof Undecided) return false;
    throw error;
  }
}

/** One request for the whole body. */
export async function putObject(connection: S3Connection, key: string, body: Buffer, options: WriteOptions, deadline: Deadline): Promise<ObjectHead | false> {
  const writeId = randomUUID();
  const input: PutObjectCommandInput = { ...connection.at(key), Body: body, ContentLength: body.length, ...writeFields(connection, options, writeId), ...conditionFields(options) };
  return await settleWrite(connection, key, {
    what: `Writing ${key}`, deadline, writeId,
    // S3 answers 404 to If-Match on an object that is not there.
    isGone: ({ status, code }) => status === 404 && code !== 'NoSuchBucket' && options.ifMatch !== undefined,
    send: async () => {
      const output = await connection.client.send(new PutObjectCommand(input), { abortSignal: deadline.signal });
      return { key, bytes: body.length, etag: output.ETag ?? '', modifiedAt: connection.servedAt(output), ...versionOf(output.VersionId) };
    },
  });
}

async function ownWrite(connection: S3Connection, key: string, writeId: string, deadline: Deadline): Promise<ObjectHead | false> {
  try {
    const output = await connection.client.send(new HeadObjectCommand(connection.at(key)), { abortSignal: deadline.signal });
    return output.Metadata?.[WRITE_ID] === writeId ? headOf(key, output) : false;
  } catch (error) {
    if (readFailure(error).status === 404) return false;
    throw error;
  }
}
