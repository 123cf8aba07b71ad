import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AppError } from '@pointsman/errors';
import { anthropicErrorBody, openAiErrorBody } from '@pointsman/wire-formats';
import type { ErrorShape } from './exchange.ts';

export interface SendErrorOptions {
  readonly shape: ErrorShape;
  readonly requestId: string | undefined;
  readonly traceparent?: string;
  /** More headers, as name, value, name, value. */
  readonly extra?: readonly string[];
}

/** The one writer of error replies. Does nothing when the head has gone out already or the client is gone. */
export function sendError(res: ServerResponse, error: AppError, { shape, requestId, traceparent, extra }: SendErrorOptions): void {
  if (res.headersSent || res.destroyed) return;
  const text = JSON.stringify(shape === 'anthropic' ? anthropicErrorBody(error, requestId) : openAiErrorBody(error));
  const headers = ['content-type', 'application/json', 'content-length', String(Buffer.byteLength(text))];
  if (requestId !== undefined) headers.push('x-request-id', requestId, 'x-litellm-call-id', requestId);
  if (traceparent !== undefined) headers.push('traceparent', traceparent);
  if (error.retryAfterMs !== undefined) headers.push('retry-after', String(Math.max(1, Math.ceil(error.retryAfterMs / 1000))));
  if (error.headers !== undefined) headers.push(...error.headers);
  if (extra !== undefined) headers.push(...extra);
  // The rest of a body that was refused is not worth reading: the connection ends with the reply.
  if (hasUnreadBody(res.req) || error.code === 'gateway_draining') headers.push('connection', 'close');
  res.writeHead(error.status, headers);
  res.end(text);
}

/** A request without a body is not yet `complete` while its own handler runs either: it has nothing that could be left unread. */
function hasUnreadBody({ complete, headers }: IncomingMessage): boolean {
  return !complete && (headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0');
}
