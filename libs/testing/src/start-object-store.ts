import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { crc32 } from 'node:zlib';
import { objectStoreXml, S3Fault, type XmlNode } from './object-store/s3-xml.ts';
import { checkSignature } from './object-store/s3-signature.ts';
import { S3Buckets, type StoredBytes, type StoredVersion } from './object-store/s3-buckets.ts';
import { damageReply, type ObjectStoreFault } from './object-store/s3-faults.ts';
import { temporaryDirectory } from './temporary-directory.ts';

export type { ObjectStoreFault } from './object-store/s3-faults.ts';

export interface ObjectStoreBucket {
  readonly name: string;
  /** Off by default. */
  readonly versioning?: boolean;
  /** Object Lock, which brings versions with it. Off by default. */
  readonly objectLock?: boolean;
}

export interface StartObjectStoreOptions {
  /** `[{ name: 'pointsman' }]` by default. */
  readonly buckets?: readonly ObjectStoreBucket[];
  /** Most keys of one page of a list; 1000 by default, as S3. */
  readonly pageSize?: number;
}

/** One line of the access log. It is there from the moment the request's head has arrived; the last three fields are filled in as it goes on. */
export interface ObjectStoreRequest {
  readonly method: string;
  readonly bucket: string;
  /** Empty for requests about the bucket. */
  readonly key: string;
  /** Without the question mark. */
  readonly query: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** 0 until answered. */
  status: number;
  /** Body bytes sent to the client so far. */
  bytes: number;
  /** The reply went out whole. */
  finished: boolean;
}

export interface RunningObjectStore extends AsyncDisposable {
  /** `http://127.0.0.1:PORT` */
  readonly endpoint: string;
  readonly port: number;
  /** The first bucket's name. */
  readonly bucket: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** For `spawnApp`: endpoint, bucket, region, keys, `OBJECT_STORE_URL`. */
  readonly env: Readonly<Record<string, string>>;
  /** Everything that arrived, oldest first, requests that a fault swallowed included. */
  readonly requests: readonly ObjectStoreRequest[];
  /** Uploads in parts that were begun and neither completed nor aborted. */
  readonly openUploads: number;
  /** Moves this server's clock against the machine's: signatures more than 15 minutes off are refused. */
  clockSkewMs: number;
  /** Breaks replies from now on; the fault added last is looked at first. Returns its end. */
  fail(fault: ObjectStoreFault): () => void;
  /** Ends all faults; replies that hang are reset. */
  heal(): void;
  /** Puts an object past the network and past the access log. */
  put(key: string, body: string | Uint8Array, bucket?: string): Promise<void>;
  /** The newest body of an object, undefined when there is none. */
  get(key: string, bucket?: string): Promise<Buffer | undefined>;
  /** All current keys in byte order. */
  keys(bucket?: string): string[];
  /** Closes the port: connections are refused. Objects stay. */
  stop(): Promise<void>;
  /** Listens again on the same port. */
  restart(): Promise<void>;
}

/** Bodies above this many bytes live in files. */
const IN_MEMORY_BYTES = 1 << 20;
const REGION = 'us-east-1';
const ACCESS_KEY_ID = 'AKIAPOINTSMANTEST000';
const SECRET_ACCESS_KEY = 'object-store-test-secret-0123456789';

/** Hex, but for the count. */
interface Digests {
  readonly bytes: number;
  readonly md5: string;
  readonly sha256: string;
  readonly crc32: string;
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
  readonly line: ObjectStoreRequest;
  /** Where the reply's body goes: the response, or what a fault put in front of it. */
  readonly faults: readonly ObjectStoreFault[];
}

/**
 * An S3 server on 127.0.0.1, in this process: conditional reads and writes, ranges, lists, uploads in parts, versions, Object Lock, SSE headers, signatures (v4) checked.
 * For tests of what depends on S3, with faults to inject and an access log. Path style only.
 * Wire format: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
 */
