import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { signedS3Request, type SignedRequest } from './object-store/signed-request.ts';
import { startObjectStore, type RunningObjectStore } from './start-object-store.ts';

type Ask = Pick<SignedRequest, 'headers' | 'body' | 'query'> & Partial<SignedRequest>;
const asker = (server: RunningObjectStore) => (method: string, key: string, more: Ask = {}): Promise<Response> =>
  signedS3Request({ endpoint: server.endpoint, region: server.region, accessKeyId: server.accessKeyId, secretAccessKey: server.secretAccessKey, method, path: `/${server.bucket}${key === '' ? '' : `/${key}`}`, ...more });
const codeOf = async (reply: Response): Promise<string> => `${reply.status} ${/<Code>(\w+)</.exec(await reply.text())?.[1] ?? ''}`.trim();

test('only requests signed with the known key are served, and only with the body that was signed', async () => {
  await using server = await startObjectStore();
  const ask = asker(server);
  expect(await codeOf(await ask('PUT', 'x', { body: 'content' }))).toBe('200');
  expect(await codeOf(await ask('GET', 'x', { secretAccessKey: 'wrong' }))).toBe('403 SignatureDoesNotMatch');
  expect(await codeOf(await ask('GET', 'x', { accessKeyId: 'AKIAOTHER' }))).toBe('403 InvalidAccessKeyId');
  expect(await codeOf(await ask('GET', 'x', { region: 'eu-west-1' }))).toBe('400 AuthorizationHeaderMalformed');
  expect(await codeOf(await fetch(`${server.endpoint}/${server.bucket}/x`))).toBe('403 AccessDenied');
  server.clockSkewMs = 3_600_000;
  expect(await codeOf(await ask('GET', 'x'))).toBe('403 RequestTimeTooSkewed');
  server.clockSkewMs = 0;
  expect(await codeOf(await ask('PUT', 'x', { body: 'content', headers: { 'content-md5': createHash('md5').update('other').digest('base64') } }))).toBe('400 BadDigest');
  expect(await server.get('x')).toEqual(Buffer.from('content'));
});

test('conditions decide reads and writes, and ranges cut', async () => {
  await using server = await startObjectStore();
  const ask = asker(server);
  const etag = (await ask('PUT', 'x', { body: '0123456789', headers: { 'if-none-match': '*' } })).headers.get('etag') ?? '';
  expect(etag).toBe(`"${createHash('md5').update('0123456789').digest('hex')}"`);
  expect(await codeOf(await ask('PUT', 'x', { body: 'y', headers: { 'if-none-match': '*' } }))).toBe('412 PreconditionFailed');
  expect(await codeOf(await ask('PUT', 'x', { body: 'y', headers: { 'if-match': '"other"' } }))).toBe('412 PreconditionFailed');
  expect(await codeOf(await ask('PUT', 'none', { body: 'y', headers: { 'if-match': etag } }))).toBe('404 NoSuchKey');
  for (const method of ['GET', 'HEAD']) {
    expect((await ask(method, 'x', { headers: { 'if-none-match': etag } })).status).toBe(304);
    expect((await ask(method, 'x', { headers: { 'if-match': '"other"' } })).status).toBe(412);
    expect((await ask(method, 'none')).status).toBe(404);
  }
  const range = await ask('GET', 'x', { headers: { range: 'bytes=2-4' } });
  expect([range.status, range.headers.get('content-range'), await range.text()]).toEqual([206, 'bytes 2-4/10', '234']);
  expect(await (await ask('GET', 'x', { headers: { range: 'bytes=-3' } })).text()).toBe('789');
  expect(await codeOf(await ask('GET', 'x', { headers: { range: 'bytes=10-' } }))).toBe('416 InvalidRange');
  expect(await codeOf(await ask('GET', 'x', { path: '/other/x' }))).toBe('404 NoSuchBucket');
  const races = await Promise.all(Array.from({ length: 16 }, (_, index) => ask('PUT', 'x', { body: `${index}`, headers: { 'if-match': etag } })));
  expect(races.map(({ status }) => status).sort()).toEqual([200, ...Array<number>(15).fill(412)]);
});

test('a bucket with Object Lock keeps versions, hides deleted ones and holds on to what is under retention', async () => {
  await using server = await startObjectStore({ buckets: [{ name: 'kept', objectLock: true }, { name: 'plain' }] });
  const ask = asker(server);
  const first = (await ask('PUT', 'x', { body: 'first' })).headers.get('x-amz-version-id') ?? '';
  const until = new Date(Date.now() + 60_000).toISOString();
  const second = (await ask('PUT', 'x', { body: 'second', headers: { 'x-amz-object-lock-mode': 'COMPLIANCE', 'x-amz-object-lock-retain-until-date': until } })).headers.get('x-amz-version-id') ?? '';
  expect(await (await ask('GET', 'x', { query: `versionId=${first}` })).text()).toBe('first');
  expect((await ask('DELETE', 'x')).headers.get('x-amz-delete-marker')).toBe('true');
  expect(server.keys()).toEqual([]);
  expect(await codeOf(await ask('GET', 'x'))).toBe('404 NoSuchKey');
  expect(await codeOf(await ask('DELETE', 'x', { query: `versionId=${second}` }))).toBe('403 AccessDenied');
  expect(await codeOf(await ask('DELETE', 'x', { query: `versionId=${first}` }))).toBe('204');
  const listed = await (await ask('GET', '', { query: 'versions=' })).text();
  expect([listed.match(/<Version>/g)?.length, listed.match(/<DeleteMarker>/g)?.length]).toEqual([1, 1]);
  server.clockSkewMs = 120_000;
  expect(await codeOf(await ask('DELETE', 'x', { query: `versionId=${second}` }))).toBe('204');
  expect(await codeOf(await ask('PUT', 'x', { path: '/plain/x', body: 'x', headers: { 'x-amz-object-lock-mode': 'COMPLIANCE', 'x-amz-object-lock-retain-until-date': until } }))).toBe('400 InvalidRequest');
});

