/** OpenAI's public vocabularies. */
export type EncodingName = 'o200k_base' | 'cl100k_base';

/** How the tokens of a model are counted. */
export interface Tokenizer {
  readonly encoding: EncodingName;
  /** Tokens of the model per token of `encoding`: 1 where the encoding is the model's own. */
  readonly factor: number;
  /** What one picture of usual size costs in tokens. */
  readonly imageTokens: number;
  /** Tool definitions are read as JSON behind a preamble of this many tokens; undefined: as OpenAI's models read them. */
  readonly toolPreambleTokens: number | undefined;
}

/** 1024 × 1024 in high detail: 85 + 4 tiles of 170. */
const OPENAI_IMAGE_TOKENS = 765;
const O200K: Tokenizer = { encoding: 'o200k_base', factor: 1, imageTokens: OPENAI_IMAGE_TOKENS, toolPreambleTokens: undefined };
const CL100K: Tokenizer = { ...O200K, encoding: 'cl100k_base' };

const CL100K_MODEL = /^(?:ft:)?(?:gpt-4(?![\d.o])|gpt-4-|gpt-3\.5|gpt-35|text-embedding-|davinci-002|babbage-002)/;

/**
 * Families whose tokenizer is not public, or not in npm at a sane size. The factors were measured on a small sample of English prose, TypeScript and JSON: what the
 * vocabularies that are public (Claude's of 2023, Gemma 3, Llama 3, Qwen 3, DeepSeek V3) needed for it, compared with o200k_base. Mistral's is not among them and is
 * a guess. Newer models of a family may count otherwise, and other languages are further off.
 */
const FAMILIES: readonly { readonly pattern: RegExp; readonly tokenizer: Tokenizer }[] = [
  // Anthropic: pictures take width × height / 750 tokens, and tools come behind a system prompt of 346.
  { pattern: /claude/, tokenizer: { ...O200K, factor: 1.12, imageTokens: 1400, toolPreambleTokens: 346 } },
  // Google: 258 tokens per tile of 768 × 768.
  { pattern: /gemini|gemma|palm|bison/, tokenizer: { ...O200K, factor: 1.12, imageTokens: 258, toolPreambleTokens: 0 } },
  { pattern: /llama/, tokenizer: { ...O200K, toolPreambleTokens: 0 } },
  { pattern: /qwen|qwq/, tokenizer: { ...O200K, toolPreambleTokens: 0 } },
  { pattern: /deepseek/, tokenizer: { ...O200K, factor: 1.08, toolPreambleTokens: 0 } },
  { pattern: /mistral|mixtral|codestral|ministral|magistral|devstral|pixtral/, tokenizer: { ...O200K, factor: 1.08, toolPreambleTokens: 0 } },
];

/** The tokenizer of a model by its name at the provider; routes before the name (`us.anthropic.`, `openai/`, `models/`) do not matter. */
export function tokenizerOf(model: string): Tokenizer {
  const name = model.slice(0, 256).toLowerCase();
  const last = name.slice(name.lastIndexOf('/') + 1);
  if (CL100K_MODEL.test(last)) return CL100K;
  // Names that say nothing are mostly those of Azure's deployments and fine-tuned models: OpenAI's present vocabulary.
  return FAMILIES.find(({ pattern }) => pattern.test(name))?.tokenizer ?? O200K;
}
