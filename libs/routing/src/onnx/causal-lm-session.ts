import { Tokenizer } from '@huggingface/tokenizers';
import { describeUnknown } from '@pointsman/errors';
import type { JsonObject } from '@pointsman/schemas';
import { Tensor } from 'onnxruntime-node';
import { brief, createSession, type HeadSession } from './head-session.ts';
import type { ModelFacts } from './inspect-model.ts';
import { ModelRefusedError } from './model-refused-error.ts';

/** Tokens of template and prompt together; of a longer prompt the beginning and the end are read. */
export const MAX_CAUSAL_LM_TOKENS = 256;
/** Characters that are tokenised: a token has seldom less than one. */
const MAX_CHARACTERS = 4_096;
/** Share of a prompt's room that its beginning gets, where it is too long. */
const HEAD_SHARE = 0.75;

const INPUTS = ['input_ids', 'attention_mask', 'position_ids'] as const;
const OUTPUT = 'logits';

/** What a causal language model needs beside its weights; plain data, so that it travels to a thread. */
export interface CausalLmParts {
  /** `tokenizer.json` and `tokenizer_config.json` of Hugging Face's tokenizers. */
  readonly tokenizer: JsonObject;
  readonly tokenizerConfig: JsonObject;
  /** The template before and behind the prompt. */
  readonly before: string;
  readonly after: string;
  /** The token of each candidate, in the order of the manifest. */
  readonly labelTokens: readonly string[];
}

/**
 * Inputs `input_ids`, `attention_mask` and perhaps `position_ids`, int64 [1, T]; output `logits`, float32 [1, T or 1, V]. Without a cache of keys and values: one
 * token is predicted, once.
 * @throws ModelRefusedError `interface`
 */
export function checkCausalLmInterface({ inputs, outputs }: Pick<ModelFacts, 'inputs' | 'outputs'>): void {
  for (const { name, type, dims } of inputs) {
    if (!INPUTS.some((input) => input === name)) throw refused(`The model asks for an input ${JSON.stringify(name.slice(0, 80))}; there are ${INPUTS.join(', ')}. Export it without a cache of keys and values.`);
    if (type !== 'int64' || dims?.length !== 2) throw refused(`The input ${name} must be int64 with 2 dimensions.`);
    if (dims[1] !== undefined) throw refused(`The input ${name} must take any number of tokens.`);
  }
  if (!inputs.some(({ name }) => name === 'input_ids')) throw refused('The model takes no input_ids.');
  const output = outputs.find(({ name }) => name === OUTPUT);
  if (output === undefined || output.type !== 'float32' || (output.dims !== undefined && output.dims.length !== 3)) throw refused(`The model must have an output ${OUTPUT}, float32 with 3 dimensions.`);
}

/**
 * Loads a causal language model that was inspected before; blocks meanwhile, as its runs do: for a thread of its own. A run gives, per candidate, the probability of
 * its label among all labels as the next token: softmax over the labels' logits at the last position.
 * @throws ModelRefusedError `load_failed`, `manifest` for labels that are no token or the same one
 */
export async function openCausalLmSession(path: string, parts: CausalLmParts): Promise<HeadSession> {
  const { encode, labels } = openTokenizer(parts);
  const session = await createSession(path).catch((error: unknown) => {
    throw new ModelRefusedError('load_failed', `onnxruntime refuses the model: ${brief(error)}`, error);
  });
  const wanted = INPUTS.filter((input) => session.inputNames.includes(input));
  return {
    async run({ prompt }) {
      if (prompt === undefined) throw new ModelRefusedError('features', 'A causal language model reads the prompt itself.');
      const ids = encode(prompt);
      const shape = [1, ids.length];
      const data = {
        input_ids: () => BigInt64Array.from(ids, BigInt), attention_mask: () => new BigInt64Array(ids.length).fill(1n), position_ids: () => BigInt64Array.from(ids, (_, index) => BigInt(index)),
      };
      const feeds: Record<string, Tensor> = {};
      for (const input of wanted) feeds[input] = new Tensor('int64', data[input](), shape);
      const outputs = await session.run(feeds, [OUTPUT]).catch((error: unknown) => {
        throw new ModelRefusedError('load_failed', `The model cannot run: ${brief(error)}`, error);
      });
      return labelProbabilities(outputs[OUTPUT], labels);
    },
    release: () => session.release(),
  };
}

