import { LITELLM_PROVIDERS } from './litellm-names.ts';
import { nearestName } from './nearest-name.ts';

/** Names under which LiteLLM knows a provider that it also has under another name, or a second way to call the same one. */
const SAME_PROVIDER: Readonly<Record<string, string>> = {
  ollama_chat: 'ollama',
  vertex_ai_beta: 'vertex_ai',
  'text-completion-openai': 'openai',
  'text-completion-codestral': 'codestral',
  'text-completion-inception': 'inception',
  custom_openai: 'openai',
  openai_like: 'openai',
  aiohttp_openai: 'openai',
  azure_text: 'azure',
  cohere_chat: 'cohere',
  anthropic_text: 'anthropic',
  bedrock_converse: 'bedrock',
  sagemaker_chat: 'sagemaker',
  sagemaker_nova: 'sagemaker',
  watsonx_text: 'watsonx',
  ai21: 'ai21_chat',
  vllm: 'hosted_vllm',
};

/** Entries of a catalog in their own right where it has them: OpenAI's format without OpenAI's address. */
const KEEP_THEIR_NAME: ReadonlySet<string> = new Set(['custom_openai', 'openai_like']);

/** Prefixes of model names by which LiteLLM and everybody else recognise the maker. */
const BY_NAME: readonly (readonly [RegExp, string])[] = [
  [/^(gpt-|chatgpt-|o[134](-|$)|ft:gpt-|text-embedding-|tts-|whisper-|dall-e-|omni-moderation|text-moderation|davinci|babbage)/, 'openai'],
  [/^claude-/, 'anthropic'],
  [/^gemini-/, 'vertex_ai'],
  [/^command(-|$)|^embed-(english|multilingual)/, 'cohere'],
];

export type ProviderChoice =
  | { readonly kind: 'served'; readonly provider: string; readonly model: string; readonly guessed: boolean }
  /** LiteLLM has the provider, this gateway does not. */
  | { readonly kind: 'unsupported'; readonly provider: string }
  | { readonly kind: 'unknown'; readonly provider: string; readonly suggestion: string | undefined };

export interface ProviderQuestion {
  /** `litellm_params.model` */
  readonly configuredModel: string;
  /** `litellm_params.custom_llm_provider` */
  readonly customProvider: string | undefined;
  readonly providerIds: ReadonlySet<string>;
  /** The provider of a model by its whole name, as the price map has it. */
  readonly providerOfModel: ((model: string) => string | undefined) | undefined;
  /** Providers that the configuration declares with code of its own (`custom_provider_map`). */
  readonly customProviders: ReadonlySet<string>;
}

/** Splits `provider/model` the way LiteLLM does: `custom_llm_provider`, else the first part of the name, else the model's own fame, else OpenAI. */
export function chooseProvider(question: ProviderQuestion): ProviderChoice {
  const { configuredModel, customProvider, providerOfModel } = question;
  const slash = configuredModel.indexOf('/');
  const prefix = slash > 0 ? configuredModel.slice(0, slash) : undefined;
  const rest = configuredModel.slice(slash + 1);

  if (customProvider !== undefined) {
    // `openrouter/auto` is a model's own name at OpenRouter, `openrouter/anthropic/claude` is not.
    const keepsPrefix = customProvider === 'openrouter' && !rest.includes('/');
    return serve(customProvider, prefix === customProvider && !keepsPrefix ? rest : configuredModel, question);
  }
  if (prefix !== undefined && (isKnown(prefix, question) || isKnown(prefix.toLowerCase(), question))) return serve(isKnown(prefix, question) ? prefix : prefix.toLowerCase(), rest, question);
  const famous = providerOfModel?.(configuredModel) ?? BY_NAME.find(([pattern]) => pattern.test(configuredModel))?.[1];
  if (famous !== undefined) {
    const choice = serve(famous, configuredModel, question);
    if (choice.kind !== 'unknown') return choice;
  }
  if (prefix !== undefined) return { kind: 'unknown', provider: prefix, suggestion: nearestName(prefix, question.providerIds) };
  const choice = serve('openai', configuredModel, question);
  return choice.kind === 'served' ? { ...choice, guessed: true } : choice;
}

function isKnown(provider: string, { providerIds, customProviders }: ProviderQuestion): boolean {
  return providerIds.has(provider) || LITELLM_PROVIDERS.has(provider) || customProviders.has(provider) || Object.hasOwn(SAME_PROVIDER, provider) || provider.startsWith('vertex_ai-');
}

function serve(provider: string, model: string, { providerIds, customProviders }: ProviderQuestion): ProviderChoice {
  const canonical = servedId(provider, providerIds);
  if (canonical !== undefined) return { kind: 'served', provider: canonical, model, guessed: false };
  if (LITELLM_PROVIDERS.has(provider) || customProviders.has(provider)) return { kind: 'unsupported', provider };
  return { kind: 'unknown', provider, suggestion: nearestName(provider, providerIds) };
}

function servedId(provider: string, providerIds: ReadonlySet<string>): string | undefined {
  if (KEEP_THEIR_NAME.has(provider) && providerIds.has(provider)) return provider;
  // The price map has entries such as `vertex_ai-language-models`.
  const same = Object.hasOwn(SAME_PROVIDER, provider) ? SAME_PROVIDER[provider] : provider.startsWith('vertex_ai-') ? 'vertex_ai' : undefined;
  if (same !== undefined && providerIds.has(same)) return same;
  return providerIds.has(provider) ? provider : undefined;
}
