import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { configJsonSchema } from './config-json-schema.ts';
import { ConfigRejectedError } from './config-rejected-error.ts';
import { parseGatewayConfig } from './parse-gateway-config.ts';
import { readYaml } from './read-yaml.ts';

const directory = new URL('./__fixtures__/litellm/', import.meta.url);
const PROVIDERS = new Set(['openai', 'azure', 'anthropic', 'vertex_ai', 'gemini', 'ollama', 'hosted_vllm', 'groq', 'openrouter', 'cohere', 'bedrock', 'mistral']);
const VARIABLES = 'LITELLM_MASTER_KEY OPENAI_API_KEY OPENAI_API_KEY_2 GROQ_API_KEY OPENROUTER_API_KEY AZURE_EASTUS_KEY ANTHROPIC_API_KEY COHERE_API_KEY BEDROCK_ROLE GCP_PROJECT GEMINI_API_KEY MISTRAL_API_KEY AZURE_EU_KEY ELEVENLABS_KEY';
const ENV = Object.fromEntries(VARIABLES.split(' ').map((name) => [name, `sk-of-${name}`]));

type Outcome = { readonly models: number; readonly warnings: readonly string[] } | { readonly refused: readonly string[] };

/** What an operator is told about each file; the paths are the promise, the wording is not. */
const OUTCOMES: Readonly<Record<string, Outcome>> = {
  'azure-with-fallbacks': { models: 3, warnings: ['model_list[0].litellm_params.max_retries', 'model_list[1].litellm_params.api_key'] },
  wildcards: { models: 3, warnings: [] },
  'load-balancing-with-weights': { models: 2, warnings: ['router_settings.retry_policy.DefaultRetries'] },
  'callbacks-langfuse': { models: 1, warnings: ['litellm_settings.success_callback', 'litellm_settings.failure_callback', 'litellm_settings.turn_off_message_logging'] },
  'redis-cache': { models: 1, warnings: ['litellm_settings.cache_params.host', 'litellm_settings.cache_params.port', 'router_settings.redis_host', 'router_settings.redis_port'] },
  'pass-through-endpoints': { models: 1, warnings: ['general_settings.pass_through_endpoints'] },
  'open-telemetry': { models: 1, warnings: ['litellm_settings.callbacks', 'general_settings.otel', 'callback_settings'] },
  bedrock: { models: 2, warnings: [] },
  'vertex-and-gemini': { models: 3, warnings: ['default_vertex_config'] },
  'local-ollama': { models: 2, warnings: ['model_list[1].litellm_params.sampling_flavour'] },
  'tag-routing': { models: 2, warnings: ['model_list[1].litellm_params.tag_regex'] },
  'custom-auth': { models: 1, warnings: ['general_settings.custom_auth'] },
  'guardrails-and-mcp': { models: 1, warnings: ['guardrails', 'mcp_servers', 'search_tools'] },
  'database-and-budgets': {
    models: 1, warnings: ['model_list[0].litellm_params.max_budget', 'model_list[0].litellm_params.budget_duration', 'litellm_settings.max_budget', 'litellm_settings.budget_duration',
      'litellm_settings.default_internal_user_params', 'general_settings.database_url', 'general_settings.database_connection_pool_limit', 'general_settings.store_model_in_db',
      'general_settings.proxy_batch_write_at', 'general_settings.alerting'],
  },
  'shared-credentials': { models: 2, warnings: [] },
  'providers-that-are-not-here': {
    models: 1, warnings: ['model_list[0].litellm_params.adaptive_router_config', 'model_list[0].litellm_params.model', 'model_list[2].litellm_params.model', 'model_list[3].litellm_params.model', 'litellm_settings.custom_provider_map'],
  },
  'misspelt-parameter': { refused: ['model_list[0].litellm_params.api_bse → api_base'] },
  'misspelt-section': { refused: ['model_lists → model_list', 'router_setting → router_settings'] },
  'misplaced-keys': { refused: ['model_list[0].weight → litellm_params.weight', 'general_settings.num_retries → router_settings.num_retries', 'master_key → general_settings.master_key'] },
  'fallback-to-nowhere': { refused: ['litellm_settings.fallbacks.gpt-4o', 'router_settings.model_group_alias.a', 'router_settings.model_group_alias.b', 'router_settings.model_group_alias.c → gpt-4o'] },
  'unknown-strategy': { refused: ['router_settings.routing_strategy → latency-based-routing'] },
  'entry-without-params': { refused: ['model_list[0].litellm_params'] },
  'unknown-provider': { refused: ['model_list[0].litellm_params.model → mistral'] },
};

/** Refusals that need more than the shape of the file, which is all that an editor checks. */
const BEYOND_A_SCHEMA = new Set(['fallback-to-nowhere', 'unknown-strategy', 'unknown-provider', 'misspelt-parameter']);

function outcomeOf(name: string): Outcome {
  const text = readFileSync(new URL(`${name}.yaml`, directory), 'utf8');
  try {
    const { config, warnings } = parseGatewayConfig({ files: text, env: ENV, providerIds: PROVIDERS });
    return { models: config.models.length, warnings: warnings.map((warning) => warning.path) };
  } catch (error) {
    if (!(error instanceof ConfigRejectedError)) throw error;
    return { refused: error.problems.map(({ path, suggestion }) => (suggestion === undefined ? path : `${path} → ${suggestion}`)) };
  }
}

test('every fixture has an expected outcome', () => {
  expect(readdirSync(directory).map((file) => file.replace('.yaml', '')).toSorted()).toEqual(Object.keys(OUTCOMES).toSorted());
});

describe('the parser', () => {
  test.each(Object.entries(OUTCOMES))('%s', (name, expected) => {
    const outcome = outcomeOf(name);
    if ('models' in expected && 'models' in outcome) expect(new Set(outcome.warnings)).toEqual(new Set(expected.warnings));
    else expect(outcome).toEqual(expected);
    if ('models' in expected && 'models' in outcome) expect(outcome.models).toBe(expected.models);
  });
});

describe('the JSON Schema for editors agrees', () => {
  const schema = z.fromJSONSchema(configJsonSchema() as Parameters<typeof z.fromJSONSchema>[0]);
  test.each(Object.entries(OUTCOMES))('%s', (name, expected) => {
    const read = readYaml({ path: name, text: readFileSync(new URL(`${name}.yaml`, directory), 'utf8') });
    expect('file' in read && schema.safeParse(read.file.root).success).toBe('models' in expected || BEYOND_A_SCHEMA.has(name));
  });
});
