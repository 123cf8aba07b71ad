import { isJsonObject, type JsonObject, type JsonValue } from '@pointsman/schemas';
import { z } from 'zod';
import { checkKeyParams } from './check-key-params.ts';
import { checkReferences } from './check-references.ts';
import { configRevision } from './config-revision.ts';
import { ConfigRejectedError } from './config-rejected-error.ts';
import { generalSettingsShape, SECTION_SHAPES, TOP_LEVEL_SECTIONS } from './config-schema.ts';
import { checkKeys, type Finding, type Findings } from './findings.ts';
import type { ConfigProblem, GatewayConfig, ParsedGatewayConfig } from './gateway-config.ts';
import { LITELLM_GENERAL_SETTINGS, LITELLM_MODULE_SETTINGS, LITELLM_ROUTER_SETTINGS, LITELLM_TOP_LEVEL } from './litellm-names.ts';
import { parseLlmCandidates, type LlmCandidate } from './llm-candidates.ts';
import { readWithIncludes, type MergedConfig } from './merge-includes.ts';
import { showPath } from './path.ts';
import type { ConfigFile } from './read-yaml.ts';
import { isActedOnCacheParam, readCache } from './read-cache.ts';
import { readCredentials } from './read-credentials.ts';
import { readModels } from './read-models.ts';
import { readRouter, validated } from './read-router.ts';
import { missingMessage, resolveReferences, withFileVariables, type Environment } from './resolve-environment.ts';

export interface GatewayConfigQuestion {
  /** The text of a `config.yaml`; or it and the files that it includes, itself first. */
  readonly files: string | readonly ConfigFile[];
  /** What `os.environ/NAME` looks in, under the file's own `environment_variables`. */
  readonly env: Environment;
  /** The text of `llm_candidates.json`. */
  readonly candidates?: string;
  /** The text of `degraded-mode.yaml`: part of what a revision identifies. Read by `parseDegradedMode`. */
  readonly degradedMode?: string;
  /** Provider ids that this build serves. */
  readonly providerIds: ReadonlySet<string>;
  /** Strategies that this build implements; without it every known one passes. */
  readonly implementedStrategies?: ReadonlySet<string>;
  /** What a reference to a variable that is not there means: reported (default), or taken for set elsewhere, as in a check far from the cluster. */
  readonly missingVariables?: 'report' | 'expect';
  /** The provider of a model by its name alone, e.g. from the price map. */
  readonly providerOfModel?: (model: string) => string | undefined;
}

const IGNORED_BY_SECTION = { router_settings: LITELLM_ROUTER_SETTINGS, litellm_settings: LITELLM_MODULE_SETTINGS, general_settings: LITELLM_GENERAL_SETTINGS } as const;
type Section = keyof typeof SECTION_SHAPES;
const SECTIONS = Object.keys(SECTION_SHAPES) as Section[];
/** Keys that many tutorials use and that anybody can guess. */
const KNOWN_MASTER_KEYS: ReadonlySet<string> = new Set(['sk-1234', 'sk-12345', 'sk-123456', 'sk-master', 'sk-test', 'sk-litellm', 'changeme', 'test', 'password', 'anything']);
const generalSchema = z.object(generalSettingsShape);

/**
 * Reads a LiteLLM `config.yaml` into plain data: nothing is loaded, connected or written, and no environment is changed.
 * Throws `ConfigRejectedError` with every problem at once. Neither problems nor warnings hold values of the file, except names of groups, strategies and providers.
 */
export function parseGatewayConfig(question: GatewayConfigQuestion): ParsedGatewayConfig {
  const files = typeof question.files === 'string' ? [{ path: 'config.yaml', text: question.files }] : question.files;
  const candidateProblems: ConfigProblem[] = [];
  const candidates = readCandidates(question.candidates, candidateProblems);
  const merged = readWithIncludes(files);
  if ('problems' in merged) throw new ConfigRejectedError([...merged.problems, ...candidateProblems]);

  const findings: Findings = { problems: [], warnings: [], honoured: [] };
  const config = readConfig(merged.root, { ...question, candidates, revision: configRevision({ files, candidates: question.candidates, degradedMode: question.degradedMode }) }, findings);
  const written = (finding: Finding): ConfigProblem => {
    const { path, ...rest } = finding;
    return { path: showPath(path), ...rest, ...merged.locate(path) };
  };
  const problems = [...findings.problems.map(written), ...candidateProblems];
  const warnings = inFileOrder(findings.warnings.map(written));
  if (problems.length > 0) throw new ConfigRejectedError(inFileOrder(problems), warnings);
  return { config, warnings, honoured: findings.honoured.map(showPath) };
}

