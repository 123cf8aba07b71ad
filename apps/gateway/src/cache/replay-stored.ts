import { AppError } from '@pointsman/errors';
import type { WireFormat } from '@pointsman/providers';
import { PassThroughReply } from '../dispatch/reply-shape.ts';
import { ReplyWriter } from '../dispatch/reply-writer.ts';
import type { Exchange, Runner } from '../http/exchange.ts';
import type { ExchangeRecord } from '../record/exchange-record.ts';
import type { StoredReply } from './response-cache.ts';

export interface ReplayOptions {
  readonly record: ExchangeRecord;
  /** The client's format. */
  readonly format: WireFormat;
  readonly stored: StoredReply;
  /** Called once, before the last byte is written or when the client has left. */
  readonly finished: () => void;
}

/** Sends a stored reply as it was: JSON as JSON, a stream piece by piece, as fast as the client takes it. The record gets what the reply says of itself. */
export function replayStored(exchange: Exchange, options: ReplayOptions): void {
  const { record, stored } = options;
  record.cacheHit = true;
  record.usage = stored.usage;
  record.usageEstimated = stored.usageEstimated;
  record.costUsd = 0;
  record.finishReason = stored.finishReason;
  record.responseId = stored.responseId;
  new Replay(exchange, options).start();
}

class Replay implements Runner {
  readonly #exchange: Exchange;
  readonly #record: ExchangeRecord;
  readonly #format: WireFormat;
  readonly #pieces: readonly string[];
  readonly #writer: ReplyWriter;
  readonly #finished: () => void;
  #next = 0;
  #done = false;

  constructor(exchange: Exchange, { record, format, stored: { pieces, modelId, storedAtMs }, finished }: ReplayOptions) {
    this.#exchange = exchange;
    this.#record = record;
    this.#format = format;
    this.#pieces = pieces;
    this.#finished = finished;
    const ageS = Math.max(0, Math.floor((Date.now() - storedAtMs) / 1000));
    this.#writer = new ReplyWriter(exchange, record, undefined, ['x-litellm-model-id', modelId, 'x-litellm-cache-hit', 'true', 'age', String(ageS)]);
  }

  start(): void {
    if (this.#exchange.res.destroyed) {
      // The client left while the store was asked: its end has been told already.
      this.clientGone();
      return;
    }
    if (!this.#record.stream) {
      this.#finish();
      this.#writer.sendJson(this.#pieces.join(''));
      return;
    }
    this.#exchange.runner = this;
    this.#record.ttftMs = this.#exchange.elapsedMs();
    this.#writer.startStream();
    this.#writeOn();
  }

  #writeOn(): void {
    if (this.#done) return;
    const last = this.#pieces.length - 1;
    while (this.#next < last) {
      const piece = this.#pieces[this.#next] ?? '';
      this.#next += 1;
      if (!this.#writer.write(piece)) {
        this.#exchange.res.once('drain', () => this.#writeOn());
        return;
      }
    }
    this.#finish();
    this.#writer.end(this.#pieces[last] ?? '');
  }

  clientGone(): void {
    if (this.#done) return;
    this.#record.clientGone = true;
    this.#finish();
  }

  /** The drain limit has passed and the client has not taken all of it. */
  endNow(): void {
    if (this.#done) return;
    const error = new AppError('unavailable', 'gateway_draining', 'The gateway is shutting down and could not finish this reply in time.', { retryAfterMs: 1_000 });
    this.#record.error = error;
    this.#finish();
    const { requestId } = this.#exchange;
    const shape = new PassThroughReply({ format: this.#format, requestedModel: this.#record.requestedModel, wantsUsage: false, requestId });
    this.#writer.end(shape.fail(error));
  }

  #finish(): void {
    this.#done = true;
    this.#exchange.runner = undefined;
    this.#finished();
  }
}
