import { createHash } from 'node:crypto';
import { isJsonObject, type JsonObject, type JsonValue } from '@pointsman/schemas';
import { z } from 'zod';
import { modelEntryShape, modelParamsShape } from './config-schema.ts';
import { checkKeys, IGNORED, problemsOf, type Findings } from './findings.ts';
import type { ConfiguredModel } from './gateway-config.ts';
import { LITELLM_MODEL_INFO, LITELLM_PARAMS, REQUEST_BODY_PARAMS } from './litellm-names.ts';
import { nearestName, slipOf } from './nearest-name.ts';
import { chooseProvider, type ProviderQuestion } from './provider-of-model.ts';
import type { Path } from './path.ts';

/** Parameters by which providers find and open their service; adapters read them from `params`. */
const PROVIDER_PARAMS: ReadonlySet<string> = new Set(
  ('organization extra_headers headers region_name azure_ad_token tenant_id client_id client_secret azure_scope azure_username azure_password vertex_project vertex_location vertex_credentials ' +
  'vertex_ai_project vertex_ai_location vertex_ai_credentials watsonx_region_name project_id space_id token account_id deployment_id').split(' '),
);
const PROVIDER_PREFIX = /^(aws_|watsonx_|snowflake_|sap_|oci_)/;
/** What `pricing` reads. */
const PRICE = /(_cost_per_|_cost$|^tiered_pricing$|^off_peak_pricing$|^search_context_cost_per_query$)/;
/** Never a default of a request body, whatever the operator meant. */
const NOT_A_DEFAULT: ReadonlySet<string> = new Set(['model', 'messages', 'input', 'prompt', 'stream', 'metadata', 'custom_llm_provider']);

const PARAM_NAMES: ReadonlySet<string> = new Set([...Object.keys(modelParamsShape), ...LITELLM_PARAMS, ...PROVIDER_PARAMS, ...REQUEST_BODY_PARAMS]);
const INFO_NAMES: ReadonlySet<string> = new Set([...LITELLM_MODEL_INFO, 'id']);

const entrySchema = z.object(modelEntryShape);

export interface ModelsQuestion extends Omit<ProviderQuestion, 'configuredModel' | 'customProvider'> {
  /** `credential_list`, checked. */
  readonly credentials: ReadonlyMap<string, JsonObject>;
}

export interface ReadModels {
  readonly models: readonly ConfiguredModel[];
  /** Every `model_name` that was written, also of entries that cannot be served here. */
  readonly groups: ReadonlySet<string>;
}

/** Reads `model_list` (references already resolved, nulls gone). Problems and warnings go to `findings`; an entry with a problem is left out. */
export function readModels(list: JsonValue | undefined, question: ModelsQuestion, findings: Findings): ReadModels {
  const groups = new Set<string>();
  const models: ConfiguredModel[] = [];
  const idAt = new Map<string, number>();
  if (list === undefined) return { models, groups };
  if (!Array.isArray(list)) {
    findings.problems.push({ path: ['model_list'], message: 'expected a list of models' });
    return { models, groups };
  }
  const pass: Pass = { ...question, occurrences: new Map(), slips: new Map() };
  for (const [index, entry] of list.entries()) {
    const path: Path = ['model_list', index];
    if (!isJsonObject(entry)) {
      findings.problems.push({ path, message: 'expected a mapping with model_name and litellm_params' });
      continue;
    }
    if (typeof entry['model_name'] === 'string') groups.add(entry['model_name']);
    const model = readEntry(entry, path, pass, findings);
    if (model === undefined) continue;
    const first = idAt.get(model.id);
    if (first !== undefined) {
      findings.problems.push({ path: [...path, 'model_info', 'id'], message: `model_list[${String(first)}] has the same id` });
      continue;
    }
    idAt.set(model.id, index);
    models.push(model);
  }
  return { models, groups };
}

/** What entries share while one list is read. */
interface Pass extends ModelsQuestion {
  /** How often an identity was seen. */
  readonly occurrences: Map<string, number>;
  /** Unknown keys looked up before: hundreds of entries tend to have the same ones. */
  readonly slips: Map<string, string | undefined>;
}