function openTokenizer({ tokenizer: definition, tokenizerConfig, before, after, labelTokens }: CausalLmParts): { encode(prompt: string): readonly number[]; readonly labels: readonly number[] } {
  let tokenizer: Tokenizer;
  let head: readonly number[];
  let tail: readonly number[];
  try {
    tokenizer = new Tokenizer(definition, tokenizerConfig);
    // With the special tokens that begin a text; those that would end it stay away, for the answer is what comes next.
    const plain = tokenizer.encode(before, { add_special_tokens: false }).ids;
    head = withBeginning(tokenizer.encode(before, { add_special_tokens: true }).ids, plain);
    tail = tokenizer.encode(after, { add_special_tokens: false }).ids;
  } catch (error) {
    throw new ModelRefusedError('load_failed', `The tokenizer cannot be read: ${describeUnknown(error)}`, error);
  }
  const labels = labelTokens.map((token) => {
    const id = tokenizer.token_to_id(token);
    if (id === undefined) throw new ModelRefusedError('manifest', `The label ${JSON.stringify(token.slice(0, 80))} is no token of the tokenizer.`);
    return id;
  });
  if (new Set(labels).size < labels.length) throw new ModelRefusedError('manifest', 'Two candidates have the same label token.');
  const room = MAX_CAUSAL_LM_TOKENS - head.length - tail.length;
  if (room < 16) throw new ModelRefusedError('manifest', `The prompt template leaves no room for a prompt: ${MAX_CAUSAL_LM_TOKENS} tokens are read together.`);
  return {
    labels,
    encode(prompt) {
      const { ids } = tokenizer.encode(clipped(prompt), { add_special_tokens: false });
      const first = Math.floor(room * HEAD_SHARE);
      const kept = ids.length <= room ? ids : [...ids.slice(0, first), ...ids.slice(ids.length - (room - first))];
      const all = [...head, ...kept, ...tail];
      if (all.length === 0) throw new ModelRefusedError('bad_output', 'There is no token to predict from.');
      return all;
    },
  };
}

/** Of what a tokenizer puts around a text, that which comes before it. */
function withBeginning(marked: readonly number[], plain: readonly number[]): readonly number[] {
  for (let start = 0; start + plain.length <= marked.length; start += 1) if (plain.every((id, index) => marked[start + index] === id)) return marked.slice(0, start + plain.length);
  return plain;
}

function clipped(prompt: string): string {
  if (prompt.length <= MAX_CHARACTERS) return prompt;
  const first = Math.floor(MAX_CHARACTERS * HEAD_SHARE);
  return `${prompt.slice(0, first)}${prompt.slice(prompt.length - (MAX_CHARACTERS - first))}`.toWellFormed();
}

function labelProbabilities(output: Tensor | undefined, labels: readonly number[]): Float32Array {
  if (output === undefined || output.type !== 'float32' || !(output.data instanceof Float32Array) || output.dims.length !== 3) throw badOutput('is not float32 with 3 dimensions');
  const [batch = 0, positions = 0, vocabulary = 0] = output.dims;
  if (batch !== 1 || positions < 1 || labels.some((label) => label >= vocabulary)) throw badOutput(`has the shape [${output.dims.join(', ')}], which does not hold every label`);
  const start = (positions - 1) * vocabulary;
  const logits = labels.map((label) => (output.data as Float32Array)[start + label] ?? Number.NaN);
  const highest = Math.max(...logits);
  const weights = logits.map((logit) => Math.exp(logit - highest));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  if (!Number.isFinite(sum)) throw badOutput('holds no finite numbers for the labels');
  return Float32Array.from(weights, (weight) => weight / sum);
}

function badOutput(problem: string): ModelRefusedError {
  return new ModelRefusedError('bad_output', `The model's output ${problem}.`);
}

function refused(message: string): ModelRefusedError {
  return new ModelRefusedError('interface', message);
}
