import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { temporaryDirectory } from '@pointsman/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ObjectStoreError, type ObjectHead, type ObjectStore } from './object-store.ts';

export interface StoreUnderTest extends AsyncDisposable {
  readonly store: ObjectStore;
  /** One at a place that is not there: another bucket, another folder. */
  readonly nowhere: ObjectStore;
  /** Whether the place keeps versions. */
  readonly versions: boolean;
}

const MB = 1 << 20;
const NO_SPECIAL_LIMIT = { maxBytes: 64 * MB };
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const kindOf = (work: Promise<unknown>): Promise<string> => work.then(() => 'no error', (error: unknown) => (error instanceof ObjectStoreError ? error.kind : `not ours: ${String(error)}`));
const keysOf = async (store: ObjectStore, prefix: string, options: { after?: string } = {}): Promise<string[]> => (await listAll(store, prefix, options)).map(({ key }) => key);
const written = (head: ObjectHead | false): ObjectHead => {
  if (head === false) throw new Error('The write was refused.');
  return head;
};

export async function listAll(store: ObjectStore, prefix: string, options: Parameters<ObjectStore['list']>[1] = {}): Promise<ObjectHead[]> {
  const heads: ObjectHead[] = [];
  for await (const head of store.list(prefix, options)) heads.push(head);
  return heads;
}

