import type { IncomingMessage } from 'node:http';
import { createGunzip, createInflate } from 'node:zlib';
import type { Readable } from 'node:stream';

/** Longest body, as it comes and unpacked. */
export const MAX_BODY_BYTES = 16 * 1024 * 1024;

/** Why a request is not taken: the status says whether the sender may come again. */
export class OtlpRefusal extends Error {
  readonly status: 400 | 408 | 413 | 415 | 429 | 503;

  constructor(status: OtlpRefusal['status'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'OtlpRefusal';
    this.status = status;
  }
}

export interface OtlpBody {
  /** As it came: what is forwarded. */
  readonly raw: Buffer;
  /** Unpacked. */
  readonly plain: Buffer;
}

const UNPACK: Readonly<Record<string, (() => Readable & NodeJS.WritableStream) | undefined>> = { gzip: createGunzip, deflate: createInflate, identity: undefined };

/** Reads and unpacks a body, both bounded. @throws OtlpRefusal */
export async function readOtlpBody(request: IncomingMessage, maxBytes = MAX_BODY_BYTES): Promise<OtlpBody> {
  const encoding = String(request.headers['content-encoding'] ?? 'identity').trim().toLowerCase();
  if (!Object.hasOwn(UNPACK, encoding)) throw new OtlpRefusal(415, 'The content-encoding is none of gzip, deflate, identity.');
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge(maxBytes);
  // Left open where it is too large: the sender is to be told.
  const raw = await collect(request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>, maxBytes);
  const unpack = UNPACK[encoding];
  if (unpack === undefined) return { raw, plain: raw };
  const stream = unpack();
  stream.end(raw);
  try {
    return { raw, plain: await collect(stream, maxBytes) };
  } catch (error) {
    if (error instanceof OtlpRefusal) throw error;
    throw new OtlpRefusal(400, `The body is not ${encoding}.`, { cause: error });
  }
}

async function collect(stream: AsyncIterable<Buffer>, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw tooLarge(maxBytes);
    chunks.push(chunk);
  }
  return chunks.length === 1 ? chunks[0] ?? Buffer.alloc(0) : Buffer.concat(chunks, bytes);
}

function tooLarge(maxBytes: number): OtlpRefusal {
  return new OtlpRefusal(413, `A body may have at most ${String(maxBytes)} bytes, unpacked too.`);
}
