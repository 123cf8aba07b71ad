import { z } from 'zod';
import { breakerShape, cacheParamsShape, canaryShape, credentialShape, generalSettingsShape, groupStrategyShape, IGNORED_RETRIES, judgeShape, KEY_FIELDS_WITHOUT_EFFECT, keyBoundsShape, keyDefaultsShape, litellmSettingsShape, modelEntryShape, modelParamsShape, retryPolicyShape, routerSettingsShape, strategyArgs, TOP_LEVEL_SECTIONS } from './config-schema.ts';
import { LITELLM_CACHE_PARAMS, LITELLM_GENERAL_SETTINGS, LITELLM_MODULE_SETTINGS, LITELLM_PARAMS, LITELLM_ROUTER_SETTINGS, LITELLM_TOP_LEVEL } from './litellm-names.ts';

const IGNORED = 'LiteLLM knows this key; Pointsman does not act on it.';
type JsonSchema = Record<string, unknown>;

/**
 * The JSON Schema (draft 2020-12) of `config.yaml` for editors: the keys that the parser acts on with their descriptions,
 * those it ignores marked deprecated, nothing else allowed where the parser refuses unknown keys.
 */
export function configJsonSchema(): JsonSchema {
  const params = { ...objectSchema(modelParamsShape, LITELLM_PARAMS, { open: true }), required: ['model'] };
  const entry = objectSchema(modelEntryShape, new Set(), {});
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Pointsman gateway configuration',
    description: 'A LiteLLM config.yaml as Pointsman reads it.',
    type: 'object',
    properties: {
      ...Object.fromEntries([...LITELLM_TOP_LEVEL].filter((key) => !Object.hasOwn(TOP_LEVEL_SECTIONS, key)).map((key) => [key, ignored()])),
      model_list: { description: TOP_LEVEL_SECTIONS['model_list'], type: ['array', 'null'], items: { ...entry, properties: { ...(entry['properties'] as JsonSchema), litellm_params: { ...describe(modelEntryShape.litellm_params), ...params } }, required: ['model_name', 'litellm_params'] } },
      router_settings: { description: TOP_LEVEL_SECTIONS['router_settings'], ...nullable(objectSchema(routerSettingsShape, LITELLM_ROUTER_SETTINGS, {})) },
      litellm_settings: { description: TOP_LEVEL_SECTIONS['litellm_settings'], ...nullable(objectSchema(litellmSettingsShape, LITELLM_MODULE_SETTINGS, {})) },
      general_settings: { description: TOP_LEVEL_SECTIONS['general_settings'], ...nullable(objectSchema(generalSettingsShape, LITELLM_GENERAL_SETTINGS, {})) },
      environment_variables: { description: TOP_LEVEL_SECTIONS['environment_variables'], type: ['object', 'null'], additionalProperties: { type: ['string', 'number', 'boolean', 'null'] } },
      credential_list: { description: TOP_LEVEL_SECTIONS['credential_list'], type: ['array', 'null'], items: { ...objectSchema(credentialShape, new Set(), {}), required: ['credential_name'] } },
      include: { description: TOP_LEVEL_SECTIONS['include'], type: ['array', 'null'], items: { type: 'string' } },
    },
    additionalProperties: false,
    $defs: { ignored: { description: IGNORED, deprecated: true } },
  };
}

/** Shapes whose keys the parser checks one by one: closed in the JSON Schema too. */
const CLOSED = [breakerShape, cacheParamsShape, canaryShape, groupStrategyShape, judgeShape, keyBoundsShape, keyDefaultsShape, retryPolicyShape].map((shape) => Object.keys(shape).join());

function objectSchema(shape: z.core.$ZodLooseShape, alsoKnown: ReadonlySet<string>, { open = false }: { readonly open?: boolean }): JsonSchema {
  const schema = z.toJSONSchema(z.looseObject(shape), { io: 'input', unrepresentable: 'any', override: ({ jsonSchema, zodSchema }) => {
    delete jsonSchema['ours'];
    const facts = z.globalRegistry.get(zodSchema);
    // A schema that transforms has no default of its own kind in its input: the documented one is what an editor should show.
    if (facts?.['default'] !== undefined) jsonSchema.default = facts['default'] as never;
    if (facts?.['examples'] !== undefined) jsonSchema.examples = facts['examples'] as never;
    if (zodSchema._zod.def.type === 'object' && zodSchema !== strategyArgs) {
      const names = Object.keys(jsonSchema.properties ?? {}).join();
      jsonSchema.additionalProperties = CLOSED.includes(names) ? false : {};
      if (names === Object.keys(retryPolicyShape).join()) for (const key of IGNORED_RETRIES) (jsonSchema.properties ??= {})[key] = ignored();
      if (names === Object.keys(keyDefaultsShape).join()) for (const key of KEY_FIELDS_WITHOUT_EFFECT) (jsonSchema.properties ??= {})[key] ??= ignored();
      if (names === Object.keys(cacheParamsShape).join()) for (const key of LITELLM_CACHE_PARAMS) (jsonSchema.properties ??= {})[key] ??= ignored();
    }
  } }) as JsonSchema;
  const properties: JsonSchema = {};
  for (const [key, value] of Object.entries(schema['properties'] as Record<string, JsonSchema>)) properties[key] = nullable(value);
  for (const key of alsoKnown) properties[key] ??= ignored();
  return { type: 'object', properties, additionalProperties: open ? {} : false };
}

/** An empty value (`key:`) is null in YAML and means "not set". */
function nullable(schema: JsonSchema): JsonSchema {
  if (schema['type'] !== undefined && typeof schema['type'] === 'string') {
    return { ...schema, type: [schema['type'], 'null'], ...(Array.isArray(schema['enum']) ? { enum: [...schema['enum'] as unknown[], null] } : {}) };
  }
  return Array.isArray(schema['anyOf']) ? { ...schema, anyOf: [...schema['anyOf'] as unknown[], { type: 'null' }] } : schema;
}

function ignored(): JsonSchema {
  return { $ref: '#/$defs/ignored' };
}

function describe(schema: z.ZodType): JsonSchema {
  const { description } = schema.meta() ?? {};
  return description === undefined ? {} : { description };
}