export async function startObjectStore(options: StartObjectStoreOptions = {}): Promise<RunningObjectStore> {
  const specs = options.buckets ?? [{ name: 'pointsman' }];
  const first = specs[0];
  if (first === undefined) throw new Error('An object store needs a bucket.');
  const directory = await temporaryDirectory();
  const pageSize = options.pageSize ?? 1000;
  const requests: ObjectStoreRequest[] = [];
  let faults: { readonly fault: ObjectStoreFault; left: number }[] = [];
  const hanging = new Set<ServerResponse>();
  const work = new Set<Promise<void>>();
  const state = { clockSkewMs: 0 };
  const now = (): number => Date.now() + state.clockSkewMs;
  const store = new S3Buckets(specs, now, (file) => rm(file, { force: true }));
  let files = 0;

  /** Takes a body in whole, in memory or in a file, with its digests. */
  const receive = async (source: Readable, knownBytes: number): Promise<StoredBytes & Digests> => {
    const md5 = createHash('md5');
    const sha256 = createHash('sha256');
    let crc = 0;
    let bytes = 0;
    const count = (chunk: Buffer): void => {
      bytes += chunk.length;
      md5.update(chunk);
      sha256.update(chunk);
      crc = crc32(chunk, crc);
    };
    const digests = (): Digests => ({ bytes, md5: md5.digest('hex'), sha256: sha256.digest('hex'), crc32: crc.toString(16).padStart(8, '0') });
    if (knownBytes <= IN_MEMORY_BYTES) {
      const chunks: Buffer[] = [];
      for await (const chunk of source as AsyncIterable<Buffer>) {
        count(chunk);
        chunks.push(chunk);
      }
      return { ...digests(), buffer: Buffer.concat(chunks) };
    }
    const file = join(directory.path, `${(files += 1)}`);
    await pipeline(source, async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        count(chunk);
        yield chunk;
      }
    }, createWriteStream(file));
    return { ...digests(), file };
  };

  const chooseFaults = (line: ObjectStoreRequest): ObjectStoreFault[] => {
    const found = faults.find(({ fault, left }) => left > 0 && (fault.match === undefined || (typeof fault.match === 'function' ? fault.match(line) : fault.match.test(`${line.method} ${line.key}`))));
    if (found === undefined) return [];
    found.left -= 1;
    return [found.fault];
  };

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const target = request.url ?? '/';
    const mark = target.indexOf('?');
    const path = mark === -1 ? target : target.slice(0, mark);
    const rawQuery = mark === -1 ? '' : target.slice(mark + 1);
    const slash = path.indexOf('/', 1);
    const line: ObjectStoreRequest = {
      method: request.method ?? '', bucket: decodeURIComponent(slash === -1 ? path.slice(1) : path.slice(1, slash)), key: slash === -1 ? '' : decodeURIComponent(path.slice(slash + 1)), query: rawQuery,
      headers: Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)])), startedAt: Date.now(), status: 0, bytes: 0, finished: false,
    };
    requests.push(line);
    response.once('finish', () => (line.finished = true));
    response.sendDate = false;
    response.setHeader('date', new Date(now()).toUTCString());
    response.setHeader('x-amz-request-id', String(requests.length).padStart(16, '0'));
    const exchange: Exchange = { request, response, query: new URLSearchParams(rawQuery), line, faults: chooseFaults(line) };
    try {
      const fault = exchange.faults[0];
      if (fault?.hang === true) {
        hanging.add(response);
        response.once('close', () => hanging.delete(response));
        return;
      }
      if (fault?.reset === true) {
        request.socket.resetAndDestroy();
        return;
      }
      if (fault?.status !== undefined) throw new S3Fault(fault.status, fault.code ?? (fault.status === 503 ? 'SlowDown' : fault.status === 403 ? 'AccessDenied' : 'InternalError'), 'An injected fault.');
      checkSignature(request, { path, rawQuery, now: now(), region: REGION, accessKeyId: ACCESS_KEY_ID, secretAccessKey: SECRET_ACCESS_KEY });
      if (String(request.headers['x-amz-content-sha256']).startsWith('STREAMING')) throw new S3Fault(501, 'NotImplemented', 'Signed chunks are not taken here.');
      await (line.bucket === '' ? send(exchange, 200, { ListAllMyBucketsResult: { Buckets: specs.map(({ name }) => ({ Bucket: { Name: name } })) } }) : line.key === '' ? onBucket(exchange) : onObject(exchange));
    } catch (error) {
      if (response.headersSent || response.destroyed) {
        response.destroy();
        return;
      }
      const fault = error instanceof S3Fault ? error : new S3Fault(500, 'InternalError', String(error));
      if (fault.headers !== undefined) for (const [name, value] of Object.entries(fault.headers)) response.setHeader(name, value);
      await send(exchange, fault.status, fault.status === 304 ? undefined : { Error: { Code: fault.code, Message: fault.message, Resource: path, RequestId: String(requests.length) } });
    } finally {
      request.resume(); // whatever of the body nobody wanted
    }
  };

  const send = async ({ response, line, faults: [fault] }: Exchange, status: number, body?: Readonly<Record<string, XmlNode>>): Promise<void> => {
    if (fault?.lostReply === true) {
      response.socket?.resetAndDestroy();
      return;
    }
    line.status = status;
    const bytes = body === undefined || line.method === 'HEAD' ? Buffer.alloc(0) : Buffer.from(objectStoreXml(body));
    line.bytes = bytes.length;
    response.writeHead(status, bytes.length > 0 ? { 'content-type': 'application/xml', 'content-length': bytes.length } : status === 204 || status === 304 || line.method === 'HEAD' ? {} : { 'content-length': 0 });
    response.end(bytes);
    await Promise.resolve();
  };

  const onBucket = async (exchange: Exchange): Promise<void> => {
    const { request, query, line } = exchange;
    if (line.method === 'PUT' && !query.has('versioning')) {
      store.create({ name: line.bucket, objectLock: request.headers['x-amz-bucket-object-lock-enabled'] === 'true' });
      await send(exchange, 200);
      return;
    }
    const bucket = store.bucket(line.bucket);
    if (line.method === 'PUT') {
      const body = (await receive(request, 0)).buffer?.toString('utf8') ?? '';
      bucket.versioning = body.includes('<Status>Enabled</Status>');
      await send(exchange, 200);
    } else if (line.method === 'HEAD') await send(exchange, 200);
    else if (line.method !== 'GET') throw new S3Fault(405, 'MethodNotAllowed', 'Not here.');
    else if (query.has('versioning')) await send(exchange, 200, { VersioningConfiguration: bucket.versioning ? { Status: 'Enabled' } : {} });
    else if (query.has('location')) await send(exchange, 200, { LocationConstraint: '' });
    else if (query.has('versions')) await send(exchange, 200, { ListVersionsResult: store.listVersions(bucket, query.get('prefix') ?? '') });
    else if (query.has('uploads')) await send(exchange, 200, { ListMultipartUploadsResult: { Bucket: bucket.name, Uploads: [...bucket.uploads].map(([id, { key }]) => ({ Upload: { Key: key, UploadId: id } })) } });
    else await send(exchange, 200, { ListBucketResult: store.list(bucket, query, pageSize) });
  };

  const onObject = async (exchange: Exchange): Promise<void> => {
    const { request, response, query, line } = exchange;
    const bucket = store.bucket(line.bucket);
    const { headers } = request;
    if (headers['x-amz-copy-source'] !== undefined) throw new S3Fault(501, 'NotImplemented', 'Copies are not made here.');
    if (line.method === 'GET' || line.method === 'HEAD') {
      await sendObject(exchange, store.find(bucket, line.key, query.get('versionId') ?? undefined, headers));
      return;
    }
    const uploadId = query.get('uploadId');
    if (line.method === 'DELETE') {
      if (uploadId === null) setHeaders(response, await store.delete(bucket, line.key, query.get('versionId') ?? undefined));
      else await store.abortUpload(bucket, uploadId);
      await send(exchange, 204);
      return;
    }
    if (line.method === 'POST' && query.has('uploads')) {
      const id = store.beginUpload(bucket, line.key, headers);
      await send(exchange, 200, { InitiateMultipartUploadResult: { Bucket: bucket.name, Key: line.key, UploadId: id } });
      return;
    }
    const length = Number(headers['content-length'] ?? NaN);
    if (!Number.isFinite(length)) throw new S3Fault(411, 'MissingContentLength', 'A length is needed.');
    const body = await receive(request, length);
    checkBody(headers, body, length);
    if (line.method === 'POST' && uploadId !== null) {
      const upload = store.upload(bucket, uploadId);
      const wanted = [...(body.buffer?.toString('utf8') ?? '').matchAll(/<Part>(.*?)<\/Part>/gs)].map(([, part = '']) => ({
        xml: part, number: Number(/<PartNumber>(\d+)</.exec(part)?.[1]), etag: /<ETag>(?:&quot;|")?([0-9a-f]+)/.exec(part)?.[1] ?? '',
      }));
      const parts = store.chooseParts(upload, wanted);
      const joined = await receive(Readable.from(joinParts(parts)), parts.reduce((sum, part) => sum + part.bytes, 0));
      const etag = `"${createHash('md5').update(Buffer.concat(parts.map((part) => Buffer.from(part.md5, 'hex')))).digest('hex')}-${parts.length}"`;
      const version = store.put(bucket, line.key, { body: joined, etag, writeHeaders: upload.headers, conditions: headers });
      await store.abortUpload(bucket, uploadId);
      setHeaders(response, versionHeaders(version, false));
      await send(exchange, 200, { CompleteMultipartUploadResult: { Bucket: bucket.name, Key: line.key, ETag: version.etag } });
      return;
    }
    if (line.method !== 'PUT') throw new S3Fault(405, 'MethodNotAllowed', 'Not here.');
    if (uploadId !== null) {
      const checksums = Object.fromEntries(Object.entries(headers).flatMap(([name, value]) => (/^x-amz-checksum-(sha256|crc32)$/.test(name) ? [[name, String(value)]] : [])));
      store.putPart(store.upload(bucket, uploadId), Number(query.get('partNumber')), { body, checksums });
      setHeaders(response, { etag: `"${body.md5}"`, ...checksums });
      await send(exchange, 200);
      return;
    }
    const version = store.put(bucket, line.key, { body, etag: `"${body.md5}"`, writeHeaders: headers, conditions: headers });
    setHeaders(response, versionHeaders(version, false));
    await send(exchange, 200);
  };

  const sendObject = async ({ request, response, line, faults: [fault] }: Exchange, version: StoredVersion): Promise<void> => {
    const { bytes } = version.body;
    const range = /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? '');
    let start = 0;
    let end = bytes - 1;
    let status = 200;
    if (range !== null && (range[1] !== '' || range[2] !== '')) {
      start = range[1] === '' ? Math.max(0, bytes - Number(range[2])) : Number(range[1]);
      end = range[1] !== '' && range[2] !== '' ? Math.min(end, Number(range[2])) : end;
      if (start >= bytes || start > end) throw new S3Fault(416, 'InvalidRange', 'The requested range is not satisfiable.', { 'content-range': `bytes */${bytes}` });
      status = 206;
      response.setHeader('content-range', `bytes ${start}-${end}/${bytes}`);
    }
    setHeaders(response, versionHeaders(version, true));
    line.status = status;
    response.writeHead(status, { 'accept-ranges': 'bytes', 'content-length': Math.max(0, end - start + 1) });
    if (line.method === 'HEAD' || end < start) {
      response.end();
      return;
    }
    const source = version.body.buffer === undefined ? createReadStream(version.body.file ?? '', { start, end }) : Readable.from([version.body.buffer.subarray(start, end + 1)]);
    const counted = async function* (chunks: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
      for await (const chunk of chunks) {
        yield chunk;
        line.bytes += chunk.length;
      }
    };
    const closed = new AbortController();
    response.once('close', () => closed.abort());
    await pipeline(source, (chunks: AsyncIterable<Buffer>) => counted(damageReply(chunks, fault, response, closed.signal)), response as Writable).catch(() => response.destroy());
  };

  const server = createServer((request, response) => {
    const done = serve(request, response).finally(() => work.delete(done));
    work.add(done);
  });
  server.keepAliveTimeout = 60_000;
  server.requestTimeout = 0;
  const listen = async (port: number): Promise<number> => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  };
  const stop = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
    await Promise.all(work);
  };
  const port = await listen(0);
  const endpoint = `http://127.0.0.1:${port}`;

  return {
    endpoint, port, bucket: first.name, region: REGION, accessKeyId: ACCESS_KEY_ID, secretAccessKey: SECRET_ACCESS_KEY, requests,
    env: {
      OBJECT_STORE_URL: `s3://${first.name}`, S3_ENDPOINT: endpoint, S3_BUCKET: first.name, AWS_REGION: REGION, AWS_ACCESS_KEY_ID: ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY: SECRET_ACCESS_KEY,
      // Nothing of the machine's own AWS settings may leak into a test.
      AWS_EC2_METADATA_DISABLED: 'true', AWS_CONFIG_FILE: '/dev/null', AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    },
    get openUploads() {
      return store.openUploads;
    },
    get clockSkewMs() {
      return state.clockSkewMs;
    },
    set clockSkewMs(skewMs) {
      state.clockSkewMs = skewMs;
    },
    fail: (fault) => {
      const entry = { fault, left: fault.times ?? Infinity };
      faults = [entry, ...faults];
      return () => {
        faults = faults.filter((other) => other !== entry);
      };
    },
    heal: () => {
      faults = [];
      for (const response of hanging) response.socket?.resetAndDestroy();
    },
    put: async (key, content, bucket = first.name) => {
      const body = await receive(Readable.from([Buffer.from(content)]), Buffer.byteLength(content));
      store.put(store.bucket(bucket), key, { body, etag: `"${body.md5}"`, writeHeaders: {}, conditions: {} });
    },
    get: async (key, bucket = first.name) => {
      const version = store.current(store.bucket(bucket), key);
      if (version === undefined) return undefined;
      return version.body.buffer ?? await readWhole(version.body.file ?? '');
    },
    keys: (bucket = first.name) => store.keys(store.bucket(bucket)),
    stop,
    restart: async () => {
      if (!server.listening) await listen(port);
    },
    [Symbol.asyncDispose]: async () => {
      await stop();
      await directory[Symbol.asyncDispose]();
    },
  };
}

