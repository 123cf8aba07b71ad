import { metric } from '@pointsman/telemetry';
import { isRuntimeVariable, type AppSettings, type Environment } from './app-settings.ts';
import { environmentOf } from './container-environment.ts';
import { appOfImage, at, containersOf, isObject, listAt, podTemplates, textOf, type Container, type Json, type KubeObject, type ManifestProblem, type PodTemplate } from './kube-object.ts';

export interface ConsistencyInput {
  readonly source: string;
  readonly objects: readonly KubeObject[];
  readonly apps: ReadonlyMap<string, AppSettings>;
}

/** Folders that an app writes, by the name of its setting; everything else under /app it only reads. */
const WRITTEN: Readonly<Record<string, readonly string[]>> = {
  gateway: ['runDir', 'home'], 'config-sync': ['configDir'], 'model-sync': ['modelsDir'], 'trace-exporter': ['spoolDir'], 'audit-exporter': [], 'router-trainer': ['outDirectory'],
};
/** What a value is taken to be that only the cluster knows. */
const STAND_INS: Environment = {
  POD_NAME: 'pointsman-gateway-0', LITELLM_MASTER_KEY: 'sk-0123456789abcdef0123', DATABASE_URL: 'postgresql://user:password@host:5432/pointsman', REDIS_URL: 'redis://host:6379', MODEL_SIGNING_KEY: 'key',
};
/** After the streams have ended: rows are written, telemetry is flushed. */
const CLEAN_UP_S = 5;
const NODE_IMAGE_USER = 65532;

/**
 * Holds manifests to each other and to the code that they start: ports, probes, variables and their values, volumes, users, grace periods, budgets, metrics, hashes.
 */
export function checkConsistency({ source, objects, apps }: ConsistencyInput): readonly ManifestProblem[] {
  const problems: ManifestProblem[] = [];
  const say = (object: KubeObject, field: string, problem: string): void => void problems.push({ source, object: `${object.kind}/${object.name}`, field, problem });
  for (const pod of podTemplates(objects)) {
    checkPod(pod, objects, say);
    for (const container of containersOf(pod)) {
      checkContainer(container, say);
      const app = appOfImage(container.image);
      const known = app === undefined ? undefined : apps.get(app);
      if (app === undefined && /pointsman|^ghcr\.io\/[^/]+\/gateway/.test(container.image)) say(pod.object, `${container.path}.image`, `${container.image} is not named pointsman-<app>`);
      else if (app !== undefined && known === undefined) say(pod.object, `${container.path}.image`, `there is no app ${app}`);
      else if (app !== undefined && known !== undefined) checkApp({ app, known, container, objects, say });
    }
  }
  checkSameKey(objects, say);
  for (const object of objects) {
    checkReferences(object, objects, say);
    checkScaling(object, objects, say);
    checkQueries(object, say);
  }
  return problems;
}

type Say = (object: KubeObject, field: string, problem: string) => void;

function checkPod({ object, path, spec, labels }: PodTemplate, objects: readonly KubeObject[], say: Say): void {
  const users = new Set(containersOf({ object, path, spec, labels }).filter(({ image }) => appOfImage(image) !== undefined).map(({ body }) => at(body, 'securityContext', 'runAsUser') ?? at(spec, 'securityContext', 'runAsUser')));
  if (users.size > 1) say(object, `${path}.securityContext.runAsUser`, 'the processes of one pod have different users: they cannot signal each other');
  for (const user of users) if (user !== NODE_IMAGE_USER) say(object, `${path}.securityContext.runAsUser`, `is ${String(user)}, the images are made for ${NODE_IMAGE_USER}`);
  if (users.size > 0 && object.kind === 'Deployment' && spec['shareProcessNamespace'] !== true) say(object, `${path}.shareProcessNamespace`, 'must be true: config-sync and model-sync signal the gateway');
  if (at(spec, 'securityContext', 'runAsNonRoot') !== true) say(object, `${path}.securityContext.runAsNonRoot`, 'must be true');
  if (at(spec, 'securityContext', 'seccompProfile', 'type') !== 'RuntimeDefault') say(object, `${path}.securityContext.seccompProfile`, 'must be RuntimeDefault');
  if (spec['automountServiceAccountToken'] !== false) say(object, `${path}.automountServiceAccountToken`, 'must be false: nothing here talks to the API server');
  const volumes = listAt(spec, 'volumes');
  volumes.forEach((volume, index) => {
    if (at(volume, 'emptyDir') !== undefined && at(volume, 'emptyDir', 'sizeLimit') === undefined) say(object, `${path}.volumes[${index}].emptyDir.sizeLimit`, 'an unbounded folder fills the disk of the node');
  });
  if (!objects.some((other) => other.kind === 'NetworkPolicy' && selects(other, labels) && !isEmptySelector(other))) say(object, `${path}`, 'no NetworkPolicy names these pods: under the default deny they reach nothing');
}

