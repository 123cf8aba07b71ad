import { AppError, describeUnknown } from '@pointsman/errors';
import type { ObjectStore } from '@pointsman/object-store';
import { releaseSchema, type Release } from '@pointsman/schemas';
import { atStore } from './open-store.ts';

/** Each try of one request to the store, in milliseconds: a release is under a kilobyte. */
const TRY_MS = 10_000;
const MAX_BYTES = 256 * 1024;
/** What `releaseSchema` keeps. */
const MAX_HISTORY = 50;

export interface StoredRelease {
  readonly release: Release;
  /** Undefined when there is no `release.json`: then the stable configuration is the one at `S3_KEY`. */
  readonly etag: string | undefined;
}

/** `{env}/release.json` of one environment. */
export interface ReleaseFile {
  readonly key: string;
  /** `prod` of `prod/config.yaml`; empty at the top of the store. */
  readonly environment: string;
  /** @throws AppError when it cannot be read, or is none. */
  read(): Promise<StoredRelease>;
  /** Replaces what was read. False: somebody else has written in between. */
  replace(read: StoredRelease, next: Release): Promise<boolean>;
}

export function openReleaseFile(store: ObjectStore, configKey: string): ReleaseFile {
  const environment = folderOf(configKey);
  const key = inFolder(environment, 'release.json');
  return {
    key, environment,
    read: async () => {
      const found = await atStore(() => store.read(key, { maxBytes: MAX_BYTES, timeoutMs: TRY_MS }));
      if (found === undefined || found === 'unchanged') return { release: { stable: { config_key: configKey } }, etag: undefined };
      return { release: parseRelease(found.body.toString('utf8'), key), etag: found.head.etag };
    },
    replace: async ({ etag }, next) => {
      const text = `${JSON.stringify(releaseSchema.parse(next), undefined, 2)}\n`;
      const written = await atStore(() => store.write(key, text, { contentType: 'application/json', timeoutMs: TRY_MS, ...(etag === undefined ? { ifAbsent: true } : { ifMatch: etag }) }));
      return written !== false;
    },
  };
}

/** `prod` of `prod/config.yaml` */
export function folderOf(key: string): string {
  return key.includes('/') ? key.slice(0, key.lastIndexOf('/')) : '';
}

export function inFolder(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`;
}

/** Whether a key is that of an upload, which nobody changes: in `{environment}/releases/`. */
export function isUpload(key: string, environment: string): boolean {
  return key.startsWith(`${inFolder(environment, 'releases')}/`);
}

/** The release once the canary has become the stable configuration. `keptAs`: where what is replaced stays as it was served, when its own key may change. */
export function promoted({ stable, canary, history = [] }: Release, { at, by, keptAs = stable.config_key }: { readonly at: Date; readonly by: string; readonly keptAs?: string | undefined }): Release {
  if (canary === undefined || canary.config_key === stable.config_key) return { stable, history };
  const left = { config_key: keptAs, until: at.toISOString(), replaced_by: by };
  return { stable: { config_key: canary.config_key }, history: [left, ...history.filter(({ config_key: key }) => key !== keptAs && key !== stable.config_key && key !== canary.config_key)].slice(0, MAX_HISTORY) };
}

/** The release without a canary. */
export function withoutCanary({ stable, history }: Release): Release {
  return { stable, ...(history === undefined ? {} : { history }) };
}

/** The release back at an earlier key. What is left does not join the history: the next rollback goes further back, not forth again. */
export function rolledBackTo({ stable, history = [] }: Release, key: string): Release {
  return { stable: { config_key: key }, history: history.filter(({ config_key: each }) => each !== key && each !== stable.config_key) };
}

function parseRelease(text: string, key: string): Release {
  try {
    return releaseSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new AppError('invalid_request', 'invalid_release', `${key} is not as a release is written: ${describeUnknown(error)}`, { cause: error });
  }
}
