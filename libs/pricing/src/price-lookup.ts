/** Which model a price is wanted for. */
export interface PriceLookup {
  /** The model's name at the provider: `gpt-4o`, `us.anthropic.claude-sonnet-4-5-20250929-v1:0`. May still carry the provider prefix. */
  readonly model: string;
  /** Provider id of the configuration: `openai`, `bedrock`, … */
  readonly provider: string;
  /** `model_info.base_model`: what an Azure deployment or a fine-tuned model really is. */
  readonly baseModel?: string | undefined;
}

/** Providers whose entries in the map go by another name as well. */
const PROVIDER_FAMILIES: Readonly<Record<string, readonly string[]>> = {
  openai: ['openai', 'text-completion-openai'],
  azure: ['azure', 'azure_text'],
  bedrock: ['bedrock', 'bedrock_converse', 'bedrock_mantle'],
  bedrock_converse: ['bedrock', 'bedrock_converse'],
  cohere: ['cohere', 'cohere_chat'],
  cohere_chat: ['cohere', 'cohere_chat'],
  codestral: ['codestral', 'text-completion-codestral'],
  'text-completion-openai': ['openai', 'text-completion-openai'],
};

/** Whether an entry of the map belongs to the provider: `gpt-4o` is OpenAI's price, not that of somebody who serves a model of that name. */
export function isOfProvider(entryProvider: string | undefined, provider: string): boolean {
  if (entryProvider === undefined || entryProvider === provider) return true;
  if (provider.startsWith('vertex_ai')) return entryProvider.startsWith('vertex_ai');
  return PROVIDER_FAMILIES[provider]?.includes(entryProvider) ?? false;
}

const BEDROCK_ROUTE = /^(?:converse|converse_like|invoke|async_invoke|mantle)\//;
const BEDROCK_REGION_PATH = /^[a-z]{2}(?:-[a-z]+)+-\d\//;
const BEDROCK_PROFILE = /^(?:us-gov|us|eu|apac|jp|au|ca|sa|me|af|global)\./;
const AZURE_ZONE = /^(?:eu|us|global|global-standard)\//;
const FINE_TUNED = /^(ft:[^:]+):.*$/;
const DATE_SUFFIX = /(?:-\d{4}-\d{2}-\d{2}|-\d{8}|@\d{8}|@default|@latest|-latest)$/;
const GOOGLE_VERSION = /-\d{3}$/;

/** The same model under shorter names, the most exact one first. */
function spellings(model: string, provider: string): string[] {
  const names = [model];
  const add = (pattern: RegExp, replacement = ''): void => {
    const last = names[names.length - 1] ?? model;
    const next = last.replace(pattern, replacement);
    if (next !== last && next !== '') names.push(next);
  };
  if (provider.startsWith('bedrock')) {
    add(BEDROCK_ROUTE);
    add(BEDROCK_REGION_PATH);
    add(BEDROCK_PROFILE);
  }
  if (provider.startsWith('azure')) add(AZURE_ZONE);
  add(FINE_TUNED, '$1');
  add(DATE_SUFFIX);
  if (provider === 'gemini' || provider.startsWith('vertex_ai')) add(GOOGLE_VERSION);
  return names;
}

/** An entry's name, and whether it names the provider itself. */
export interface PriceKey {
  readonly key: string;
  readonly namesProvider: boolean;
}

/**
 * The names to look up, in order. For `baseModel` first, then for `model`, each spelling as `provider/name`, then as `name`, which counts only
 * when that entry is the provider's. Spellings, most exact first: as given; without Bedrock's route (`converse/`), region path (`us-east-1/`) and
 * inference profile (`us.`); without Azure's zone (`eu/`); a fine-tuned model's base; without a date or `-latest`; without Google's `-001`.
 */
export function priceKeys({ model, provider, baseModel }: PriceLookup): PriceKey[] {
  const keys: PriceKey[] = [];
  for (const given of [baseModel, model]) {
    if (given === undefined || given === '') continue;
    const plain = given.startsWith(`${provider}/`) ? given.slice(provider.length + 1) : given;
    for (const name of spellings(plain, provider)) {
      keys.push({ key: `${provider}/${name}`, namesProvider: true });
      // A base model may be another provider's: `azure` with base model `openai/gpt-4o` or plain `gpt-4o`.
      keys.push({ key: name, namesProvider: given === baseModel });
    }
  }
  return keys;
}

/** A name without spaces around it, in lower case. */
export function foldName(name: string): string {
  return name.trim().toLowerCase();
}

/** The question with folded names. */
export function foldLookup({ model, provider, baseModel }: PriceLookup): PriceLookup {
  return { model: foldName(model), provider, baseModel: baseModel === undefined ? undefined : foldName(baseModel) };
}
