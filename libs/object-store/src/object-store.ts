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
  /** Fails with `TooLargeError` before a byte more is written. */
  readonly maxBytes: number;
  readonly onProgress?: (receivedBytes: number, totalBytes: number) => void;
}

/**
 * A bucket or a folder: the same promises for both. A key that is not there is `undefined`, a condition that does not hold is `false`; everything else that goes
 * wrong is an `ObjectStoreError` that says whether trying again can help. Keys with `..`, `.`, empty segments, backslashes, NUL or a leading `/` are refused.
 */
export interface ObjectStore {
  /** `s3://bucket/prefix` or `file:///folder`, without credentials: for logs. */
  readonly url: string;
  head(key: string, options?: ReadOptions): Promise<ObjectHead | undefined>;
  /** A small object whole. `unlessEtag`: answers `'unchanged'` when it still has that etag. */
  read(key: string, options: ReadOptions & { readonly maxBytes: number; readonly unlessEtag?: string }): Promise<{ readonly head: ObjectHead; readonly body: Buffer } | 'unchanged' | undefined>;
  /**
   * Writes an object into a file that does not exist yet. Resumes by ranges after a broken connection, as long as the object stays the same one; a change meanwhile starts over.
   * Returns the SHA-256 of what was written, hex.
   */
  download(key: string, file: string, options: DownloadOptions): Promise<{ readonly head: ObjectHead; readonly sha256: string } | undefined>;
  /** False when the condition does not hold: somebody else was there. */
  write(key: string, body: Buffer | string, options?: WriteOptions): Promise<ObjectHead | false>;
  /** A file of any size, in parts; nothing is visible before all of it is there. */
  upload(key: string, source: { readonly file: string } | { readonly stream: Readable; readonly bytes?: number }, options?: WriteOptions): Promise<ObjectHead | false>;
  delete(key: string, options?: ReadOptions): Promise<void>;
  /** All keys below a prefix in byte order. */
  list(prefix: string, options?: ReadOptions & { readonly after?: string }): AsyncIterable<ObjectHead>;
  close(): void;
}

/** What went wrong with a store, without credentials. `kind` says what to do: wait, fix the rights, fix the name. */
export class ObjectStoreError extends Error {
  readonly kind: 'unavailable' | 'denied' | 'missing_bucket' | 'timeout' | 'too_large' | 'invalid' | 'changed';
  readonly retryable: boolean;

  constructor(kind: ObjectStoreError['kind'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ObjectStoreError';
    this.kind = kind;
    this.retryable = kind === 'unavailable' || kind === 'timeout' || kind === 'changed';
  }
}
