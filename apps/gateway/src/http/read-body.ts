import type { IncomingMessage } from 'node:http';
import { AppError } from '@pointsman/errors';

function tooLarge(maxBytes: number): AppError {
  return new AppError('payload_too_large', 'request_too_large',
    `The request body is larger than max_request_size_mb = ${String(Math.round(maxBytes / 1_048_576))} MB.`, { param: 'request_body' });
}

/**
 * Collects a request body of at most `maxBytes`. A declared length over the limit is refused before a byte is read.
 * `done` hears at most once: not at all when the client leaves first. Callbacks rather than a promise: most bodies are one chunk, and this runs on every request.
 */
export function readBody(req: IncomingMessage, maxBytes: number, done: (error: AppError | undefined, raw: Buffer | undefined) => void): void {
  const declared = req.headers['content-length'];
  if (declared !== undefined && Number(declared) > maxBytes) {
    done(tooLarge(maxBytes), undefined);
    return;
  }
  let first: Buffer | undefined;
  let rest: Buffer[] | undefined;
  let size = 0;
  let settled = false;
  const settle = (error: AppError | undefined, raw: Buffer | undefined): void => {
    if (settled) return;
    settled = true;
    done(error, raw);
  };
  req.on('data', (chunk: Buffer) => {
    if (settled) return;
    size += chunk.length;
    if (size > maxBytes) {
      first = undefined;
      rest = undefined;
      settle(tooLarge(maxBytes), undefined);
      return;
    }
    if (first === undefined) first = chunk;
    else (rest ??= [first]).push(chunk);
  });
  req.on('end', () => {
    settle(undefined, rest === undefined ? first ?? Buffer.alloc(0) : Buffer.concat(rest, size));
  });
  // A client that leaves needs no answer: the end of the exchange is booked when its response closes.
}
