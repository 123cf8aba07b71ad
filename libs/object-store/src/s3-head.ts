import type { ObjectHead } from './object-store.ts';

/** A head from the answer to a read. */
export function headOf(key: string, output: { readonly ContentLength?: number; readonly ETag?: string; readonly LastModified?: Date; readonly VersionId?: string }, bytes = output.ContentLength ?? 0): ObjectHead {
  return { key, bytes, etag: output.ETag ?? '', modifiedAt: output.LastModified ?? new Date(0), ...versionOf(output.VersionId) };
}

/** `null` is S3's word for an object written before its bucket kept versions. */
export function versionOf(version: string | undefined): { readonly version?: string } {
  return version === undefined || version === 'null' || version === '' ? {} : { version };
}
