import { execFile, execFileSync } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import { request } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import { eventually, temporaryDirectory, type TemporaryDirectory } from '@pointsman/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { MASTER_KEY, startSimulatedGateway } from './simulated-gateway.ts';
import { startKubernetes, type RunningKubernetes } from './start-kubernetes.ts';

const DEPLOY = join(import.meta.dirname, '..', '..', '..', '..', 'deploy');
const NAMESPACE = 'pointsman';
const SLOW = { timeoutMs: 90_000, intervalMs: 100 };

interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec?: Readonly<Record<string, unknown>>;
}
interface Deployment extends KubeObject {
  readonly status?: { readonly availableReplicas?: number; readonly updatedReplicas?: number; readonly replicas?: number; readonly observedGeneration?: number };
}

let cluster: RunningKubernetes;
let directory: TemporaryDirectory;

beforeAll(async () => {
  directory = await temporaryDirectory();
  cluster = await startKubernetes();
}, 180_000);
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
}, 60_000);

async function kubectl(...args: readonly string[]): Promise<string> {
  const program = process.env['KUBECTL'] ?? 'kubectl';
  const { stdout } = await promisify(execFile)(program, ['--kubeconfig', cluster.kubeconfig, ...args], { maxBuffer: 64 << 20, timeout: 110_000 });
  return stdout;
}

async function render(folder: string): Promise<readonly KubeObject[]> {
  return parseAllDocuments(await kubectl('kustomize', folder)).map((document) => document.toJS() as KubeObject).filter((object) => object !== null);
}

/** Kinds of operators that are not installed: accepted as they are here; `manifests-are-true` holds them to their schemas. */
async function allowKinds(objects: readonly KubeObject[]): Promise<void> {
  const served = new Set((await kubectl('api-resources', '--no-headers')).split('\n').map((line) => line.trim().split(/\s+/)).map((columns) => `${columns.at(-3) ?? ''}/${columns.at(-1) ?? ''}`));
  const missing = new Map<string, KubeObject>();
  for (const object of objects) if (!served.has(`${object.apiVersion}/${object.kind}`)) missing.set(`${object.apiVersion}/${object.kind}`, object);
  for (const { apiVersion, kind, metadata } of missing.values()) {
    const [group = '', version = ''] = apiVersion.split('/');
    const [singular, plural] = [kind.toLowerCase(), `${kind.toLowerCase()}s`];
    const reply = await cluster.call('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
      apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name: `${plural}.${group}`, annotations: group.endsWith('k8s.io') ? { 'api-approved.kubernetes.io': 'unapproved, for a test' } : {} },
      spec: {
        group, scope: metadata.namespace === undefined ? 'Cluster' : 'Namespaced', names: { kind, singular, plural },
        versions: [{ name: version, served: true, storage: true, schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } } }],
      },
    });
    expect([201, 409], JSON.stringify(reply.body)).toContain(reply.status);
    await eventually(async () => {
      const { status } = await cluster.call('GET', `/apis/${apiVersion}/${plural}`);
      if (status !== 200) throw new Error(`${kind} is not served yet`);
    }, SLOW);
  }
}

async function deployment(namespace = NAMESPACE): Promise<Deployment> {
  const { status, body } = await cluster.call('GET', `/apis/apps/v1/namespaces/${namespace}/deployments/pointsman-gateway`);
  if (status !== 200) throw new Error(`the Deployment: ${String(status)}`);
  return body as Deployment;
}

/** Every pod is of the newest template and available. */
async function rolledOut(replicas: number, namespace = NAMESPACE): Promise<void> {
  await eventually(async () => {
    const { status, spec, ...rest } = await deployment(namespace);
    const generation = (rest.metadata as { readonly generation?: number }).generation;
    if (status?.observedGeneration !== generation || spec?.['replicas'] !== replicas || status?.updatedReplicas !== replicas || status.availableReplicas !== replicas || status.replicas !== replicas) {
      throw new Error(`not rolled out: ${JSON.stringify({ wanted: spec?.['replicas'], ...status })}`);
    }
  }, SLOW);
}

