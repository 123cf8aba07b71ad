import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { parseObjects, type KubeObject } from './kube-object.ts';
import { kubernetesPrograms } from './kubernetes-programs.ts';

/** What `kubectl kustomize` makes of a folder. @throws Error with what kubectl says */
export async function renderKustomization(folder: string): Promise<readonly KubeObject[]> {
  const { kubectl } = await kubernetesPrograms();
  const { stdout } = await promisify(execFile)(kubectl, ['kustomize', folder], { maxBuffer: 64 * 1024 * 1024, timeout: 60_000 });
  return parseObjects(stdout);
}

/** What `helm template` makes of a chart with its defaults, or with a file of values. @throws Error with what helm says */
export async function renderChart(folder: string, { namespace, valuesFile }: { readonly namespace: string; readonly valuesFile?: string }): Promise<readonly KubeObject[]> {
  const { helm } = await kubernetesPrograms();
  const { stdout } = await promisify(execFile)(helm, ['template', 'pointsman', folder, '--namespace', namespace, ...(valuesFile === undefined ? [] : ['--values', valuesFile])], { maxBuffer: 64 * 1024 * 1024, timeout: 60_000 });
  return parseObjects(stdout);
}
