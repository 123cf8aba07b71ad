import { createHash } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';

/** A provider that a key in the environment switches on. */
interface KeyedProvider {
  readonly id: string;
  /** The first of these that is set holds the key. */
  readonly keys: readonly string[];
  /** Models worth a name of their own and a place in the group `auto`; everything else is reached by the wildcard. */
  readonly models: readonly string[];
}

/** Every provider that a key can switch on. */
export const KEYED_PROVIDERS: readonly KeyedProvider[] = [
  { id: 'openai', keys: ['OPENAI_API_KEY'], models: ['gpt-5.4-mini', 'gpt-5.5'] },
  { id: 'anthropic', keys: ['ANTHROPIC_API_KEY'], models: ['claude-haiku-4-5', 'claude-sonnet-5'] },
  { id: 'gemini', keys: ['GEMINI_API_KEY', 'GOOGLE_API_KEY'], models: ['gemini-3.5-flash', 'gemini-2.5-pro'] },
  { id: 'groq', keys: ['GROQ_API_KEY'], models: ['openai/gpt-oss-20b', 'openai/gpt-oss-120b'] },
  { id: 'mistral', keys: ['MISTRAL_API_KEY'], models: ['mistral-small-latest', 'mistral-large-latest'] },
  { id: 'deepseek', keys: ['DEEPSEEK_API_KEY'], models: ['deepseek-chat'] },
  { id: 'xai', keys: ['XAI_API_KEY'], models: ['grok-4.3'] },
  { id: 'cohere', keys: ['COHERE_API_KEY', 'CO_API_KEY'], models: ['command-r-08-2024'] },
  { id: 'cerebras', keys: ['CEREBRAS_API_KEY'], models: [] },
  { id: 'together_ai', keys: ['TOGETHERAI_API_KEY', 'TOGETHER_API_KEY'], models: [] },
  { id: 'fireworks_ai', keys: ['FIREWORKS_API_KEY'], models: [] },
  { id: 'openrouter', keys: ['OPENROUTER_API_KEY'], models: [] },
  { id: 'perplexity', keys: ['PERPLEXITY_API_KEY', 'PERPLEXITYAI_API_KEY'], models: ['sonar'] },
];

/** The simulated models, cheapest first, with prices in USD per token as `model_info` has them. */
const SIMULATED = [
  { model: 'simulated/swift', input: '0.0000001', output: '0.0000004', about: 'first token after 30 ms, 800 tokens/s, terse' },
  { model: 'simulated/steady', input: '0.0000006', output: '0.0000024', about: '80 ms, 400 tokens/s, plain' },
  { model: 'simulated/sage', input: '0.000003', output: '0.000012', about: '160 ms, 250 tokens/s, structured' },
  { model: 'simulated/oracle', input: '0.000015', output: '0.00006', about: '320 ms, 160 tokens/s, thorough' },
] as const;

const HEADER = /^# generated ([0-9a-f]{64})\n/;

/** The `config.yaml` of a pod that was given none: simulated models always, real ones for every provider key in the environment. */
export function defaultConfig(env: Readonly<Record<string, string | undefined>>): string {
  const real = KEYED_PROVIDERS.flatMap((provider) => {
    const key = provider.keys.find((name) => (env[name] ?? '') !== '');
    return key === undefined ? [] : [{ ...provider, key }];
  });
  const lines = [
    '# Written by `npm start`. Edit it as you like: once it was edited, it is left alone.',
    real.length === 0
      ? '# No provider key was in the environment, so `auto` chooses between simulated models, which run inside the gateway and cost nothing.'
      : `# Real models are here because of ${real.map(({ key }) => key).join(', ')}; \`auto\` chooses between them.`,
    'model_list:',
    ...SIMULATED.flatMap((model) => simulatedEntry(model.model, model)),
    ...real.flatMap(({ id, key, models }) => [
      ...models.flatMap((model) => realEntry(`${id}/${model}`, `${id}/${model}`, key)),
      ...realEntry(`${id}/*`, `${id}/*`, key),
    ]),
    '  # The group that chooses: ask for the model `auto`.',
    ...autoEntries(real),
    'router_settings:',
    '  routing_strategy: simple-shuffle',
    '  strategies:',
    '    auto: # by what is asked: cheap models for easy prompts, strong ones for hard prompts',
    '      routing_strategy: llmrouter-hybrid',
    '      routing_strategy_args:',
    '        quality_cost_tradeoff: 0.3 # 0: only the price counts, 1: only the quality',
    '  num_retries: 2',
    '  fallbacks:',
    '    - simulated/swift: [simulated/steady]',
    '    - simulated/steady: [simulated/sage]',
    '    - simulated/sage: [simulated/oracle]',
    '    - simulated/oracle: [simulated/sage]',
    '',
  ];
  const body = lines.join('\n');
  return `# generated ${digestOf(body)}\n${body}`;
}

function autoEntries(real: readonly { readonly id: string; readonly key: string; readonly models: readonly string[] }[]): string[] {
  const named = real.flatMap(({ id, key, models }) => models.flatMap((model) => realEntry('auto', `${id}/${model}`, key)));
  // Made-up answers must not turn up among real ones; only where no real model has a name is `auto` simulated.
  return named.length > 0 ? named : SIMULATED.flatMap((model) => simulatedEntry('auto', model));
}

function simulatedEntry(group: string, { model, input, output, about }: (typeof SIMULATED)[number]): string[] {
  return [
    `  - model_name: ${group} # ${about}`,
    '    litellm_params:',
    `      model: ${model}`,
    '    model_info:',
    `      input_cost_per_token: ${input}`,
    `      output_cost_per_token: ${output}`,
  ];
}

function realEntry(group: string, model: string, key: string): string[] {
  return [`  - model_name: ${JSON.stringify(group)}`, '    litellm_params:', `      model: ${JSON.stringify(model)}`, `      api_key: os.environ/${key}`];
}

/** Whether a file is one of ours that nobody has changed since. */
export function isUntouched(text: string): boolean {
  const digest = HEADER.exec(text)?.[1];
  return digest !== undefined && digest === digestOf(text.replace(HEADER, ''));
}

/** Writes the default configuration where there is none, renews one that was generated and never edited, and leaves any other alone. */
export function ensureConfig(file: string, env: Readonly<Record<string, string | undefined>>): 'written' | 'renewed' | 'unchanged' | 'edited' {
  const wanted = defaultConfig(env);
  const there = existsSync(file) ? readFileSync(file, 'utf8') : undefined;
  if (there === wanted) return 'unchanged';
  if (there !== undefined && !isUntouched(there)) return 'edited';
  // A running gateway may be reading it: never half a file.
  writeFileSync(`${file}.new`, wanted, { mode: 0o600 });
  renameSync(`${file}.new`, file);
  return there === undefined ? 'written' : 'renewed';
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