/** A kustomization over the base, with what a test adds to it. */
async function overBase(name: string, more: object): Promise<string> {
  const folder = join(directory.path, name);
  await mkdir(folder, { recursive: true });
  const base = relative(folder, join(DEPLOY, 'base'));
  await writeFile(join(folder, 'kustomization.yaml'), JSON.stringify({ apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization', namespace: NAMESPACE, resources: [base], ...more }));
  return folder;
}

async function apply(folder: string): Promise<void> {
  await allowKinds(await render(folder));
  await kubectl('apply', '--server-side', '--force-conflicts', '-k', folder);
}

async function removeNamespace(name: string): Promise<void> {
  await cluster.call('DELETE', `/api/v1/namespaces/${name}`);
  await eventually(async () => {
    const { status } = await cluster.call('GET', `/api/v1/namespaces/${name}`);
    if (status !== 404) throw new Error(`namespace ${name} is still there`);
  }, SLOW);
}

test.each(['local', 'staging', 'production'])('the overlay %s is applied to a real API server, and its gateways roll out', async (overlay) => {
  const folder = join(DEPLOY, 'overlays', overlay);
  const objects = await render(folder);
  await apply(folder);
  const gateway = objects.find(({ kind, metadata }) => kind === 'Deployment' && metadata.name === 'pointsman-gateway');
  const namespace = gateway?.metadata.namespace;
  const { spec } = await deployment(namespace);
  await rolledOut(Number(spec?.['replicas']), namespace);
  for (const made of new Set(objects.flatMap(({ kind, metadata }) => (kind === 'Namespace' ? [metadata.name] : [])))) await removeNamespace(made);
}, 300_000);

test('a changed setting rolls the gateways with never fewer than three available, and undo goes back', async () => {
  await cluster.call('POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } });
  await apply(await overBase('first', {}));
  await rolledOut(3);
  const settingsOf = async (): Promise<string> => JSON.stringify((await deployment()).spec).match(/pointsman-gateway-[a-z0-9]{10}/)?.[0] ?? '';
  const before = await settingsOf();
  expect(before).not.toBe('');
  const fewest = { value: Infinity, samples: 0 };
  let isWatching = true;
  const watching = (async () => {
    while (isWatching) {
      const { status } = await deployment();
      fewest.value = Math.min(fewest.value, status?.availableReplicas ?? 0);
      fewest.samples += 1;
    }
  })();
  await apply(await overBase('second', { configMapGenerator: [{ name: 'pointsman-gateway', behavior: 'merge', literals: ['LOG_LEVEL=debug'] }] }));
  expect(await settingsOf()).not.toBe(before);
  await rolledOut(3);
  await kubectl('rollout', 'undo', 'deployment/pointsman-gateway', '-n', NAMESPACE);
  await eventually(async () => expect(await settingsOf()).toBe(before), SLOW);
  await rolledOut(3);
  isWatching = false;
  await watching;
  expect(fewest.value).toBeGreaterThanOrEqual(3);
  expect(fewest.samples).toBeGreaterThan(5);
}, 240_000);

test('of three gateways on drained nodes one may leave, and the disruption budget refuses the others', async () => {
  await rolledOut(3);
  await eventually(async () => {
    const { body } = await cluster.call('GET', `/apis/policy/v1/namespaces/${NAMESPACE}/poddisruptionbudgets/pointsman-gateway`);
    expect((body as { readonly status?: { readonly disruptionsAllowed?: number } }).status?.disruptionsAllowed).toBe(1);
  }, SLOW);
  const { body } = await cluster.call('GET', `/api/v1/namespaces/${NAMESPACE}/pods?labelSelector=app.kubernetes.io/name%3Dpointsman-gateway`);
  const names = (body as { readonly items: readonly KubeObject[] }).items.map(({ metadata }) => metadata.name);
  expect(names).toHaveLength(3);
  // As a drain does: without a node that takes new pods, the budget stays used up until somebody has asked for all three.
  const { body: nodeList } = await cluster.call('GET', '/api/v1/nodes');
  const nodes = (nodeList as { readonly items: readonly KubeObject[] }).items.map(({ metadata }) => metadata.name);
  const cordon = async (unschedulable: boolean): Promise<void> => {
    for (const name of nodes) expect((await cluster.call('PATCH', `/api/v1/nodes/${name}`, { spec: { unschedulable } })).status).toBe(200);
  };
  await cordon(true);
  const replies = await Promise.all(names.map((name) => cluster.call('POST', `/api/v1/namespaces/${NAMESPACE}/pods/${name}/eviction`, { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace: NAMESPACE } })));
  const statuses = replies.map(({ status }) => status).toSorted();
  expect(statuses, JSON.stringify(replies.map(({ body: said }) => said))).toEqual([201, 429, 429]);
  await cordon(false);
  await rolledOut(3);
}, 120_000);

/** `active_llm_streams` of real gateways as the custom metrics API hands it to autoscalers: what they hold together, spread over the pods as a balancer spreads it. */
async function serveStreams(urls: readonly string[]): Promise<AsyncDisposable & { readonly port: number }> {
  const [key, certificate] = [join(directory.path, 'tls.key'), join(directory.path, 'tls.crt')];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', certificate, '-days', '2', '-subj', '/CN=localhost'], { stdio: 'ignore' });
  const group = 'custom.metrics.k8s.io/v1beta2';
  const server = createServer({ key: await readFile(key), cert: await readFile(certificate) }, (incoming, outgoing) => {
    const send = (body: unknown): void => void outgoing.setHeader('content-type', 'application/json').end(JSON.stringify(body));
    const path = decodeURIComponent(new URL(incoming.url ?? '/', 'https://localhost').pathname);
    if (path === `/apis/${group}`) return send({ kind: 'APIResourceList', apiVersion: 'v1', groupVersion: group, resources: [{ name: 'pods/active_llm_streams', singularName: '', namespaced: true, kind: 'MetricValueList', verbs: ['get'] }] });
    if (!path.endsWith('/pods/*/active_llm_streams')) return void outgoing.writeHead(404).end('{}');
    void (async () => {
      const pages = await Promise.all(urls.map(async (url) => (await fetch(`${url}/metrics`)).text()));
      const streams = pages.reduce((sum, page) => sum + Number(/^active_llm_streams(?:\{[^}]*\})? (\d+)/m.exec(page)?.[1] ?? 0), 0);
      const { body } = await cluster.call('GET', `/api/v1/namespaces/${NAMESPACE}/pods?labelSelector=app.kubernetes.io/name%3Dpointsman-gateway`);
      const pods = (body as { readonly items: readonly KubeObject[] }).items;
      const each = String(Math.round((streams * 1_000) / Math.max(1, pods.length)));
      send({
        kind: 'MetricValueList', apiVersion: group, metadata: {},
        items: pods.map(({ metadata: { name } }) => ({ describedObject: { kind: 'Pod', namespace: NAMESPACE, name, apiVersion: '/v1' }, metric: { name: 'active_llm_streams' }, timestamp: new Date().toISOString(), value: `${each}m` })),
      });
    })().catch(() => outgoing.writeHead(500).end('{}'));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** One stream that goes on until it is dropped. */
function openStream(url: string): { readonly began: Promise<void>; drop(): void } {
  const body = JSON.stringify({ model: 'slow', stream: true, max_tokens: 100_000, messages: [{ role: 'user', content: 'Tell me everything.' }] });
  const sent = request(`${url}/v1/chat/completions`, { method: 'POST', agent: false, headers: { authorization: `Bearer ${MASTER_KEY}`, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) } });
  const began = new Promise<void>((resolve, reject) => {
    sent.on('error', reject).on('response', (reply) => {
      if (reply.statusCode !== 200) reject(new Error(`a stream began with ${String(reply.statusCode)}`));
      reply.on('error', () => undefined).once('data', () => resolve()).resume();
    });
  });
  sent.end(body);
  return { began, drop: () => sent.destroy() };
}

test('a thousand streams on real gateways scale the Deployment from 3 past 10, and it comes back when they end', async () => {
  await using first = await startSimulatedGateway();
  await using second = await startSimulatedGateway();
  await using metrics = await serveStreams([first.url, second.url]);
  await cluster.call('POST', '/api/v1/namespaces/kube-system/services', { apiVersion: 'v1', kind: 'Service', metadata: { name: 'custom-metrics' }, spec: { type: 'ExternalName', externalName: 'localhost', ports: [{ port: metrics.port }] } });
  await cluster.call('POST', '/apis/apiregistration.k8s.io/v1/apiservices', {
    apiVersion: 'apiregistration.k8s.io/v1', kind: 'APIService', metadata: { name: 'v1beta2.custom.metrics.k8s.io' },
    spec: { group: 'custom.metrics.k8s.io', version: 'v1beta2', groupPriorityMinimum: 100, versionPriority: 100, insecureSkipTLSVerify: true, service: { name: 'custom-metrics', namespace: 'kube-system', port: metrics.port } },
  });
  const folder = await overBase('scaled', { components: [relative(join(directory.path, 'scaled'), join(DEPLOY, 'components', 'hpa'))] });
  await apply(folder);
  const replicas = async (): Promise<number> => Number((await deployment()).spec?.['replicas']);
  const streams: { readonly began: Promise<void>; drop(): void }[] = [];
  try {
    for (let n = 0; n < 1_060; n += 20) {
      const batch = Array.from({ length: 20 }, (_, m) => openStream((n + m) % 2 === 0 ? first.url : second.url));
      streams.push(...batch);
      await Promise.all(batch.map(({ began }) => began));
    }
    await eventually(async () => expect(await replicas()).toBeGreaterThanOrEqual(10), { timeoutMs: 120_000, intervalMs: 500 }).catch(async (error: unknown) => {
      const { body } = await cluster.call('GET', `/apis/autoscaling/v2/namespaces/${NAMESPACE}/horizontalpodautoscalers/pointsman-gateway`);
      throw new Error(`the autoscaler says ${JSON.stringify((body as { readonly status?: unknown }).status)}`, { cause: error });
    });
    await rolledOut(await replicas());
    // Five minutes of patience are what it ships with; the test has less.
    const { status } = await cluster.call('PATCH', `/apis/autoscaling/v2/namespaces/${NAMESPACE}/horizontalpodautoscalers/pointsman-gateway`, {
      spec: { behavior: { scaleDown: { stabilizationWindowSeconds: 1, policies: [{ type: 'Percent', value: 100, periodSeconds: 1 }] } } },
    });
    expect(status).toBe(200);
  } finally {
    for (const { drop } of streams) drop();
  }
  await eventually(async () => expect(await replicas()).toBe(3), { timeoutMs: 120_000, intervalMs: 500 });
  await rolledOut(3);
}, 480_000);
