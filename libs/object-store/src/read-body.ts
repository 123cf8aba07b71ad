import type { Readable } from 'node:stream';
import { BrokenBody } from './s3-errors.ts';

export interface ReadBodyOptions {
  /** What the head announced; undefined when it did not. */
  readonly expectedBytes: number | undefined;
  /** Longest silence, in milliseconds. The time that `onChunk` takes does not count. */
  readonly idleMs: number;
  readonly signal: AbortSignal;
  readonly onChunk: (chunk: Buffer) => Promise<void> | void;
}

/**
 * Reads a reply's body to its end, piece by piece.
 * @throws BrokenBody when the connection breaks, falls silent or ends early; the signal's reason; whatever `onChunk` throws.
 */
export async function readBody(body: Readable, { expectedBytes, idleMs, signal, onChunk }: ReadBodyOptions): Promise<void> {
  let received = 0;
  const silent = (): void => void body.destroy(new BrokenBody(`no byte arrived for ${idleMs} ms`));
  let timer = setTimeout(silent, idleMs);
  const onAbort = (): void => void body.destroy(signal.reason as Error);
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  let ours: unknown;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      clearTimeout(timer);
      received += chunk.length;
      try {
        await onChunk(chunk);
      } catch (error) {
        ours = error;
        throw error;
      }
      timer = setTimeout(silent, idleMs);
    }
  } catch (error) {
    if (ours !== undefined) throw ours;
    if (signal.aborted) throw signal.reason;
    if (error instanceof BrokenBody) throw error;
    throw new BrokenBody(`the connection broke after ${received} bytes`, { cause: error });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    body.destroy();
  }
  if (expectedBytes !== undefined && received !== expectedBytes) throw new BrokenBody(`${received} of ${expectedBytes} bytes arrived`);
}
