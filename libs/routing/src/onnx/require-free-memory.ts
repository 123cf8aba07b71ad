import { availableMemoryBytes } from './available-memory.ts';
import { ModelRefusedError } from './model-refused-error.ts';

/** Loading holds the file and the weights at the same time. */
const COPIES_WHILE_LOADING = 2;
/** For the requests that are served meanwhile. */
const MARGIN_BYTES = 64 * 1024 * 1024;
const MIB = 1024 * 1024;

/**
 * Refuses a model that the machine, or the container, has no room for beside the one that serves.
 * @throws ModelRefusedError `no_memory`
 */
export async function requireFreeMemory(modelBytes: number, available: () => Promise<number> = availableMemoryBytes): Promise<void> {
  const free = await available();
  const needed = modelBytes * COPIES_WHILE_LOADING + MARGIN_BYTES;
  if (free < needed) throw new ModelRefusedError('no_memory', `The model needs ${Math.ceil(needed / MIB)} MiB while it is loaded, and ${Math.floor(free / MIB)} MiB are free.`);
}
