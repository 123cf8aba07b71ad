import { openObjectStore } from '@pointsman/object-store';
import { objectStoreConformance } from '@pointsman/object-store/conformance';
import { signedS3Request } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { startMinio } from './start-minio.ts';

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
