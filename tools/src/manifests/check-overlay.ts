import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { loadAppSettings, type AppSettings } from './app-settings.ts';
import { checkConsistency } from './check-consistency.ts';
import type { KubeObject, ManifestProblem } from './kube-object.ts';
import { renderKustomization } from './render-kustomization.ts';
import { validateKinds } from './validate-kinds.ts';

/** Apps that run in a cluster. */
export const CLUSTER_APPS = ['gateway', 'config-sync', 'model-sync', 'trace-exporter', 'audit-exporter', 'router-trainer'] as const;

export async function loadClusterApps(root: string): Promise<ReadonlyMap<string, AppSettings>> {
  return new Map(await Promise.all(CLUSTER_APPS.map(async (app) => [app, await loadAppSettings(root, app)] as const)));
}

/** The folders that can be applied: `base` and every overlay. Relative to `deploy`. */
export async function kustomizations(root: string): Promise<readonly string[]> {
  return ['base', ...(await readdir(join(root, 'deploy', 'overlays'))).sort().map((name) => `overlays/${name}`)];
}

export interface CheckedOverlay {
  readonly source: string;
  readonly objects: readonly KubeObject[];
  readonly problems: readonly ManifestProblem[];
}

/** Renders a folder of `deploy` with kubectl and checks all that comes out. @throws Error when kubectl cannot render it */
export async function checkOverlay(root: string, source: string, apps: ReadonlyMap<string, AppSettings>): Promise<CheckedOverlay> {
  const objects = await renderKustomization(join(root, 'deploy', source));
  return { source, objects, problems: [...await validateKinds(source, objects), ...checkConsistency({ source, objects, apps })] };
}
