import { execFile } from 'node:child_process';
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import { stringify } from 'yaml';
import { parseObjects, type KubeObject } from './kube-object.ts';
import { kubernetesPrograms } from './kubernetes-programs.ts';

/** What `kubectl kustomize` makes of a folder. @throws Error with what kubectl says */
export async function renderKustomization(folder: string): Promise<readonly KubeObject[]> {
  const { kubectl } = await kubernetesPrograms();
  const { stdout } = await promisify(execFile)(kubectl, ['kustomize', folder], { maxBuffer: 64 * 1024 * 1024, timeout: 60_000 });
  return parseObjects(stdout);
}

/** What `kubectl kustomize` makes of `base` with one component on top, in the namespace `pointsman`; `deploy` is the folder of both. @throws Error with what kubectl says */
export async function renderComponent(deploy: string, name: string): Promise<readonly KubeObject[]> {
  const folder = await mkdtemp(join(await realpath(tmpdir()), 'pointsman-component-'));
  // Kustomize takes no absolute paths.
  const to = async (...path: readonly string[]): Promise<string> => relative(folder, join(await realpath(deploy), ...path));
  const kustomization = { apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization', namespace: 'pointsman', resources: [await to('base')], components: [await to('components', name)] };
  try {
    await writeFile(join(folder, 'kustomization.yaml'), stringify(kustomization));
    return await renderKustomization(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What `helm template` makes of a chart with its defaults, or with a file of values. @throws Error with what helm says */
export async function renderChart(folder: string, { namespace, valuesFile }: { readonly namespace: string; readonly valuesFile?: string }): Promise<readonly KubeObject[]> {
  const { helm } = await kubernetesPrograms();
  const { stdout } = await promisify(execFile)(helm, ['template', 'pointsman', folder, '--namespace', namespace, ...(valuesFile === undefined ? [] : ['--values', valuesFile])], { maxBuffer: 64 * 1024 * 1024, timeout: 60_000 });
  return parseObjects(stdout);
}
