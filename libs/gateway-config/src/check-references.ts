import type { ConfiguredModel, RouterSettings } from './gateway-config.ts';
import type { Findings } from './findings.ts';
import { KNOWN_STRATEGIES, LITELLM_ONLY_STRATEGIES } from './known-strategies.ts';
import { nearestName } from './nearest-name.ts';
import type { Path } from './path.ts';

export interface References {
  readonly router: RouterSettings;
  readonly models: readonly ConfiguredModel[];
  /** Every `model_name`, also of entries that were left out. */
  readonly groups: ReadonlySet<string>;
  readonly candidates: ReadonlySet<string>;
  /** Undefined: take every known strategy for implemented. */
  readonly implementedStrategies: ReadonlySet<string> | undefined;
  /** Whether `litellm_settings` rather than `router_settings` set a key: so that a problem points where the text is. */
  readonly sectionOf: (key: string) => 'router_settings' | 'litellm_settings';
}

/** Checks every name in the configuration that points at something else in it: strategies, groups, aliases. */
export function checkReferences(references: References, findings: Findings): void {
  const { router, groups } = references;
  checkStrategy(router.strategy, ['router_settings', 'routing_strategy'], references, findings);
  for (const [group, { strategy }] of Object.entries(router.strategies)) {
    checkStrategy(strategy, ['router_settings', 'strategies', group], references, findings);
  }
  const resolves = groupResolver(references);
  checkAliases(references, resolves, findings);
  const lists = [['fallbacks', router.fallbacks], ['context_window_fallbacks', router.contextWindowFallbacks], ['content_policy_fallbacks', router.contentPolicyFallbacks]] as const;
  for (const [key, fallbacks] of lists) {
    const path: Path = [references.sectionOf(key), key];
    for (const [group, targets] of fallbacks) {
      if (group !== '*' && !resolves(group)) warnMissing(findings, [...path, group], 'no model group of this name: these fallbacks are never used', group, groups);
      for (const target of targets) {
        if (target === group) findings.warnings.push({ path: [...path, group], message: 'a group that falls back to itself tries nothing new' });
        else checkTarget(target, [...path, group], references, resolves, findings);
      }
    }
  }
  for (const target of router.defaultFallbacks) checkTarget(target, [references.sectionOf('default_fallbacks'), 'default_fallbacks'], references, resolves, findings);
  if (router.judge !== undefined && !resolves(router.judge.model)) {
    const suggestion = nearestName(router.judge.model, groups);
    findings.problems.push({ path: ['router_settings', 'judge', 'model'], message: 'no model group of this name', ...(suggestion === undefined ? {} : { suggestion }) });
  }
  for (const group of Object.keys(router.groupRetryPolicy)) {
    if (!resolves(group)) warnMissing(findings, ['router_settings', 'model_group_retry_policy', group], 'no model group of this name: this policy is never used', group, groups);
  }
}

function checkStrategy(strategy: string, path: Path, { implementedStrategies }: References, findings: Findings): void {
  if (!KNOWN_STRATEGIES.includes(strategy)) {
    const suggestion = nearestName(strategy, implementedStrategies ?? KNOWN_STRATEGIES);
    const message = LITELLM_ONLY_STRATEGIES.includes(strategy) ? 'LiteLLM has this strategy, Pointsman does not' : 'nobody knows this strategy';
    findings.problems.push({ path, message: `${message}; known are ${[...(implementedStrategies ?? KNOWN_STRATEGIES)].join(', ')}`, ...(suggestion === undefined ? {} : { suggestion }) });
  } else if (implementedStrategies !== undefined && !implementedStrategies.has(strategy)) {
    findings.problems.push({ path, message: `this build does not implement the strategy "${strategy}"; it has ${[...implementedStrategies].join(', ')}` });
  }
}

function checkAliases({ router, groups }: References, resolves: (name: string) => boolean, findings: Findings): void {
  for (const [alias, { group }] of router.aliases) {
    const path: Path = ['router_settings', 'model_group_alias', alias];
    const seen = new Set([alias]);
    let target = group;
    while (router.aliases.has(target) && !seen.has(target)) {
      seen.add(target);
      target = router.aliases.get(target)?.group ?? target;
    }
    if (seen.has(target)) {
      if (target === alias && group === alias && groups.has(alias)) findings.warnings.push({ path, message: 'an alias of its own name changes nothing' });
      else findings.problems.push({ path, message: 'the aliases form a circle' });
    } else if (!resolves(target)) {
      const suggestion = nearestName(target, groups);
      findings.problems.push({ path, message: 'points at a model group that does not exist', ...(suggestion === undefined ? {} : { suggestion }) });
    } else if (groups.has(alias)) findings.warnings.push({ path, message: 'hides the model group of the same name' });
  }
}

function checkTarget(target: string, path: Path, { groups, models }: References, resolves: (name: string) => boolean, findings: Findings): void {
  if (!resolves(target)) {
    const suggestion = nearestName(target, groups);
    findings.problems.push({ path, message: `falls back to "${shorten(target)}", a model group that does not exist`, ...(suggestion === undefined ? {} : { suggestion }) });
  } else if (groups.has(target) && !models.some((model) => model.group === target)) {
    findings.warnings.push({ path, message: `falls back to "${shorten(target)}", of which no entry can be served here` });
  }
}

/** Whether requests for a name would find a deployment: by group, alias, deployment id or wildcard group. */
function groupResolver({ router, groups, models }: References): (name: string) => boolean {
  const ids = new Set(models.map((model) => model.id));
  const wildcards = [...groups].filter((group) => group.includes('*')).map((group) => group.split('*'));
  return (name) => groups.has(name) || router.aliases.has(name) || ids.has(name) || wildcards.some((parts) => matches(name, parts));
}

/** Whether `name` is the literal parts in order with anything between them: without a regular expression, which a hostile pattern could make slow. */
function matches(name: string, parts: readonly string[]): boolean {
  const first = parts[0] ?? '';
  const last = parts.at(-1) ?? '';
  if (!name.startsWith(first) || !name.endsWith(last) || name.length < first.length + last.length) return false;
  let at = first.length;
  for (const part of parts.slice(1, -1)) {
    const found = name.indexOf(part, at);
    if (found < 0 || found + part.length > name.length - last.length) return false;
    at = found + part.length;
  }
  return true;
}

function warnMissing(findings: Findings, path: Path, message: string, name: string, groups: ReadonlySet<string>): void {
  const suggestion = nearestName(name, groups);
  findings.warnings.push({ path, message, ...(suggestion === undefined ? {} : { suggestion }) });
}

function shorten(name: string): string {
  return name.length > 60 ? `${name.slice(0, 60)}…` : name;
}
