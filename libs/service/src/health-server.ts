import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Metrics } from '@pointsman/telemetry';

/** `ok` and `degraded` answer 200: a store that is away is no reason to restart. `starting` and `failing` answer 503. */
export type HealthState = 'ok' | 'degraded' | 'starting' | 'failing';

/** The body of `/health/<name>`. Times are ISO 8601. */
export interface HealthReport {
  readonly status: HealthState;
  readonly [field: string]: unknown;
}

export interface HealthServerSettings {
  /** 0 picks a free port. */
  readonly port: number;
  /** All interfaces when absent. */
  readonly host?: string;
  /** `/health/config-sync`, … */
  readonly path: `/health/${string}`;
  readonly status: () => HealthReport;
  readonly metrics: Metrics;
}

export interface HealthServer {
  readonly url: string;
  readonly port: number;
  close(): Promise<void>;
}

function send(response: ServerResponse, status: number, contentType: string, text: string): void {
  response.writeHead(status, { 'content-type': contentType, 'content-length': Buffer.byteLength(text), 'cache-control': 'no-store' }).end(text);
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  send(response, status, 'application/json; charset=utf-8', JSON.stringify(body));
}

/** Serves a sidecar's health, liveness and metrics; anything else is 404 (405 for another method). @throws when the port is taken. */
export async function startHealthServer({ port, host, path, status, metrics }: HealthServerSettings): Promise<HealthServer> {
  async function answer(method: string, pathname: string, response: ServerResponse): Promise<void> {
    if (method !== 'GET' && method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      return sendJson(response, 405, { error: { message: 'Only GET is served here.', type: 'invalid_request_error', param: null, code: 'method_not_allowed' } });
    }
    if (pathname === path || pathname === '/health/readiness') {
      const report = status();
      return sendJson(response, report.status === 'ok' || report.status === 'degraded' ? 200 : 503, report);
    }
    if (pathname === '/health/liveness' || pathname === '/health/liveliness') return sendJson(response, 200, { status: 'alive' });
    if (pathname === '/metrics') {
      const { contentType, text } = await metrics.exposition();
      return send(response, 200, contentType, text);
    }
    return sendJson(response, 404, { error: { message: `Nothing is served here; try ${path}, /health/liveness or /metrics.`, type: 'invalid_request_error', param: null, code: 'not_found' } });
  }

  const server = createServer((request, response) => {
    request.resume();
    const pathname = (request.url ?? '/').split('?', 1)[0] ?? '/';
    answer(request.method ?? 'GET', pathname, response).catch(() => {
      if (!response.headersSent) sendJson(response, 500, { status: 'failing' });
      else response.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, ...(host === undefined ? {} : { host }) }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const address = server.address() as AddressInfo;
  return {
    port: address.port,
    url: `http://${host === undefined || host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host}:${address.port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
