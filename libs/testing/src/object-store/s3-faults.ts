import type { ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { ObjectStoreRequest } from '../start-object-store.ts';

/** What goes wrong with the replies that `match` finds. One of the kinds below; without any, nothing does. */
export interface ObjectStoreFault {
  /** An expression on `METHOD key`, or a decision. Everything by default. */
  readonly match?: RegExp | ((request: ObjectStoreRequest) => boolean);
  /** How often; for ever by default. */
  readonly times?: number;
  /** Answers with this status and an S3 error instead of doing anything. */
  readonly status?: number;
  /** The error's code; by default one that fits the status. */
  readonly code?: string;
  /** Takes the request and never answers. */
  readonly hang?: true;
  /** Closes the connection (RST) instead of answering; nothing is done. */
  readonly reset?: true;
  /** Does the work, then closes the connection (RST): the client cannot know. */
  readonly lostReply?: true;
  /** Sends an object's body with this many bytes a second, in ten pieces a second at most. */
  readonly slow?: number;
  /** Sends this many bytes of an object's body, then closes the connection. */
  readonly truncate?: number;
  /** Sends this many bytes of an object's body, then nothing more; the connection stays. */
  readonly stallAfter?: number;
  /** Flips one bit in the middle of what is sent of an object's body. */
  readonly corrupt?: true;
}

/** Passes a body on as a fault has it. */
export async function* damageReply(chunks: AsyncIterable<Buffer>, fault: ObjectStoreFault | undefined, response: ServerResponse, closed: AbortSignal): AsyncIterable<Buffer> {
  const limit = fault?.truncate ?? fault?.stallAfter;
  let sent = 0;
  let flipped = false;
  for await (const chunk of chunks) {
    let piece = chunk;
    if (fault?.corrupt === true && !flipped) {
      flipped = true;
      piece = Buffer.from(chunk);
      const middle = piece.length >> 1;
      piece[middle] = (piece[middle] ?? 0) ^ 1;
    }
    if (limit !== undefined && sent + piece.length > limit) {
      yield piece.subarray(0, limit - sent);
      if (fault?.stallAfter !== undefined) {
        await delay(2 ** 30, undefined, { signal: closed });
        return;
      }
      // Ending the socket, not the stream: what was sent is to arrive before the close.
      response.socket?.end();
      await delay(2 ** 30, undefined, { signal: closed });
      return;
    }
    if (fault?.slow === undefined) yield piece;
    else {
      const step = Math.max(1, Math.floor(fault.slow / 10));
      for (let at = 0; at < piece.length; at += step) {
        yield piece.subarray(at, at + step);
        await delay((Math.min(step, piece.length - at) / fault.slow) * 1000, undefined, { signal: closed });
      }
    }
    sent += piece.length;
  }
}
