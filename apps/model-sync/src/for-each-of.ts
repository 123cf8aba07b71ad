/** Works on all items, some at a time. The first failure stops the others, waits for their end, and is what it rejects with. */
export async function forEachOf<T>(items: readonly T[], { concurrency, signal }: { readonly concurrency: number; readonly signal: AbortSignal }, work: (item: T, signal: AbortSignal) => Promise<void>): Promise<void> {
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  let next = 0;
  let failure: { readonly error: unknown } | undefined;
  const worker = async (): Promise<void> => {
    while (next < items.length && !either.aborted) {
      const item = items[next] as T;
      next += 1;
      try {
        await work(item, either);
      } catch (error) {
        failure ??= { error };
        failed.abort(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, items.length) }, worker));
  signal.throwIfAborted();
  if (failure !== undefined) throw failure.error;
}
