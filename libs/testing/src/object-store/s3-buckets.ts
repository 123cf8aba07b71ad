import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { S3Fault, type XmlNode } from './s3-xml.ts';

/** A body: in memory or in a file. */
export interface StoredBytes {
  readonly bytes: number;
  /** Hex. */
  readonly md5: string;
  readonly buffer?: Buffer;
  readonly file?: string;
}

export interface StoredVersion {
  /** Undefined where the bucket keeps no versions. */
  readonly id: string | undefined;
  readonly deleteMarker: boolean;
  readonly body: StoredBytes;
  /** With quotes. */
  readonly etag: string;
  readonly modifiedAt: number;
  readonly retainUntil: number | undefined;
  /** Headers answered to writes and reads: encryption, lock. */
  readonly echo: Readonly<Record<string, string>>;
  /** Headers answered to reads only. */
  readonly metadata: Readonly<Record<string, string>>;
}

interface StoredPart {
  readonly body: StoredBytes;
  /** `x-amz-checksum-…` headers that came with it, checked. */
  readonly checksums: Readonly<Record<string, string>>;
}

/** A part as the request that completes an upload names it. */
export interface NamedPart {
  readonly number: number;
  /** Without quotes. */
  readonly etag: string;
  /** The XML of the part, in which its checksum stands. */
  readonly xml: string;
}

interface StoredUpload {
  readonly key: string;
  readonly headers: IncomingHttpHeaders;
  readonly parts: Map<number, StoredPart>;
}

export interface StoredBucket {
  readonly name: string;
  versioning: boolean;
  readonly objectLock: boolean;
  /** Newest last. */
  readonly objects: Map<string, StoredVersion[]>;
  readonly uploads: Map<string, StoredUpload>;
}

export interface PutObject {
  readonly body: StoredBytes;
  readonly etag: string;
  /** Of the request that began the write: content type, metadata, encryption, lock. */
  readonly writeHeaders: IncomingHttpHeaders;
  /** Of the request that ends it: `if-match`, `if-none-match`. */
  readonly conditions: IncomingHttpHeaders;
}

/** S3's own limit for every part but the last. */
const MIN_PART_BYTES = 5 << 20;

/** The rules of buckets. Every change is one synchronous step, so that of racing writers exactly one wins. */
export class S3Buckets {
  readonly #buckets = new Map<string, StoredBucket>();
  readonly #now: () => number;
  readonly #removeFile: (file: string) => Promise<void>;

  constructor(specs: readonly { readonly name: string; readonly versioning?: boolean; readonly objectLock?: boolean }[], now: () => number, removeFile: (file: string) => Promise<void>) {
    this.#now = now;
    this.#removeFile = removeFile;
    for (const spec of specs) this.create(spec);
  }

