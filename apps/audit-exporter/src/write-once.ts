import { hash } from 'node:crypto';
import { ObjectStoreError, type ObjectStore } from '@pointsman/object-store';

export interface WriteOnceOptions {
  readonly contentType: string;
  /** Object Lock until then. */
  readonly retainUntil: Date | undefined;
  readonly signal: AbortSignal;
}

/** For 8 MiB at 256 KB/s and a slow answer. */
const WRITE_TIMEOUT_MS = 60_000;

/** Writes an object that is not there, or finds that it is there with these very bytes: `false` when it is there with others. */
export async function writeOnce(store: ObjectStore, key: string, body: Buffer, { contentType, retainUntil, signal }: WriteOnceOptions): Promise<boolean> {
  const options = { signal, timeoutMs: WRITE_TIMEOUT_MS };
  const written = await store.write(key, body, { ...options, contentType, ifAbsent: true, ...(retainUntil === undefined ? {} : { retainUntil }) });
  if (written !== false) return true;
  try {
    const found = await store.read(key, { ...options, maxBytes: body.length });
    if (found !== undefined && found !== 'unchanged') return hash('sha256', found.body, 'hex') === hash('sha256', body, 'hex');
  } catch (error) {
    if (error instanceof ObjectStoreError && error.kind === 'too_large') return false;
    throw error;
  }
  throw new ObjectStoreError('changed', `${key} was there when it was to be written and is not there now.`);
}
