import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { inspect, promisify } from 'node:util';
import { eventually, startObjectStore, temporaryDirectory, type RunningObjectStore, type StartObjectStoreOptions } from '@pointsman/testing';
import { afterEach, expect, test } from 'vitest';
import { listAll } from './object-store.conformance.ts';
import { ObjectStoreError, type ObjectStore } from './object-store.ts';
import { openObjectStore, type OpenObjectStoreOptions } from './open-object-store.ts';

const MB = 1 << 20;
const LIMIT = { maxBytes: 64 * MB };
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const kindOf = (work: Promise<unknown>): Promise<string> => work.then(() => 'no error', (error: unknown) => (error instanceof ObjectStoreError ? error.kind : `not ours: ${String(error)}`));

interface Pair extends AsyncDisposable {
  readonly server: RunningObjectStore;
  readonly store: ObjectStore;
  /** Of the access log. */
  seen(method: string, key?: string): RunningObjectStore['requests'];
}

async function openPair(options: OpenObjectStoreOptions = {}, serverOptions: StartObjectStoreOptions = {}): Promise<Pair> {
  const server = await startObjectStore(serverOptions);
  const { endpoint, accessKeyId, secretAccessKey } = server;
  const store = await openObjectStore(`s3://${server.bucket}`, { endpoint, credentials: { accessKeyId, secretAccessKey }, partBytes: 5 * MB, ...options });
  return {
    server, store,
    seen: (method, key) => server.requests.filter((request) => request.method === method && (key === undefined || request.key === key)),
    [Symbol.asyncDispose]: async () => {
      store.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

const savedEnv = { ...process.env };
afterEach(() => {
  for (const name of Object.keys(process.env)) if (!(name in savedEnv)) delete process.env[name];
  Object.assign(process.env, savedEnv);
});

test('a store that is away in any way is told by its kind, bounded in time, and served again without opening it anew', async () => {
  await using pair = await openPair({ maxAttempts: 1, idleTimeoutMs: 1000 });
  const { server, store } = pair;
  await store.write('x', 'content');
  const read = (): Promise<unknown> => store.read('x', LIMIT);
  const cases: [Parameters<RunningObjectStore['fail']>[0], string][] = [
    [{ status: 500 }, 'unavailable'], [{ status: 503 }, 'unavailable'], [{ status: 429, code: 'TooManyRequests' }, 'unavailable'], [{ status: 403 }, 'denied'], [{ reset: true }, 'unavailable'],
    [{ hang: true }, 'timeout'], [{ truncate: 3 }, 'unavailable'], [{ stallAfter: 3 }, 'unavailable'], [{ status: 404, code: 'NoSuchBucket' }, 'missing_bucket'], [{ status: 301, code: 'PermanentRedirect' }, 'invalid'],
    [{ status: 400, code: 'ExpiredToken' }, 'denied'],
  ];
  for (const [fault, kind] of cases) {
    const end = server.fail(fault);
    expect(await kindOf(read()), JSON.stringify(fault)).toBe(kind);
    end();
    expect(await read()).toMatchObject({ body: Buffer.from('content') });
  }
  await server.stop();
  expect(await kindOf(read())).toBe('unavailable');
  expect(await kindOf(store.head('x'))).toBe('unavailable');
  expect(await kindOf(listAll(store, ''))).toBe('unavailable');
  await server.restart();
  expect(await read()).toMatchObject({ body: Buffer.from('content') });
});

test('a server that never answers ends with the call\'s time, not with the connection\'s', async () => {
  await using pair = await openPair({ idleTimeoutMs: 60_000 });
  pair.server.fail({ hang: true });
  for (const call of [() => pair.store.head('x', { timeoutMs: 50 }), () => pair.store.write('x', 'y', { timeoutMs: 50 }), () => pair.store.delete('x', { timeoutMs: 50 }), () => listAll(pair.store, '', { timeoutMs: 50 })]) {
    const error: unknown = await call().then(() => undefined, (reason: unknown) => reason);
    expect(error).toMatchObject({ kind: 'timeout', retryable: true, message: expect.stringContaining('50 ms') });
  }
  // Every connection was let go.
  await eventually(() => expect(pair.server.requests.every(({ finished }) => !finished)).toBe(true));
});

test('a short failure is tried again, a refusal is not', async () => {
  await using pair = await openPair();
  const { server, store } = pair;
  await store.write('x', 'content');
  for (const fault of [{ status: 503, times: 2 }, { reset: true, times: 2 }, { truncate: 2, times: 2 }] as const) {
    const before = pair.seen('GET').length;
    server.fail({ match: /^GET/, ...fault });
    expect(await store.read('x', LIMIT)).toMatchObject({ body: Buffer.from('content') });
    expect(pair.seen('GET').length - before).toBe(3);
  }
  server.fail({ status: 503 });
  const before = server.requests.length;
  expect(await kindOf(store.read('x', LIMIT))).toBe('unavailable');
  expect(server.requests.length - before).toBe(3);
  server.fail({ status: 403 });
  expect(await kindOf(store.read('x', LIMIT))).toBe('denied');
  expect(server.requests.length - before).toBe(4);
});

test('a broken download goes on where it broke: nothing is fetched twice, and all of it is hashed', async () => {
  await using pair = await openPair({ idleTimeoutMs: 1000 });
  const { server, store } = pair;
  const body = randomBytes(3 * MB);
  await server.put('model.bin', body);
  await using directory = await temporaryDirectory();
  server.fail({ match: /^GET/, stallAfter: 200_000, times: 1 });
  server.fail({ match: /^GET/, status: 503, times: 1 });
  server.fail({ match: /^GET/, truncate: 700_000, times: 2 });
  const file = join(directory.path, 'model.bin');
  expect(await store.download('model.bin', file, LIMIT)).toMatchObject({ sha256: sha256(body), head: { bytes: body.length } });
  expect((await readFile(file)).equals(body)).toBe(true);
  const gets = pair.seen('GET', 'model.bin');
  expect(gets.map(({ status }) => status)).toEqual([200, 206, 503, 206, 206]);
  expect(gets.slice(1).every(({ headers }) => headers['if-match'] !== undefined)).toBe(true);
  const starts = gets.map(({ headers }) => Number(/^bytes=(\d+)-$/.exec(headers['range'] ?? 'bytes=0-')?.[1]));
  expect(starts.every((start, index) => start >= (starts[index - 1] ?? 0))).toBe(true);
  expect(starts.at(-1)).toBeGreaterThan(1 * MB);
});

test('an object that changes under a download is fetched anew and never mixed; one that goes on changing is an error', async () => {
  await using pair = await openPair();
  const { server, store } = pair;
  const versions = Array.from({ length: 10 }, () => randomBytes(MB));
  await using directory = await temporaryDirectory();
  let next = 0;
  const change = async (): Promise<void> => server.put('model.bin', versions[(next += 1)] ?? Buffer.alloc(0));
  await server.put('model.bin', versions[0] ?? Buffer.alloc(0));
  server.fail({ match: /^GET/, truncate: 300_000, times: 1 });
  let changing = false;
  const onProgress = (): void => {
    if (!changing) void change();
    changing = true;
  };
  const got = await store.download('model.bin', join(directory.path, 'one'), { ...LIMIT, onProgress });
  expect(got?.sha256).toBe(sha256(versions[1] ?? Buffer.alloc(0)));
  expect((await readFile(join(directory.path, 'one'))).equals(versions[1] ?? Buffer.alloc(0))).toBe(true);

  server.fail({ match: (request) => {
    if (request.method !== 'GET') return false;
    void change();
    return true;
  }, truncate: 300_000 });
  expect(await kindOf(store.download('model.bin', join(directory.path, 'two'), LIMIT))).toBe('changed');
  await expect(stat(join(directory.path, 'two'))).rejects.toThrow('ENOENT');
});

test('an object that is deleted under a download is not there, and no file is left', async () => {
  await using pair = await openPair();
  await pair.server.put('model.bin', randomBytes(MB));
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'model.bin');
  pair.server.fail({ match: /^GET/, truncate: 300_000, times: 1 });
  let gone: Promise<void> | undefined;
  expect(await pair.store.download('model.bin', file, { ...LIMIT, onProgress: () => void (gone ??= pair.store.delete('model.bin')) })).toBeUndefined();
  await gone;
  await expect(stat(file)).rejects.toThrow('ENOENT');
});

test('a trickle ends with the call\'s time, a caller who leaves ends it at once; both leave no file', async () => {
  await using pair = await openPair();
  await pair.server.put('model.bin', randomBytes(MB));
  pair.server.fail({ match: /^GET/, slow: 1000 });
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'model.bin');
  expect(await kindOf(pair.store.download('model.bin', file, { ...LIMIT, timeoutMs: 300 }))).toBe('timeout');
  await expect(stat(file)).rejects.toThrow('ENOENT');
  const leave = new AbortController();
  await expect(pair.store.download('model.bin', file, { ...LIMIT, signal: leave.signal, onProgress: () => leave.abort(new Error('leaving')) })).rejects.toThrow('leaving');
  await expect(stat(file)).rejects.toThrow('ENOENT');
});

test('a connection that brings no byte again and again ends the download', async () => {
  await using pair = await openPair({ idleTimeoutMs: 500 });
  await pair.server.put('model.bin', randomBytes(MB));
  await using directory = await temporaryDirectory();
  pair.server.fail({ match: /^GET/, stallAfter: 0 });
  expect(await kindOf(pair.store.download('model.bin', join(directory.path, 'f'), LIMIT))).toBe('unavailable');
  expect(pair.seen('GET')).toHaveLength(3);
});

test('a bit that flips on the way shows in the SHA-256', async () => {
  await using pair = await openPair();
  const body = randomBytes(MB);
  await pair.server.put('model.bin', body);
  await using directory = await temporaryDirectory();
  pair.server.fail({ match: /^GET/, corrupt: true, times: 1 });
  const got = await pair.store.download('model.bin', join(directory.path, 'f'), LIMIT);
  expect(got?.sha256).not.toBe(sha256(body));
  expect(got?.sha256).toBe(sha256(await readFile(join(directory.path, 'f'))));
});

test('a conditional write whose answer was lost is known to be our own when it is tried again', async () => {
  await using pair = await openPair();
  const { server, store } = pair;
  server.fail({ match: /^PUT/, lostReply: true, times: 1 });
  const first = await store.write('lock', 'mine', { ifAbsent: true });
  expect(first).toMatchObject({ key: 'lock', bytes: 4 });
  server.fail({ match: /^PUT/, lostReply: true, times: 1 });
  const second = await store.write('lock', 'mine again', { ifMatch: first === false ? '' : first.etag });
  expect(second).toMatchObject({ bytes: 10 });
  // Somebody else was quicker while our first try was lost before it did anything.
  server.fail({ match: /^PUT/, reset: true, times: 1 });
  await server.put('other', 'theirs');
  expect(await store.write('other', 'mine', { ifAbsent: true })).toBe(false);
  // The same for an upload in parts, whose last request was done but not answered.
  server.fail({ match: (request) => request.method === 'POST' && request.query.startsWith('uploadId'), lostReply: true, times: 1 });
  expect(await store.upload('large', { stream: Readable.from([randomBytes(6 * MB)]) }, { ifAbsent: true })).toMatchObject({ bytes: 6 * MB });
  expect(server.openUploads).toBe(0);
});

test('two writers that S3 cannot order try again, and give way in the end', async () => {
  await using pair = await openPair();
  pair.server.fail({ match: /^PUT/, status: 409, code: 'ConditionalRequestConflict', times: 1 });
  expect(await pair.store.write('x', 'y', { ifAbsent: true })).toMatchObject({ bytes: 1 });
  pair.server.fail({ match: /^PUT/, status: 409, code: 'ConditionalRequestConflict' });
  expect(await pair.store.write('z', 'y', { ifAbsent: true })).toBe(false);
});

test('an upload that fails, is refused or is left takes its parts back', async () => {
  await using pair = await openPair({ idleTimeoutMs: 3000, maxAttempts: 2 });
  const megabyte = randomBytes(MB);
  const { server, store } = pair;
  const body = (): Readable => Readable.from(Array.from({ length: 12 }, () => megabyte));
  const isPart = (request: { method: string; query: string }): boolean => request.method === 'PUT' && request.query.includes('partNumber=2');
  for (const [fault, timeoutMs] of [[{ status: 403 }, 30_000], [{ status: 500 }, 30_000], [{ hang: true }, 700]] as const) {
    const end = server.fail({ match: isPart, ...fault });
    expect(await kindOf(store.upload('large', { stream: body() }, { timeoutMs }))).not.toBe('no error');
    end();
    expect(server.openUploads, JSON.stringify(fault)).toBe(0);
  }
  const leave = new AbortController();
  await expect(store.upload('large', { stream: body() }, { signal: leave.signal, onProgress: () => leave.abort(new Error('leaving')) })).rejects.toThrow('leaving');
  expect(server.openUploads).toBe(0);
  await server.put('large', 'there');
  expect(await store.upload('large', { stream: body() }, { ifAbsent: true })).toBe(false);
  expect(server.openUploads).toBe(0);
  expect(await server.get('large')).toEqual(Buffer.from('there'));
  // A part that fails once is sent once more, and only that part.
  server.fail({ match: isPart, status: 503, times: 1 });
  expect(await store.upload('large', { stream: body() })).toMatchObject({ bytes: 12 * MB });
});

test('a part that failed while the source was waited for is not forgotten: nothing is put together without it', async () => {
  await using pair = await openPair();
  const { server, store } = pair;
  server.fail({ match: (request) => request.query.includes('partNumber=2'), status: 403, times: 1 });
  const source = Readable.from((async function* () {
    yield randomBytes(11 * MB);
    await eventually(() => expect(server.requests.some(({ query, finished }) => query.includes('partNumber=2') && finished)).toBe(true));
    for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    yield randomBytes(MB);
  })());
  expect(await kindOf(store.upload('large', { stream: source }))).toBe('denied');
  expect(server.openUploads).toBe(0);
  expect(server.keys()).toEqual([]);
});

test('every way of writing asks for encryption and names the content type', async () => {
  for (const [sse, header, key] of [['AES256', 'AES256', undefined], ['aws:kms', 'aws:kms', undefined], [{ kmsKeyId: 'alias/pointsman' }, 'aws:kms', 'alias/pointsman']] as const) {
    await using pair = await openPair({ sse });
    await pair.store.write('small', 'x', { contentType: 'application/yaml' });
    await pair.store.upload('large', { stream: Readable.from([randomBytes(6 * MB)]) }, { contentType: 'application/yaml' });
    const begins = pair.server.requests.filter(({ method, query }) => (method === 'PUT' && !query.includes('partNumber')) || query === 'uploads=');
    expect(begins).toHaveLength(2);
    for (const { headers } of begins) {
      expect(headers).toMatchObject({ 'x-amz-server-side-encryption': header, 'content-type': 'application/yaml' });
      expect(headers['x-amz-server-side-encryption-aws-kms-key-id']).toBe(key);
    }
  }
});

test('a clock that is an hour off is learned from the store\'s answer', async () => {
  await using pair = await openPair();
  await pair.server.put('x', 'content');
  for (const hours of [1, -1]) {
    pair.server.clockSkewMs = hours * 3_600_000;
    expect(await pair.store.read('x', LIMIT)).toMatchObject({ body: Buffer.from('content') });
  }
});

test('a wrong secret is denied, and nothing of the error holds a key or a signature', async () => {
  await using pair = await openPair();
  const { endpoint, accessKeyId } = pair.server;
  const store = await openObjectStore(`s3://${pair.server.bucket}`, { endpoint, credentials: { accessKeyId, secretAccessKey: 'a-wrong-secret-0123456789', sessionToken: 'a-session-token' } });
  for (const call of [() => store.read('x', LIMIT), () => store.write('x', 'y'), () => listAll(store, '')]) {
    const error: unknown = await call().then(() => undefined, (reason: unknown) => reason);
    expect(error).toMatchObject({ kind: 'denied', retryable: false });
    expect(inspect(error, { depth: 20, showHidden: true })).not.toMatch(/a-wrong-secret|a-session-token|AKIA|Signature=|Credential=/);
  }
  store.close();
});

test('without given credentials the SDK looks: environment, then a web identity; finding none is denied', async () => {
  await using server = await startObjectStore();
  await server.put('x', 'content');
  const open = (): Promise<ObjectStore> => openObjectStore(`s3://${server.bucket}`, { endpoint: server.endpoint });
  for (const name of Object.keys(process.env)) if (name.startsWith('AWS_')) delete process.env[name];
  Object.assign(process.env, { AWS_EC2_METADATA_DISABLED: 'true', AWS_CONFIG_FILE: '/dev/null', AWS_SHARED_CREDENTIALS_FILE: '/dev/null' });

  const without = await open();
  expect(await kindOf(without.read('x', LIMIT))).toBe('denied');
  without.close();

  await using directory = await temporaryDirectory();
  const tokenFile = join(directory.path, 'token');
  await writeFile(tokenFile, 'a-service-account-token');
  const asked: string[] = [];
  const sts = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk)).on('end', () => {
      asked.push(text);
      response.setHeader('content-type', 'text/xml');
      response.end(`<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>${server.accessKeyId}</AccessKeyId><SecretAccessKey>${server.secretAccessKey}</SecretAccessKey><SessionToken>t</SessionToken><Expiration>${new Date(Date.now() + 3_600_000).toISOString()}</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`);
    });
  }).listen(0, '127.0.0.1');
  await once(sts, 'listening');
  Object.assign(process.env, { AWS_WEB_IDENTITY_TOKEN_FILE: tokenFile, AWS_ROLE_ARN: 'arn:aws:iam::123456789012:role/pointsman', AWS_REGION: 'us-east-1', AWS_ENDPOINT_URL_STS: `http://127.0.0.1:${(sts.address() as AddressInfo).port}` });
  const byRole = await open();
  expect(await byRole.read('x', LIMIT)).toMatchObject({ body: Buffer.from('content') });
  byRole.close();
  expect(asked).toEqual([expect.stringContaining('WebIdentityToken=a-service-account-token')]);
  sts.close();
  sts.closeAllConnections();

  Object.assign(process.env, { AWS_ACCESS_KEY_ID: server.accessKeyId, AWS_SECRET_ACCESS_KEY: server.secretAccessKey });
  const byEnv = await open();
  expect(await byEnv.read('x', LIMIT)).toMatchObject({ body: Buffer.from('content') });
  byEnv.close();
});

