/**
 * The lines of a batch that a receiver has refused for good while it took the others, where its error says so in `lines`; undefined where it does not,
 * or names lines it was not given: then nobody knows which were taken.
 */
export function refusedLines(thrown: unknown, batch: readonly string[]): string[] | undefined {
  const named: unknown = thrown instanceof Error && 'lines' in thrown ? thrown.lines : undefined;
  if (!Array.isArray(named) || named.length === 0) return undefined;
  const refused = new Set<unknown>(named);
  const found = batch.filter((line) => refused.has(line));
  return new Set(found).size === refused.size ? found : undefined;
}

/** Whether a receiver refused rows for good. Told by the name, so that a receiver need not depend on this package. */
export function isRejectedRowsError(thrown: unknown): boolean {
  return thrown instanceof Error && thrown.name === 'RejectedRowsError';
}