function isEmptySelector({ body }: KubeObject): boolean {
  const selector = at(body, 'spec', 'podSelector');
  return isObject(selector) && Object.keys(selector).length === 0;
}

function selects({ body }: KubeObject, labels: Json): boolean {
  const wanted = at(body, 'spec', 'podSelector', 'matchLabels');
  const all = !isObject(wanted) || Object.entries(wanted).every(([name, value]) => at(labels, name) === value);
  return all && listAt(body, 'spec', 'podSelector', 'matchExpressions').every((expression) => listAt(expression, 'values').includes(at(labels, textOf(at(expression, 'key')) ?? '')));
}

function checkContainer({ pod, path, body }: Container, say: Say): void {
  const { object, spec } = pod;
  if (at(body, 'securityContext', 'readOnlyRootFilesystem') !== true) say(object, `${path}.securityContext.readOnlyRootFilesystem`, 'must be true');
  if (at(body, 'securityContext', 'allowPrivilegeEscalation') !== false) say(object, `${path}.securityContext.allowPrivilegeEscalation`, 'must be false');
  if (!listAt(body, 'securityContext', 'capabilities', 'drop').includes('ALL')) say(object, `${path}.securityContext.capabilities.drop`, 'must drop ALL');
  if (at(body, 'resources', 'requests', 'cpu') === undefined || at(body, 'resources', 'requests', 'memory') === undefined || at(body, 'resources', 'limits', 'memory') === undefined) say(object, `${path}.resources`, 'must ask for cpu and memory and bound its memory');
  if (/:latest$|^[^:@]+$/.test(textOf(body['image'])?.replace(/^[^/]*:\d+\//, '') ?? '')) say(object, `${path}.image`, 'has no version');
  const names = new Set([...listAt(spec, 'volumes'), ...listAt(pod.object.body, 'spec', 'volumeClaimTemplates').map((claim) => at(claim, 'metadata'))].map((volume) => at(volume, 'name')));
  listAt(body, 'volumeMounts').forEach((mount, index) => {
    if (!names.has(at(mount, 'name'))) say(object, `${path}.volumeMounts[${index}]`, `there is no volume ${String(at(mount, 'name'))}`);
  });
}

interface AppCheck {
  readonly app: string;
  readonly known: AppSettings;
  readonly container: Container;
  readonly objects: readonly KubeObject[];
  readonly say: Say;
}

function checkApp({ app, known, container, objects, say }: AppCheck): void {
  const { pod: { object, spec, path: podPath }, path, body } = container;
  const { variables, missing } = environmentOf(container, objects);
  for (const map of missing) say(object, `${path}.envFrom`, `there is no ConfigMap ${map}`);
  for (const { name, from, open } of variables) if (!open && !known.variables.has(name) && !isRuntimeVariable(name)) say(object, `${path}.env`, `${name} (${from}) is no setting of ${app}`);
  let settings: Readonly<Record<string, unknown>>;
  try {
    settings = known.read(Object.fromEntries(variables.filter(({ open }) => !open).map(({ name, value }) => [name, value ?? STAND_INS[name]])));
  } catch (error) {
    say(object, `${path}.env`, `${app} refuses this environment: ${error instanceof Error ? error.message.replaceAll('\n', ' ') : String(error)}`);
    return;
  }
  const once = listAt(body, 'args').includes('--once') || object.kind === 'CronJob';
  const port = app === 'gateway' ? settings['port'] : settings['healthPort'];
  const ports = listAt(body, 'ports');
  if (!once && typeof port === 'number' && !ports.some((entry) => at(entry, 'containerPort') === port)) say(object, `${path}.ports`, `${app} listens on ${port}, which is not named`);
  for (const kind of ['startupProbe', 'readinessProbe', 'livenessProbe']) {
    const probe = at(body, kind, 'httpGet');
    if (probe === undefined) continue;
    const target = at(probe, 'port');
    const number = typeof target === 'number' ? target : at(ports.find((entry) => at(entry, 'name') === target), 'containerPort');
    if (number !== port) say(object, `${path}.${kind}.httpGet.port`, `is ${String(target)} (${String(number)}), ${app} answers on ${String(port)}`);
    const served = textOf(at(probe, 'path')) ?? '';
    if (!known.serves(served)) say(object, `${path}.${kind}.httpGet.path`, `${app} serves no ${served}`);
  }
  if (app === 'gateway') {
    for (const kind of ['startupProbe', 'readinessProbe', 'livenessProbe']) if (at(body, kind) === undefined) say(object, `${path}.${kind}`, 'is missing');
    const grace = at(spec, 'terminationGracePeriodSeconds');
    const sleep = at(body, 'lifecycle', 'preStop', 'sleep', 'seconds');
    const drain = typeof settings['drainLimitMs'] === 'number' ? settings['drainLimitMs'] / 1000 : 0;
    const needed = drain + (typeof sleep === 'number' ? sleep : 0) + CLEAN_UP_S;
    if (typeof grace !== 'number' || grace < needed) say(object, `${podPath}.terminationGracePeriodSeconds`, `is ${String(grace ?? 30)}, shorter than preStop and SHUTDOWN_STREAM_TIMEOUT_S and ${CLEAN_UP_S} s together (${needed}): streams would be cut`);
    if (isPodOfLocalState(settings['database'])) say(object, `${path}.env`, 'has no DATABASE_URL: each replica would keep keys of its own');
  }
  checkFolders({ app, settings, container, say });
}

/** Whoever brings the configuration and whoever serves it must mean the same environment of the bucket. */
function checkSameKey(objects: readonly KubeObject[], say: Say): void {
  for (const pod of podTemplates(objects)) {
    const keys = containersOf(pod).flatMap((container) => environmentOf(container, objects).variables.filter(({ name }) => name === 'S3_KEY').map(({ value }) => value));
    if (new Set(keys).size > 1) say(pod.object, pod.path, `its containers have different values of S3_KEY: ${[...new Set(keys)].join(', ')}`);
  }
}

function isPodOfLocalState(database: unknown): boolean {
  return typeof database === 'object' && database !== null && 'kind' in database && database.kind !== 'postgres';
}

function checkFolders({ app, settings, container: { pod: { object, spec }, path, body }, say }: Pick<AppCheck, 'app' | 'container' | 'say'> & { readonly settings: Readonly<Record<string, unknown>> }): void {
  const mounts = listAt(body, 'volumeMounts').map((mount) => ({ path: textOf(at(mount, 'mountPath')) ?? '', readOnly: at(mount, 'readOnly') === true, volume: listAt(spec, 'volumes').find((volume) => at(volume, 'name') === at(mount, 'name')) }));
  for (const [name, folder] of foldersIn(settings)) {
    const mount = mounts.filter((entry) => folder === entry.path || folder.startsWith(`${entry.path}/`)).sort((a, b) => b.path.length - a.path.length)[0];
    if (mount === undefined) say(object, `${path}.volumeMounts`, `nothing is mounted at ${folder}, the ${name} of ${app}`);
    else if ((WRITTEN[app] ?? []).includes(name) && (mount.readOnly || at(mount.volume, 'emptyDir') === undefined && at(mount.volume, 'persistentVolumeClaim') === undefined)) say(object, `${path}.volumeMounts`, `${folder}, the ${name} that ${app} writes, cannot be written`);
  }
}

/** Settings that are absolute paths under /app, one level of nesting deep, lists too. */
function foldersIn(settings: Readonly<Record<string, unknown>>): readonly (readonly [string, string])[] {
  return Object.entries(settings).flatMap(([name, value]): readonly (readonly [string, string])[] => {
    if (['telemetry', 'env', 'database'].includes(name)) return [];
    if (typeof value === 'string') return value.startsWith('/app/') ? [[name, value]] : [];
    if (Array.isArray(value)) return value.filter((entry): entry is string => typeof entry === 'string' && entry.startsWith('/app/')).map((entry) => [name, entry] as const);
    return typeof value === 'object' && value !== null ? Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string' && entry[1].startsWith('/app/')) : [];
  });
}

function checkReferences(object: KubeObject, objects: readonly KubeObject[], say: Say): void {
  const { body } = object;
  if (object.kind === 'ConfigMap' && !/-[0-9a-z]{10}$/.test(object.name)) say(object, 'metadata.name', 'has no hash of its content: a change would roll nothing (make it with configMapGenerator)');
  if (object.kind === 'Service' || object.kind === 'PodMonitor') {
    const wanted = object.kind === 'Service' ? at(body, 'spec', 'selector') : at(body, 'spec', 'selector', 'matchLabels');
    const pods = podTemplates(objects).filter(({ labels }) => isObject(wanted) && Object.entries(wanted).every(([name, value]) => labels[name] === value));
    if (pods.length === 0) say(object, 'spec.selector', 'selects no pods');
    else {
      const names = new Set(pods.flatMap((pod) => containersOf(pod)).flatMap(({ body: container }) => listAt(container, 'ports')).flatMap((port) => [at(port, 'name'), at(port, 'containerPort')]));
      const asked = object.kind === 'Service' ? listAt(body, 'spec', 'ports').map((port) => at(port, 'targetPort') ?? at(port, 'port')) : listAt(body, 'spec', 'podMetricsEndpoints').map((endpoint) => at(endpoint, 'port'));
      for (const port of asked) if (!names.has(port)) say(object, 'spec.ports', `no container has the port ${String(port)}`);
    }
  }
  if (object.kind === 'Ingress') {
    for (const rule of listAt(body, 'spec', 'rules')) {
      for (const path of listAt(rule, 'http', 'paths')) {
        const name = at(path, 'backend', 'service', 'name');
        const service = objects.find((other) => other.kind === 'Service' && other.name === name);
        const port = at(path, 'backend', 'service', 'port', 'name');
        if (service === undefined || !listAt(service.body, 'spec', 'ports').some((entry) => at(entry, 'name') === port)) say(object, 'spec.rules', `there is no Service ${String(name)} with a port ${String(port)}`);
      }
      const host = at(rule, 'host');
      if (!listAt(body, 'spec', 'tls').some((entry) => listAt(entry, 'hosts').includes(host))) say(object, 'spec.tls', `${String(host)} has no certificate`);
    }
    const annotation = (name: string): Json => at(body, 'metadata', 'annotations', `nginx.ingress.kubernetes.io/${name}`);
    if (annotation('proxy-buffering') !== 'off') say(object, 'metadata.annotations', 'proxy-buffering must be off: streams would be gathered');
    if (Number(annotation('proxy-read-timeout') ?? 0) < 600) say(object, 'metadata.annotations', 'proxy-read-timeout must be at least 600: long silences would end streams');
    if (annotation('force-ssl-redirect') !== 'true') say(object, 'metadata.annotations', 'force-ssl-redirect must be true');
  }
  if (object.kind === 'Certificate') {
    const hosts = objects.filter(({ kind }) => kind === 'Ingress').flatMap((ingress) => listAt(ingress.body, 'spec', 'tls').flatMap((entry) => (at(entry, 'secretName') === at(body, 'spec', 'secretName') ? listAt(entry, 'hosts') : [])));
    for (const host of hosts) if (!listAt(body, 'spec', 'dnsNames').includes(host)) say(object, 'spec.dnsNames', `${String(host)} of the Ingress is not in it`);
  }
}

function checkScaling(object: KubeObject, objects: readonly KubeObject[], say: Say): void {
  const { kind, body } = object;
  if (kind === 'Deployment' && containersOf(podTemplates([object])[0] as PodTemplate).some(({ image }) => appOfImage(image) === 'gateway')) {
    if (at(body, 'spec', 'strategy', 'rollingUpdate', 'maxUnavailable') !== 0) say(object, 'spec.strategy.rollingUpdate.maxUnavailable', 'must be 0');
    const scaled = objects.some((other) => ['HorizontalPodAutoscaler', 'ScaledObject'].includes(other.kind) && at(other.body, 'spec', 'scaleTargetRef', 'name') === object.name);
    if (scaled && at(body, 'spec', 'replicas') !== undefined) say(object, 'spec.replicas', 'is an autoscaler\'s business: each apply would set it back');
  }
  if (kind === 'PodDisruptionBudget') {
    const minimum = at(body, 'spec', 'minAvailable');
    const wanted = at(body, 'spec', 'selector', 'matchLabels');
    const owner = podTemplates(objects).find(({ labels }) => isObject(wanted) && Object.entries(wanted).every(([name, value]) => labels[name] === value))?.object;
    if (owner === undefined) say(object, 'spec.selector', 'selects no pods');
    else {
      const scaler = objects.find((other) => at(other.body, 'spec', 'scaleTargetRef', 'name') === owner.name);
      const replicas = at(owner.body, 'spec', 'replicas') ?? at(scaler?.body, 'spec', 'minReplicas') ?? at(scaler?.body, 'spec', 'minReplicaCount') ?? 1;
      if (typeof minimum === 'number' && typeof replicas === 'number' && minimum >= replicas) say(object, 'spec.minAvailable', `is ${minimum} of ${replicas}: no node could ever be drained`);
    }
  }
  if (kind === 'Rollout') {
    const wanted = at(body, 'spec', 'selector', 'matchLabels');
    const pods = podTemplates(objects).filter((pod) => pod.object.kind === at(body, 'spec', 'workloadRef', 'kind') && pod.object.name === at(body, 'spec', 'workloadRef', 'name'));
    for (const { labels } of pods) if (isObject(wanted) && !Object.entries(wanted).every(([name, value]) => labels[name] === value)) say(object, 'spec.selector', 'does not select the pods of its workload');
    for (const [path, analysis] of [['spec.strategy.canary.analysis', at(body, 'spec', 'strategy', 'canary', 'analysis')], ...listAt(body, 'spec', 'strategy', 'canary', 'steps').map((step, index) => [`spec.strategy.canary.steps[${index}].analysis`, at(step, 'analysis')] as const)] as const) {
      for (const template of listAt(analysis, 'templates')) {
        const name = at(template, 'templateName');
        if (!objects.some((other) => ['AnalysisTemplate', 'ClusterAnalysisTemplate'].includes(other.kind) && other.name === name)) say(object, `${path}.templates`, `there is no AnalysisTemplate ${String(name)}`);
      }
    }
  }
  const target = at(body, 'spec', 'scaleTargetRef') ?? at(body, 'spec', 'workloadRef');
  if (target !== undefined && !objects.some((other) => other.kind === at(target, 'kind') && other.name === at(target, 'name'))) say(object, 'spec', `there is no ${String(at(target, 'kind'))} ${String(at(target, 'name'))}`);
}

const OUR_METRIC = /\b(?:active_\w+|gateway_\w+|router_\w+|sync_\w+|model_sync_\w+|audit_\w+|trace_\w+|circuit_\w+|telemetry_\w+)\b/g;

/** Names that a scrape of ours has: histograms also as their three series. */
export function metricNames(): ReadonlySet<string> {
  const names = new Set<string>();
  for (const definition of Object.values(metric)) {
    if (typeof definition !== 'object' || !('name' in definition) || !('kind' in definition)) continue;
    const { name, kind } = definition as { readonly name: string; readonly kind: string };
    for (const suffix of kind === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']) names.add(`${name}${suffix}`);
  }
  return names;
}

function checkQueries(object: KubeObject, say: Say): void {
  const known = metricNames();
  const asked: (readonly [string, string])[] = [];
  const visit = (value: Json, path: string): void => {
    if (Array.isArray(value)) (value as readonly Json[]).forEach((entry, index) => visit(entry, `${path}[${index}]`));
    else if (isObject(value)) for (const [name, entry] of Object.entries(value)) {
      const here = path === '' ? name : `${path}.${name}`;
      if ((name === 'query' || name === 'expr') && typeof entry === 'string') asked.push([here, entry]);
      else visit(entry, here);
    }
  };
  const recorded = new Set<string>();
  if (['ScaledObject', 'AnalysisTemplate', 'PrometheusRule'].includes(object.kind)) {
    for (const group of listAt(object.body, 'spec', 'groups')) for (const rule of listAt(group, 'rules')) recorded.add(textOf(at(rule, 'record')) ?? '');
    visit(at(object.body, 'spec'), 'spec');
  }
  for (const [field, query] of asked) {
    const bare = query.replaceAll(/\{[^}]*\}|"[^"]*"|\b(?:by|on|ignoring|without|group_left|group_right)\s*\([^)]*\)/g, ' ').replaceAll(/[\w:]*:[\w:]*/g, (name) => (recorded.has(name) || name.startsWith(':') ? ' ' : name));
    for (const name of bare.match(OUR_METRIC) ?? []) if (!known.has(name)) say(object, field, `no metric is called ${name}`);
    const namespace = /namespace="([^"]+)"/g;
    if (object.kind !== 'PrometheusRule') for (const [, named] of query.matchAll(namespace)) if (object.namespace !== undefined && named !== object.namespace) say(object, field, `asks for the namespace ${named ?? ''}, the object is in ${object.namespace}`);
  }
  if (object.kind === 'HorizontalPodAutoscaler') listAt(object.body, 'spec', 'metrics').forEach((entry, index) => {
    const name = textOf(at(entry, 'pods', 'metric', 'name') ?? at(entry, 'external', 'metric', 'name'));
    if (name !== undefined && !known.has(name)) say(object, `spec.metrics[${index}]`, `no metric is called ${name}`);
  });
}
