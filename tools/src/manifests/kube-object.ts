import { parseAllDocuments } from 'yaml';

/** A value of a manifest: JSON. */
export type Json = string | number | boolean | null | undefined | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

/** One object that Kubernetes is asked to keep. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace: string | undefined;
  readonly body: JsonObject;
}

/** Something wrong in one object. */
export interface ManifestProblem {
  /** `overlays/production`. */
  readonly source: string;
  /** `Deployment/pointsman-gateway`. */
  readonly object: string;
  /** `spec.template.spec.containers[0].image`. */
  readonly field: string;
  readonly problem: string;
}

/** `deploy/overlays/local: Deployment/pointsman-gateway spec.replicas: …`. */
export function describeProblem({ source, object, field, problem }: ManifestProblem): string {
  return `${source}: ${object}${field === '' ? '' : ` ${field}`}: ${problem}`;
}

/** @throws Error for text that is not YAML, or a document that is no object of Kubernetes */
export function parseObjects(text: string): readonly KubeObject[] {
  return parseAllDocuments(text).flatMap((document) => {
    if (document.errors.length > 0) throw new Error(`Not YAML: ${document.errors[0]?.message ?? ''}`);
    const body = document.toJS() as Json;
    if (body === null || body === undefined) return [];
    const metadata = at(body, 'metadata');
    const apiVersion = at(body, 'apiVersion');
    const kind = at(body, 'kind');
    const name = at(metadata, 'name');
    if (!isObject(body) || typeof apiVersion !== 'string' || typeof kind !== 'string' || typeof name !== 'string') throw new Error('A document has no apiVersion, kind or metadata.name.');
    const namespace = at(metadata, 'namespace');
    return [{ apiVersion, kind, name, namespace: typeof namespace === 'string' ? namespace : undefined, body }];
  });
}

export function isObject(value: Json): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value at a path, undefined where it leads nowhere: `at(body, 'spec', 'template', 0)`. */
export function at(value: Json, ...path: readonly (string | number)[]): Json {
  let here: Json = value;
  for (const step of path) {
    if (typeof step === 'number') here = Array.isArray(here) ? (here as readonly Json[])[step] : undefined;
    else here = isObject(here) && Object.hasOwn(here, step) ? here[step] : undefined;
  }
  return here;
}

/** The list at a path; empty where there is none. */
export function listAt(value: Json, ...path: readonly (string | number)[]): readonly Json[] {
  const found = at(value, ...path);
  return Array.isArray(found) ? (found as readonly Json[]) : [];
}

/** A text or number as text; undefined for anything else. */
export function textOf(value: Json): string | undefined {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : undefined;
}

export interface PodTemplate {
  readonly object: KubeObject;
  /** Where the template's spec is: `spec.template.spec`. */
  readonly path: string;
  readonly labels: JsonObject;
  readonly spec: JsonObject;
}

/** Whatever makes pods, as the pods that it makes. */
export function podTemplates(objects: readonly KubeObject[]): readonly PodTemplate[] {
  return objects.flatMap((object) => {
    const path = ['Deployment', 'StatefulSet', 'DaemonSet', 'Job'].includes(object.kind) ? ['spec', 'template'] : object.kind === 'CronJob' ? ['spec', 'jobTemplate', 'spec', 'template'] : undefined;
    if (path === undefined) return [];
    const spec = at(object.body, ...path, 'spec');
    const labels = at(object.body, ...path, 'metadata', 'labels');
    return isObject(spec) ? [{ object, path: [...path, 'spec'].join('.'), labels: isObject(labels) ? labels : {}, spec }] : [];
  });
}

export interface Container {
  readonly pod: PodTemplate;
  readonly path: string;
  readonly name: string;
  readonly image: string;
  readonly body: JsonObject;
}

/** Every container of a pod, init containers first, as the kubelet starts them. */
export function containersOf(pod: PodTemplate): readonly Container[] {
  return (['initContainers', 'containers'] as const).flatMap((list) => listAt(pod.spec, list).flatMap((body, index) => {
    if (!isObject(body)) return [];
    return [{ pod, path: `${pod.path}.${list}[${index}]`, name: textOf(body['name']) ?? '', image: textOf(body['image']) ?? '', body }];
  }));
}

/** The app of this repository that an image holds: `gateway` of `ghcr.io/acme/pointsman-gateway:1.2`; undefined for images of others. */
export function appOfImage(image: string): string | undefined {
  return /(?:^|\/)pointsman-([a-z-]+)(?::[\w.-]+)?(?:@sha256:[0-9a-f]{64})?$/.exec(image)?.[1];
}
