import type { Readable } from 'node:stream';

export interface ObjectHead {
  /** Relative to the store's prefix; never starts with `/`. */
  readonly key: string;
  readonly bytes: number;
  /** Opaque; equal for equal content of the same upload. Compare, never interpret. */
  readonly etag: string;
  readonly modifiedAt: Date;
  /** Where the bucket keeps versions. */
  readonly version?: string;
}

export interface ReadOptions {
  readonly signal?: AbortSignal;
  /** Longest time the whole call may take, in milliseconds; default 30,000. */
  readonly timeoutMs?: number;
  readonly version?: string;
}

export interface WriteOptions {
  readonly signal?: AbortSignal;
  /** Longest time the whole call may take, in milliseconds; default 30,000. Give an upload what its size needs. */
  readonly timeoutMs?: number;
  readonly contentType?: string;
  /** Only when the object's etag is this one. */
  readonly ifMatch?: string;
  /** Only when there is none yet. */
  readonly ifAbsent?: true;
  /** Object Lock: nobody can delete or replace this version before that moment. Refused by stores that cannot promise it. */
  readonly retainUntil?: Date;
  /** Bytes sent so far. */
  readonly onProgress?: (sentBytes: number) => void;
}

export interface DownloadOptions extends ReadOptions {
  /** Fails with `too_large` before a byte more is written. */
  readonly maxBytes: number;
  readonly onProgress?: (receivedBytes: number, totalBytes: number) => void;
}

/** A file, or a stream that is read to its end and destroyed when the upload fails. `bytes`: announced size, checked. */
export type UploadSource = { readonly file: string } | { readonly stream: Readable; readonly bytes?: number };

/**
 * A bucket or a folder: the same promises for both. A key that is not there is `undefined`, a condition that does not hold is `false`; everything else that goes
 * wrong is an `ObjectStoreError` that says whether trying again can help. Keys with `..`, `.`, empty segments, backslashes, NUL and other control
 * characters, segments above 255 bytes or a leading `/` are refused. A caller's own abort rejects with the signal's reason.
 */
export interface ObjectStore {
  /** `s3://bucket/prefix` or `file:///folder`, without credentials: for logs. */
  readonly url: string;
  head(key: string, options?: ReadOptions): Promise<ObjectHead | undefined>;
  /** A small object whole. `unlessEtag`: answers `'unchanged'` when it still has that etag. */
  read(key: string, options: ReadOptions & { readonly maxBytes: number; readonly unlessEtag?: string }): Promise<{ readonly head: ObjectHead; readonly body: Buffer } | 'unchanged' | undefined>;
  /**
   * Writes an object into a file that does not exist yet. Resumes by ranges after a broken connection, as long as the object stays the same one; a change meanwhile starts over.
   * A connection on which no byte arrives for 15 seconds counts as broken. The file is gone again when the call fails.
   * Returns the SHA-256 of what was written, hex.
   */
  download(key: string, file: string, options: DownloadOptions): Promise<{ readonly head: ObjectHead; readonly sha256: string } | undefined>;
  /** False when the condition does not hold: somebody else was there. */
  write(key: string, body: Buffer | string, options?: WriteOptions): Promise<ObjectHead | false>;
  /** A file of any size, in parts; nothing is visible before all of it is there. */
  upload(key: string, source: UploadSource, options?: WriteOptions): Promise<ObjectHead | false>;
  /** Also when there is none. With `version` that version is removed for good; otherwise a bucket with versions keeps the old ones. */
  delete(key: string, options?: ReadOptions): Promise<void>;
  /** All keys that begin with a prefix, in byte order of UTF-8. `timeoutMs` is for each page. Keys that this interface refuses are left out. */
  list(prefix: string, options?: ReadOptions & { readonly after?: string }): AsyncIterable<ObjectHead>;
  close(): void;
}

/**
 * What went wrong with a store, without credentials. `kind` says what to do: wait, fix the rights, fix the name.
 * `changed`: the object changed again and again under a download. `no_space`: this machine's own disk is full.
 */
export class ObjectStoreError extends Error {
  readonly kind: 'unavailable' | 'denied' | 'missing_bucket' | 'timeout' | 'too_large' | 'invalid' | 'changed' | 'no_space';
  readonly retryable: boolean;

  constructor(kind: ObjectStoreError['kind'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ObjectStoreError';
    this.kind = kind;
    this.retryable = kind === 'unavailable' || kind === 'timeout' || kind === 'changed' || kind === 'no_space';
  }
}
