import { stringify } from 'yaml';
import { appOfImage, isObject, textOf, type Json, type JsonObject, type KubeObject } from './kube-object.ts';

const HEADER = '# Written by `node tools/check-manifests.ts --write` out of deploy/base: change that instead.\n';
const PLACE = /@@\d+@@/;
const PLACES = /["']?@@(\d+)@@["']?/g;
const HASH = /-[0-9a-z]{10}$/;

/** A name without the hash that kustomize puts behind the names of generated objects. */
export function withoutHash(name: string): string {
  return name.replace(HASH, '');
}

/** Values that installations differ in: collected while the templates are made, so that none is offered that nothing reads. */
interface Values {
  readonly replicas: { gateway?: Json };
  readonly images: Record<string, Json>;
  readonly settings: Record<string, Json>;
  readonly resources: Record<string, Json>;
  readonly schedules: Record<string, Json>;
  readonly suspend: Record<string, Json>;
  readonly secrets: Record<string, Json>;
  readonly env: Record<string, Json>;
  readonly serviceAccount: { readonly annotations: JsonObject };
}

/** Names of Secrets by what a value calls them. */
const SECRETS: Readonly<Record<string, string>> = { 'pointsman-secrets': 'gateway', 'pointsman-provider-keys': 'providerKeys', 'pointsman-store-credentials': 'storeCredentials', 'pointsman-model-signing': 'modelSigning' };

/**
 * The Helm chart of the objects of `deploy/base`: each object a template in which images, replicas, settings, resources, schedules, names of Secrets, further variables
 * and the annotations of the ServiceAccount are values. Rendered with its defaults it makes the same objects again. File paths are relative to the chart.
 */
export function generateChart(objects: readonly KubeObject[], version: string): ReadonlyMap<string, string> {
  const values: Values = { replicas: {}, images: {}, settings: {}, resources: {}, schedules: {}, suspend: {}, secrets: {}, env: {}, serviceAccount: { annotations: {} } };
  const files = new Map<string, string>();
  for (const object of objects) {
    const expressions: string[] = [];
    // Text that no manifest has; after YAML is written, each is replaced by its expression.
    const put = (expression: string): string => `@@${expressions.push(expression) - 1}@@`;
    const templated = template(object, object.body, { values, put, path: [] });
    let text = stringify(templated, { lineWidth: 0, aliasDuplicateObjects: false });
    // An expression may hold others.
    while (PLACE.test(text)) text = text.replaceAll(PLACES, (_match, index: string) => expressions[Number(index)] ?? '');
    files.set(`templates/${withoutHash(object.name)}-${object.kind.toLowerCase()}.yaml`, `${HEADER}${text}`);
  }
  files.set('Chart.yaml', `${HEADER}${stringify({ apiVersion: 'v2', name: 'pointsman', description: 'The Kubernetes-native LLM gateway that learns which model each request deserves.', type: 'application', version, appVersion: version, kubeVersion: '>=1.33.0-0' })}`);
  files.set('values.yaml', `${HEADER}# Your own values go into a file of yours: helm install pointsman deploy/helm/pointsman --values mine.yaml\n${stringify(values, { lineWidth: 0 })}`);
  files.set('.helmignore', '*.swp\n');
  return files;
}

interface Context {
  readonly values: Values;
  readonly put: (expression: string) => string;
  readonly path: readonly (string | number)[];
}

function template(object: KubeObject, value: Json, context: Context): Json {
  const { values, put, path } = context;
  const last = path.at(-1);
  const deeper = (entry: Json, step: string | number): Json => template(object, entry, { ...context, path: [...path, step] });
  if (path.length === 2 && path[0] === 'metadata' && last === 'namespace') return put('{{ .Release.Namespace }}');
  if (object.kind === 'ConfigMap') {
    const key = camelCase(withoutHash(object.name).replace(/^pointsman-/, ''));
    if (path.length === 1 && last === 'data') {
      values.settings[key] = value;
      return put(`{{ toJson .Values.settings.${key} }}`);
    }
    if (path.join('.') === 'metadata.name') return put(hashedName(object.name));
  }
  if (object.kind === 'Deployment' && path.join('.') === 'spec.replicas') {
    values.replicas.gateway = value;
    return put('{{ .Values.replicas.gateway }}');
  }
  if (object.kind === 'CronJob' && path.length === 2 && (last === 'schedule' || last === 'suspend')) {
    const key = camelCase(object.name.replace(/^pointsman-/, ''));
    values[last === 'schedule' ? 'schedules' : 'suspend'][key] = value;
    return put(last === 'schedule' ? `{{ toJson .Values.schedules.${key} }}` : `{{ .Values.suspend.${key} }}`);
  }
  if (last === 'image' && typeof value === 'string') {
    const key = camelCase(appOfImage(value) ?? '');
    values.images[key] = value;
    return put(`{{ toJson .Values.images.${key} }}`);
  }
  if (last === 'name' && typeof value === 'string') {
    const parent = path.at(-2);
    if (parent === 'configMapRef' && HASH.test(value)) return put(hashedName(value));
    const secret = parent === 'secretRef' || parent === 'secretKeyRef' ? SECRETS[value] : undefined;
    if (secret !== undefined) {
      values.secrets[secret] = value;
      return put(`{{ toJson .Values.secrets.${secret} }}`);
    }
  }
  if (Array.isArray(value)) return (value as readonly Json[]).map(deeper);
  if (!isObject(value)) return value;
  const app = camelCase(appOfImage(textOf(value['image']) ?? '') ?? '');
  const copy = Object.fromEntries(Object.entries(value).map(([name, entry]): [string, Json] => {
    if (app !== '' && name === 'resources') {
      values.resources[app] = entry;
      return [name, put(`{{ toJson .Values.resources.${app} }}`)];
    }
    if (app !== '' && name === 'env' && Array.isArray(entry)) {
      values.env[app] = [];
      const items = entry.map((item) => JSON.stringify(template(object, item, { ...context, path: [...path, 'env', 0] })));
      const own = put(`[${items.join(', ').replaceAll(/"@@(\d+)@@"/g, '@@$1@@')}{{ range .Values.env.${app} }}, {{ toJson . }}{{ end }}]`);
      return [name, own];
    }
    return [name, deeper(entry, name)];
  }));
  if (object.kind === 'ServiceAccount' && path.length === 1 && last === 'metadata') return { ...copy, annotations: put('{{ toJson .Values.serviceAccount.annotations }}') };
  return copy;
}

/** A ConfigMap is named after its content, as kustomize does it: what changes in the values rolls the pods that read it. */
function hashedName(name: string): string {
  const bare = withoutHash(name);
  return `${bare}-{{ .Values.settings.${camelCase(bare.replace(/^pointsman-/, ''))} | toJson | sha256sum | trunc 10 }}`;
}

function camelCase(name: string): string {
  return name.replaceAll(/-([a-z])/g, (_match, letter: string) => letter.toUpperCase());
}
