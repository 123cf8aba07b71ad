import { ReplyWriter } from '../dispatch/reply-writer.ts';
import type { Exchange } from '../http/exchange.ts';
import type { ExchangeRecord } from '../record/exchange-record.ts';
import type { StoredReply } from './response-cache.ts';

/** Sends a stored reply as it was: JSON as JSON, a stream piece by piece. */
export function replayStored(exchange: Exchange, record: ExchangeRecord, stored: StoredReply): void {
  const writer = new ReplyWriter(exchange, record);
  if (!record.stream) {
    writer.sendJson(stored.pieces.join(''));
    return;
  }
  record.ttftMs = exchange.elapsedMs();
  writer.startStream();
  for (const piece of stored.pieces) writer.write(piece);
  writer.end('');
}
