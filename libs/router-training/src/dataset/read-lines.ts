import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { createGunzip } from 'node:zlib';
import { AppError } from '@pointsman/errors';

export interface TextLine {
  readonly text: string;
  /** Counted from 1. */
  readonly number: number;
}

/** A prompt of 1 MB, escaped, fits; a file that is not lines does not fill the memory. */
const MAX_LINE_BYTES = 8 * 1024 * 1024;

/**
 * The lines of a file, gzipped or plain (told by its first bytes), blank ones left out.
 * Throws an AppError `invalid_dataset` that names file and line for a line over 8 MB, broken gzip data or a file that cannot be read.
 */
export async function* readLines(file: string, signal?: AbortSignal): AsyncGenerator<TextLine> {
  let number = 0;
  try {
    // First: a stream of a file that is not there would fail before anybody listens to it.
    const gzip = await isGzip(file);
    const source = createReadStream(file, { signal });
    const bytes = gzip ? source.pipe(createGunzip()) : source;
    if (bytes !== source) source.on('error', (error) => bytes.destroy(error));
    let pending: Buffer[] = [];
    let pendingBytes = 0;
    for await (const chunk of bytes as AsyncIterable<Buffer>) {
      let start = 0;
      for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
        pending.push(chunk.subarray(start, end));
        number += 1;
        const text = Buffer.concat(pending).toString('utf8').trim();
        pending = [];
        pendingBytes = 0;
        start = end + 1;
        if (text !== '') yield { text, number };
      }
      if (start < chunk.length) {
        pending.push(chunk.subarray(start));
        pendingBytes += chunk.length - start;
        if (pendingBytes > MAX_LINE_BYTES) throw invalidDataset(file, number + 1, `is longer than ${MAX_LINE_BYTES} bytes`);
      }
    }
    const rest = Buffer.concat(pending).toString('utf8').trim();
    if (rest !== '') yield { text: rest, number: number + 1 };
  } catch (error) {
    if (error instanceof AppError || signal?.aborted === true) throw error;
    throw invalidDataset(file, number + 1, `cannot be read (${(error as { code?: unknown }).code ?? 'unknown'})`, error);
  }
}

/** What is wrong with a line of a data file. The line's content is not repeated: it may be somebody's prompt. */
export function invalidDataset(file: string, line: number, problem: string, cause?: unknown): AppError {
  return new AppError('invalid_request', 'invalid_dataset', `${file}:${line}: ${problem}.`, { cause });
}

async function isGzip(file: string): Promise<boolean> {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(2), 0, 2, 0);
    return bytesRead === 2 && buffer[0] === 0x1f && buffer[1] === 0x8b;
  } finally {
    await handle.close();
  }
}
