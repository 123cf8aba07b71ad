import { open } from 'node:fs/promises';
import type { Deadline } from './deadline.ts';
import { ObjectStoreError, type UploadSource } from './object-store.ts';

export interface OpenedSource extends AsyncDisposable {
  /** Undefined for a stream that does not say. */
  readonly bytes: number | undefined;
  /**
   * The bytes in pieces of exactly `partBytes`, the last one excepted; nothing for an empty source.
   * @throws ObjectStoreError `invalid` when more or fewer bytes come than were announced; a stream's own error as it is.
   */
  parts(partBytes: number, deadline: Deadline): AsyncIterable<Buffer>;
}

/** @throws ObjectStoreError `invalid` for a file that cannot be read. */
export async function openSource(source: UploadSource): Promise<OpenedSource> {
  if ('stream' in source) {
    const { stream, bytes } = source;
    return {
      bytes,
      parts: (partBytes, deadline) => exactly(cut(stream as AsyncIterable<Buffer | string>, partBytes, deadline), bytes),
      [Symbol.asyncDispose]: async () => void stream.destroy(),
    };
  }
  const { file } = source;
  const handle = await open(file).catch((error: NodeJS.ErrnoException) => {
    throw new ObjectStoreError('invalid', `The file ${file} cannot be read (${error.code ?? 'error'}).`, { cause: error });
  });
  const { size } = await handle.stat();
  return {
    bytes: size,
    parts: (partBytes, deadline) => exactly(slices(async (buffer) => (await deadline.race(handle.read(buffer, 0, buffer.length))).bytesRead, size, partBytes), size),
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

async function* slices(read: (into: Buffer) => Promise<number>, size: number, partBytes: number): AsyncIterable<Buffer> {
  // One byte more than announced is asked for at the end: a file that grows meanwhile is not the one that was meant.
  for (let left = size + 1; left > 0;) {
    const part = Buffer.allocUnsafe(Math.min(partBytes, left));
    let filled = 0;
    while (filled < part.length) {
      const got = await read(part.subarray(filled));
      if (got === 0) break;
      filled += got;
    }
    if (filled > 0) yield part.subarray(0, filled);
    if (filled < part.length) return;
    left -= filled;
  }
}

async function* cut(chunks: AsyncIterable<Buffer | string>, partBytes: number, deadline: Deadline): AsyncIterable<Buffer> {
  let held: Buffer[] = [];
  let bytes = 0;
  const iterator = chunks[Symbol.asyncIterator]();
  for (;;) {
    const next = await deadline.race(iterator.next());
    if (next.done === true) break;
    let chunk = typeof next.value === 'string' ? Buffer.from(next.value) : next.value;
    while (bytes + chunk.length >= partBytes) {
      const head = chunk.subarray(0, partBytes - bytes);
      yield Buffer.concat([...held, head], partBytes);
      chunk = chunk.subarray(head.length);
      held = [];
      bytes = 0;
    }
    if (chunk.length > 0) {
      held.push(chunk);
      bytes += chunk.length;
    }
  }
  if (bytes > 0) yield Buffer.concat(held, bytes);
}

async function* exactly(parts: AsyncIterable<Buffer>, bytes: number | undefined): AsyncIterable<Buffer> {
  let seen = 0;
  for await (const part of parts) {
    seen += part.length;
    if (bytes !== undefined && seen > bytes) throw new ObjectStoreError('invalid', `The source holds more than the announced ${bytes} bytes.`);
    yield part;
  }
  if (bytes !== undefined && seen < bytes) throw new ObjectStoreError('invalid', `The source holds ${seen} bytes and not the announced ${bytes}.`);
}
