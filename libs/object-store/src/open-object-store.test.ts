import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { ObjectStoreError } from './object-store.ts';
import { openObjectStore, parseObjectStoreUrl } from './open-object-store.ts';

test('an URL names a bucket with a prefix, or a folder', () => {
  expect(parseObjectStoreUrl('s3://bucket')).toEqual({ kind: 's3', bucket: 'bucket', prefix: '' });
  expect(parseObjectStoreUrl('s3://bucket/')).toEqual({ kind: 's3', bucket: 'bucket', prefix: '' });
  expect(parseObjectStoreUrl('s3://my.bucket-1/a/b/')).toEqual({ kind: 's3', bucket: 'my.bucket-1', prefix: 'a/b' });
  expect(parseObjectStoreUrl('file:///var/lib/store%20one')).toEqual({ kind: 'directory', path: '/var/lib/store one' });
});

test('an URL or endpoint that cannot be meant is refused, without repeating what may be a secret', async () => {
  const urls = ['', 'bucket', 'http://bucket/x', 's3://', 's3://b', 's3://key:hunter2@bucket/x', 's3://bucket/x?secret=hunter2', 's3://bucket/../x', 's3://bucket//x', 'file://host/x', 'file:///x?hunter2'];
  for (const url of urls) expect(() => parseObjectStoreUrl(url), url).toThrow(ObjectStoreError);
  for (const url of urls) expect(() => parseObjectStoreUrl(url), url).not.toThrow(/hunter2/);
  for (const endpoint of ['minio:9000', 'ftp://x', 'http://key:hunter2@minio:9000']) {
    const error: unknown = await openObjectStore('s3://bucket', { endpoint }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ kind: 'invalid' });
    expect(String(error)).not.toContain('hunter2');
  }
});

test('the url of a store is for logs: normalised, without anything else', async () => {
  const s3 = await openObjectStore('s3://bucket/prod/', { endpoint: 'http://127.0.0.1:1', credentials: { accessKeyId: 'AKIA', secretAccessKey: 'hunter2' } });
  expect(s3.url).toBe('s3://bucket/prod');
  s3.close();
  expect((await openObjectStore('file:///var/lib/store/')).url).toBe('file:///var/lib/store');
});

test('a folder is opened without loading the AWS SDK', async () => {
  const script = `
    import { registerHooks } from 'node:module';
    registerHooks({ resolve: (name, context, next) => { if (name.startsWith('@aws-sdk')) throw new Error('loaded ' + name); return next(name, context); } });
    const { openObjectStore } = await import(${JSON.stringify(join(import.meta.dirname, 'index.ts'))});
    console.log((await openObjectStore('file:///tmp')).url);`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { timeout: 30_000 });
  expect(stdout).toBe('file:///tmp\n');
});