test('an upload in parts appears when it is completed, in order, and not before', async () => {
  await using server = await startObjectStore();
  const ask = asker(server);
  const id = /<UploadId>([^<]+)</.exec(await (await ask('POST', 'large', { query: 'uploads=' })).text())?.[1] ?? '';
  const bodies = ['a'.repeat(5 << 20), 'b'.repeat(5 << 20)];
  const etags: (string | null)[] = [];
  for (const [index, body] of bodies.entries()) etags.push((await ask('PUT', 'large', { query: `partNumber=${index + 1}&uploadId=${id}`, body })).headers.get('etag'));
  expect(server.keys()).toEqual([]);
  expect(server.openUploads).toBe(1);
  const complete = (order: readonly number[]): Promise<Response> => ask('POST', 'large', { query: `uploadId=${id}`, body: `<CompleteMultipartUpload>${order.map((number) => `<Part><PartNumber>${number}</PartNumber><ETag>${etags[number - 1]}</ETag></Part>`).join('')}</CompleteMultipartUpload>` });
  expect(await codeOf(await complete([2, 1]))).toBe('400 InvalidPartOrder');
  expect((await complete([1, 2])).status).toBe(200);
  expect(server.openUploads).toBe(0);
  expect((await server.get('large'))?.toString()).toBe(bodies.join(''));
  expect((await ask('HEAD', 'large')).headers.get('etag')).toMatch(/^"[0-9a-f]{32}-2"$/);
});

test('a list comes in pages, in byte order', async () => {
  await using server = await startObjectStore({ pageSize: 2 });
  for (const key of ['b', 'a/2', 'a-1', 'é&<', 'c']) await server.put(key, key);
  const keys: string[] = [];
  for (let token = ''; ;) {
    const page = await (await asker(server)('GET', '', { query: `${token === '' ? '' : `continuation-token=${encodeURIComponent(token)}&`}list-type=2` })).text();
    keys.push(...[...page.matchAll(/<Key>([^<]*)</g)].map(([, key = '']) => key));
    token = /<NextContinuationToken>([^<]+)</.exec(page)?.[1] ?? '';
    if (token === '') break;
  }
  expect(keys).toEqual(['a-1', 'a/2', 'b', 'c', 'é&#38;&#60;']);
});

test('faults happen to what they match, as often as said; every request is in the log', async () => {
  await using server = await startObjectStore();
  const ask = asker(server);
  await server.put('x', 'x'.repeat(1000));
  server.fail({ match: /^GET x$/, status: 503, times: 1 });
  expect(await codeOf(await ask('GET', 'y'))).toBe('404 NoSuchKey');
  expect(await codeOf(await ask('GET', 'x'))).toBe('503 SlowDown');
  expect(await codeOf(await ask('GET', 'x'))).toBe('200');
  const end = server.fail({ truncate: 10 });
  await expect((await ask('GET', 'x')).text()).rejects.toThrow();
  end();
  server.fail({ corrupt: true, times: 1 });
  const bad = Buffer.from(await (await ask('GET', 'x')).arrayBuffer());
  expect(bad.filter((byte) => byte !== 'x'.charCodeAt(0))).toHaveLength(1);
  server.fail({ lostReply: true, times: 1 });
  await expect(ask('PUT', 'z', { body: 'z' })).rejects.toThrow();
  expect(server.keys()).toEqual(['x', 'z']);
  server.fail({ reset: true });
  await expect(ask('PUT', 'w', { body: 'w' })).rejects.toThrow();
  server.heal();
  server.fail({ hang: true });
  const hanging = ask('GET', 'x').then(() => 'answered', () => 'reset');
  await expect.poll(() => server.requests.length).toBe(8);
  server.heal();
  expect(await hanging).toBe('reset');
  expect(server.keys()).toEqual(['x', 'z']);
  expect(server.requests.map(({ method, key, status, bytes }) => (status === 200 && method === 'GET' ? `${method} ${key} ${status} ${bytes}` : `${method} ${key} ${status}`))).toEqual(
    ['GET y 404', 'GET x 503', 'GET x 200 1000', 'GET x 200 10', 'GET x 200 1000', 'PUT z 0', 'PUT w 0', 'GET x 0']);
});

test('a stopped store refuses connections; started again it is at the same place with the same objects', async () => {
  await using server = await startObjectStore();
  const ask = asker(server);
  await ask('PUT', 'x', { body: 'kept' });
  await server.stop();
  await expect(ask('GET', 'x')).rejects.toThrow();
  await server.restart();
  expect(await (await ask('GET', 'x')).text()).toBe('kept');
  expect(server.env).toMatchObject({ S3_ENDPOINT: server.endpoint, S3_BUCKET: server.bucket, OBJECT_STORE_URL: `s3://${server.bucket}`, AWS_ACCESS_KEY_ID: server.accessKeyId });
});
