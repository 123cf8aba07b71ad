import { z } from 'zod';
import data from './data/providers.json' with { type: 'json' };
import { QUIRK_NAMES } from './openai-wire/quirks/quirk-names.ts';

const environmentNames = z.array(z.string().min(1));

const placeholderSchema = z.strictObject({
  /** Fields of `litellm_params`, the first set one wins. */
  params: z.array(z.string().min(1)),
  env: environmentNames,
  default: z.string().min(1).optional(),
});

const openAiProviderSchema = z.strictObject({
  id: z.string().min(1),
  kind: z.literal('openai'),
  /** Null where only the operator can know it. `{NAME}` is filled from `placeholders`. */
  baseUrl: z.string().min(1).nullable(),
  /** Ends in `/chat/completions` (or `/responses` where there is no chat); the other formats are its siblings. */
  chatPath: z.string().startsWith('/'),
  /** The first set one wins; `api_key` of the deployment goes before all of them. */
  apiKeyEnv: environmentNames,
  apiBaseEnv: environmentNames,
  auth: z.union([z.enum(['bearer', 'azure', 'azure_ai', 'snowflake']), z.templateLiteral(['header:', z.string().min(1)])]),
  keyOptional: z.boolean().optional(),
  /** A key from the environment is not sent to a base URL of the operator's. */
  envKeyOnlyToOwnBase: z.boolean().optional(),
  placeholders: z.record(z.string(), placeholderSchema).optional(),
  /** A rule of `openai-wire/address.ts` for URLs and model names that do not simply add up. */
  address: z.enum(['azure', 'azure_ai', 'baseten', 'bedrock_mantle', 'clarifai', 'fireworks_ai', 'gradient_ai', 'ragflow']).optional(),
  headers: z.record(z.string(), z.string()).optional(),
  headersFromEnv: z.record(z.string(), z.string()).optional(),
  /** Parameter names of the OpenAI body → of the provider's body. */
  renames: z.record(z.string(), z.string()),
  /** Applied in this order. */
  quirks: z.array(z.enum(QUIRK_NAMES)),
  /** What the provider is known for and nothing is done about, each with the reason. */
  leftOut: z.record(z.string(), z.string().min(1)),
  formats: z.array(z.enum(['chat', 'completions', 'embeddings', 'responses', 'messages'])).min(1),
  /** `unasked`: usage comes with every stream and `stream_options` is refused. By default it has to be asked for. */
  streamUsage: z.literal('unasked').optional(),
});

const nativeProviderSchema = z.strictObject({
  id: z.string().min(1),
  kind: z.literal('native'),
  /** Null: this gateway has no adapter. */
  servedBy: z.literal('ai-sdk').nullable(),
  apiKeyEnv: environmentNames,
  apiBaseEnv: environmentNames,
});

const providerCatalogSchema = z.strictObject({ providers: z.array(z.discriminatedUnion('kind', [openAiProviderSchema, nativeProviderSchema])) });

export type OpenAiProviderFacts = Readonly<z.infer<typeof openAiProviderSchema>>;
export type NativeProviderFacts = Readonly<z.infer<typeof nativeProviderSchema>>;
export type ProviderFacts = OpenAiProviderFacts | NativeProviderFacts;

/** Other names that configurations use for the same provider. */
export const PROVIDER_ALIASES: ReadonlyMap<string, string> = new Map([
  ['text-completion-openai', 'openai'], ['azure_text', 'azure'], ['text-completion-codestral', 'codestral'],
  ['ollama_chat', 'ollama'], ['cohere_chat', 'cohere'], ['bedrock_converse', 'bedrock'], ['vertex_ai_beta', 'vertex_ai'],
]);

export interface ProviderCatalog {
  readonly entries: readonly ProviderFacts[];
  /** By id or alias; undefined for a provider nobody has heard of. */
  find(id: string): ProviderFacts | undefined;
}

function loadCatalog(): ProviderCatalog {
  const { providers } = providerCatalogSchema.parse(data);
  const byId = new Map(providers.map((entry) => [entry.id, entry] as const));
  return { entries: providers, find: (id) => byId.get(id) ?? byId.get(PROVIDER_ALIASES.get(id) ?? '') };
}

/**
 * What is known of every provider: where it is, how it authenticates, and where its OpenAI body differs.
 * Ids, URLs, variables, renames and quirks are those of litellm 1.106.2 (MIT licence), so that its configurations find the same providers here;
 * fixed headers, address rules and the reasons in `leftOut` are ours and were not tried against the live services.
 */
export const providerCatalog: ProviderCatalog = loadCatalog();
