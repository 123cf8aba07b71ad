import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { checkChart } from './check-chart.ts';
import { at, type KubeObject } from './kube-object.ts';
import { renderChart } from './render-kustomization.ts';

const root = join(import.meta.dirname, '..', '..', '..');
const chart = join(root, 'deploy', 'helm', 'pointsman');

test('the chart with its defaults makes the objects of the base', async () => {
  expect(await checkChart(root)).toEqual([]);
}, 300_000);

test('values decide images, replicas, settings, secrets, resources, further variables and the role; settings that change roll the pods', async () => {
  await using directory = await temporaryDirectory();
  const valuesFile = join(directory.path, 'mine.yaml');
  await writeFile(valuesFile, JSON.stringify({
    replicas: { gateway: 5 }, images: { gateway: 'ghcr.io/acme/pointsman-gateway:9.9.9' }, settings: { gateway: { LOG_LEVEL: 'debug' } }, secrets: { gateway: 'mine' },
    resources: { gateway: { limits: { memory: '4Gi' } } }, env: { gateway: [{ name: 'HOST', value: '::' }] }, serviceAccount: { annotations: { 'eks.amazonaws.com/role-arn': 'arn' } }, suspend: { routerTrainer: false },
  }));
  const before = await renderChart(chart, { namespace: 'here' });
  const after = await renderChart(chart, { namespace: 'here', valuesFile });
  const deployment = find(after, 'Deployment/pointsman-gateway')?.body;
  const container = at(deployment, 'spec', 'template', 'spec', 'containers', 0);
  expect(at(deployment, 'metadata', 'namespace')).toBe('here');
  expect(at(deployment, 'spec', 'replicas')).toBe(5);
  expect(at(container, 'image')).toBe('ghcr.io/acme/pointsman-gateway:9.9.9');
  expect(at(container, 'resources', 'limits', 'memory')).toBe('4Gi');
  expect(at(container, 'env')).toContainEqual({ name: 'HOST', value: '::' });
  expect(at(container, 'env', 1, 'valueFrom', 'secretKeyRef', 'name')).toBe('mine');
  expect(at(find(after, 'ServiceAccount/pointsman')?.body, 'metadata', 'annotations')).toEqual({ 'eks.amazonaws.com/role-arn': 'arn' });
  expect(at(find(after, 'CronJob/pointsman-router-trainer')?.body, 'spec', 'suspend')).toBe(false);
  const mapOf = (objects: readonly KubeObject[]): unknown => at(find(objects, 'Deployment/pointsman-gateway')?.body, 'spec', 'template', 'spec', 'containers', 0, 'envFrom', 1, 'configMapRef', 'name');
  expect(mapOf(after)).not.toBe(mapOf(before));
  expect(after.find(({ kind, name }) => kind === 'ConfigMap' && name === mapOf(after))?.body).toMatchObject({ data: { LOG_LEVEL: 'debug', PORT: '4000' } });
}, 300_000);

function find(objects: readonly KubeObject[], name: string): KubeObject | undefined {
  return objects.find((object) => `${object.kind}/${object.name}` === name);
}
