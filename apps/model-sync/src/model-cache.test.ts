import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { manifestDigest, writeArtifact } from '@pointsman/model-artifacts';
import { openObjectStore, type ObjectStore } from '@pointsman/object-store';
import { startObjectStore, temporaryDirectory } from '@pointsman/testing';
import { expect, onTestFinished, test } from 'vitest';
import { createModelCache, type StoreInCacheOptions } from './model-cache.ts';
import { manifestOf } from './model-sync.fixture.ts';

const never = new AbortController().signal;

async function setUp(kind: string): Promise<{ readonly store: ObjectStore; readonly options: StoreInCacheOptions; read(key: string): Promise<string | undefined> }> {
  const stack = new AsyncDisposableStack();
  onTestFinished(() => stack.disposeAsync());
  const directory = stack.use(await temporaryDirectory());
  let store: ObjectStore;
  if (kind === 'bucket') {
    const server = stack.use(await startObjectStore());
    store = await openObjectStore(server.env['OBJECT_STORE_URL'] ?? '', { endpoint: server.endpoint, region: server.region, credentials: server });
  } else {
    await mkdir(join(directory.path, 'cache'));
    store = await openObjectStore(pathToFileURL(join(directory.path, 'cache')).href);
  }
  stack.defer(() => store.close());
  const artifact = join(directory.path, 'artifact');
  const { manifest, revision, manifestBytes } = await writeArtifact(artifact, manifestOf('m', 'v1'), new Map([['a', Buffer.from('a')], ['b/c', Buffer.from('c')]]), undefined);
  return {
    store,
    options: {
      name: 'm', verified: { manifest, revision, digest: manifestDigest(manifestBytes), keyId: undefined, warnings: [] }, directory: artifact, hasSignature: false,
      originEtag: 'etag-1', fence: 5, writtenBy: 'pod', replace: false, signal: never,
    },
    read: async (key) => {
      const found = await store.read(key, { maxBytes: 100_000 });
      return found === undefined || found === 'unchanged' ? undefined : found.body.toString();
    },
  };
}

for (const kind of ['bucket', 'folder']) {
  test(`${kind}: what was stored is found by what the origin has, with every file`, async () => {
    const { store, options } = await setUp(kind);
    const cache = createModelCache(store);
    expect(await cache.find('m', 'v1', 'etag-1', never)).toBeUndefined();
    expect(await cache.store(options)).toBe(true);
    const found = await cache.find('m', 'v1', 'etag-1', never);
    expect(found?.revision).toBe(options.verified.revision);
    expect((await found?.source.readManifest(never))?.bytes.equals(await readFile(join(options.directory, 'manifest.json')))).toBe(true);
    await using target = await temporaryDirectory();
    expect(await found?.source.download('b/c', { target: join(target.path, 'c'), bytes: 1, signal: never, onProgress: () => undefined })).toMatchObject({ bytes: 1 });
    expect(await cache.find('m', 'v1', 'etag-2', never)).toBeUndefined();
    expect(await cache.find('m', 'v2', 'etag-1', never)).toBeUndefined();
  });

  test(`${kind}: whoever was overtaken writes no marker over that of a later holder`, async () => {
    const { store, options, read } = await setUp(kind);
    const cache = createModelCache(store);
    const pointer = async (): Promise<unknown> => JSON.parse(await read('models-cache/m-v1.json') ?? '');
    expect(await cache.store({ ...options, fence: undefined })).toBe(true);
    expect(await cache.store({ ...options, fence: undefined })).toBe(false);
    expect(await cache.store({ ...options, fence: 9 })).toBe(true);
    for (const fence of [5, undefined]) {
      expect(await cache.store({ ...options, fence })).toBe(false);
      expect(await cache.store({ ...options, fence, replace: true })).toBe(false);
    }
    expect(await pointer()).toMatchObject({ fence: 9 });
    // Of an earlier upload: its number counts for nothing.
    expect(await cache.store({ ...options, fence: 7, originEtag: 'etag-new' })).toBe(true);
    expect(await pointer()).toMatchObject({ fence: 7, origin_etag: 'etag-new' });
    expect(await cache.store({ ...options, fence: undefined, originEtag: 'etag-newest' })).toBe(true);
    expect(await pointer()).toMatchObject({ fence: 0, origin_etag: 'etag-newest' });
    expect(await cache.store({ ...options, fence: 10, originEtag: 'etag-newer' })).toBe(true);
    expect(await cache.find('m', 'v1', 'etag-newer', never)).toBeDefined();
  });

  test(`${kind}: a copy without its last object, or with that of something else, is none`, async () => {
    const { store, options } = await setUp(kind);
    const cache = createModelCache(store);
    await cache.store(options);
    const ready = `models-cache/m-${options.verified.revision}/ready.json`;
    for (const body of ['', 'null', '[]', '{"manifest_sha256":"x","fence":1}']) {
      await store.write(ready, body);
      expect(await cache.find('m', 'v1', 'etag-1', never)).toBeUndefined();
    }
    await store.delete(ready);
    expect(await cache.find('m', 'v1', 'etag-1', never)).toBeUndefined();
    await store.write('models-cache/m-v1.json', JSON.stringify({ revision: '../../x', manifest_sha256: 'a'.repeat(64), origin_etag: 'etag-1', fence: 1 }));
    expect(await cache.find('m', 'v1', 'etag-1', never)).toBeUndefined();
  });

  test(`${kind}: a lock that was lost stops it before the markers`, async () => {
    const { store, options, read } = await setUp(kind);
    await expect(createModelCache(store).store({ ...options, signal: AbortSignal.abort(new Error('lost')) })).rejects.toThrow('lost');
    expect(await read(`models-cache/m-${options.verified.revision}/ready.json`)).toBeUndefined();
    expect(await read('models-cache/m-v1.json')).toBeUndefined();
  });
}
