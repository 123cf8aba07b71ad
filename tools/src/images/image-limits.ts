const MEGABYTE = 1_000_000;

/** Apps that have an image, and the most it may weigh compressed, in bytes. What runs in every pod is held shorter than what runs once a week. */
export const imageLimits: Readonly<Record<string, number>> = {
  gateway: 250 * MEGABYTE,
  'config-sync': 120 * MEGABYTE,
  'model-sync': 120 * MEGABYTE,
  'trace-exporter': 120 * MEGABYTE,
  'audit-exporter': 120 * MEGABYTE,
  'router-trainer': 250 * MEGABYTE,
  ctl: 250 * MEGABYTE,
};

/** `84.6 MB`. */
export function megabytes(bytes: number): string {
  return `${(bytes / MEGABYTE).toFixed(1)} MB`;
}

/** What is wrong with the size of an image; undefined when it is within its limit. */
export function sizeProblem(app: string, compressedBytes: number): string | undefined {
  const limit = imageLimits[app];
  if (limit === undefined) return `${app} has no limit in tools/src/images/image-limits.ts`;
  return compressedBytes <= limit ? undefined : `pointsman-${app} weighs ${megabytes(compressedBytes)} compressed, more than ${megabytes(limit)}`;
}
