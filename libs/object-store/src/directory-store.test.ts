import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { temporaryDirectory, type TemporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { localProblem } from './target-file.ts';
import { listAll } from './object-store.conformance.ts';
import { ObjectStoreError, type ObjectStore } from './object-store.ts';
import { openObjectStore } from './open-object-store.ts';

const LIMIT = { maxBytes: 16 << 20 };
const run = promisify(execFile);
const kindOf = (work: Promise<unknown>): Promise<string> => work.then(() => 'no error', (error: unknown) => (error instanceof ObjectStoreError ? error.kind : `not ours: ${String(error)}`));
const keysOf = async (store: ObjectStore): Promise<string[]> => (await listAll(store, '')).map(({ key }) => key);
const openFolder = async ({ path }: TemporaryDirectory): Promise<{ store: ObjectStore; root: string; outside: string }> => {
  const [root, outside] = [join(path, 'root'), join(path, 'outside')];
  await mkdir(root);
  await mkdir(outside);
  return { store: await openObjectStore(`file://${root}`), root, outside };
};

test('a link that leads out of the folder is refused in every way, and nothing outside is made or changed', async () => {
  await using directory = await temporaryDirectory();
  const { store, root, outside } = await openFolder(directory);
  await writeFile(join(outside, 'secret'), 'secret');
  await symlink(join(outside, 'secret'), join(root, 'file'));
  await symlink(outside, join(root, 'folder'));
  await symlink('../outside', join(root, 'relative'));
  await writeFile(join(root, 'plain'), 'plain');
  for (const key of ['file', 'folder/secret', 'relative/secret']) {
    const kinds = await Promise.all([
      kindOf(store.head(key)), kindOf(store.read(key, LIMIT)), kindOf(store.download(key, join(directory.path, 'never'), LIMIT)),
      kindOf(store.write(key, 'x')), kindOf(store.write(key, 'x', { ifAbsent: true })), kindOf(store.upload(key, { stream: Readable.from(['x']) })), kindOf(store.delete(key)),
    ]);
    expect(kinds, key).toEqual(Array(7).fill('invalid'));
  }
  expect(await kindOf(store.write('folder/deep/new', 'x'))).toBe('invalid');
  expect(await readdir(outside)).toEqual(['secret']);
  expect(await keysOf(store)).toEqual(['plain']);
});

test('a mounted ConfigMap is a store: links inside the folder are followed, its generations are not listed', async () => {
  await using directory = await temporaryDirectory();
  const { store, root } = await openFolder(directory);
  await mkdir(join(root, '..2026_11_23'));
  await writeFile(join(root, '..2026_11_23', 'config.yaml'), 'model_list: []');
  await symlink('..2026_11_23', join(root, '..data'));
  await symlink('..data/config.yaml', join(root, 'config.yaml'));
  expect(await store.read('config.yaml', LIMIT)).toMatchObject({ body: Buffer.from('model_list: []') });
  expect(await keysOf(store)).toEqual(['config.yaml']);
  // Reading makes nothing: the mount may be read-only.
  expect((await readdir(root)).sort()).toEqual(['..2026_11_23', '..data', 'config.yaml']);
});

test('an edit in place by another program changes the etag, with equal size and the time set back too', async () => {
  await using directory = await temporaryDirectory();
  const { store, root } = await openFolder(directory);
  const file = join(root, 'config.yaml');
  const time = new Date('2026-01-01');
  await writeFile(file, 'rpm: 10');
  await utimes(file, time, time);
  const before = await store.head('config.yaml');
  await writeFile(file, 'rpm: 99');
  await utimes(file, time, time);
  expect(await store.read('config.yaml', { ...LIMIT, unlessEtag: before?.etag ?? '' })).toMatchObject({ body: Buffer.from('rpm: 99') });
  // Large ones go by what the file system says.
  const large = randomBytes(2 << 20);
  await store.write('large', large);
  const seen = await store.head('large');
  expect(await store.read('large', { ...LIMIT, unlessEtag: seen?.etag ?? '' })).toBe('unchanged');
  await store.write('large', randomBytes(2 << 20));
  expect(await store.read('large', { ...LIMIT, unlessEtag: seen?.etag ?? '' })).not.toBe('unchanged');
});

test('processes that count up by ifMatch lose no update', async () => {
  await using directory = await temporaryDirectory();
  const { store } = await openFolder(directory);
  await store.write('count', '0');
  const script = `
    import { openObjectStore } from ${JSON.stringify(join(import.meta.dirname, 'open-object-store.ts'))};
    const store = await openObjectStore(${JSON.stringify(store.url)});
    for (let done = 0; done < 15;) {
      const { head, body } = await store.read('count', { maxBytes: 100 });
      if (await store.write('count', String(Number(body) + 1), { ifMatch: head.etag })) done += 1;
    }`;
  await Promise.all([1, 2, 3].map(() => run(process.execPath, ['--input-type=module', '-e', script], { timeout: 60_000 })));
  expect(await store.read('count', LIMIT)).toMatchObject({ body: Buffer.from('45') });
});

test('what a killed writer left, a lock or half an object, is in nobody\'s way', async () => {
  await using directory = await temporaryDirectory();
  const { store, root } = await openFolder(directory);
  const [locks, parts] = [join(root, '.object-store', 'locks'), join(root, '.object-store', 'parts')];
  await mkdir(locks, { recursive: true });
  await mkdir(parts);
  const old = new Date(Date.now() - 3 * 24 * 3_600_000);
  const lock = join(locks, createHash('sha256').update('config.yaml').digest('hex').slice(0, 32));
  await writeFile(lock, 'a holder that was killed');
  await utimes(lock, old, old);
  for (const [name, date] of [['half', old], ['in-the-making', new Date()]] as const) {
    await writeFile(join(parts, name), 'half');
    await utimes(join(parts, name), date, date);
  }
  expect(await store.write('config.yaml', 'new', { timeoutMs: 5_000 })).toMatchObject({ bytes: 3 });
  expect(await readdir(parts)).toEqual(['in-the-making']);
  expect(await readdir(locks)).toEqual([]);
  expect(await keysOf(store)).toEqual(['config.yaml']);
  expect(await kindOf(store.read('.object-store/parts/in-the-making', LIMIT))).toBe('invalid');
});

test('a lock that somebody holds is waited for until the call\'s time is over', async () => {
  await using directory = await temporaryDirectory();
  const { store, root } = await openFolder(directory);
  await store.write('config.yaml', 'old');
  await writeFile(join(root, '.object-store', 'locks', createHash('sha256').update('config.yaml').digest('hex').slice(0, 32)), 'a holder at work');
  expect(await kindOf(store.write('config.yaml', 'new', { timeoutMs: 50 }))).toBe('timeout');
  expect(await store.read('config.yaml', LIMIT)).toMatchObject({ body: Buffer.from('old') });
});

test('a failed write leaves nothing behind, and neither does a refused one', async () => {
  await using directory = await temporaryDirectory();
  const { store, root } = await openFolder(directory);
  await store.write('a', 'x');
  expect(await kindOf(store.write('a/b', 'x'))).toBe('invalid');
  await mkdir(join(root, 'folder', 'inner'), { recursive: true });
  expect(await kindOf(store.write('folder', 'x'))).toBe('invalid');
  expect(await store.write('a', 'y', { ifAbsent: true })).toBe(false);
  expect(await store.write('a', 'y', { ifMatch: 'other' })).toBe(false);
  const breaking = Readable.from((async function* () {
    yield Buffer.alloc(100);
    await Promise.resolve();
    throw new Error('broke');
  })());
  await expect(store.upload('c', { stream: breaking })).rejects.toThrow('broke');
  expect(await readdir(join(root, '.object-store', 'parts'))).toEqual([]);
  expect(await readdir(join(root, '.object-store', 'locks'))).toEqual([]);
});

test('a named pipe or a folder at a key is no object, and asking does not wait for it', async () => {
  await using directory = await temporaryDirectory();
  const { store, root } = await openFolder(directory);
  await run('mkfifo', [join(root, 'pipe')]);
  await mkdir(join(root, 'folder'));
  for (const key of ['pipe', 'folder']) expect(await store.head(key, { timeoutMs: 5_000 })).toBeUndefined();
  expect(await keysOf(store)).toEqual([]);
});

test('a folder that refuses is denied, one that is a file is missing; a full disk is said as such', async () => {
  await using directory = await temporaryDirectory();
  const { store, root } = await openFolder(directory);
  await writeFile(join(directory.path, 'file'), '');
  expect(await kindOf((await openObjectStore(`file://${join(directory.path, 'file')}`)).write('x', 'y'))).toBe('missing_bucket');
  await chmod(root, 0o500);
  // Whoever may do everything is refused nothing.
  if (process.getuid?.() !== 0) expect(await kindOf(store.write('x', 'y'))).toBe('denied');
  await chmod(root, 0o700);
  expect(localProblem(Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' }), '/models/x')).toMatchObject({ kind: 'no_space', retryable: true, message: 'No space is left for /models/x (ENOSPC).' });
});
