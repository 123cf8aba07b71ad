import type { ReplyTap } from '../dispatch/reply-writer.ts';
import type { ExchangeRecord } from '../record/exchange-record.ts';

/** States of a Responses reply that is no answer yet, or never will be. */
const UNFINISHED = new Set(['queued', 'in_progress', 'failed', 'cancelled']);

/**
 * Whether a reply that went to the client whole is one that others may get too: a first deployment's own answer, finished by its own word.
 * A stream that two deployments made, and an answer of a fallback group, belong to the trouble of one moment.
 */
function isWorthKeeping({ error, clientGone, recovered, fallbacks, operation, finishReason }: ExchangeRecord): boolean {
  if (error !== undefined || clientGone || recovered || fallbacks > 0) return false;
  return operation === 'embeddings' || (finishReason !== undefined && !UNFINISHED.has(finishReason));
}

/** Collects one reply as it goes to the client and hands it over when it is whole. One that grows past the limit is let go at once. */
export class ReplyCollector implements ReplyTap {
  readonly #record: ExchangeRecord;
  readonly #maxBytes: number;
  readonly #keep: (pieces: readonly string[]) => void;
  #pieces: string[] | undefined = [];
  #length = 0;

  constructor(record: ExchangeRecord, maxBytes: number, keep: (pieces: readonly string[]) => void) {
    this.#record = record;
    this.#maxBytes = maxBytes;
    this.#keep = keep;
  }

  json(text: string): void {
    this.piece(text);
    this.whole();
  }

  piece(text: string): void {
    const pieces = this.#pieces;
    if (pieces === undefined || text === '') return;
    // Characters are at most as many as bytes: the exact size is known when the bytes are made.
    this.#length += text.length;
    if (this.#length > this.#maxBytes) this.#pieces = undefined;
    else pieces.push(text);
  }

  whole(): void {
    const pieces = this.#pieces;
    this.#pieces = undefined;
    if (pieces !== undefined && pieces.length > 0 && isWorthKeeping(this.#record)) this.#keep(pieces);
  }
}
