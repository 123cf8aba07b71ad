import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { createPrometheusReader, rolloutQueries } from './read-prometheus.ts';

const { signal } = new AbortController();
type Vector = readonly (readonly [Readonly<Record<string, string>>, string])[];

/** Answers as https://prometheus.io/docs/prometheus/latest/querying/api/ documents. */
async function startPrometheus(answer: (query: string) => Vector | { readonly status: number; readonly body: string }): Promise<AsyncDisposable & { readonly url: string; readonly queries: string[] }> {
  const queries: string[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      let body = '';
      for await (const chunk of request) body += String(chunk);
      const query = new URLSearchParams(body).get('query') ?? '';
      queries.push(`${request.method ?? ''} ${request.url ?? ''} ${query}`);
      const reply = answer(query);
      if ('status' in reply) response.writeHead(reply.status).end(reply.body);
      else response.end(JSON.stringify({ status: 'success', data: { resultType: 'vector', result: reply.map(([metric, value]) => ({ metric, value: [1_763_900_000.123, value] })) } }));
    })();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    queries, url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

test('vectors become one reading per replica', async () => {
  const queries = rolloutQueries('namespace="prod"');
  const on = (instance: string, revision: string): Record<string, string> => ({ instance, revision });
  await using prometheus = await startPrometheus((query) => {
    if (query === queries.requests) return [[on('a:4000', 'aaa'), '100'], [on('b:4000', 'bbb'), '0']];
    if (query === queries.failed) return [[on('a:4000', 'aaa'), '7']];
    return query === queries.startedAt ? [[on('a:4000', 'aaa'), '1763900000'], [on('b:4000', 'bbb'), '1.7639e9']] : [];
  });
  const readings = await createPrometheusReader({ url: `${prometheus.url}/`, match: 'namespace="prod"' }).read(signal);
  expect(readings).toEqual([
    { replica: 'a:4000', revision: 'aaa', isReady: true, counters: { startedAt: 1763900000, requests: 100, failed: 7 } },
    { replica: 'b:4000', revision: 'bbb', isReady: true, counters: { startedAt: 1763900000, requests: 0, failed: 0 } },
  ]);
  expect(prometheus.queries).toHaveLength(3);
  for (const query of prometheus.queries) expect(query).toMatch(/^POST \/api\/v1\/query .*namespace="prod"/);
});

test.each([
  ['an error of its own', { status: 400, body: '{"status":"error","errorType":"bad_data","error":"parse error"}' }, 'bad_data: parse error'],
  ['something else', { status: 502, body: '<html>' }, 'answers 502 with something else than a vector'],
  ['a scalar', { status: 200, body: '{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}' }, 'something else than a vector'],
])('a Prometheus that answers %s sees nothing, and says why', async (_what, answer, problem) => {
  await using prometheus = await startPrometheus(() => answer);
  expect(await createPrometheusReader({ url: prometheus.url }).read(signal)).toEqual([{ replica: prometheus.url, problem: expect.stringContaining(problem) as string }]);
});

test('a Prometheus that is away sees nothing, and one that knows no gateway has none', async () => {
  expect(await createPrometheusReader({ url: 'http://127.0.0.1:1' }).read(signal)).toMatchObject([{ problem: expect.stringContaining('fetch failed') as string }]);
  await using prometheus = await startPrometheus(() => []);
  expect(await createPrometheusReader({ url: prometheus.url }).read(signal)).toEqual([]);
});

test.each([[{ url: 'prometheus:9090' }], [{ url: 'http://me:pw@p' }], [{ url: 'http://p', match: 'namespace=prod' }], [{ url: 'http://p', match: 'a="b"} or vector(1' }]])('%j is refused', (options) => {
  expect(() => createPrometheusReader(options)).toThrow(/--prometheus/);
});
