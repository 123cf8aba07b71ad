import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { loadAppSettings, type AppSettings } from './app-settings.ts';
import { checkConsistency } from './check-consistency.ts';
import type { KubeObject, ManifestProblem } from './kube-object.ts';
import { renderComponent, renderKustomization } from './render-kustomization.ts';
import { validateKinds } from './validate-kinds.ts';

/** Apps that run in a cluster. */
export const CLUSTER_APPS = ['gateway', 'config-sync', 'model-sync', 'trace-exporter', 'audit-exporter', 'router-trainer'] as const;

export async function loadClusterApps(root: string): Promise<ReadonlyMap<string, AppSettings>> {
  return new Map(await Promise.all(CLUSTER_APPS.map(async (app) => [app, await loadAppSettings(root, app)] as const)));
}

/** What can be applied: `base`, every overlay, and every component on top of `base`, since some are in no overlay of ours. Relative to `deploy`. */
export async function kustomizations(root: string): Promise<readonly string[]> {
  const namesIn = async (folder: string): Promise<readonly string[]> => (await readdir(join(root, 'deploy', folder))).sort().map((name) => `${folder}/${name}`);
  return ['base', ...await namesIn('overlays'), ...await namesIn('components')];
}

export interface CheckedOverlay {
  readonly source: string;
  readonly objects: readonly KubeObject[];
  readonly problems: readonly ManifestProblem[];
}

/** Renders a folder of `deploy` with kubectl, a component on top of `base`. @throws Error when kubectl cannot render it */
export async function renderSource(root: string, source: string): Promise<readonly KubeObject[]> {
  const component = /^components\/(.+)$/.exec(source)?.[1];
  return component === undefined ? await renderKustomization(join(root, 'deploy', source)) : await renderComponent(join(root, 'deploy'), component);
}

/** Renders a folder of `deploy` and checks all that comes out. @throws Error when kubectl cannot render it */
export async function checkOverlay(root: string, source: string, apps: ReadonlyMap<string, AppSettings>): Promise<CheckedOverlay> {
  const objects = await renderSource(root, source);
  return { source, objects, problems: [...await validateKinds(source, objects), ...checkConsistency({ source, objects, apps })] };
}
