import { isJsonObject, modelNameSchema, modelVersionSchema, type JsonObject, type JsonValue } from '@pointsman/schemas';
import { ConfigRejectedError } from './config-rejected-error.ts';
import type { ConfigProblem } from './gateway-config.ts';
import { readWithIncludes } from './merge-includes.ts';
import { showPath, type Path } from './path.ts';
import { resolveReferences, withFileVariables, type Environment } from './resolve-environment.ts';
import type { ConfigFile } from './read-yaml.ts';

/** A router model that a configuration asks for. */
export interface WantedModel {
  readonly name: string;
  /** The version that serves; undefined when only others are asked for. With several groups on several versions, the one of `router_settings` itself, then the first. */
  readonly version: string | undefined;
  /** Versions that must be there too: canaries, and what other groups serve. */
  readonly others: readonly string[];
}

/**
 * The router models and versions that `router_settings.routing_strategy_args` and those of `router_settings.strategies` name. Tolerant: everything else in
 * the files may be wrong, entries without a version ask for nothing, and what is no name or version is a problem that leaves out only itself.
 * @throws ConfigRejectedError when the files are no YAML
 */
export function wantedModels(files: string | readonly ConfigFile[], env: Environment = {}): { readonly models: readonly WantedModel[]; readonly problems: readonly ConfigProblem[] } {
  const merged = readWithIncludes(typeof files === 'string' ? [{ path: 'config.yaml', text: files }] : files);
  if ('problems' in merged) throw new ConfigRejectedError(merged.problems);
  const seen = withFileVariables(env, merged.root['environment_variables'], { problems: [], warnings: [], honoured: [] });
  const problems: ConfigProblem[] = [];
  const found = new Map<string, { stable: string[]; others: string[] }>();

  const located = (path: Path): object => merged.locate(path) ?? {};
  const read = (value: JsonValue | undefined, path: Path): void => {
    if (!isJsonObject(value)) return;
    const resolved = resolveReferences(value, seen, path, () => undefined);
    const args = isJsonObject(resolved) ? resolved : {};
    const name = checked(args, 'model_name', modelNameSchema);
    const version = checked(args, 'model_version', modelVersionSchema);
    const canary = isJsonObject(args['canary']) ? checked(args['canary'], 'model_version', modelVersionSchema, [...path, 'canary']) : undefined;
    if (name === undefined) return;
    const entry = found.get(name) ?? { stable: [], others: [] };
    found.set(name, entry);
    if (version !== undefined) entry.stable.push(version);
    if (canary !== undefined) entry.others.push(canary);

    function checked(from: JsonObject, key: string, schema: typeof modelNameSchema, at: Path = path): string | undefined {
      const given = from[key];
      if (given === undefined || given === null) return undefined;
      const result = schema.safeParse(given);
      if (result.success) return result.data;
      problems.push({ path: showPath([...at, key]), message: result.error.issues[0]?.message ?? 'not valid', ...located([...at, key]) });
      return undefined;
    }
  };
  const router = merged.root['router_settings'];
  if (isJsonObject(router)) {
    read(router['routing_strategy_args'], ['router_settings', 'routing_strategy_args']);
    const strategies = router['strategies'];
    if (isJsonObject(strategies)) {
      for (const [group, strategy] of Object.entries(strategies)) if (isJsonObject(strategy)) read(strategy['routing_strategy_args'], ['router_settings', 'strategies', group, 'routing_strategy_args']);
    }
  }
  const models = [...found].flatMap(([name, { stable, others }]): WantedModel[] => {
    const [version, ...more] = stable;
    const rest = new Set([...more, ...others].filter((other) => other !== version));
    return version === undefined && rest.size === 0 ? [] : [{ name, version, others: [...rest] }];
  });
  return { models, problems };
}
