import { createHash, randomUUID } from 'node:crypto';
import { constants, type BigIntStats, type Dirent } from 'node:fs';
import { link, mkdir, open, readdir, realpath, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import { startDeadline, type Deadline } from './deadline.ts';
import { lockKey } from './directory-lock.ts';
import { checkKey, checkPrefix, compareKeys, keyProblem } from './object-keys.ts';
import { ObjectStoreError, type DownloadOptions, type ObjectHead, type ObjectStore, type ReadOptions, type UploadSource, type WriteOptions } from './object-store.ts';
import { createTargetFile, isFull } from './target-file.ts';
import { openSource } from './upload-source.ts';

/** Holds half-written objects and locks, on the file system of the objects so that rename and link work. */
const PRIVATE_FOLDER = '.object-store';
/** Up to this size the etag is a digest of the content; above it, of what the file system says. */
const DIGEST_BYTES = 1 << 20;
const PIECE_BYTES = 1 << 20;
const MAX_CHANGES = 3;
/** Half-written objects of a process that was killed. */
const LEFTOVER_AGE_MS = 24 * 60 * 60_000;

/**
 * A folder as a store. See `ObjectStore` for what it promises.
 *
 * - Conditions hold between all processes that see the folder: `ifAbsent` is link(2), everything else that changes an object happens under a lock file per key.
 * - The etag of an object up to 1 MiB is its SHA-256. That of a larger one is made of size, inode and modification time in nanoseconds: all writes of this store make a new
 *   inode, so only a program that changes a large file in place and sets its time back would go unnoticed.
 * - No versions and no retention: both are refused.
 * - Links are followed inside the folder and refused when they lead out of it. A folder that is not there is `missing_bucket`, not made: it may be a mount that failed.
 * - `list` leaves out names that begin with two dots: Kubernetes keeps generations of a mounted ConfigMap under such names.
 */
export class DirectoryStore implements ObjectStore {
  readonly url: string;
  readonly #root: string;
  #cleaned = false;

  constructor(root: string) {
    this.#root = root.length > 1 && root.endsWith(sep) ? root.slice(0, -1) : root;
    this.url = pathToFileURL(this.#root).href;
  }

  async head(key: string, options: ReadOptions = {}): Promise<ObjectHead | undefined> {
    this.#check(key, options);
    return await this.#bounded(`Asking for ${key}`, options, async () => {
      await using file = await this.#open(key);
      return file === undefined ? undefined : (await this.#look(key, file.handle, Infinity)).head;
    });
  }

  async read(key: string, options: ReadOptions & { readonly maxBytes: number; readonly unlessEtag?: string }): Promise<{ readonly head: ObjectHead; readonly body: Buffer } | 'unchanged' | undefined> {
    this.#check(key, options);
    return await this.#bounded(`Reading ${key}`, options, async () => {
      await using file = await this.#open(key);
      if (file === undefined) return undefined;
      const { size } = await file.handle.stat();
      if (size > options.maxBytes) throw this.#tooLarge(key, size, options.maxBytes);
      const { head, body } = await this.#look(key, file.handle, options.maxBytes);
      if (head.etag === options.unlessEtag) return 'unchanged';
      return { head, body: body ?? await readAll(file.handle, head.bytes) };
    });
  }

  async download(key: string, file: string, options: DownloadOptions): Promise<{ readonly head: ObjectHead; readonly sha256: string } | undefined> {
    this.#check(key, options);
    return await this.#bounded(`Downloading ${key}`, options, async (deadline) => {
      await using source = await this.#open(key);
      if (source === undefined) return undefined;
      await using target = await createTargetFile(file);
      const piece = Buffer.allocUnsafe(PIECE_BYTES);
      for (let change = 0; change <= MAX_CHANGES; change += 1) {
        const before = await source.handle.stat({ bigint: true });
        if (before.size > options.maxBytes) throw this.#tooLarge(key, Number(before.size), options.maxBytes);
        const digest = createHash('sha256');
        for (;;) {
          if (deadline.signal.aborted) throw deadline.signal.reason;
          const { bytesRead } = await source.handle.read(piece, 0, piece.length, target.bytes);
          if (bytesRead === 0) break;
          const got = piece.subarray(0, bytesRead);
          if (target.bytes + bytesRead > options.maxBytes) throw this.#tooLarge(key, target.bytes + bytesRead, options.maxBytes);
          if (before.size <= DIGEST_BYTES) digest.update(got);
          await target.append(got);
          options.onProgress?.(target.bytes, Number(before.size));
        }
        const after = await source.handle.stat({ bigint: true });
        // A write through the store gives the key another inode: what was opened can only change under a program that writes in place.
        if (BigInt(target.bytes) === after.size && isSame(before, after)) return { head: headOf(key, after, before.size <= DIGEST_BYTES ? digest.digest('hex') : undefined), sha256: await target.keep() };
        await target.restart();
      }
      throw new ObjectStoreError('changed', `Downloading ${key} of ${this.url}: it changed again and again meanwhile.`);
    });
  }

  async write(key: string, body: Buffer | string, options: WriteOptions = {}): Promise<ObjectHead | false> {
    this.#checkWrite(key, options);
    const bytes = typeof body === 'string' ? Buffer.from(body) : body;
    return await this.#bounded(`Writing ${key}`, options, async (deadline) => {
      // Prepared before the lock, so that the lock is short; but not for nothing.
      if (await this.#isLost(key, options)) return false;
      const written = await this.#publish(key, options, deadline, async (handle) => {
        await writeAll(handle, bytes, 0);
        return bytes.length;
      });
      if (written !== false) options.onProgress?.(bytes.length);
      return written;
    });
  }

  async upload(key: string, from: UploadSource, options: WriteOptions = {}): Promise<ObjectHead | false> {
    this.#checkWrite(key, options);
    return await this.#bounded(`Uploading ${key}`, options, async (deadline) => {
      await using source = await openSource(from);
      if (await this.#isLost(key, options)) return false;
      return await this.#publish(key, options, deadline, async (handle) => {
        let sent = 0;
        for await (const part of source.parts(PIECE_BYTES, deadline)) {
          if (deadline.signal.aborted) throw deadline.signal.reason;
          await writeAll(handle, part, sent);
          sent += part.length;
          options.onProgress?.(sent);
        }
        return sent;
      });
    });
  }

  async delete(key: string, options: ReadOptions = {}): Promise<void> {
    this.#check(key, options);
    await this.#bounded(`Deleting ${key}`, options, async (deadline) => {
      await this.#checkRoot();
      const path = await this.#inside(key);
      if (path === undefined) return;
      await using _lock = await lockKey(await this.#privateFolder('locks'), key, deadline);
      await rm(path, { force: true });
    });
  }

  async *list(prefix: string, options: ReadOptions & { readonly after?: string } = {}): AsyncIterable<ObjectHead> {
    checkPrefix(prefix);
    const cut = prefix.lastIndexOf('/');
    const what = `Listing ${prefix === '' ? 'everything' : prefix}`;
    await this.#bounded(what, options, () => this.#checkRoot());
    yield* this.#walk(cut === -1 ? '' : prefix.slice(0, cut), { prefix, after: options.after ?? '', what, options });
  }

  close(): void {
    // Nothing is held open between calls.
  }

  async *#walk(folder: string, context: { readonly prefix: string; readonly after: string; readonly what: string; readonly options: ReadOptions }): AsyncIterable<ObjectHead> {
    const { prefix, after, what, options } = context;
    const entries = await this.#bounded(what, options, async () => {
      try {
        return await readdir(join(this.#root, folder), { withFileTypes: true });
      } catch (error) {
        if (isAbsence(error)) return [];
        throw error;
      }
    });
    const named = entries.filter((entry) => !entry.name.startsWith('..') && !(folder === '' && entry.name === PRIVATE_FOLDER)).map((entry) => ({ entry, key: `${folder === '' ? '' : `${folder}/`}${entry.name}${entry.isDirectory() ? '/' : ''}` }));
    // A folder sorts with its slash: that is where its keys stand among the others.
    named.sort((a, b) => compareKeys(a.key, b.key));
    for (const { entry, key } of named) {
      if (!key.startsWith(prefix) && !prefix.startsWith(key)) continue;
      if (entry.isDirectory()) {
        // All of it lies at or before `after`.
        if (compareKeys(key, after) < 0 && !after.startsWith(key)) continue;
        yield* this.#walk(key.slice(0, -1), context);
        continue;
      }
      if (!key.startsWith(prefix) || compareKeys(key, after) <= 0 || keyProblem(key) !== undefined || !isObject(entry)) continue;
      // Gone since, or a link that leads out: not an object of this store.
      const head = await this.head(key, options).catch((error: unknown) => {
        if (error instanceof ObjectStoreError && error.kind === 'invalid') return undefined;
        throw error;
      });
      if (head !== undefined) yield head;
    }
  }

  #check(key: string, { version }: ReadOptions = {}): void {
    checkKey(key);
    if (version !== undefined) throw new ObjectStoreError('invalid', `${this.url} keeps no versions: a folder has only what is there now.`);
    if (key === PRIVATE_FOLDER || key.startsWith(`${PRIVATE_FOLDER}/`)) throw new ObjectStoreError('invalid', `The object key ${key} is the store's own.`);
  }

  #checkWrite(key: string, { retainUntil, ifMatch, ifAbsent }: WriteOptions): void {
    this.#check(key);
    if (retainUntil !== undefined) throw new ObjectStoreError('invalid', `${this.url} is a folder: it cannot promise that nobody deletes an object before a date. Use a bucket with Object Lock.`);
    if (ifMatch !== undefined && ifAbsent === true) throw new ObjectStoreError('invalid', 'A write is either for an object that is there (ifMatch) or for one that is not (ifAbsent).');
  }

  /** Runs file system work to its end or the deadline's: a call into a dead network mount never returns. */
  async #bounded<T>(what: string, options: Pick<ReadOptions, 'signal' | 'timeoutMs'>, work: (deadline: Deadline) => Promise<T>): Promise<T> {
    using deadline = startDeadline(options, `${what} of ${this.url}`);
    try {
      if (deadline.signal.aborted) throw deadline.signal.reason;
      return await deadline.race(work(deadline));
    } catch (error) {
      if (deadline.signal.aborted) throw deadline.signal.reason;
      throw this.#explain(error, what);
    }
  }

  #explain(error: unknown, what: string): unknown {
    const { code, syscall } = (typeof error === 'object' && error !== null ? error : {}) as NodeJS.ErrnoException;
    if (error instanceof ObjectStoreError || code === undefined || syscall === undefined) return error;
    const fail = (kind: ObjectStoreError['kind'], words: string): ObjectStoreError => new ObjectStoreError(kind, `${what} of ${this.url} ${words} (${code}).`, { cause: error });
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') return fail('denied', 'is not allowed');
    if (isFull(code)) return fail('no_space', 'failed: the disk is full');
    if (code === 'EISDIR' || code === 'ENOTDIR' || code === 'ENOTEMPTY' || code === 'EEXIST') return fail('invalid', 'is not possible: a folder cannot hold an object and objects below it');
    if (code === 'ELOOP' || code === 'ENAMETOOLONG') return fail('invalid', 'is not possible');
    return fail('unavailable', 'failed');
  }

  async #checkRoot(): Promise<void> {
    const found = await stat(this.#root).catch((error: unknown) => {
      if (isAbsence(error)) return undefined;
      throw error;
    });
    if (found?.isDirectory() !== true) throw new ObjectStoreError('missing_bucket', `${this.url}: there is no such folder.`);
  }

  /** The file behind a key with all links resolved; undefined when there is none. @throws ObjectStoreError `invalid` when it lies outside. */
  async #inside(key: string): Promise<string | undefined> {
    try {
      const [root, path] = await Promise.all([realpath(this.#root), realpath(join(this.#root, key))]);
      if (!path.startsWith(root === sep ? sep : root + sep)) throw new ObjectStoreError('invalid', `The object ${key} of ${this.url} is a link that leads out of the folder.`);
      if (path.startsWith(join(root, PRIVATE_FOLDER) + sep)) throw new ObjectStoreError('invalid', `The object ${key} of ${this.url} is a link to the store's own files.`);
      // The link itself is what a write replaces and a delete removes.
      return join(await realpath(dirname(join(this.#root, key))), basename(key));
    } catch (error) {
      if (isAbsence(error)) return undefined;
      throw error;
    }
  }

  async #open(key: string): Promise<(AsyncDisposable & { readonly handle: FileHandle }) | undefined> {
    await this.#checkRoot();
    const path = await this.#inside(key);
    if (path === undefined) return undefined;
    let handle: FileHandle;
    try {
      // Not blocking: opening a named pipe would wait for its other end.
      handle = await open(await realpath(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (error) {
      if (isAbsence(error)) return undefined;
      throw error;
    }
    const dispose = { handle, [Symbol.asyncDispose]: () => handle.close() };
    const found = await handle.stat().catch(async (error: unknown) => {
      await handle.close();
      throw error;
    });
    if (found.isFile()) return dispose;
    await handle.close();
    return undefined;
  }

  /** Head, and the body when the etag needs it anyway. */
  async #look(key: string, handle: FileHandle, maxBytes: number): Promise<{ readonly head: ObjectHead; readonly body: Buffer | undefined }> {
    for (let change = 0; change <= MAX_CHANGES; change += 1) {
      const before = await handle.stat({ bigint: true });
      if (Number(before.size) > maxBytes) throw this.#tooLarge(key, Number(before.size), maxBytes);
      const body = before.size <= DIGEST_BYTES || maxBytes !== Infinity ? await readAll(handle, Number(before.size)) : undefined;
      const after = await handle.stat({ bigint: true });
      if (isSame(before, after) && (body === undefined || BigInt(body.length) === after.size)) {
        return { head: headOf(key, after, after.size <= DIGEST_BYTES && body !== undefined ? createHash('sha256').update(body).digest('hex') : undefined), body };
      }
    }
    throw new ObjectStoreError('changed', `${key} of ${this.url} changed again and again while it was read.`);
  }

  /** Whether a condition cannot hold any more, before any work. */
  async #isLost(key: string, { ifMatch, ifAbsent }: WriteOptions): Promise<boolean> {
    if (ifMatch === undefined && ifAbsent !== true) return false;
    await using file = await this.#open(key);
    if (ifAbsent === true) return file !== undefined;
    return file === undefined || (await this.#look(key, file.handle, Infinity)).head.etag !== ifMatch;
  }

  /** Writes aside, makes it durable, then puts it in place in one step under the condition. */
  async #publish(key: string, options: WriteOptions, deadline: Deadline, fill: (handle: FileHandle) => Promise<number>): Promise<ObjectHead | false> {
    await this.#checkRoot();
    const parts = await this.#privateFolder('parts');
    const aside = join(parts, randomUUID());
    try {
      let head: ObjectHead;
      {
        await using handle = await open(aside, 'wx+', 0o644);
        await fill(handle);
        await handle.sync();
        head = (await this.#look(key, handle, Infinity)).head;
      }
      const path = await this.#place(key);
      if (deadline.signal.aborted) throw deadline.signal.reason;
      if (options.ifAbsent === true) {
        try {
          await link(aside, path);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
          throw error;
        }
      } else {
        await using lock = await lockKey(await this.#privateFolder('locks'), key, deadline);
        if (await this.#isLost(key, options)) return false;
        await lock.check();
        if (deadline.signal.aborted) throw deadline.signal.reason;
        await rename(aside, path);
      }
      await syncFolder(dirname(path));
      return head;
    } finally {
      await rm(aside, { force: true });
    }
  }

  /** Where a key's file goes: its folder made, and proven to lie inside. */
  async #place(key: string): Promise<string> {
    // Also refuses to replace what leads out.
    await this.#inside(key);
    const root = await realpath(this.#root);
    let folder = root;
    for (const segment of key.split('/').slice(0, -1)) {
      // One by one: a recursive mkdir would go through a link that leads out and make folders there.
      const next = join(folder, segment);
      await mkdir(next).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      });
      folder = await realpath(next);
      if (!folder.startsWith(root === sep ? sep : root + sep)) throw new ObjectStoreError('invalid', `The object ${key} of ${this.url} lies behind a link that leads out of the folder.`);
    }
    return join(folder, basename(key));
  }

  async #privateFolder(name: 'parts' | 'locks'): Promise<string> {
    const folder = join(this.#root, PRIVATE_FOLDER, name);
    await mkdir(folder, { recursive: true });
    if (name === 'parts' && !this.#cleaned) {
      this.#cleaned = true;
      await removeLeftovers(folder);
    }
    return folder;
  }

  #tooLarge(key: string, bytes: number, maxBytes: number): ObjectStoreError {
    return new ObjectStoreError('too_large', `${key} of ${this.url} has ${bytes} bytes or more; ${maxBytes} are allowed.`);
  }
}

function isAbsence(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

function isObject(entry: Dirent): boolean {
  return entry.isFile() || entry.isSymbolicLink();
}

function isSame(a: BigIntStats, b: BigIntStats): boolean {
  return a.ino === b.ino && a.size === b.size && a.mtimeNs === b.mtimeNs;
}

function headOf(key: string, found: BigIntStats, digest: string | undefined): ObjectHead {
  return { key, bytes: Number(found.size), etag: digest ?? `${found.size}-${found.ino}-${found.mtimeNs}`, modifiedAt: new Date(Number(found.mtimeNs / 1_000_000n)) };
}

async function readAll(handle: FileHandle, bytes: number): Promise<Buffer> {
  const body = Buffer.allocUnsafe(bytes);
  let at = 0;
  while (at < bytes) {
    const { bytesRead } = await handle.read(body, at, bytes - at, at);
    if (bytesRead === 0) break;
    at += bytesRead;
  }
  return body.subarray(0, at);
}

async function writeAll(handle: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let at = 0; at < bytes.length;) at += (await handle.write(bytes, at, bytes.length - at, position + at)).bytesWritten;
}

/** A rename is durable only once its folder is. Some network file systems refuse this. */
async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, constants.O_RDONLY);
  await folder.sync().catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EINVAL' && error.code !== 'ENOTSUP') throw error;
  });
}

async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const found = await stat(path).catch(() => undefined);
    if (found !== undefined && Date.now() - found.mtimeMs > LEFTOVER_AGE_MS) await rm(path, { force: true });
  }
}