function readEntry(entry: JsonObject, path: Path, pass: Pass, findings: Findings): ConfiguredModel | undefined {
  const before = findings.problems.length;
  checkKeys(entry, path, {
    known: Object.keys(modelEntryShape),
    elsewhere: (key) => (Object.hasOwn(modelParamsShape, key) ? `litellm_params.${key}` : undefined),
  }, findings);
  const written = isJsonObject(entry['litellm_params']) ? entry['litellm_params'] : undefined;
  const params = written === undefined ? undefined : withCredential(written, [...path, 'litellm_params'], pass.credentials, findings);
  if (written !== undefined) checkParams(written, [...path, 'litellm_params'], pass.slips, findings);
  if (isJsonObject(entry['model_info'])) checkInfo(entry['model_info'], [...path, 'model_info'], findings);

  const parsed = entrySchema.safeParse({ ...entry, ...(params === undefined ? {} : { litellm_params: params }) });
  if (!parsed.success) findings.problems.push(...problemsOf(parsed.error, path));
  if (entry['model_name'] === undefined) findings.problems.push({ path: [...path, 'model_name'], message: 'missing: expected the name that clients ask for' });
  if (entry['litellm_params'] === undefined) findings.problems.push({ path: [...path, 'litellm_params'], message: 'missing: expected a mapping with at least model' });
  else if (params !== undefined && params['model'] === undefined) findings.problems.push({ path: [...path, 'litellm_params', 'model'], message: 'missing: expected provider/model' });
  if (findings.problems.length > before || !parsed.success || params === undefined) return undefined;

  const { model_name: group, litellm_params: known, model_info: info } = parsed.data;
  if (group === undefined || known?.model === undefined) return undefined;
  const choice = chooseProvider({ ...pass, configuredModel: known.model, customProvider: known.custom_llm_provider });
  const modelPath = [...path, 'litellm_params', known.custom_llm_provider === undefined ? 'model' : 'custom_llm_provider'];
  if (choice.kind === 'unknown') {
    findings.problems.push({ path: modelPath, message: `nobody knows a provider "${shorten(choice.provider)}"; for an OpenAI-compatible server write openai/… with api_base`, ...(choice.suggestion === undefined ? {} : { suggestion: choice.suggestion }) });
    return undefined;
  }
  if (choice.kind === 'unsupported') {
    findings.warnings.push({ path: modelPath, message: `Pointsman does not serve the provider "${shorten(choice.provider)}": this entry is left out` });
    return undefined;
  }
  if (choice.guessed) findings.warnings.push({ path: modelPath, message: known.model === '*' ? 'no provider given: everything that matches is sent to openai' : 'no provider given and the name is not known: taken as openai' });
  if (known.model.includes('*') && !group.includes('*')) findings.warnings.push({ path: modelPath, message: 'holds a *, but model_name does not: the provider is asked for the group’s name' });

  const apiBase = known.api_base ?? known.base_url;
  const infoRecord = isJsonObject(entry['model_info']) ? entry['model_info'] : {};
  return {
    group,
    id: info?.id ?? derivedId({ group, configuredModel: known.model, apiBase, params }, pass.occurrences),
    provider: choice.provider,
    model: choice.model,
    configuredModel: known.model,
    apiKey: known.api_key,
    apiBase,
    apiVersion: known.api_version,
    params,
    info: infoRecord,
    weight: known.weight,
    rpm: known.rpm ?? parsed.data.rpm ?? positive(infoRecord['rpm']),
    tpm: known.tpm ?? parsed.data.tpm ?? positive(infoRecord['tpm']),
    order: known.order,
    tags: known.tags ?? [],
    timeoutMs: known.timeout,
    streamTimeoutMs: known.stream_timeout,
    maxParallelRequests: known.max_parallel_requests,
    cooldownMs: known.cooldown_time,
    dropParams: known.drop_params,
    clientSideParams: (known.configurable_clientside_auth_params ?? []).flatMap((param) => (typeof param === 'string' ? [param] : Object.keys(param))),
    bodyDefaults: bodyDefaults(params),
  };
}