function setHeaders(response: ServerResponse, headers: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
}

function versionHeaders(version: StoredVersion, full: boolean): Record<string, string> {
  return {
    etag: version.etag,
    ...version.echo,
    ...(version.id === undefined ? {} : { 'x-amz-version-id': version.id }),
    ...(full ? { 'last-modified': new Date(version.modifiedAt).toUTCString(), ...version.metadata } : {}),
  };
}

function checkBody(headers: IncomingMessage['headers'], body: StoredBytes & Digests, length: number): void {
  if (body.bytes !== length) throw new S3Fault(400, 'IncompleteBody', 'Fewer bytes than announced.');
  const signed = headers['x-amz-content-sha256'];
  if (typeof signed === 'string' && /^[0-9a-f]{64}$/.test(signed) && signed !== body.sha256) throw new S3Fault(400, 'XAmzContentSHA256Mismatch', 'The body is not the signed one.');
  for (const [name, digest] of [['x-amz-checksum-sha256', body.sha256], ['x-amz-checksum-crc32', body.crc32], ['content-md5', body.md5]] as const) {
    if (headers[name] !== undefined && headers[name] !== Buffer.from(digest, 'hex').toString('base64')) throw new S3Fault(400, 'BadDigest', `${name} does not match.`);
  }
}

async function* joinParts(parts: readonly StoredBytes[]): AsyncIterable<Buffer> {
  for (const part of parts) {
    if (part.buffer === undefined) yield* createReadStream(part.file ?? '') as AsyncIterable<Buffer>;
    else yield part.buffer;
  }
}

async function readWhole(path: string): Promise<Buffer> {
  await using file = await open(path);
  return await file.readFile();
}