interface Context extends Omit<GatewayConfigQuestion, 'candidates' | 'files'> {
  readonly candidates: ReadonlyMap<string, LlmCandidate>;
  readonly revision: string;
}

function readConfig(root: MergedConfig['root'], context: Context, findings: Findings): GatewayConfig {
  checkTopLevel(root, findings);
  const env = withFileVariables(context.env, root['environment_variables'], findings);
  const resolve = resolver(env, context.missingVariables ?? 'report', findings);
  const sections = Object.fromEntries(SECTIONS.map((name) => [name, readSection(name, root, resolve, findings)])) as Record<Section, JsonObject>;
  const credentials = readCredentials(resolve('credential_list', root['credential_list']), findings);
  const { settings: router, litellmSettings } = readRouter({ router: sections.router_settings, litellm: sections.litellm_settings }, findings);
  checkKeyParams(sections.litellm_settings, findings);
  const general = validated(generalSchema, sections.general_settings, ['general_settings'], findings);
  const { models, groups } = readModels(resolve('model_list', root['model_list']), { ...context, credentials, customProviders: customProviders(sections.litellm_settings), providerOfModel: context.providerOfModel }, findings);
  if (models.length === 0 && findings.problems.length === 0) findings.warnings.push({ path: ['model_list'], message: groups.size === 0 ? 'no models: the gateway has nothing to serve' : 'none of the entries can be served here' });
  checkReferences({
    router, models, groups, candidates: new Set(context.candidates.keys()), implementedStrategies: context.implementedStrategies,
    sectionOf: (key) => (sections.router_settings[key] === undefined && sections.litellm_settings[key] !== undefined ? 'litellm_settings' : 'router_settings'),
  }, findings);
  const masterKey = readMasterKey({ general, root, env }, findings);
  return {
    revision: context.revision,
    models,
    router,
    masterKey,
    dropParams: litellmSettings.drop_params ?? false,
    maxRequestBytes: Math.floor((general.max_request_size_mb ?? 32) * 1024 * 1024),
    keyHeaderName: general.litellm_key_header_name?.toLowerCase(),
    requireAuthForMetrics: litellmSettings.require_auth_for_metrics_endpoint ?? false,
    forwardTraceparent: litellmSettings.forward_traceparent_to_llm_provider ?? true,
    cache: readCache({ settings: litellmSettings, written: root['litellm_settings'] }, findings),
    generalSettings: sections.general_settings,
    litellmSettings: sections.litellm_settings,
    routerSettings: sections.router_settings,
    candidates: context.candidates,
  };
}

function checkTopLevel(root: JsonObject, findings: Findings): void {
  const home = (key: string): string | undefined => {
    const section = SECTIONS.find((name) => Object.hasOwn(SECTION_SHAPES[name], key)) ?? SECTIONS.find((name) => IGNORED_BY_SECTION[name].has(key));
    return section === undefined ? undefined : `${section}.${key}`;
  };
  checkKeys(withoutNulls(root), [], { known: Object.keys(TOP_LEVEL_SECTIONS), ignored: LITELLM_TOP_LEVEL, elsewhere: home }, findings);
}

/** One section: its keys sorted, references resolved, nulls (LiteLLM's "not set") gone. */
function readSection(name: Section, root: JsonObject, resolve: Resolver, findings: Findings): JsonObject {
  const section = root[name];
  if (section === undefined || section === null) return {};
  if (!isJsonObject(section)) {
    findings.problems.push({ path: [name], message: 'expected a mapping' });
    return {};
  }
  const others = SECTIONS.filter((other) => other !== name);
  checkKeys(withoutNulls(section), [name], {
    known: Object.keys(SECTION_SHAPES[name]),
    ignored: IGNORED_BY_SECTION[name],
    elsewhere: (key) => {
      const home = others.find((other) => Object.hasOwn(SECTION_SHAPES[other], key)) ?? others.find((other) => IGNORED_BY_SECTION[other].has(key));
      return home === undefined ? (Object.hasOwn(TOP_LEVEL_SECTIONS, key) || LITELLM_TOP_LEVEL.has(key) ? key : undefined) : `${home}.${key}`;
    },
  }, findings);
  const resolved = resolve(name, section);
  return isJsonObject(resolved) ? resolved : {};
}

