import { join } from 'node:path';
import { withoutHash } from './generate-chart.ts';
import { differenceBetween } from './generated-files.ts';
import { isObject, type Json, type KubeObject } from './kube-object.ts';
import { renderChart, renderKustomization } from './render-kustomization.ts';

/** The objects of the chart with its defaults against those of `deploy/base`: nothing may differ but hashes in names. */
export async function checkChart(root: string): Promise<readonly string[]> {
  const base = byName(await renderKustomization(join(root, 'deploy', 'base')));
  const chart = byName(await renderChart(join(root, 'deploy', 'helm', 'pointsman'), { namespace: 'pointsman' }));
  const problems: string[] = [];
  for (const name of new Set([...base.keys(), ...chart.keys()])) {
    const difference = differenceBetween(comparable(chart.get(name)?.body), comparable(base.get(name)?.body));
    if (difference !== undefined) problems.push(`deploy/helm/pointsman: ${name} ${difference} of deploy/base`);
  }
  return problems;
}

function byName(objects: readonly KubeObject[]): ReadonlyMap<string, KubeObject> {
  return new Map(objects.map((object) => [`${object.kind}/${withoutHash(object.name)}`, object]));
}

/** Names of ConfigMaps without their hash, empty annotations as none: two programs compute the one and write the other differently. */
function comparable(value: Json, name?: string): Json {
  if (typeof value === 'string') return name === 'name' ? withoutHash(value) : value;
  if (Array.isArray(value)) return (value as readonly Json[]).map((entry) => comparable(entry));
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([key, entry]) => key !== 'annotations' || !isObject(entry) || Object.keys(entry).length > 0).map(([key, entry]) => [key, comparable(entry, key)]));
}
