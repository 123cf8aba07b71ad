import type { ModelManifest } from '@pointsman/schemas';
import type { DeclaredTensor, ModelFacts } from './inspect-model.ts';
import { ModelRefusedError } from './model-refused-error.ts';
import { HEAD_INPUTS, HEAD_OUTPUT, type HeadInput } from './router-model.ts';

const EXPECTED: Readonly<Record<HeadInput, { readonly type: string; readonly rank: number }>> = {
  text: { type: 'float32', rank: 2 }, embedding: { type: 'float32', rank: 2 }, ngram_index: { type: 'int32', rank: 1 }, ngram_value: { type: 'float32', rank: 1 },
};

function isHeadInput(name: string): name is HeadInput {
  return HEAD_INPUTS.some((input) => input === name);
}

/**
 * Holds the inputs and the output that a file declares against what a head is fed and asked for, and returns the inputs to feed.
 * @throws ModelRefusedError `interface`, or `features` for a head over an embedding that the manifest's embedder does not make
 */
export function checkHeadInterface(facts: Pick<ModelFacts, 'inputs' | 'outputs'>, { candidates, features }: Pick<ModelManifest, 'candidates' | 'features'>): HeadInput[] {
  const inputs = facts.inputs.map((input) => {
    const { name } = input;
    if (!isHeadInput(name)) throw refused(`The model asks for an input ${JSON.stringify(name.slice(0, 80))}; there are ${HEAD_INPUTS.join(', ')}.`);
    const { type, rank } = EXPECTED[name];
    if (input.type !== type || input.dims?.length !== rank) throw refused(`The input ${name} must be ${type} with ${rank} ${rank === 1 ? 'dimension' : 'dimensions'}, not ${described(input)}.`);
    if (rank === 2 && fixed(input.dims[0], 1)) throw refused(`The input ${name} must take one row at a time, not ${described(input)}.`);
    // A head that takes a fixed number of n-grams fails with the first prompt that has another number of them.
    if (rank === 1 && input.dims[0] !== undefined) throw refused(`The input ${name} must take any number of n-grams, not ${described(input)}.`);
    return name;
  });
  if (inputs.length === 0) throw refused('The model takes no input.');
  if (new Set(inputs).size < inputs.length) throw refused('The model declares an input twice.');
  const { dimensions, name: embedder } = features.embedder;
  const embedding = facts.inputs.find(({ name }) => name === 'embedding');
  if (embedding !== undefined && (dimensions === 0 || fixed(embedding.dims?.[1], dimensions))) {
    throw new ModelRefusedError('features', `The model takes an embedding of ${String(embedding.dims?.[1] ?? 'any')} dimensions, and its manifest names the embedder ${embedder} with ${dimensions}.`);
  }

  const [output] = facts.outputs;
  if (output === undefined || facts.outputs.length !== 1 || output.name !== HEAD_OUTPUT) throw refused(`The model must have exactly one output, ${HEAD_OUTPUT}.`);
  if (output.type !== 'float32' || (output.dims !== undefined && output.dims.length !== 2)) throw refused(`The output ${HEAD_OUTPUT} must be float32 with 2 dimensions, not ${described(output)}.`);
  if (fixed(output.dims?.[0], 1) || fixed(output.dims?.[1], candidates.length)) throw refused(`The output ${HEAD_OUTPUT} is ${described(output)}, and the manifest names ${candidates.length} candidates.`);
  return inputs;
}

/** Whether a declared size is known and another one. */
function fixed(declared: number | undefined, wanted: number): boolean {
  return declared !== undefined && declared !== wanted;
}

function described({ type, dims }: DeclaredTensor): string {
  return `${type ?? 'no tensor'} [${dims === undefined ? 'no shape' : dims.map((dim) => dim ?? '?').join(', ')}]`;
}

function refused(message: string): ModelRefusedError {
  return new ModelRefusedError('interface', message);
}
