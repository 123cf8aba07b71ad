import type { ModelManifest } from '@pointsman/schemas';
import { ArtifactRejectedError, shown } from './artifact-rejected-error.ts';
import { MANIFEST_FILE, READY_FILE, SIGNATURE_FILE } from './manifest.ts';

/** `ready.json` is how a copy in a cache says that it is whole. */
const RESERVED: ReadonlySet<string> = new Set([MANIFEST_FILE, SIGNATURE_FILE, READY_FILE]);

/**
 * Checks what a manifest wants written to disk before a byte is: every name stays inside its folder on any file system, none hides another
 * (case-insensitive file systems included), and all together are no larger than `maxBytes`.
 * @throws ArtifactRejectedError `file_name`, `too_large`
 */
export function checkFileNames({ files }: Pick<ModelManifest, 'files'>, { maxBytes }: { readonly maxBytes: number }): void {
  const names = new Map<string, string>();
  let bytes = 0;
  for (const file of files) {
    const problem = nameProblem(file.path);
    if (problem !== undefined) throw refused(file.path, problem);
    // NFC and one case: what APFS, HFS+ and NTFS take for one name.
    const key = fold(file.path);
    if (RESERVED.has(key)) throw refused(file.path, 'is reserved');
    const twin = names.get(key);
    if (twin !== undefined) throw refused(file.path, twin === file.path ? 'is there twice' : `is the same name as ${shown(twin)} where case does not count`);
    names.set(key, file.path);
    bytes += file.bytes;
    if (bytes > maxBytes) throw new ArtifactRejectedError('too_large', `The files of the artifact have more than the ${maxBytes} bytes that are allowed.`, { path: file.path });
  }
  for (const [key, path] of names) {
    for (let slash = key.indexOf('/'); slash !== -1; slash = key.indexOf('/', slash + 1)) {
      const folder = key.slice(0, slash);
      if (names.has(folder) || RESERVED.has(folder)) throw refused(path, 'needs a folder where the manifest has a file');
    }
  }
}

function nameProblem(path: string): string | undefined {
  if (path.startsWith('/')) return 'is absolute';
  if (path.includes('\\')) return 'has a backslash';
  if (!path.isWellFormed()) return 'is not valid Unicode';
  // A drive (`C:`), and on NTFS a stream of another file.
  if (path.includes(':')) return 'has a colon';
  for (let at = 0; at < path.length; at += 1) {
    const code = path.charCodeAt(at);
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return 'has a control character';
  }
  for (const segment of path.split('/')) {
    if (segment === '') return 'has an empty segment';
    if (segment === '.' || segment === '..') return `has the segment ${segment}`;
    if (Buffer.byteLength(segment) > 255) return 'has a segment of more than 255 bytes';
  }
  return undefined;
}

function fold(path: string): string {
  return path.normalize('NFC').toLowerCase();
}

function refused(path: string, problem: string): ArtifactRejectedError {
  return new ArtifactRejectedError('file_name', `The manifest names the file ${shown(path)}, which ${problem}.`, { path });
}