test('against AWS itself the SDK\'s checksums go along, in one request and in parts', async () => {
  await using server = await startObjectStore();
  // Without an endpoint of ours, as against AWS; the SDK's own setting leads it here.
  process.env['AWS_ENDPOINT_URL_S3'] = server.endpoint;
  const { accessKeyId, secretAccessKey, region } = server;
  const store = await openObjectStore(`s3://${server.bucket}`, { region, credentials: { accessKeyId, secretAccessKey }, forcePathStyle: true, partBytes: 5 * MB });
  await store.write('small', 'x');
  const body = randomBytes(6 * MB);
  await store.upload('large', { stream: Readable.from([body]) });
  store.close();
  expect((await server.get('large'))?.equals(body)).toBe(true);
  const sent = server.requests.filter(({ method }) => method === 'PUT');
  expect(sent.map(({ headers }) => headers['x-amz-checksum-crc32'])).toEqual(sent.map(() => expect.any(String)));
});

test('a full disk ends a download at once, said as such, and leaves no file', async () => {
  await using pair = await openPair();
  await pair.server.put('model.bin', randomBytes(3 * MB));
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'model.bin');
  const { endpoint, bucket, accessKeyId, secretAccessKey } = pair.server;
  const script = `
    import { openObjectStore } from ${JSON.stringify(join(import.meta.dirname, 'index.ts'))};
    const store = await openObjectStore('s3://${bucket}', ${JSON.stringify({ endpoint, credentials: { accessKeyId, secretAccessKey } })});
    await store.download('model.bin', ${JSON.stringify(file)}, { maxBytes: 1e9 }).catch((error) => console.log(error.kind));`;
  // A limit on the size of files, in KiB: the one kind of full disk that anybody can make.
  const { stdout } = await promisify(execFile)('bash', ['-c', 'trap "" XFSZ; ulimit -f 1000; exec "$0" --input-type=module -e "$1"', process.execPath, script], { timeout: 30_000 });
  expect(stdout).toBe('no_space\n');
  expect(pair.seen('GET')).toHaveLength(1);
  await expect(stat(file)).rejects.toThrow('ENOENT');
});

test('keys that others put into the bucket and no path may hold are left out of a list', async () => {
  await using pair = await openPair({ listPageSize: 2 });
  for (const key of ['models/', 'models/../../etc/passwd', 'models/a\nb', 'models/fine', '/absolute', 'x\\y', 'z']) await pair.server.put(key, 'x');
  expect((await listAll(pair.store, '')).map(({ key }) => key)).toEqual(['models/fine', 'z']);
});

test('a list survives a page that fails once, and fetches no page before it is wanted', async () => {
  await using pair = await openPair({ listPageSize: 2 });
  for (const key of ['a', 'b', 'c', 'd', 'e']) await pair.server.put(key, key);
  pair.server.fail({ match: (request) => request.query.includes('continuation-token'), status: 503, times: 1 });
  const keys: string[] = [];
  for await (const { key } of pair.store.list('')) {
    keys.push(key);
    if (key === 'b') expect(pair.seen('GET')).toHaveLength(1);
  }
  expect(keys).toEqual(['a', 'b', 'c', 'd', 'e']);
});