type Resolver = (section: string, value: JsonValue | undefined) => JsonValue | undefined;

function resolver(env: Environment, missingVariables: 'report' | 'expect', findings: Findings): Resolver {
  return (section, value) => {
    if (value === undefined || value === null) return undefined;
    const resolved = resolveReferences(value, env, [section], (path, variable) => {
      if (missingVariables === 'expect') return;
      const [, key] = path;
      if (section === 'general_settings' && key === 'master_key') {
        findings.problems.push({ path, message: missingMessage(variable).replace(': taken as not set', ', and without a master key nobody can be let in') });
        return;
      }
      // What is ignored anyway needs no variable.
      const acted = section === 'model_list' || section === 'credential_list' || (typeof key === 'string' && Object.hasOwn(SECTION_SHAPES[section as Section], key) && (key !== 'cache_params' || isActedOnCacheParam(path[2])));
      if (acted) findings.warnings.push({ path, message: missingMessage(variable) });
    });
    return resolved === undefined ? undefined : dropNulls(resolved);
  };
}

/** LiteLLM takes null for "not set". Inside lists it stays, so that positions keep their meaning. */
function dropNulls(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(dropNulls);
  if (!isJsonObject(value)) return value;
  const copy: JsonObject = {};
  for (const [key, item] of Object.entries(value)) if (item !== null && item !== undefined) copy[key] = dropNulls(item);
  return copy;
}

function withoutNulls(section: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(section).filter(([, value]) => value !== null));
}

function readMasterKey({ general, root, env }: { readonly general: Partial<z.infer<typeof generalSchema>>; readonly root: JsonObject; readonly env: Environment }, findings: Findings): string | undefined {
  const section = root['general_settings'];
  const written = isJsonObject(section) && section['master_key'] !== undefined && section['master_key'] !== null;
  const fromEnvironment = env['LITELLM_MASTER_KEY'];
  const key = written ? general.master_key : fromEnvironment === '' ? undefined : fromEnvironment;
  if (general.dangerously_permit_weak_or_unset_master_key === true) return key;
  if (key === undefined && !written) findings.warnings.push({ path: ['general_settings', 'master_key'], message: 'not set, and the environment has no LITELLM_MASTER_KEY' });
  if (key !== undefined && (KNOWN_MASTER_KEYS.has(key) || key.length < 8)) findings.warnings.push({ path: ['general_settings', 'master_key'], message: 'is well known or short: anybody can guess it' });
  return key;
}

/** Providers that the configuration brings along as Python code, which this gateway cannot run. */
function customProviders(litellm: JsonObject): ReadonlySet<string> {
  const map = litellm['custom_provider_map'];
  return new Set((Array.isArray(map) ? map : []).flatMap((entry) => (isJsonObject(entry) && typeof entry['provider'] === 'string' ? [entry['provider']] : [])));
}

function readCandidates(text: string | undefined, problems: ConfigProblem[]): ReadonlyMap<string, LlmCandidate> {
  if (text === undefined) return new Map();
  try {
    return parseLlmCandidates(text);
  } catch (error) {
    if (!(error instanceof ConfigRejectedError)) throw error;
    problems.push(...error.problems);
    return new Map();
  }
}

function inFileOrder(problems: readonly ConfigProblem[]): readonly ConfigProblem[] {
  const order = new Map([...new Set(problems.map((problem) => problem.file ?? ''))].map((file, index) => [file, index]));
  return problems.toSorted((left, right) => (order.get(left.file ?? '') ?? 0) - (order.get(right.file ?? '') ?? 0) || (left.line ?? 0) - (right.line ?? 0));
}
