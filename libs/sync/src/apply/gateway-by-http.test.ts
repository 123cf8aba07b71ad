import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Secret } from '@pointsman/telemetry';
import { freePort } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { gatewayByHttp } from './gateway-by-http.ts';

const never = new AbortController().signal;
const key = new Secret('sk-the-master-key');
const REPORT = { config_revision: 'r1', applied_at: null, models: [] };

async function serve(listener: RequestListener): Promise<AsyncDisposable & { readonly url: string }> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/config/reload`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

test('the nudge is a POST and the question a GET on the same origin, both with the key', async () => {
  const seen: string[] = [];
  await using server = await serve((request, response) => {
    seen.push(`${String(request.method)} ${String(request.url)} ${String(request.headers.authorization)}`);
    response.end(JSON.stringify(REPORT));
  });
  const door = gatewayByHttp({ url: server.url, key });
  expect(await door.nudge(never)).toBe(true);
  expect(await door.report(never)).toEqual(REPORT);
  expect(seen).toEqual(['POST /config/reload Bearer sk-the-master-key', 'GET /health/config Bearer sk-the-master-key']);
});

test('nobody there is no gateway, not a failure', async () => {
  const door = gatewayByHttp({ url: `http://127.0.0.1:${String(await freePort())}/config/reload`, key });
  expect(await door.report(never)).toBeUndefined();
  expect(await door.nudge(never)).toBe(false);
  expect(door.absence).toMatch(/^nobody listens at http:\/\/127\.0\.0\.1:\d+$/);
});

test.each([
  [401, {}, /LITELLM_MASTER_KEY of this container is not the gateway's master key/],
  [500, {}, /answered 500/],
  [200, 'a page', /something else than a gateway's report/],
  [302, {}, /./],
])('an answer of %i %j is a failure that tells what it is and never the key', async (status, body, words) => {
  await using server = await serve((_request, response) => {
    response.writeHead(status, { location: '/elsewhere' }).end(JSON.stringify(body));
  });
  const error: unknown = await gatewayByHttp({ url: server.url, key }).report(never).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(Error);
  expect(String(error)).toMatch(words);
  expect(String(error)).not.toContain('sk-the-master-key');
});

test('a gateway that never answers is given up at the limit, and the caller’s signal ends it at once', async () => {
  await using server = await serve(() => undefined);
  await expect(gatewayByHttp({ url: server.url, key, timeoutMs: 30 }).report(never)).rejects.toThrow('was not answered within 30 ms');
  const stop = new AbortController();
  const asked = gatewayByHttp({ url: server.url, key }).nudge(stop.signal);
  stop.abort();
  await expect(asked).rejects.toMatchObject({ name: 'AbortError' });
});

test('a reply without end is not read to its end', async () => {
  await using server = await serve((_request, response) => {
    const more = (): void => void response.write(Buffer.alloc(1 << 20), () => setImmediate(more));
    response.on('error', () => undefined);
    more();
  });
  await expect(gatewayByHttp({ url: server.url, key }).report(never)).rejects.toThrow('more than 4194304 bytes');
});
