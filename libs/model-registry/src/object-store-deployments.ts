import { randomBytes } from 'node:crypto';
import type { ObjectStore } from '@pointsman/object-store';
import { modelNameSchema } from '@pointsman/schemas';
import { z } from 'zod';
import { ModelRegistryError, type AskOptions } from './model-registry.ts';
import { atStore } from './object-store-registry.ts';

export const deploymentSchema = z.object({
  model: modelNameSchema,
  /** The version that this step is about. */
  version: z.string().min(1).max(64),
  /** SHA-256 of its manifest; null where it is not known. */
  digest: z.string().nullable(),
  environment: z.string().max(200),
  /** Of the traffic, from this step on. */
  percent: z.number().min(0).max(100),
  action: z.enum(['start', 'stage', 'promote', 'rollback']),
  actor: z.string().min(1).max(256),
  reason: z.string().max(4_000),
  /** Served before and after by everybody who is not on a canary; null where none was named. */
  from: z.string().nullable(),
  to: z.string().nullable(),
  at: z.string(),
});
/** One step of a version's way into or out of the traffic. */
export type Deployment = z.infer<typeof deploymentSchema>;

/** Who gave which version traffic, when and why. Rows are only ever added. */
export interface DeploymentLedger {
  add(row: Deployment, options?: AskOptions): Promise<void>;
  /** Newest first. */
  list(model: string, limit: number, options?: AskOptions): Promise<readonly Deployment[]>;
}

const TRY_MS = 15_000;

/** The ledger as objects, `registry/{name}/deployments/{time}-{random}.json`, for those who have no database. */
export function createObjectStoreDeployments(store: ObjectStore): DeploymentLedger {
  const folderOf = (model: string): string => `registry/${modelNameSchema.parse(model)}/deployments`;
  return {
    add: async (row, { signal } = {}) => {
      const time = row.at.replaceAll(/[-:]/g, '');
      const key = `${folderOf(row.model)}/${time}-${randomBytes(4).toString('hex')}.json`;
      const isWritten = await atStore(() => store.write(key, `${JSON.stringify(deploymentSchema.parse(row))}\n`, { ifAbsent: true, contentType: 'application/json', timeoutMs: TRY_MS, ...(signal === undefined ? {} : { signal }) }));
      if (isWritten === false) throw new ModelRegistryError('conflict', `${key} is there already`);
    },
    list: async (model, limit, { signal } = {}) => {
      const options = { timeoutMs: TRY_MS, ...(signal === undefined ? {} : { signal }) };
      return await atStore(async () => {
        const keys: string[] = [];
        for await (const { key } of store.list(`${folderOf(model)}/`, options)) keys.push(key);
        const rows: Deployment[] = [];
        for (const key of keys.toReversed().slice(0, limit)) {
          const found = await store.read(key, { maxBytes: 64 * 1024, ...options });
          if (found !== undefined && found !== 'unchanged') rows.push(deploymentSchema.parse(JSON.parse(found.body.toString('utf8'))));
        }
        return rows;
      });
    },
  };
}
