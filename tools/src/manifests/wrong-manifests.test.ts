import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { unknownFields } from './check-fields.ts';
import { checkConsistency } from './check-consistency.ts';
import { loadClusterApps, renderSource } from './check-overlay.ts';
import type { AppSettings } from './app-settings.ts';
import { describeProblem, parseObjects, type JsonObject, type KubeObject } from './kube-object.ts';
import { validateKinds } from './validate-kinds.ts';

const root = join(import.meta.dirname, '..', '..', '..');

/** Overlays, and a component that is in none of them. */
const SOURCES = ['local', 'production', 'staging', 'components/rollouts'] as const;

/** One thing done wrong in manifests that are right. */
interface Wrong {
  readonly what: string;
  readonly overlay: (typeof SOURCES)[number];
  /** `Kind/name`; the hash behind generated names is left out. */
  readonly object: string;
  /** Path to the value, in the object. */
  readonly path: readonly (string | number)[];
  /** Undefined: the field is taken away. */
  readonly value?: unknown;
  /** What the message must say. */
  readonly says: RegExp;
}

const gateway = ['spec', 'template', 'spec', 'containers', 0];

const WRONG: readonly Wrong[] = [
  { what: 'a grace period shorter than the drain', overlay: 'production', object: 'Deployment/pointsman-gateway', path: ['spec', 'template', 'spec', 'terminationGracePeriodSeconds'], value: 30, says: /^production: Deployment\/pointsman-gateway spec\.template\.spec\.terminationGracePeriodSeconds: is 30.*35.*streams would be cut/ },
  { what: 'a longer drain than the grace period allows', overlay: 'production', object: 'ConfigMap/pointsman-gateway', path: ['data', 'SHUTDOWN_STREAM_TIMEOUT_S'], value: '60', says: /terminationGracePeriodSeconds: is 35.*68/ },
  { what: 'a probe of a path that nobody serves', overlay: 'production', object: 'Deployment/pointsman-gateway', path: [...gateway, 'readinessProbe', 'httpGet', 'path'], value: '/healthz', says: /containers\[0\]\.readinessProbe\.httpGet\.path: gateway serves no \/healthz/ },
  { what: 'a probe of another port', overlay: 'production', object: 'Deployment/pointsman-gateway', path: [...gateway, 'livenessProbe', 'httpGet', 'port'], value: 8080, says: /containers\[0\]\.livenessProbe\.httpGet\.port: is 8080.*answers on 4000/ },
  { what: 'a port that the gateway does not listen on', overlay: 'production', object: 'Deployment/pointsman-gateway', path: [...gateway, 'ports', 0, 'containerPort'], value: 8080, says: /containers\[0\]\.ports: gateway listens on 4000/ },
  { what: 'a misspelt variable', overlay: 'production', object: 'ConfigMap/pointsman-gateway', path: ['data', 'SHUTDOWN_STREAM_TIMEOUT'], value: '30', says: /Deployment\/pointsman-gateway .*containers\[0\]\.env: SHUTDOWN_STREAM_TIMEOUT \(ConfigMap\/pointsman-gateway-\w+\) is no setting of gateway/ },
  { what: 'a value that the app refuses', overlay: 'production', object: 'ConfigMap/pointsman-model-sync', path: ['data', 'MODEL_VERIFY'], value: 'always', says: /model-sync refuses this environment: .*MODEL_VERIFY: must be one of require, warn, off/ },
  { what: 'a gateway of another environment of the bucket', overlay: 'staging', object: 'ConfigMap/pointsman-gateway', path: ['data', 'S3_KEY'], value: 'prod/config.yaml', says: /Deployment\/pointsman-gateway .*different values of S3_KEY: .*prod/ },
  { what: 'a folder of the settings that nothing is mounted at', overlay: 'production', object: 'ConfigMap/pointsman-gateway', path: ['data', 'POINTSMAN_HOME'], value: '/app/state', says: /containers\[0\]\.volumeMounts: nothing is mounted at \/app\/state, the home of gateway/ },
  { what: 'a folder that is written, mounted read-only', overlay: 'production', object: 'Deployment/pointsman-gateway', path: [...gateway, 'volumeMounts', 2, 'readOnly'], value: true, says: /volumeMounts: \/app\/run, the runDir that gateway writes, cannot be written/ },
  { what: 'another user for one process of the pod', overlay: 'production', object: 'Deployment/pointsman-gateway', path: [...gateway, 'securityContext', 'runAsUser'], value: 1000, says: /runAsUser: the processes of one pod have different users/ },
  { what: 'processes that cannot see each other', overlay: 'production', object: 'Deployment/pointsman-gateway', path: ['spec', 'template', 'spec', 'shareProcessNamespace'], value: false, says: /shareProcessNamespace: must be true/ },
  { what: 'a root file system that can be written', overlay: 'production', object: 'Deployment/pointsman-gateway', path: [...gateway, 'securityContext', 'readOnlyRootFilesystem'], value: false, says: /containers\[0\]\.securityContext\.readOnlyRootFilesystem: must be true/ },
  { what: 'a folder without a bound', overlay: 'production', object: 'Deployment/pointsman-gateway', path: ['spec', 'template', 'spec', 'volumes', 0, 'emptyDir'], value: {}, says: /volumes\[0\]\.emptyDir\.sizeLimit: an unbounded folder/ },
  { what: 'an image of another name', overlay: 'production', object: 'Deployment/pointsman-gateway', path: [...gateway, 'image'], value: 'ghcr.io/pointsman/gateway:0.1.0', says: /containers\[0\]\.image: ghcr\.io\/pointsman\/gateway:0\.1\.0 is not named pointsman-<app>/ },
  { what: 'an image of an app that there is not', overlay: 'production', object: 'Deployment/pointsman-gateway', path: [...gateway, 'image'], value: 'ghcr.io/acme/pointsman-gatway:0.1.0', says: /there is no app gatway/ },
  { what: 'an image without a version', overlay: 'production', object: 'Deployment/pointsman-gateway', path: [...gateway, 'image'], value: 'localhost:5000/pointsman-gateway', says: /containers\[0\]\.image: has no version/ },
  { what: 'a ConfigMap without a hash', overlay: 'production', object: 'ConfigMap/pointsman-gateway', path: ['metadata', 'name'], value: 'pointsman-gateway', says: /ConfigMap\/pointsman-gateway metadata\.name: has no hash/ },
  { what: 'a budget that keeps every node from being drained', overlay: 'production', object: 'PodDisruptionBudget/pointsman-gateway', path: ['spec', 'minAvailable'], value: 3, says: /PodDisruptionBudget\/pointsman-gateway spec\.minAvailable: is 3 of 3/ },
  { what: 'a metric that there is not, for KEDA', overlay: 'production', object: 'ScaledObject/pointsman-gateway', path: ['spec', 'triggers', 0, 'metadata', 'query'], value: 'sum(active_streams)', says: /ScaledObject\/pointsman-gateway spec\.triggers\[0\]\.metadata\.query: no metric is called active_streams/ },
  { what: 'a metric of another namespace', overlay: 'production', object: 'ScaledObject/pointsman-gateway', path: ['spec', 'triggers', 0, 'metadata', 'query'], value: 'sum(active_llm_streams{namespace="elsewhere"})', says: /asks for the namespace elsewhere/ },
  { what: 'a metric that there is not, for the autoscaler', overlay: 'staging', object: 'HorizontalPodAutoscaler/pointsman-gateway', path: ['spec', 'metrics', 0, 'pods', 'metric', 'name'], value: 'active_streams', says: /HorizontalPodAutoscaler\/pointsman-gateway spec\.metrics\[0\]: no metric is called active_streams/ },
  { what: 'a number of replicas beside an autoscaler', overlay: 'production', object: 'Deployment/pointsman-gateway', path: ['spec', 'replicas'], value: 3, says: /Deployment\/pointsman-gateway spec\.replicas: is an autoscaler's business/ },
  { what: 'an autoscaler of something that there is not', overlay: 'staging', object: 'HorizontalPodAutoscaler/pointsman-gateway', path: ['spec', 'scaleTargetRef', 'name'], value: 'gateway', says: /there is no Deployment gateway/ },
  { what: 'a rollout that may take gateways away', overlay: 'local', object: 'Deployment/pointsman-gateway', path: ['spec', 'strategy', 'rollingUpdate', 'maxUnavailable'], value: 1, says: /maxUnavailable: must be 0/ },
  { what: 'an Ingress that gathers streams', overlay: 'production', object: 'Ingress/pointsman-gateway', path: ['metadata', 'annotations', 'nginx.ingress.kubernetes.io/proxy-buffering'], value: 'on', says: /Ingress\/pointsman-gateway metadata\.annotations: proxy-buffering must be off/ },
  { what: 'a host without a certificate', overlay: 'production', object: 'Certificate/pointsman-gateway', path: ['spec', 'dnsNames'], value: ['other.example.com'], says: /Certificate\/pointsman-gateway spec\.dnsNames: gateway\.example\.com of the Ingress is not in it/ },
  { what: 'a Service of no pods', overlay: 'local', object: 'Service/pointsman-gateway', path: ['spec', 'selector'], value: { app: 'gateway' }, says: /Service\/pointsman-gateway spec\.selector: selects no pods/ },
  { what: 'a scrape of a port that there is not', overlay: 'production', object: 'PodMonitor/pointsman-gateway', path: ['spec', 'podMetricsEndpoints', 0, 'port'], value: 'metrics', says: /PodMonitor\/pointsman-gateway spec\.ports: no container has the port metrics/ },
  { what: 'text where Kubernetes wants a number', overlay: 'local', object: 'Deployment/pointsman-gateway', path: ['spec', 'replicas'], value: 'three', says: /Deployment\/pointsman-gateway: .*replicas must be integer/ },
  { what: 'a field that CloudNativePG does not have', overlay: 'staging', object: 'Cluster/pointsman-postgres', path: ['spec', 'instance'], value: 3, says: /Cluster\/pointsman-postgres spec\.instance: is no field/ },
  { what: 'a Rollout of something that there is not', overlay: 'components/rollouts', object: 'Rollout/pointsman-gateway', path: ['spec', 'workloadRef', 'name'], value: 'gateway', says: /^components\/rollouts: Rollout\/pointsman-gateway spec: there is no Deployment gateway/ },
  { what: 'a Rollout of other pods than its workload\'s', overlay: 'components/rollouts', object: 'Rollout/pointsman-gateway', path: ['spec', 'selector', 'matchLabels'], value: { app: 'gateway' }, says: /Rollout\/pointsman-gateway spec\.selector: does not select the pods of its workload/ },
  { what: 'a Rollout that nobody watches', overlay: 'components/rollouts', object: 'Rollout/pointsman-gateway', path: ['spec', 'strategy', 'canary', 'analysis', 'templates', 0, 'templateName'], value: 'errors', says: /spec\.strategy\.canary\.analysis\.templates: there is no AnalysisTemplate errors/ },
  { what: 'a metric that there is not, for an analysis', overlay: 'components/rollouts', object: 'AnalysisTemplate/pointsman-gateway', path: ['spec', 'metrics', 0, 'provider', 'prometheus', 'query'], value: 'gateway_errors_total', says: /AnalysisTemplate\/pointsman-gateway spec\.metrics\[0\]\.provider\.prometheus\.query: no metric is called gateway_errors_total/ },
  { what: 'a trigger without a type', overlay: 'production', object: 'ScaledObject/pointsman-gateway', path: ['spec', 'triggers', 0, 'type'], says: /ScaledObject\/pointsman-gateway: .*type/ },
];

const rendered = new Map<string, readonly KubeObject[]>();
let apps: ReadonlyMap<string, AppSettings> = new Map();

beforeAll(async () => {
  apps = await loadClusterApps(root);
  for (const source of SOURCES) rendered.set(source, await renderSource(root, source.includes('/') ? source : `overlays/${source}`));
}, 300_000);

test.each(WRONG)('$what is refused, and the message says where', async ({ overlay, object, path, value, says }) => {
  const objects = (rendered.get(overlay) ?? []).map((found) => (`${found.kind}/${found.name.replace(/-[0-9a-z]{10}$/, '')}` === object ? changed(found, path, value) : found));
  const problems = [...await validateKinds(overlay, objects), ...checkConsistency({ source: overlay, objects, apps })].map(describeProblem);
  expect(problems).toContainEqual(expect.stringMatching(says));
});

test('what is shipped is refused by none of these checks', async () => {
  for (const [overlay, objects] of rendered) expect([...await validateKinds(overlay, objects), ...checkConsistency({ source: overlay, objects, apps })].map(describeProblem)).toEqual([]);
  expect(unknownFields(root, rendered)).toEqual([]);
}, 60_000);

test.each([
  ['production', 'Deployment/pointsman-gateway', ['spec', 'template', 'spec', 'terminationGracePeriod'], /Deployment\/pointsman-gateway spec\.template\.spec\.terminationGracePeriod: is no field of this kind/],
  ['production', 'ScaledObject/pointsman-gateway', ['spec', 'minReplicas'], /ScaledObject\/pointsman-gateway spec\.minReplicas: is no field of this kind/],
  ['staging', 'HorizontalPodAutoscaler/pointsman-gateway', ['spec', 'behavior', 'scaleDown', 'stabilisationWindowSeconds'], /spec\.behavior\.scaleDown\.stabilisationWindowSeconds: is no field/],
  ['production', 'ExternalSecret/pointsman-secrets', ['spec', 'target', 'deletePolicy'], /ExternalSecret\/pointsman-secrets spec\.target\.deletePolicy: is no field/],
  ['components/rollouts', 'Rollout/pointsman-gateway', ['spec', 'strategy', 'canary', 'maxUnavailible'], /Rollout\/pointsman-gateway spec\.strategy\.canary\.maxUnavailible: is no field/],
] as const)('in %s, a field that %s does not have is refused: it would have no effect', (overlay, object, path, says) => {
  const objects = (rendered.get(overlay) ?? []).filter(({ kind, name }) => `${kind}/${name}` === object).map((found) => changed(found, path, 3));
  expect(unknownFields(root, new Map([[overlay, objects]])).map(describeProblem)).toEqual([expect.stringMatching(says)]);
});

function changed(object: KubeObject, path: readonly (string | number)[], value: unknown): KubeObject {
  const body = structuredClone(object.body) as Record<string | number, unknown>;
  let here = body;
  for (const step of path.slice(0, -1)) here = here[step] as Record<string | number, unknown>;
  const last = path.at(-1) ?? '';
  if (value === undefined) delete here[last];
  else here[last] = value;
  const [again] = parseObjects(stringify(body));
  if (again === undefined) throw new Error('nothing is left');
  return { ...again, body: parse(stringify(body)) as JsonObject };
}
