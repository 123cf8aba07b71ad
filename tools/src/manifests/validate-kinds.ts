import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { at, isObject, type Json, type JsonObject, type KubeObject, type ManifestProblem } from './kube-object.ts';

interface Model {
  validate(): void;
}
type ModelClass = new (data: object) => Model;

/** Packages with the validators of an API group; without one it is a core group. */
const CRD_PACKAGES: Readonly<Record<string, string>> = {
  'argoproj.io': '@kubernetes-models/argo-rollouts',
  'cert-manager.io': '@kubernetes-models/cert-manager',
  'external-secrets.io': '@kubernetes-models/external-secrets',
  'keda.sh': '@kubernetes-models/keda',
  'monitoring.coreos.com': '@kubernetes-models/prometheus-operator',
};

/** The module that declares a kind, as a specifier: its types are checked from there too. */
export function moduleOf({ apiVersion, kind }: Pick<KubeObject, 'apiVersion' | 'kind'>): string | undefined {
  const [group = '', version] = apiVersion.includes('/') ? apiVersion.split('/') : ['', apiVersion];
  if (group === 'postgresql.cnpg.io') return undefined;
  if (group === '') return `kubernetes-models/${version ?? ''}/${kind}`;
  const custom = CRD_PACKAGES[group];
  return custom === undefined ? `kubernetes-models/${group}/${version ?? ''}/${kind}` : `${custom}/${group}/${version ?? ''}/${kind}`;
}

/** Holds each object to the schema of its kind: built-in kinds and custom ones by the validators of kubernetes-models, CloudNativePG by its own schemas. */
export async function validateKinds(source: string, objects: readonly KubeObject[]): Promise<readonly ManifestProblem[]> {
  const problems: ManifestProblem[] = [];
  for (const object of objects) {
    const found = object.apiVersion.startsWith('postgresql.cnpg.io/') ? bySchema(object) : await byModel(object);
    problems.push(...found.map(({ field, problem }) => ({ source, object: `${object.kind}/${object.name}`, field, problem })));
  }
  return problems;
}

type Finding = Pick<ManifestProblem, 'field' | 'problem'>;

async function byModel(object: KubeObject): Promise<readonly Finding[]> {
  const specifier = moduleOf(object) ?? '';
  let model: ModelClass | undefined;
  try {
    model = ((await import(specifier)) as Readonly<Record<string, ModelClass>>)[object.kind];
  } catch {
    model = undefined;
  }
  if (model === undefined) return [{ field: 'apiVersion', problem: `nothing is known of ${object.apiVersion} ${object.kind}` }];
  try {
    new model(object.kind === 'Secret' ? withoutLineBreaks(object.body) : object.body).validate();
    return [];
  } catch (error) {
    return [{ field: '', problem: error instanceof Error ? error.message.replaceAll('data/', '').replaceAll('/', '.') : String(error) }];
  }
}

/** Long values of a Secret are written on several lines, which the API server takes and a check for base64 does not. */
function withoutLineBreaks(body: JsonObject): JsonObject {
  const data = at(body, 'data');
  return isObject(data) ? { ...body, data: Object.fromEntries(Object.entries(data).map(([name, value]) => [name, typeof value === 'string' ? value.replaceAll(/\s/g, '') : value])) } : body;
}

const cloudNativePg = JSON.parse(readFileSync(join(import.meta.dirname, 'schemas', 'cloudnative-pg.json'), 'utf8')) as Readonly<Record<string, JsonObject>>;

function bySchema(object: KubeObject): readonly Finding[] {
  const schema = cloudNativePg[object.kind];
  if (schema === undefined) return [{ field: 'apiVersion', problem: `nothing is known of ${object.apiVersion} ${object.kind}` }];
  return problemsBySchema(object.body, schema, '');
}

/** A value against a structural schema of a custom resource (OpenAPI v3 as the API server takes it); fields that the schema does not name are problems. */
export function problemsBySchema(value: Json, schema: JsonObject, path: string): readonly Finding[] {
  if (value === undefined || (value === null && schema['nullable'] === true)) return [];
  const finding = (problem: string): readonly Finding[] => [{ field: path, problem }];
  if (schema['x-kubernetes-int-or-string'] === true) return typeof value === 'string' || typeof value === 'number' ? [] : finding('must be a number or text');
  const { type, enum: words, pattern, minimum, maximum } = schema;
  if (Array.isArray(words) && !(words as readonly Json[]).includes(value)) return finding(`must be one of ${words.join(', ')}`);
  switch (type) {
    case 'object': {
      if (!isObject(value)) return finding('must be an object');
      const properties = at(schema, 'properties');
      const others = at(schema, 'additionalProperties');
      const missing = (Array.isArray(schema['required']) ? (schema['required'] as readonly Json[]) : []).filter((name) => typeof name === 'string' && !Object.hasOwn(value, name));
      return [
        ...missing.map((name) => ({ field: path, problem: `has no ${String(name)}` })),
        ...Object.entries(value).flatMap(([name, entry]) => {
          const here = path === '' ? name : `${path}.${name}`;
          const known = at(properties, name);
          if (isObject(known)) return problemsBySchema(entry, known, here);
          if (isObject(others)) return problemsBySchema(entry, others, here);
          // `metadata` is the API server's business; elsewhere an object without properties takes anything.
          if (properties === undefined || path === 'metadata' || path.endsWith('.metadata') || schema['x-kubernetes-preserve-unknown-fields'] === true) return [];
          return [{ field: here, problem: 'is no field of this kind' }];
        }),
      ];
    }
    case 'array': {
      const items = schema['items'];
      if (!Array.isArray(value)) return finding('must be a list');
      return isObject(items) ? (value as readonly Json[]).flatMap((entry, index) => problemsBySchema(entry, items, `${path}[${index}]`)) : [];
    }
    case 'string':
      if (typeof value !== 'string') return finding('must be text');
      return typeof pattern === 'string' && !new RegExp(pattern).test(value) ? finding(`must match ${pattern}`) : [];
    case 'integer':
    case 'number':
      if (typeof value !== 'number' || (type === 'integer' && !Number.isInteger(value))) return finding('must be a number');
      if (typeof minimum === 'number' && value < minimum) return finding(`must be at least ${minimum}`);
      return typeof maximum === 'number' && value > maximum ? finding(`must be at most ${maximum}`) : [];
    case 'boolean':
      return typeof value === 'boolean' ? [] : finding('must be true or false');
    default:
      return [];
  }
}