/** What every store promises, whatever is behind it. `open` gives an empty place. */
export function objectStoreConformance(name: string, open: () => Promise<StoreUnderTest>): void {
  describe(`${name} keeps what an object store promises`, () => {
    let place: StoreUnderTest;
    let store: ObjectStore;
    beforeAll(async () => {
      place = await open();
      ({ store } = place);
    });
    afterAll(async () => {
      // Not there when it could not be opened: that error is the one to see.
      await (place as StoreUnderTest | undefined)?.[Symbol.asyncDispose]();
    });
    const fresh = (): string => `t-${randomUUID()}`;

    test('what was written is read, byte for byte, with one head from write, head, read and list', async () => {
      const key = `${fresh()}/config.yaml`;
      const body = randomBytes(10_000);
      const head = written(await store.write(key, body, { contentType: 'application/yaml' }));
      expect(head).toMatchObject({ key, bytes: body.length });
      expect(head.etag).not.toBe('');
      expect(Math.abs(head.modifiedAt.getTime() - Date.now())).toBeLessThan(120_000);
      const read = await store.read(key, NO_SPECIAL_LIMIT);
      if (read === undefined || read === 'unchanged') throw new Error('not read');
      expect(read.body.equals(body)).toBe(true);
      for (const seen of [await store.head(key), read.head, (await listAll(store, key))[0]]) expect(seen).toMatchObject({ key, bytes: body.length, etag: head.etag });
    });

    test('an empty object is an object', async () => {
      const key = fresh();
      const head = written(await store.write(key, ''));
      expect(await store.read(key, { maxBytes: 0 })).toMatchObject({ head: { etag: head.etag, bytes: 0 }, body: Buffer.alloc(0) });
      await using directory = await temporaryDirectory();
      expect(await store.download(key, join(directory.path, 'empty'), NO_SPECIAL_LIMIT)).toMatchObject({ sha256: sha256(Buffer.alloc(0)) });
      const uploaded = written(await store.upload(fresh(), { stream: Readable.from([]), bytes: 0 }));
      expect(uploaded.bytes).toBe(0);
    });

    test('what is not there is undefined, and deleting it is no error', async () => {
      const key = fresh();
      await using directory = await temporaryDirectory();
      const file = join(directory.path, 'file');
      expect(await store.head(key)).toBeUndefined();
      expect(await store.read(key, NO_SPECIAL_LIMIT)).toBeUndefined();
      expect(await store.download(key, file, NO_SPECIAL_LIMIT)).toBeUndefined();
      await expect(stat(file)).rejects.toThrow('ENOENT');
      await store.delete(key);
      await store.write(`${key}/below`, 'x');
      expect(await store.read(key, NO_SPECIAL_LIMIT)).toBeUndefined();
      await store.delete(`${key}/below`);
      expect(await store.head(`${key}/below`)).toBeUndefined();
    });

    test('an etag answers unchanged as long as the content is the same, and a new one after every change', async () => {
      const key = fresh();
      const etags = new Set<string>();
      for (const text of ['one', 'two', 'six', 'ten']) {
        const { etag } = written(await store.write(key, text));
        expect(etags.has(etag)).toBe(false);
        for (const older of etags) expect(await store.read(key, { ...NO_SPECIAL_LIMIT, unlessEtag: older })).toMatchObject({ body: Buffer.from(text) });
        expect(await store.read(key, { ...NO_SPECIAL_LIMIT, unlessEtag: etag })).toBe('unchanged');
        etags.add(etag);
      }
    });

    test('ifAbsent writes once, ifMatch only onto what was seen; both say false otherwise and change nothing', async () => {
      const key = fresh();
      expect(await store.write(key, 'x', { ifMatch: '"0123456789abcdef0123456789abcdef"' })).toBe(false);
      expect(await store.head(key)).toBeUndefined();
      const first = written(await store.write(key, 'first', { ifAbsent: true }));
      expect(await store.write(key, 'second', { ifAbsent: true })).toBe(false);
      const second = written(await store.write(key, 'second', { ifMatch: first.etag }));
      expect(await store.write(key, 'third', { ifMatch: first.etag })).toBe(false);
      expect(await store.read(key, NO_SPECIAL_LIMIT)).toMatchObject({ body: Buffer.from('second'), head: { etag: second.etag } });
      await store.delete(key);
      expect(await store.write(key, 'third', { ifMatch: second.etag })).toBe(false);
      expect(await store.write(key, 'again', { ifAbsent: true })).toMatchObject({ bytes: 5 });
      expect(await kindOf(store.write(key, 'x', { ifAbsent: true, ifMatch: second.etag }))).toBe('invalid');
    });

    test('of sixteen writers at once exactly one wins, for ifAbsent and for ifMatch, and its body is what is there', async () => {
      const key = fresh();
      const race = async (condition: { ifAbsent: true } | { ifMatch: string }): Promise<ObjectHead> => {
        const bodies = Array.from({ length: 16 }, () => randomUUID());
        const outcomes = await Promise.all(bodies.map((body) => store.write(key, body, condition)));
        const winners = outcomes.flatMap((head, index) => (head === false ? [] : [{ head, body: bodies[index] ?? '' }]));
        expect(winners).toHaveLength(1);
        expect(await store.read(key, NO_SPECIAL_LIMIT)).toMatchObject({ body: Buffer.from(winners[0]?.body ?? ''), head: { etag: winners[0]?.head.etag } });
        return winners[0]?.head as ObjectHead;
      };
      let head = await race({ ifAbsent: true });
      for (let round = 0; round < 3; round += 1) head = await race({ ifMatch: head.etag });
    });

    test('keys that a path could misread are refused everywhere, before anything is asked', async () => {
      await using directory = await temporaryDirectory();
      const bad = ['', '/etc/passwd', '../secret', 'a/../../b', 'a/./b', 'a//b', 'a/', 'a\\b', 'a\0b', 'a\nb', '..', '.', '\ud800', 'x'.repeat(300), 'a/'.repeat(600) + 'b'];
      for (const key of bad) {
        const kinds = await Promise.all([
          kindOf(store.head(key)), kindOf(store.read(key, NO_SPECIAL_LIMIT)), kindOf(store.write(key, 'x')), kindOf(store.delete(key)),
          kindOf(store.download(key, join(directory.path, 'never'), NO_SPECIAL_LIMIT)), kindOf(store.upload(key, { stream: Readable.from(['x']) })),
        ]);
        expect(kinds, JSON.stringify(key)).toEqual(Array(6).fill('invalid'));
      }
      for (const prefix of ['../', '/', 'a//', 'a/../b']) expect(await kindOf(keysOf(store, prefix)), prefix).toBe('invalid');
    });

    test('keys with spaces, plus, percent, quotes and other alphabets are plain names', async () => {
      const folder = fresh();
      const names = ['a b', 'a+b', 'a%2Fb', 'ä/ö.txt', '日本.json', '🚂', "it's & <so> \"on\"", 'a=b&c?d#e', '~x', 'x..'];
      for (const name of names) await store.write(`${folder}/${name}`, name);
      for (const name of names) expect(await store.read(`${folder}/${name}`, NO_SPECIAL_LIMIT), name).toMatchObject({ body: Buffer.from(name) });
      expect(new Set(await keysOf(store, `${folder}/`))).toEqual(new Set(names.map((name) => `${folder}/${name}`)));
    });

    test('list gives every key below a prefix, in byte order over folders, from `after` on', async () => {
      const folder = fresh();
      const names = ['a-b', 'a/1', 'a/2', 'a/b/c', 'a0', 'aa', 'b', 'é', 'z', '\u{10000}', '\uffee'];
      await Promise.all(names.map((name) => store.write(`${folder}/${name}`, 'x')));
      const sorted = names.map((name) => `${folder}/${name}`).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      expect(await keysOf(store, `${folder}/`)).toEqual(sorted);
      expect(await keysOf(store, `${folder}/a`)).toEqual(sorted.filter((key) => key.startsWith(`${folder}/a`)));
      expect(await keysOf(store, `${folder}/a/`)).toEqual([`${folder}/a/1`, `${folder}/a/2`, `${folder}/a/b/c`]);
      for (const after of [`${folder}/a/1`, `${folder}/a/b/c`, `${folder}/a`, `${folder}/zz`]) expect(await keysOf(store, `${folder}/`, { after }), after).toEqual(sorted.filter((key) => Buffer.compare(Buffer.from(key), Buffer.from(after)) > 0));
      expect(await keysOf(store, `${folder}-none/`)).toEqual([]);
    });

    test('a body above the limit is refused by read and by download, which leaves no file', async () => {
      const key = fresh();
      await store.write(key, Buffer.alloc(1000));
      await using directory = await temporaryDirectory();
      const file = join(directory.path, 'file');
      expect(await kindOf(store.read(key, { maxBytes: 999 }))).toBe('too_large');
      expect(await kindOf(store.download(key, file, { maxBytes: 999 }))).toBe('too_large');
      await expect(stat(file)).rejects.toThrow('ENOENT');
      expect(await store.read(key, { maxBytes: 1000 })).toMatchObject({ head: { bytes: 1000 } });
    });

    test('a download is the object, its SHA-256 and its progress; an existing file is never touched', async () => {
      const key = fresh();
      const body = randomBytes(3 * MB + 17);
      const head = written(await store.write(key, body));
      await using directory = await temporaryDirectory();
      const file = join(directory.path, 'file');
      const progress: [number, number][] = [];
      expect(await store.download(key, file, { ...NO_SPECIAL_LIMIT, onProgress: (received, total) => progress.push([received, total]) })).toMatchObject({ head: { key, bytes: body.length, etag: head.etag }, sha256: sha256(body) });
      expect((await readFile(file)).equals(body)).toBe(true);
      expect(progress.at(-1)).toEqual([body.length, body.length]);
      expect(progress.every(([received], index) => received > (progress[index - 1]?.[0] ?? 0))).toBe(true);
      await writeFile(join(directory.path, 'mine'), 'mine');
      expect(await kindOf(store.download(key, join(directory.path, 'mine'), NO_SPECIAL_LIMIT))).toBe('invalid');
      expect(await readFile(join(directory.path, 'mine'), 'utf8')).toBe('mine');
    });

    test('an upload from a file or a stream, in parts when it is large, arrives whole with progress', async () => {
      const body = randomBytes(6 * MB + 5);
      await using directory = await temporaryDirectory();
      const file = join(directory.path, 'file');
      await writeFile(file, body);
      const pieces = (): Readable => Readable.from(Array.from({ length: Math.ceil(body.length / 100_000) }, (_, index) => body.subarray(index * 100_000, (index + 1) * 100_000)));
      for (const source of [{ file }, { stream: pieces(), bytes: body.length }, { stream: pieces() }]) {
        const key = fresh();
        const progress: number[] = [];
        const head = written(await store.upload(key, source, { onProgress: (sent) => progress.push(sent) }));
        expect(head.bytes).toBe(body.length);
        expect(progress.at(-1)).toBe(body.length);
        const got = await store.download(key, join(directory.path, randomUUID()), NO_SPECIAL_LIMIT);
        expect(got).toMatchObject({ sha256: sha256(body), head: { etag: head.etag } });
      }
    });

    test('an upload keeps conditions, and one whose source breaks or lies about its size leaves nothing', async () => {
      const key = fresh();
      const body = randomBytes(6 * MB);
      expect(await store.upload(key, { stream: Readable.from([body]) }, { ifAbsent: true })).toMatchObject({ bytes: body.length });
      expect(await store.upload(key, { stream: Readable.from([body]) }, { ifAbsent: true })).toBe(false);
      const seen = await store.head(key);
      const next = written(await store.upload(key, { stream: Readable.from([body, Buffer.from('x')]) }, { ifMatch: seen?.etag ?? '' }));
      expect(await store.upload(key, { stream: Readable.from([body]) }, { ifMatch: seen?.etag ?? '' })).toBe(false);
      expect(await store.head(key)).toMatchObject({ etag: next.etag, bytes: body.length + 1 });

      const broken = fresh();
      const breaking = Readable.from((async function* () {
        yield body;
        await Promise.resolve();
        throw new Error('the source broke');
      })());
      await expect(store.upload(broken, { stream: breaking })).rejects.toThrow('the source broke');
      expect(await kindOf(store.upload(broken, { stream: Readable.from([body]), bytes: body.length + 1 }))).toBe('invalid');
      expect(await kindOf(store.upload(broken, { stream: Readable.from([body]), bytes: body.length - 1 }))).toBe('invalid');
      expect(await kindOf(store.upload(broken, { file: '/nowhere/file' }))).toBe('invalid');
      expect(await store.head(broken)).toBeUndefined();
      expect(await keysOf(store, broken)).toEqual([]);
    });

    test('a caller\'s abort ends every call with its own reason', async () => {
      const key = fresh();
      await store.write(key, 'x');
      await using directory = await temporaryDirectory();
      const signal = AbortSignal.abort(new Error('enough'));
      const calls = [
        store.head(key, { signal }), store.read(key, { ...NO_SPECIAL_LIMIT, signal }), store.write(key, 'y', { signal }), store.delete(key, { signal }), listAll(store, '', { signal }),
        store.download(key, join(directory.path, 'f'), { ...NO_SPECIAL_LIMIT, signal }), store.upload(key, { stream: Readable.from(['y']) }, { signal }),
      ];
      const reasons = (await Promise.allSettled(calls)).map((outcome) => (outcome.status === 'rejected' ? String(outcome.reason) : outcome.status));
      expect(reasons).toEqual(calls.map(() => 'Error: enough'));
      expect(await store.read(key, NO_SPECIAL_LIMIT)).toMatchObject({ body: Buffer.from('x') });
    });

    test('versions are read by name where they are kept, and refused clearly where not', async () => {
      const key = fresh();
      const first = written(await store.write(key, 'first'));
      await store.write(key, 'second');
      if (!place.versions) {
        expect(first.version).toBeUndefined();
        // A folder refuses; a bucket without versions may as well look and find nothing.
        expect(['invalid', undefined]).toContain(await store.read(key, { ...NO_SPECIAL_LIMIT, version: 'v1' }).catch((error: unknown) => (error as ObjectStoreError).kind));
        return;
      }
      expect(first.version).toBeDefined();
      expect(await store.read(key, { ...NO_SPECIAL_LIMIT, version: first.version ?? '' })).toMatchObject({ body: Buffer.from('first'), head: { version: first.version } });
      await store.delete(key);
      expect(await store.head(key)).toBeUndefined();
      expect(await store.head(key, { version: first.version ?? '' })).toMatchObject({ etag: first.etag });
      await store.delete(key, { version: first.version ?? '' });
      expect(await store.read(key, { ...NO_SPECIAL_LIMIT, version: first.version ?? '' })).toBeUndefined();
    });

    test('a version under retention cannot be deleted; a store that cannot promise that says so', async () => {
      const key = fresh();
      // Long enough that no slow machine outlives it, short enough for a test server to be cleaned.
      const outcome = await store.write(key, 'kept', { retainUntil: new Date(Date.now() + 60_000) }).catch((error: unknown) => error);
      if (!place.versions) {
        expect(outcome).toMatchObject({ kind: 'invalid' });
        expect(await store.head(key)).toBeUndefined();
        return;
      }
      const { version = '' } = written(outcome as ObjectHead | false);
      expect(await kindOf(store.delete(key, { version }))).toBe('denied');
      const large = written(await store.upload(`${key}-large`, { stream: Readable.from([randomBytes(6 * MB)]) }, { retainUntil: new Date(Date.now() + 60_000) }));
      expect(await kindOf(store.delete(`${key}-large`, { version: large.version ?? '' }))).toBe('denied');
      expect(await store.read(key, { ...NO_SPECIAL_LIMIT, version })).toMatchObject({ body: Buffer.from('kept') });
    });

    test('a bucket or folder that does not exist is told apart from an object that does not', async () => {
      await using directory = await temporaryDirectory();
      const kinds = await Promise.all([
        place.nowhere.head('x'), place.nowhere.read('x', NO_SPECIAL_LIMIT), place.nowhere.write('x', 'x'), keysOf(place.nowhere, ''), place.nowhere.download('x', join(directory.path, 'f'), NO_SPECIAL_LIMIT),
        place.nowhere.upload('x', { stream: Readable.from([randomBytes(6 * MB)]) }),
      ].map(kindOf));
      expect(kinds).toEqual(Array(6).fill('missing_bucket'));
    });
  });
}
