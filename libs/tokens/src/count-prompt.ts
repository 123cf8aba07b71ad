import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import type { UsageFormat } from '@pointsman/wire-formats';
import { countTexts } from './count-text.ts';
import { PromptPieces } from './prompt-pieces.ts';
import { tokenizerOf } from './tokenizer-of-model.ts';

/** Separators around each message, and the beginning of the reply (OpenAI's cookbook, `How_to_count_tokens_with_tiktoken.ipynb`). */
const TOKENS_PER_MESSAGE = 3;
const TOKENS_PER_NAME = 1;
const TOKENS_PER_REPLY = 3;

/**
 * The prompt tokens of a request body in its own format, as the model's provider would count them: text by `countTexts`, messages with OpenAI's
 * separators, tool definitions, pictures by a constant per family, sound and files by their size. Never throws, never NaN; 0 for an empty body.
 */
export function countPrompt(format: UsageFormat, body: JsonObject, model: string): number {
  const pieces = new PromptPieces(tokenizerOf(model));
  if (format === 'completions' || format === 'embeddings') {
    readFlat(pieces, format === 'completions' ? body['prompt'] : body['input']);
    pieces.text(body['suffix']);
  } else {
    readTurns(pieces, format, body);
    pieces.tools(body['tools'] ?? body['functions']);
    pieces.json(schemaOf(body));
    if (pieces.messages > 0) pieces.tokens += TOKENS_PER_REPLY;
  }
  pieces.tokens += pieces.messages * TOKENS_PER_MESSAGE + pieces.names * TOKENS_PER_NAME;
  return Math.ceil(pieces.tokens + countTexts(pieces.texts, model));
}

/** A prompt or input: a text, texts, token ids, or lists of token ids. */
function readFlat(pieces: PromptPieces, input: unknown): void {
  if (!Array.isArray(input)) {
    pieces.text(input);
    return;
  }
  for (const item of input) {
    if (typeof item === 'number') pieces.tokens += 1;
    else if (Array.isArray(item)) pieces.tokens += item.length;
    else pieces.text(item);
  }
}

function readTurns(pieces: PromptPieces, format: UsageFormat, body: JsonObject): void {
  const system = format === 'messages' ? body['system'] : format === 'responses' ? body['instructions'] : undefined;
  if (system !== undefined && system !== null) pieces.message({ role: 'system', content: system });
  const turns = format === 'responses' ? body['input'] : body['messages'];
  if (typeof turns === 'string') pieces.message({ role: 'user', content: turns });
  else if (Array.isArray(turns)) for (const turn of turns) if (isJsonObject(turn)) pieces.message(turn);
}

/** The JSON schema that a reply has to follow, wherever the format puts it. */
function schemaOf(body: JsonObject): unknown {
  for (const holder of [body['response_format'], isJsonObject(body['text']) ? body['text']['format'] : undefined, body['output_format']]) {
    if (isJsonObject(holder) && holder['type'] === 'json_schema') return holder['json_schema'] ?? holder['schema'];
  }
  return undefined;
}
