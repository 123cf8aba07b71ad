import { createServer, STATUS_CODES, type RequestListener, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

export interface ListenSettings {
  readonly host: string;
  readonly port: number;
  /** Longest time for all headers of a request, in milliseconds. */
  readonly headersTimeoutMs: number;
  /** Longest time for a whole request to arrive, in milliseconds. */
  readonly bodyTimeoutMs: number;
}

/** More headers than any client sends; Node drops what is above, so that the parser's memory is bounded twice (bytes and count). */
const MAX_HEADERS = 200;

const CLIENT_ERRORS: Readonly<Record<string, { readonly status: number; readonly message: string }>> = {
  HPE_HEADER_OVERFLOW: { status: 431, message: 'The request headers are larger than 16 KB.' },
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, message: 'The request did not arrive in time.' },
};

/** What Node's parser refuses never reaches Express: answer it here in the same envelope, then close. */
function refuseMalformed(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const { status, message } = CLIENT_ERRORS[error.code ?? ''] ?? { status: 400, message: 'The request is not valid HTTP.' };
  const body = JSON.stringify({ error: { message, type: 'invalid_request_error', param: null, code: String(status) } });
  socket.end(`HTTP/1.1 ${String(status)} ${STATUS_CODES[status] ?? ''}\r\ncontent-type: application/json\r\ncontent-length: ${String(Buffer.byteLength(body))}\r\nconnection: close\r\n\r\n${body}`);
}

/** Starts the HTTP server and resolves when it listens. */
export async function listen(handler: RequestListener, settings: ListenSettings): Promise<{ readonly server: Server; readonly url: string; readonly port: number }> {
  const server = createServer({
    headersTimeout: settings.headersTimeoutMs,
    requestTimeout: settings.bodyTimeoutMs,
    connectionsCheckingInterval: Math.max(100, Math.min(5_000, settings.headersTimeoutMs / 2)),
    keepAliveTimeout: 75_000,
    noDelay: true,
    insecureHTTPParser: false,
  }, handler);
  server.maxHeadersCount = MAX_HEADERS;
  server.on('clientError', refuseMalformed);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(settings.port, settings.host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const { port } = server.address() as AddressInfo;
  const shown = settings.host === '0.0.0.0' || settings.host === '::' ? '127.0.0.1' : settings.host;
  return { server, port, url: `http://${shown.includes(':') ? `[${shown}]` : shown}:${String(port)}` };
}