  get openUploads(): number {
    return [...this.#buckets.values()].reduce((sum, { uploads }) => sum + uploads.size, 0);
  }

  create({ name, versioning = false, objectLock = false }: { readonly name: string; readonly versioning?: boolean; readonly objectLock?: boolean }): void {
    if (this.#buckets.has(name)) throw new S3Fault(409, 'BucketAlreadyOwnedByYou', 'The bucket is there already.');
    this.#buckets.set(name, { name, versioning: versioning || objectLock, objectLock, objects: new Map(), uploads: new Map() });
  }

  bucket(name: string): StoredBucket {
    const bucket = this.#buckets.get(name);
    if (bucket === undefined) throw new S3Fault(404, 'NoSuchBucket', 'The specified bucket does not exist.');
    return bucket;
  }

  current(bucket: StoredBucket, key: string): StoredVersion | undefined {
    const newest = bucket.objects.get(key)?.at(-1);
    return newest?.deleteMarker === true ? undefined : newest;
  }

  /** What a read gets. @throws S3Fault 404, 412, 304 */
  find(bucket: StoredBucket, key: string, versionId: string | undefined, headers: IncomingHttpHeaders): StoredVersion {
    const version = versionId === undefined ? this.current(bucket, key) : bucket.objects.get(key)?.find(({ id }) => (id ?? 'null') === versionId);
    if (version === undefined) {
      if (versionId !== undefined) throw new S3Fault(404, 'NoSuchVersion', 'The specified version does not exist.');
      throw new S3Fault(404, 'NoSuchKey', 'The specified key does not exist.');
    }
    if (version.deleteMarker) throw new S3Fault(405, 'MethodNotAllowed', 'The version is a delete marker.');
    if (headers['if-match'] !== undefined && !names(headers['if-match'], version.etag)) throw new S3Fault(412, 'PreconditionFailed', 'If-Match does not hold.');
    if (headers['if-none-match'] !== undefined && names(headers['if-none-match'], version.etag)) throw new S3Fault(304, 'NotModified', 'Not modified.', { etag: version.etag });
    return version;
  }

  put(bucket: StoredBucket, key: string, { body, etag, writeHeaders, conditions }: PutObject): StoredVersion {
    const current = this.current(bucket, key);
    if (conditions['if-none-match'] === '*' && current !== undefined) throw new S3Fault(412, 'PreconditionFailed', 'There is such an object.');
    if (conditions['if-match'] !== undefined) {
      if (current === undefined) throw new S3Fault(404, 'NoSuchKey', 'The specified key does not exist.');
      if (!names(conditions['if-match'], current.etag)) throw new S3Fault(412, 'PreconditionFailed', 'If-Match does not hold.');
    }
    const until = header(writeHeaders, 'x-amz-object-lock-retain-until-date');
    if (until !== undefined && !bucket.objectLock) throw new S3Fault(400, 'InvalidRequest', 'Bucket is missing Object Lock Configuration.');
    const version: StoredVersion = {
      id: bucket.versioning ? randomUUID() : undefined, deleteMarker: false, body, etag, modifiedAt: this.#now(),
      retainUntil: until === undefined ? undefined : Date.parse(until),
      echo: pick(writeHeaders, (name) => name.startsWith('x-amz-server-side-encryption') || name.startsWith('x-amz-object-lock-')),
      metadata: pick(writeHeaders, (name) => name === 'content-type' || name.startsWith('x-amz-meta-')),
    };
    this.#add(bucket, key, version);
    return version;
  }

  /** Headers of the answer. @throws S3Fault 403 for a version under retention. */
  async delete(bucket: StoredBucket, key: string, versionId: string | undefined): Promise<Record<string, string>> {
    const versions = bucket.objects.get(key) ?? [];
    if (versionId !== undefined) {
      const version = versions.find(({ id }) => (id ?? 'null') === versionId);
      if (version === undefined) return {};
      if ((version.retainUntil ?? 0) > this.#now()) throw new S3Fault(403, 'AccessDenied', 'Access Denied because object protected by object lock.');
      bucket.objects.set(key, versions.filter((other) => other !== version));
      await this.#drop(version.body);
      return { 'x-amz-version-id': versionId };
    }
    if (!bucket.versioning) {
      bucket.objects.delete(key);
      for (const { body } of versions) await this.#drop(body);
      return {};
    }
    const marker: StoredVersion = { id: randomUUID(), deleteMarker: true, body: { bytes: 0, md5: '', buffer: Buffer.alloc(0) }, etag: '', modifiedAt: this.#now(), retainUntil: undefined, echo: {}, metadata: {} };
    this.#add(bucket, key, marker);
    return { 'x-amz-version-id': marker.id ?? '', 'x-amz-delete-marker': 'true' };
  }

  keys(bucket: StoredBucket): string[] {
    return [...bucket.objects.keys()].filter((key) => this.current(bucket, key) !== undefined).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  }

  /** ListObjectsV2. The continuation token is the last key in base64. */
  list(bucket: StoredBucket, query: URLSearchParams, pageSize: number): XmlNode {
    const prefix = query.get('prefix') ?? '';
    const token = query.get('continuation-token');
    const after = Buffer.from(token === null ? (query.get('start-after') ?? '') : Buffer.from(token, 'base64').toString('utf8'));
    const encode = query.get('encoding-type') === 'url' ? (key: string): string => encodeURIComponent(key).replace(/%20/g, '+').replace(/%2F/g, '/') : (key: string): string => key;
    const delimiter = query.get('delimiter') ?? '';
    if (delimiter !== '') throw new S3Fault(501, 'NotImplemented', 'Delimiters are not served here.');
    const most = Math.min(pageSize, Number(query.get('max-keys') ?? pageSize));
    const rest = this.keys(bucket).filter((key) => key.startsWith(prefix) && Buffer.compare(Buffer.from(key), after) > 0);
    const page = rest.slice(0, most);
    const truncated = rest.length > page.length;
    return {
      Name: bucket.name, Prefix: encode(prefix), KeyCount: page.length, MaxKeys: most, IsTruncated: truncated,
      ...(query.get('encoding-type') === 'url' ? { EncodingType: 'url' } : {}),
      ...(truncated ? { NextContinuationToken: Buffer.from(page.at(-1) ?? '').toString('base64') } : {}),
      Contents: page.map((key) => {
        const version = this.current(bucket, key);
        return { Contents: { Key: encode(key), LastModified: new Date(version?.modifiedAt ?? 0).toISOString(), ETag: version?.etag ?? '', Size: version?.body.bytes ?? 0, StorageClass: 'STANDARD' } };
      }),
    };
  }

  listVersions(bucket: StoredBucket, prefix: string): XmlNode {
    const all = [...bucket.objects].filter(([key]) => key.startsWith(prefix)).flatMap(([key, versions]) => versions.toReversed().map((version, index) => ({ key, version, latest: index === 0 })));
    return {
      Name: bucket.name, Prefix: prefix, IsTruncated: false,
      Versions: all.map(({ key, version, latest }) => {
        const entry = { Key: key, VersionId: version.id ?? 'null', IsLatest: latest, LastModified: new Date(version.modifiedAt).toISOString() };
        return version.deleteMarker ? { DeleteMarker: entry } : { Version: { ...entry, ETag: version.etag, Size: version.body.bytes } };
      }),
    };
  }

  beginUpload(bucket: StoredBucket, key: string, headers: IncomingHttpHeaders): string {
    const id = randomUUID();
    bucket.uploads.set(id, { key, headers, parts: new Map() });
    return id;
  }

  upload(bucket: StoredBucket, id: string): StoredUpload {
    const upload = bucket.uploads.get(id);
    if (upload === undefined) throw new S3Fault(404, 'NoSuchUpload', 'The specified upload does not exist.');
    return upload;
  }

  putPart(upload: StoredUpload, number: number, part: StoredPart): void {
    if (!(number >= 1 && number <= 10_000)) throw new S3Fault(400, 'InvalidArgument', 'Part numbers are 1 to 10000.');
    const expected = header(upload.headers, 'x-amz-checksum-algorithm')?.toLowerCase();
    const actual = Object.keys(part.checksums)[0]?.slice('x-amz-checksum-'.length);
    if (expected !== actual) throw new S3Fault(400, 'InvalidRequest', `Checksum Type mismatch occurred, expected checksum Type: ${expected ?? 'null'}, actual checksum Type: ${actual ?? 'null'}`);
    upload.parts.set(number, part);
  }

  chooseParts(upload: StoredUpload, wanted: readonly NamedPart[]): StoredBytes[] {
    if (wanted.length === 0) throw new S3Fault(400, 'MalformedXML', 'No parts.');
    const algorithm = header(upload.headers, 'x-amz-checksum-algorithm');
    return wanted.map(({ number, etag, xml }, index) => {
      const part = upload.parts.get(number);
      if (part?.body.md5 !== etag) throw new S3Fault(400, 'InvalidPart', `Part ${number} is not there or is another one.`);
      if (index > 0 && number <= (wanted[index - 1]?.number ?? 0)) throw new S3Fault(400, 'InvalidPartOrder', 'Parts are out of order.');
      if (index < wanted.length - 1 && part.body.bytes < MIN_PART_BYTES) throw new S3Fault(400, 'EntityTooSmall', 'A part other than the last is smaller than 5 MiB.');
      if (algorithm !== undefined) {
        const checksum = part.checksums[`x-amz-checksum-${algorithm.toLowerCase()}`];
        if (checksum === undefined || !xml.includes(`<Checksum${algorithm}>${checksum}</Checksum${algorithm}>`)) throw new S3Fault(400, 'InvalidRequest', `The upload was created using a ${algorithm} checksum. The complete request must include the checksum for each part.`);
      }
      return part.body;
    });
  }

  async abortUpload(bucket: StoredBucket, id: string): Promise<void> {
    const upload = this.upload(bucket, id);
    bucket.uploads.delete(id);
    for (const { body } of upload.parts.values()) await this.#drop(body);
  }

  #add(bucket: StoredBucket, key: string, version: StoredVersion): void {
    const before = bucket.objects.get(key) ?? [];
    bucket.objects.set(key, bucket.versioning ? [...before, version] : [version]);
    // Replies under way keep reading a file that is unlinked.
    if (!bucket.versioning) for (const { body } of before) void this.#drop(body);
  }

  async #drop(body: StoredBytes): Promise<void> {
    if (body.file !== undefined) await this.#removeFile(body.file);
  }
}

/** Whether a condition's header names an etag; quotes are optional there. */
function names(condition: string, etag: string): boolean {
  return condition.split(',').some((one) => one.trim() === '*' || one.trim().replaceAll('"', '') === etag.replaceAll('"', ''));
}

function header(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : undefined;
}

function pick(headers: IncomingHttpHeaders, wanted: (name: string) => boolean): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).flatMap(([name, value]) => (wanted(name) && typeof value === 'string' ? [[name, value]] : [])));
}
