import { readFileSync } from 'node:fs';

/** All Linux builds of Node for x64 and arm64 that run in containers here use 4 KiB pages; with larger ones the figure is too small and the peak that the child reports decides. */
const PAGE_BYTES = 4096;

/**
 * Memory that a process has now, in bytes; undefined for one that has ended and where there is no `/proc`.
 * Read at once, not through the pool of file threads: the file is made by the kernel, no disk is touched, and the reading must not wait behind a download.
 */
export function residentBytes(pid: number): number | undefined {
  try {
    const pages = Number(readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1]);
    return Number.isFinite(pages) ? pages * PAGE_BYTES : undefined;
  } catch {
    return undefined;
  }
}
