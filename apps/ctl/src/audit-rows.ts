import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { AppError, describeUnknown } from '@pointsman/errors';
import type { AuditStore } from '@pointsman/database';

const PAGE = 1_000;
/** A row is a few KB at most; a longer line is no row, and must not fill the memory. */
const MAX_LINE = 16 * 1024 * 1024;

/** The audit log of a database in order of arrival, page by page. */
export async function* rowsOfDatabase(audit: AuditStore, signal: AbortSignal): AsyncGenerator<unknown> {
  let cursor: string | undefined;
  for (;;) {
    const { rows, cursor: next } = await audit.read(cursor, PAGE, signal);
    yield* rows;
    if (rows.length < PAGE || next === undefined) return;
    cursor = next;
  }
}

/** The rows of a JSONL file; of a `.gz`, what it was made from. A line that is no JSON goes to `onUnreadable` with its number. @throws AppError when the file cannot be read to its end. */
export async function* rowsOfFile(path: string, onUnreadable: (line: number) => void): AsyncGenerator<unknown> {
  const file = createReadStream(path);
  const bytes = path.endsWith('.gz') ? pipeline(file, createGunzip(), () => undefined) : file;
  let number = 0;
  try {
    for await (const line of linesOf(bytes)) {
      number += 1;
      if (line?.trim() === '') continue;
      const row = line === undefined ? undefined : parsed(line);
      if (row === undefined) onUnreadable(number);
      else yield row;
    }
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError('not_found', 'file_unreadable', `cannot read ${path}${number === 0 ? '' : ` after line ${String(number)}`} (${describeUnknown(error)})`, { cause: error });
  } finally {
    file.destroy();
  }
}

/** Lines without their end; undefined for one that is too long. */
async function* linesOf(bytes: NodeJS.ReadableStream): AsyncGenerator<string | undefined> {
  bytes.setEncoding('utf8');
  let rest = '';
  let isTooLong = false;
  for await (const chunk of bytes) {
    const lines = String(chunk).split('\n');
    for (const [index, part] of lines.entries()) {
      if (index > 0) {
        yield isTooLong ? undefined : rest;
        rest = '';
        isTooLong = false;
      }
      isTooLong ||= rest.length + part.length > MAX_LINE;
      rest = isTooLong ? '' : rest + part;
    }
  }
  if (isTooLong || rest !== '') yield isTooLong ? undefined : rest;
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    return undefined;
  }
}
