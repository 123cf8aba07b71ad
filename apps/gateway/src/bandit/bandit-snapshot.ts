import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ObjectStore } from '@pointsman/object-store';
import { ArmSums, BANDIT_LAYOUT } from '@pointsman/routing/bandit';
import { z } from 'zod';

const MAX_SNAPSHOT_BYTES = 4 * 1024 * 1024;
const STORE_TIMEOUT_MS = 10_000;

/** `bandit/{env}/{group}.json`: sums per candidate, base64 of `ArmSums`, as of a version of the shared sums. Tolerant: a later version may add fields. */
const snapshotSchema = z.object({
  schema_version: z.literal(1), layout: z.number().int(), group: z.string(), saved_at: z.string(), version: z.number().int().nonnegative().default(0), arms: z.array(z.object({ name: z.string(), sums: z.string() })),
});

export interface BanditSnapshot {
  readonly sums: ReadonlyMap<string, ArmSums>;
  /** Of the shared sums, whose changes are counted: what was delivered later is not in it. 0 where nothing is shared. */
  readonly version: number;
}

export function encodeSnapshot(group: string, { sums, version }: BanditSnapshot, nowMs: number): string {
  return JSON.stringify({
    schema_version: 1, layout: BANDIT_LAYOUT, group, saved_at: new Date(nowMs).toISOString(), version,
    arms: [...sums].map(([name, arm]) => ({ name, sums: arm.toBytes().toString('base64') })),
  } satisfies z.input<typeof snapshotSchema>);
}

/** Undefined for what is no snapshot of this group, or one of another layout: learning begins anew then. */
export function decodeSnapshot(group: string, text: string): BanditSnapshot | undefined {
  try {
    const snapshot = snapshotSchema.parse(JSON.parse(text));
    if (snapshot.layout !== BANDIT_LAYOUT || snapshot.group !== group) return undefined;
    const arms = snapshot.arms.map(({ name, sums }) => [name, ArmSums.fromBytes(Buffer.from(sums, 'base64'))] as const);
    return { sums: new Map(arms.flatMap(([name, sums]) => (sums === undefined ? [] : [[name, sums] as const]))), version: snapshot.version };
  } catch {
    return undefined;
  }
}

/** Where one group's snapshot is kept. */
export interface SnapshotPlace {
  read(): Promise<BanditSnapshot | undefined>;
  /** False: somebody else has written meanwhile, and nothing was replaced. The next try replaces theirs. */
  write(snapshot: BanditSnapshot, nowMs: number): Promise<boolean>;
}

/** A file name that any group name makes. */
function nameOf(group: string): string {
  return /^[\w.-]{1,100}$/.test(group) && !group.startsWith('.') ? group : `sha256-${createHash('sha256').update(group).digest('hex').slice(0, 32)}`;
}

/** A file of this machine: for one replica without Redis. */
export function snapshotFile(directory: string, group: string): SnapshotPlace {
  const path = join(directory, `${nameOf(group)}.json`);
  return {
    read: () => readFile(path, 'utf8').then((text) => decodeSnapshot(group, text), () => undefined),
    async write(snapshot, nowMs) {
      await mkdir(directory, { recursive: true });
      const temporary = `${path}.${randomBytes(6).toString('hex')}`;
      try {
        await writeFile(temporary, encodeSnapshot(group, snapshot, nowMs));
        await rename(temporary, path);
        return true;
      } catch (error) {
        await rm(temporary, { force: true });
        throw error;
      }
    },
  };
}

/** An object that replaces only what was read before it was written: of two writers, the one who knows less does not win. */
export function snapshotObject(store: Pick<ObjectStore, 'read' | 'write' | 'head'>, environment: string, group: string): SnapshotPlace {
  const key = `bandit/${environment}/${nameOf(group)}.json`;
  let etag: string | undefined;
  return {
    async read() {
      const found = await store.read(key, { maxBytes: MAX_SNAPSHOT_BYTES, timeoutMs: STORE_TIMEOUT_MS });
      if (found === undefined || found === 'unchanged') return undefined;
      ({ etag } = found.head);
      return decodeSnapshot(group, found.body.toString());
    },
    async write(snapshot, nowMs) {
      const body = encodeSnapshot(group, snapshot, nowMs);
      const written = await store.write(key, body, { contentType: 'application/json', timeoutMs: STORE_TIMEOUT_MS, ...(etag === undefined ? { ifAbsent: true } : { ifMatch: etag }) });
      // Not tried again at once: a writer that was held up and has lost its turn must not replace what its successor wrote.
      etag = written === false ? (await store.head(key, { timeoutMs: STORE_TIMEOUT_MS }))?.etag : written.etag;
      return written !== false;
    },
  };
}
