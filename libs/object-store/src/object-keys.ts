import { ObjectStoreError } from './object-store.ts';

/** S3's limit on a whole key, prefix included, in bytes of UTF-8. */
const MAX_KEY_BYTES = 1024;

/**
 * What is wrong with a key, or undefined. A key becomes a path sooner or later, here or at whoever downloads it: what a path could misread is refused for buckets too.
 * Control characters cannot be listed (XML 1.0 has no form for them).
 */
export function keyProblem(key: string): string | undefined {
  if (key === '') return 'is empty';
  if (key.startsWith('/')) return 'starts with a slash';
  if (key.includes('\\')) return 'has a backslash';
  for (let at = 0; at < key.length; at += 1) if (key.charCodeAt(at) < 0x20 || key.charCodeAt(at) === 0x7f) return 'has a control character';
  if (!key.isWellFormed()) return 'is not valid Unicode';
  if (Buffer.byteLength(key) > MAX_KEY_BYTES) return `is longer than ${MAX_KEY_BYTES} bytes`;
  for (const segment of key.split('/')) {
    if (segment === '') return 'has an empty segment';
    if (segment === '.' || segment === '..') return `has the segment ${segment}`;
    if (Buffer.byteLength(segment) > 255) return 'has a segment of more than 255 bytes';
  }
  return undefined;
}

/** @throws ObjectStoreError `invalid` for a key that neither store takes. */
export function checkKey(key: string): void {
  const problem = keyProblem(key);
  if (problem !== undefined) throw new ObjectStoreError('invalid', `The object key ${shown(key)} ${problem}.`);
}

/** A prefix is the beginning of a key: empty, or a key, or a key with a slash behind it. @throws ObjectStoreError `invalid` */
export function checkPrefix(prefix: string): void {
  if (prefix === '') return;
  const problem = keyProblem(prefix.endsWith('/') ? prefix.slice(0, -1) : prefix);
  if (problem !== undefined) throw new ObjectStoreError('invalid', `The prefix ${shown(prefix)} ${problem}.`);
}

/** The order of both stores: bytes of UTF-8, not UTF-16 code units, which differ above U+FFFF. */
export function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function shown(key: string): string {
  return JSON.stringify(key.length > 200 ? `${key.slice(0, 200)}…` : key);
}
