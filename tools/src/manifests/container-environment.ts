import { at, isObject, listAt, textOf, type Container, type KubeObject } from './kube-object.ts';

export interface ContainerVariable {
  readonly name: string;
  /** Undefined where it is known only in the cluster: a Secret that nothing here generates, a field of the pod. */
  readonly value: string | undefined;
  /** Where it is said: `env[2]`, `ConfigMap/pointsman-gateway-5k…`. */
  readonly from: string;
  /** Whoever operates decides what is in there: names of its variables are not ours to judge. */
  readonly open: boolean;
}

export interface ContainerEnvironment {
  readonly variables: readonly ContainerVariable[];
  /** ConfigMaps that are asked for and that nobody makes. */
  readonly missing: readonly string[];
}

/** All variables of a container, `env` over `envFrom`, later over earlier, as the kubelet does it. */
export function environmentOf({ body }: Container, objects: readonly KubeObject[]): ContainerEnvironment {
  const variables = new Map<string, ContainerVariable>();
  const missing: string[] = [];
  for (const source of listAt(body, 'envFrom')) {
    const map = textOf(at(source, 'configMapRef', 'name'));
    if (map !== undefined) {
      const data = at(objects.find(({ kind, name }) => kind === 'ConfigMap' && name === map)?.body, 'data');
      if (isObject(data)) for (const [name, value] of Object.entries(data)) variables.set(name, { name, value: textOf(value) ?? '', from: `ConfigMap/${map}`, open: false });
      else if (at(source, 'configMapRef', 'optional') !== true) missing.push(map);
    }
    const secret = textOf(at(source, 'secretRef', 'name'));
    for (const name of Object.keys(secretData(objects, secret))) variables.set(name, { name, value: undefined, from: `Secret/${secret ?? ''}`, open: true });
  }
  listAt(body, 'env').forEach((entry, index) => {
    const name = textOf(at(entry, 'name')) ?? '';
    variables.set(name, { name, value: textOf(at(entry, 'value')), from: `env[${index}]`, open: false });
  });
  return { variables: [...variables.values()], missing };
}

function secretData(objects: readonly KubeObject[], secret: string | undefined): object {
  const data = at(objects.find(({ kind, name }) => kind === 'Secret' && name === secret)?.body, 'data');
  return isObject(data) ? data : {};
}
