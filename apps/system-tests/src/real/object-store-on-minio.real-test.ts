import { spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { openObjectStore, type OpenObjectStoreOptions } from '@pointsman/object-store';
import { objectStoreConformance } from '@pointsman/object-store/conformance';
import { eventually, freePort, signedS3Request, temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';

interface RunningMinio extends AsyncDisposable {
  readonly options: OpenObjectStoreOptions;
  /** Makes a bucket, with versions and Object Lock when asked for. Its name. */
  makeBucket(versions: boolean): Promise<string>;
}

/** MinIO with one folder and a key for server-side encryption. */
async function startMinio(): Promise<RunningMinio> {
  const binary = process.env['MINIO'];
  if (binary === undefined) throw new Error('MINIO is not set: run this through `npm run test:real -- --only minio`.');
  const directory = await temporaryDirectory();
  const port = await freePort();
  const accessKeyId = 'pointsman-test';
  const secretAccessKey = randomUUID();
  const child = spawn(binary, ['server', join(directory.path, 'data'), '--address', `127.0.0.1:${port}`, '--quiet'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], HOME: directory.path, MINIO_ROOT_USER: accessKeyId, MINIO_ROOT_PASSWORD: secretAccessKey, MINIO_KMS_SECRET_KEY: `test-key:${randomBytes(32).toString('base64')}`, MINIO_BROWSER: 'off' },
  });
  let words = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk: string) => (words = (words + chunk).slice(-10_000)));
  const endpoint = `http://127.0.0.1:${port}`;
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    await directory[Symbol.asyncDispose]();
  };
  try {
    await eventually(async () => {
      if (child.exitCode !== null) throw new Error(`MinIO ended: ${words}`);
      // Its health answers before its stores do: only a request that needs them tells.
      const { status } = await signedS3Request({ endpoint, region: 'us-east-1', accessKeyId, secretAccessKey, method: 'GET', path: '/' });
      if (status !== 200) throw new Error(`MinIO answers ${status}: ${words}`);
    }, { timeoutMs: 60_000 });
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    options: { endpoint, region: 'us-east-1', credentials: { accessKeyId, secretAccessKey } },
    makeBucket: async (versions) => {
      const name = `b-${randomUUID()}`;
      const reply = await signedS3Request({ endpoint, region: 'us-east-1', accessKeyId, secretAccessKey, method: 'PUT', path: `/${name}`, headers: versions ? { 'x-amz-bucket-object-lock-enabled': 'true' } : {} });
      expect(reply.status, await reply.text()).toBe(200);
      return name;
    },
    [Symbol.asyncDispose]: stop,
  };
}

for (const versions of [false, true]) {
  objectStoreConformance(`A MinIO bucket ${versions ? 'with versions and Object Lock' : 'without versions'}`, async () => {
    await using parts = new AsyncDisposableStack();
    const minio = parts.use(await startMinio());
    const options = { ...minio.options, listPageSize: 3, partBytes: 5 << 20, sse: 'AES256' } as const;
    const store = parts.adopt(await openObjectStore(`s3://${await minio.makeBucket(versions)}/some/prefix`, options), (opened) => opened.close());
    const nowhere = parts.adopt(await openObjectStore('s3://nowhere', options), (opened) => opened.close());
    const place = parts.move();
    return { store, nowhere, versions, [Symbol.asyncDispose]: () => place.disposeAsync() };
  });
}

test('MinIO: a wrong secret is denied, and the error holds neither key', async () => {
  await using minio = await startMinio();
  const bucket = await minio.makeBucket(false);
  const store = await openObjectStore(`s3://${bucket}`, { ...minio.options, credentials: { accessKeyId: minio.options.credentials?.accessKeyId ?? '', secretAccessKey: 'wrong-secret-wrong' } });
  const error = await store.read('x', { maxBytes: 1 }).catch((reason: unknown) => reason);
  store.close();
  expect(error).toMatchObject({ kind: 'denied', retryable: false });
  expect(String((error as Error).stack)).not.toMatch(/wrong-secret|pointsman-test/);
});

test('MinIO: an object asked to be encrypted is', async () => {
  await using minio = await startMinio();
  const bucket = await minio.makeBucket(false);
  const { endpoint = '', region = '', credentials } = minio.options;
  const { accessKeyId = '', secretAccessKey = '' } = credentials ?? {};
  for (const sse of ['AES256', { kmsKeyId: 'test-key' }] as const) {
    const store = await openObjectStore(`s3://${bucket}`, { ...minio.options, sse });
    await store.write('sealed', 'x');
    store.close();
    const reply = await signedS3Request({ endpoint, region, accessKeyId, secretAccessKey, method: 'HEAD', path: `/${bucket}/sealed` });
    expect(reply.headers.get('x-amz-server-side-encryption')).toBe(typeof sse === 'string' ? sse : 'aws:kms');
  }
});
