import { sql } from 'kysely';
import type { Connections } from './connections.ts';

/** One step of a version's way into or out of the traffic. */
export interface ModelDeployment {
  readonly model: string;
  /** The version that the step is about. */
  readonly version: string;
  readonly digest: string | null;
  readonly environment: string;
  /** Of the traffic, from this step on: 0 to 100. */
  readonly percent: number;
  readonly action: 'start' | 'stage' | 'promote' | 'rollback';
  readonly actor: string;
  readonly reason: string;
  /** Served before and after by everybody who is not on a canary. */
  readonly from: string | null;
  readonly to: string | null;
  /** ISO 8601. */
  readonly at: string;
}

export interface ModelDeploymentStore {
  add(row: ModelDeployment, signal?: AbortSignal): Promise<void>;
  /** Newest first, at most 1,000. */
  list(model: string, limit: number, signal?: AbortSignal): Promise<readonly ModelDeployment[]>;
}

const MOST_ROWS = 1_000;

export function createModelDeploymentStore(connections: Connections): ModelDeploymentStore {
  return {
    add: async ({ model, version, digest, environment, percent, action, actor, reason, from, to, at }, signal) => {
      await connections.run(sql`INSERT INTO pointsman.model_deployments (model, version, digest, environment, percent, action, actor, reason, from_version, to_version, at)
        VALUES (${model}, ${version}, ${digest}, ${environment}, ${percent}, ${action}, ${actor}, ${reason}, ${from}, ${to}, ${at}::timestamptz)`, { signal });
    },
    list: async (model, limit, signal) => {
      const rows = await connections.run(sql<Omit<ModelDeployment, 'at'> & { readonly at: Date }>`
        SELECT model, version, digest, environment, percent, action, actor, reason, from_version AS "from", to_version AS "to", at
        FROM pointsman.model_deployments WHERE model = ${model} ORDER BY number DESC LIMIT ${Math.min(Math.max(Math.trunc(limit) || 1, 1), MOST_ROWS)}`, { signal });
      return rows.map((row) => ({ ...row, at: row.at.toISOString() }));
    },
  };
}