/** Sorts the keys of `litellm_params`: honoured, ignored, travelling in the body, or a slip. */
function checkParams(params: JsonObject, path: Path, slips: Map<string, string | undefined>, findings: Findings): void {
  for (const key of Object.keys(params)) {
    const at = [...path, key];
    if (Object.hasOwn(modelParamsShape, key) || isProviderParam(key) || PRICE.test(key)) findings.honoured.push(at);
    else if (NOT_A_DEFAULT.has(key)) findings.warnings.push({ path: at, message: 'a client decides this for each request; Pointsman does not act on it here', ignored: true });
    else if (REQUEST_BODY_PARAMS.has(key)) findings.honoured.push(at);
    else if (LITELLM_PARAMS.has(key)) findings.warnings.push({ path: at, message: IGNORED, ignored: true });
    else {
      if (!slips.has(key)) slips.set(key, slipOf(key, PARAM_NAMES));
      const slip = slips.get(key);
      if (slip === undefined) findings.warnings.push({ path: at, message: 'neither LiteLLM nor Pointsman knows this key: it is sent to the provider in each request body' });
      else findings.problems.push({ path: at, message: 'looks like a slip of a known key', suggestion: slip });
    }
  }
}

/** `model_info` is the operator's own bag of facts: only a slip is worth a word. */
function checkInfo(info: JsonObject, path: Path, findings: Findings): void {
  for (const key of Object.keys(info)) {
    const slip = INFO_NAMES.has(key) ? undefined : slipOf(key, INFO_NAMES);
    if (slip !== undefined) findings.warnings.push({ path: [...path, key], message: 'looks like a slip of a known key; kept as a fact of yours', suggestion: slip });
  }
}

function isProviderParam(key: string): boolean {
  return PROVIDER_PARAMS.has(key) || PROVIDER_PREFIX.test(key);
}

/** The values of the named credential fill in what the entry does not set: LiteLLM's `load_credentials_from_list`. */
function withCredential(params: JsonObject, path: Path, credentials: ReadonlyMap<string, JsonObject>, findings: Findings): JsonObject {
  const name = params['litellm_credential_name'];
  if (typeof name !== 'string') return params;
  const values = credentials.get(name);
  if (values === undefined) {
    const suggestion = nearestName(name, credentials.keys());
    findings.problems.push({ path: [...path, 'litellm_credential_name'], message: `credential_list has no "${shorten(name)}"`, ...(suggestion === undefined ? {} : { suggestion }) });
    return params;
  }
  return { ...values, ...params };
}

/** What is left of the parameters once everything that is read here, by an adapter or by pricing is taken out; `extra_body` is laid open, as OpenAI's SDKs do. */
function bodyDefaults(params: JsonObject): JsonObject {
  const defaults: JsonObject = {};
  for (const [key, value] of Object.entries(params)) {
    if (key === 'extra_body' || NOT_A_DEFAULT.has(key) || Object.hasOwn(modelParamsShape, key) || PRICE.test(key)) continue;
    if (REQUEST_BODY_PARAMS.has(key) || !(isProviderParam(key) || LITELLM_PARAMS.has(key))) defaults[key] = value;
  }
  return isJsonObject(params['extra_body']) ? { ...defaults, ...params['extra_body'] } : defaults;
}

/** What makes a deployment another one; not its key, weight or limits, so that turning those forgets nothing that was learned about it. */
const IDENTITY_PARAMS = ['custom_llm_provider', 'api_version', 'organization', 'litellm_credential_name', 'region_name', 'aws_region_name', 'aws_bedrock_runtime_endpoint', 'vertex_project', 'vertex_location', 'watsonx_region_name', 'project_id', 'deployment_id'];

function derivedId({ group, configuredModel, apiBase, params }: { readonly group: string; readonly configuredModel: string; readonly apiBase: string | undefined; readonly params: JsonObject }, occurrences: Map<string, number>): string {
  const identity = JSON.stringify([group, configuredModel, apiBase ?? null, ...IDENTITY_PARAMS.map((name) => params[name] ?? null)]);
  // Two keys of one account are two entries that differ in nothing else: told apart by their order.
  const occurrence = occurrences.get(identity) ?? 0;
  occurrences.set(identity, occurrence + 1);
  return createHash('sha256').update(occurrence === 0 ? identity : `${identity}#${String(occurrence)}`).digest('hex').slice(0, 32);
}

function positive(value: JsonValue | undefined): number | undefined {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  return typeof number === 'number' && Number.isFinite(number) && number > 0 ? number : undefined;
}

function shorten(name: string): string {
  return name.length > 60 ? `${name.slice(0, 60)}…` : name;
}
