import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parse, stringify } from 'yaml';
import { generateChart } from './generate-chart.ts';
import { at, listAt, type Json } from './kube-object.ts';
import { renderKustomization } from './render-kustomization.ts';

const CHART = 'deploy/helm/pointsman';
/** Kustomize reads nothing outside a component's own folder: what lives elsewhere is copied there. */
const COPIES: readonly (readonly [from: string, to: string])[] = [
  ['deploy/otel/collector-sidecar.yaml', 'deploy/components/otel-sidecar/collector.yaml'],
  ['deploy/otel/collector-daemonset.yaml', 'deploy/components/otel-daemonset/collector.yaml'],
];
const RULES = 'deploy/components/monitoring/prometheus-rule.yaml';

/** What the generated files under `deploy` must hold, by path relative to the checkout. */
async function generatedFiles(root: string): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>();
  for (const [from, to] of COPIES) {
    const text = await readFile(join(root, from), 'utf8').catch(() => undefined);
    if (text !== undefined) files.set(to, text);
  }
  files.set(RULES, await prometheusRule(root));
  const { version } = JSON.parse(await readFile(join(root, 'apps', 'gateway', 'package.json'), 'utf8')) as { readonly version: string };
  for (const [path, text] of generateChart(await renderKustomization(join(root, 'deploy', 'base')), version)) files.set(`${CHART}/${path}`, text);
  return files;
}

/** The rules of `alerts/` as the object that Prometheus Operator reads. */
async function prometheusRule(root: string): Promise<string> {
  const names = (await readdir(join(root, 'alerts'))).filter((name) => name.endsWith('.rules.yaml')).sort();
  const groups = await Promise.all(names.map(async (name) => listAt(parse(await readFile(join(root, 'alerts', name), 'utf8')) as Json, 'groups')));
  const rule = { apiVersion: 'monitoring.coreos.com/v1', kind: 'PrometheusRule', metadata: { name: 'pointsman' }, spec: { groups: groups.flat() } };
  return `# Written by \`node tools/check-manifests.ts --write\` out of alerts/*.rules.yaml: change those instead.\n${stringify(rule, { lineWidth: 0, aliasDuplicateObjects: false })}`;
}

/** Writes them all; files of the chart that are no longer made are removed. */
export async function writeGeneratedFiles(root: string): Promise<void> {
  const files = await generatedFiles(root);
  await rm(join(root, CHART), { recursive: true, force: true });
  for (const [path, text] of files) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
}

/** One line per generated file that is not what its source makes of it. */
export async function generatedFileProblems(root: string): Promise<readonly string[]> {
  const files = await generatedFiles(root);
  const problems: string[] = [];
  for (const [path, text] of files) {
    if (await readFile(join(root, path), 'utf8').catch(() => undefined) !== text) problems.push(`${path} is not what its source makes of it: node tools/check-manifests.ts --write`);
  }
  for (const name of await readdir(join(root, CHART, 'templates')).catch(() => [])) if (!files.has(`${CHART}/templates/${name}`)) problems.push(`${CHART}/templates/${name} has no source`);
  return problems;
}

/** The first place where two values differ, in words; undefined where they are equal. */
export function differenceBetween(left: Json, right: Json, path = ''): string | undefined {
  if (typeof left === 'object' && left !== null && typeof right === 'object' && right !== null && Array.isArray(left) === Array.isArray(right)) {
    for (const name of new Set([...Object.keys(left), ...Object.keys(right)])) {
      const step = Array.isArray(left) ? Number(name) : name;
      const found = differenceBetween(at(left, step), at(right, step), path === '' ? name : `${path}.${name}`);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  return left === right ? undefined : `${path}: ${JSON.stringify(left) ?? 'nothing'} is not ${JSON.stringify(right) ?? 'nothing'}`;
}
