import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { JsonObject } from '@pointsman/schemas';
import { attribute, ELEMENT, node, onnxModel, tensor, valueInfo } from '@pointsman/testing';
import { writeGeneration, type ArtifactParts } from './artifact.fixture.ts';

/** Words of the fixture's language; the index is the token. */
const WORDS = ['[UNK]', '<s>', 'easy', 'hard', 'question', ':', 'answer', 'small', 'large'];
const EASY = 2;
const HARD = 3;
const SMALL = 7;
const LARGE = 8;

export const tinyTokenizer: JsonObject = {
  version: '1.0', truncation: null, padding: null, added_tokens: [], normalizer: null, pre_tokenizer: { type: 'Whitespace' }, post_processor: null, decoder: null,
  model: { type: 'WordPiece', vocab: Object.fromEntries(WORDS.map((word, index) => [word, index])), unk_token: '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 100 },
};

export const tinySettings: JsonObject = { prompt_template: 'question : {prompt} answer :', label_tokens: { small: 'small', large: 'large' } };

/** A language of nine words: the logit of `small` at a position is how often `easy` stood before it, that of `large` how often `hard` did. */
export function tinyLanguageModel({ positionIds = false, outputType = ELEMENT.float }: { readonly positionIds?: boolean; readonly outputType?: number } = {}): Uint8Array {
  const size = WORDS.length;
  const table = new Float32Array(size * 2);
  table[EASY * 2] = 1;
  table[HARD * 2 + 1] = 1;
  const head = new Float32Array(2 * size);
  head[SMALL] = 1;
  head[size + LARGE] = 1;
  const ids = ['input_ids', 'attention_mask', ...(positionIds ? ['position_ids'] : [])];
  return onnxModel({
    nodes: [
      node({ op: 'Gather', inputs: ['table', 'input_ids'], outputs: ['rows'], attributes: [attribute.int('axis', 0)] }),
      node({ op: 'CumSum', inputs: ['rows', 'axis'], outputs: ['counts'] }),
      node({ op: 'MatMul', inputs: ['counts', 'head'], outputs: ['logits'] }),
    ],
    initializers: [
      tensor({ name: 'table', dims: [size, 2], data: table }), tensor({ name: 'head', dims: [2, size], data: head }), tensor({ name: 'axis', dims: [], type: ELEMENT.int64, data: BigInt64Array.of(1n) }),
    ],
    inputs: ids.map((name) => valueInfo(name, ELEMENT.int64, ['batch', 'tokens'])),
    outputs: [valueInfo('logits', outputType, ['batch', 'tokens', size])],
  });
}

export interface CausalLmArtifact extends ArtifactParts {
  readonly tokenizer?: JsonObject;
  readonly settings?: JsonObject;
  /** Files that the manifest does not name. */
  readonly unnamed?: readonly string[];
}

/** Writes an artifact of a causal language model as model-sync publishes it. */
export async function writeCausalLm(modelDirectory: string, { head = tinyLanguageModel(), tokenizer = tinyTokenizer, settings = tinySettings, unnamed = [], manifest = {}, ...parts }: CausalLmArtifact = {}): Promise<{ readonly revision: string; readonly directory: string }> {
  const contents = new Map<string, Uint8Array>([['model.onnx', head], ['tokenizer.json', Buffer.from(JSON.stringify(tokenizer))], ['causallm.json', Buffer.from(JSON.stringify(settings))]]);
  const files = [...contents].filter(([path]) => !unnamed.includes(path)).map(([path, bytes]) => ({ path, sha256: createHash('sha256').update(bytes).digest('hex'), bytes: bytes.byteLength }));
  const even = 1 / (1 + Math.exp(-1));
  const written = await writeGeneration(modelDirectory, {
    head, ...parts,
    manifest: { strategy: 'llmrouter-causallm', files, golden: [{ prompt: 'hard', scores: { small: 1 - even, large: even }, tolerance: 1e-4 }], ...manifest },
  });
  for (const [path, bytes] of contents) await writeFile(join(written.directory, path), bytes);
  return written;
}
