import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import type { ObjectStore } from '@pointsman/object-store';
import type { Release } from '@pointsman/schemas';
import { RejectedRevisionError, type Rejection } from '@pointsman/sync';
import type { LivePods } from './pod-heartbeats.ts';
import { isCanaryPod } from './is-canary-pod.ts';
import { ObjectCache, type ObjectCacheOptions } from './object-cache.ts';
import { readConfigObjects, type ConfigObjects } from './read-config-objects.ts';
import { readRelease } from './read-release.ts';

export interface ConfigSourceOptions {
  readonly store: Pick<ObjectStore, 'read' | 'url'>;
  /** Stable where no `release.json` says otherwise; `release.json` lies in its folder. */
  readonly configKey: string;
  readonly podName: string;
  /** The pods that are alive; undefined when nobody can tell. Never rejects. Absent: this pod stays on stable. */
  readonly livePods?: (signal: AbortSignal) => Promise<LivePods | undefined>;
  readonly onRead?: ObjectCacheOptions['onRead'];
  /** Longest time of one question to the store; default 10,000. */
  readonly readTimeoutMs?: number;
  /** Told in every pass which key is the stable configuration: `release.json` may name another one than `configKey`. */
  readonly onStable?: (key: string) => void;
}

/** What should be published, and the bytes of it. */
export interface ConfigSource {
  /** Reads the release, decides between stable and canary, and tells the revision of the content found. @throws RejectedRevisionError for content that is bad. */
  head(signal: AbortSignal): Promise<string>;
  /** Writes what `head` found into an empty directory. */
  fetch(revision: string, directory: string): Promise<string>;
  /** Told what a pass rejected: a canary that is bad is not wanted any more, and the pod follows stable. */
  noteRejection(rejection: Rejection | undefined): void;
  /** Why this pod does not serve the canary that it should; undefined when it does, or should not. */
  readonly rejectedCanary: Rejection | undefined;
  /** Whether `release.json` names a canary that some pods serve. */
  readonly canaryRuns: boolean;
  /** Whether what `head` found is the canary. */
  readonly isCanary: boolean;
  /** Of which rollout. */
  readonly rollout: string | undefined;
}

export function createConfigSource({ store, configKey, podName, livePods, onRead = () => () => undefined, readTimeoutMs = 10_000, onStable = () => undefined }: ConfigSourceOptions): ConfigSource {
  const cache = new ObjectCache({ store, onRead, readTimeoutMs });
  const releaseKey = posix.join(posix.dirname(configKey), 'release.json');
  let wanted: ConfigObjects | undefined;
  let isCanary = false;
  let rollout: string | undefined;
  let canaryRuns = false;
  let rejectedCanary: Rejection | undefined;

  function shouldServe(canary: NonNullable<Release['canary']>, live: LivePods | undefined): boolean {
    if (livePods === undefined) return false;
    // Who has just joined sees a list that is not complete yet: with ten pods starting at once the first would all be "the only one".
    if (live?.isNew === true && canary.percent < 100) return false;
    const seed = rolloutOf(canary);
    const serving = new Set([...live?.canaries ?? []].filter(([, rollout]) => rollout === seed).map(([pod]) => pod));
    return isCanaryPod({ pod: podName, live: live?.pods, serving, percent: canary.percent, seed });
  }

  /** The canary, unless it cannot be served: then `rejectedCanary` says why. */
  async function tryCanary(key: string, signal: AbortSignal): Promise<ConfigObjects | undefined> {
    let found: ConfigObjects;
    try {
      found = await readConfigObjects(cache, key, signal);
    } catch (error) {
      if (!(error instanceof RejectedRevisionError)) throw error;
      rejectedCanary = { revision: error.revision, reason: error.message };
      return undefined;
    }
    if (found.revision === rejectedCanary?.revision) return undefined;
    rejectedCanary = undefined;
    return found;
  }

  return {
    get rejectedCanary() {
      return rejectedCanary;
    },
    get canaryRuns() {
      return canaryRuns;
    },
    get isCanary() {
      return isCanary;
    },
    get rollout() {
      return rollout;
    },
    async head(signal) {
      cache.beginPass();
      const [releaseText, live] = await Promise.all([cache.read(releaseKey, signal), livePods?.(signal)]);
      const release = readRelease(releaseText, configKey);
      const { canary } = release;
      onStable(release.stable.config_key);
      canaryRuns = canary !== undefined && canary.percent > 0;
      const isChosen = canary !== undefined && shouldServe(canary, live);
      if (!isChosen) rejectedCanary = undefined;
      const found = isChosen ? await tryCanary(canary.config_key, signal) : undefined;
      isCanary = found !== undefined;
      rollout = found === undefined || canary === undefined ? undefined : rolloutOf(canary);
      wanted = found ?? await readConfigObjects(cache, release.stable.config_key, signal);
      return wanted.revision;
    },
    async fetch(revision, directory) {
      if (wanted?.revision !== revision) throw new Error(`Revision ${revision} is not what was read last.`);
      for (const [path, text] of wanted.files) {
        const file = join(directory, path);
        try {
          await mkdir(dirname(file), { recursive: true });
          await writeFile(file, text, { flag: 'wx' });
        } catch (error) {
          // An object store may hold both `a` and `a/b`; a directory cannot.
          if (error instanceof Error && 'code' in error && ['EEXIST', 'ENOTDIR', 'EISDIR', 'ENAMETOOLONG'].includes(String(error.code))) {
            throw new RejectedRevisionError(revision, `${wanted.key}: include: ${JSON.stringify(path)} cannot be published beside the other files: another one has the name of its folder, or it is too long.`, { cause: error });
          }
          throw error;
        }
      }
      return revision;
    },
    noteRejection(rejection) {
      if (isCanary && rejection !== undefined && rejection.revision === wanted?.revision) rejectedCanary = rejection;
    },
  };
}

/** Tells one rollout from the next one of the same key. */
function rolloutOf({ config_key: key, started_at: startedAt }: NonNullable<Release['canary']>): string {
  return `${key}\n${startedAt}`;
}
