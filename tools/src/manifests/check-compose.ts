import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { AppSettings } from './app-settings.ts';
import { isRuntimeVariable } from './app-settings.ts';
import { appOfImage, at, isObject, textOf, type Json } from './kube-object.ts';

const FILE = 'deploy/compose/compose.yaml';
const CLEAN_UP_S = 5;

/** The compose file against the settings of the apps that it starts and against the upstreams of nginx.conf. One line per problem. */
export async function checkCompose(root: string, apps: ReadonlyMap<string, AppSettings>): Promise<readonly string[]> {
  return composeProblems(await readFile(join(root, FILE), 'utf8'), await readFile(join(root, 'deploy', 'nginx', 'nginx.conf'), 'utf8').catch(() => ''), apps);
}

/** As `checkCompose`, for texts. */
export function composeProblems(compose: string, nginx: string, apps: ReadonlyMap<string, AppSettings>): readonly string[] {
  const services = at(parse(compose, { merge: true }) as Json, 'services');
  if (!isObject(services)) return [`${FILE}: has no services`];
  const problems: string[] = [];
  for (const [name, service] of Object.entries(services)) {
    const app = appOfImage((textOf(at(service, 'image')) ?? '').replaceAll(/\$\{\w+:-([^}]*)\}/g, '$1'));
    const known = app === undefined ? undefined : apps.get(app);
    if (app === undefined || known === undefined) continue;
    const given = at(service, 'environment');
    const env = isObject(given) ? Object.fromEntries(Object.entries(given).map(([variable, value]) => [variable, (textOf(value) ?? '').replaceAll(/\$\{\w+:\?[^}]*\}/g, 'sk-0123456789abcdef0123')])) : {};
    for (const variable of Object.keys(env)) if (!known.variables.has(variable) && !isRuntimeVariable(variable)) problems.push(`${FILE}: ${name} environment.${variable} is no setting of ${app}`);
    try {
      known.read(env);
    } catch (error) {
      problems.push(`${FILE}: ${name} environment: ${app} refuses it: ${error instanceof Error ? error.message.replaceAll('\n', ' ') : String(error)}`);
    }
    if (at(service, 'read_only') !== true) problems.push(`${FILE}: ${name} read_only must be true`);
    const drain = Number(env['SHUTDOWN_STREAM_TIMEOUT_S'] ?? 30);
    const grace = Number.parseInt(textOf(at(service, 'stop_grace_period')) ?? '10', 10);
    if (app === 'gateway' && grace < drain + CLEAN_UP_S) problems.push(`${FILE}: ${name} stop_grace_period is ${grace} s, shorter than ${drain + CLEAN_UP_S} s: streams would be cut`);
    const neighbour = /^service:(.+)$/.exec(textOf(at(service, 'pid')) ?? '')?.[1];
    if (app === 'config-sync' && (neighbour === undefined || services[neighbour] === undefined)) problems.push(`${FILE}: ${name} pid must be that of a gateway, which it signals`);
  }
  for (const [, host = ''] of nginx.matchAll(/^\s*server\s+([\w.-]+):4000\b/gm)) if (services[host] === undefined) problems.push(`deploy/nginx/nginx.conf: there is no service ${host} in ${FILE}`);
  return problems;
}
