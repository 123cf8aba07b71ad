import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describeUnknown } from '@pointsman/errors';
import { isJsonObject, type JsonObject, type ModelManifest } from '@pointsman/schemas';
import type { CausalLmParts } from './causal-lm-session.ts';
import { ModelRefusedError } from './model-refused-error.ts';

/** Strategy of artifacts whose `model.onnx` is a causal language model. */
export const CAUSAL_LM_STRATEGY = 'llmrouter-causallm';
export const TOKENIZER_FILE = 'tokenizer.json';
export const TOKENIZER_CONFIG_FILE = 'tokenizer_config.json';
/** `{"prompt_template": "… {prompt} …", "label_tokens": {"candidate": "token"}}`. */
export const CAUSAL_LM_FILE = 'causallm.json';

const MAX_TOKENIZER_BYTES = 64 * 1024 * 1024;
const MAX_SETTINGS_BYTES = 1024 * 1024;
const MAX_TEMPLATE = 8_192;
const PLACE = '{prompt}';

/**
 * Reads what a causal language model needs beside its weights. Only files that the manifest names are read: their digests were checked.
 * @throws ModelRefusedError `manifest`, `unreadable`
 */
export async function readCausalLm(directory: string, { files, candidates }: Pick<ModelManifest, 'files' | 'candidates'>): Promise<CausalLmParts> {
  const has = (path: string): boolean => files.some((file) => file.path === path);
  for (const path of [TOKENIZER_FILE, CAUSAL_LM_FILE]) if (!has(path)) throw new ModelRefusedError('manifest', `manifest.json names no ${path}, which a causal language model needs.`);
  const tokenizer = await readObject(directory, TOKENIZER_FILE, MAX_TOKENIZER_BYTES);
  const tokenizerConfig = has(TOKENIZER_CONFIG_FILE) ? await readObject(directory, TOKENIZER_CONFIG_FILE, MAX_SETTINGS_BYTES) : {};
  const settings = await readObject(directory, CAUSAL_LM_FILE, MAX_SETTINGS_BYTES);
  const { prompt_template: template, label_tokens: labels } = settings;
  if (typeof template !== 'string' || template.length > MAX_TEMPLATE || template.split(PLACE).length !== 2) throw new ModelRefusedError('manifest', `${CAUSAL_LM_FILE}: prompt_template must be a text of at most ${MAX_TEMPLATE} characters that holds ${PLACE} once.`);
  if (!isJsonObject(labels)) throw new ModelRefusedError('manifest', `${CAUSAL_LM_FILE}: label_tokens must be a mapping from candidate to token.`);
  const labelTokens = candidates.map((candidate) => {
    const token = Object.hasOwn(labels, candidate) ? labels[candidate] : undefined;
    if (typeof token !== 'string' || token === '') throw new ModelRefusedError('manifest', `${CAUSAL_LM_FILE}: label_tokens names no token for ${JSON.stringify(candidate.slice(0, 80))}.`);
    return token;
  });
  const [before = '', after = ''] = template.split(PLACE);
  return { tokenizer, tokenizerConfig, before, after, labelTokens };
}

async function readObject(directory: string, name: string, maxBytes: number): Promise<JsonObject> {
  const path = join(directory, name);
  let value: unknown;
  try {
    const { size } = await stat(path);
    if (size > maxBytes) throw new ModelRefusedError('manifest', `${name} has ${size} bytes; ${maxBytes} are allowed.`);
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw error instanceof ModelRefusedError ? error : new ModelRefusedError('unreadable', `${name} cannot be read: ${describeUnknown(error)}`, error);
  }
  if (!isJsonObject(value)) throw new ModelRefusedError('manifest', `${name} holds no JSON object.`);
  return value;
}
