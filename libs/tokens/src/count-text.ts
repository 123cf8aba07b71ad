import { Encodings, Tally, type Encoding } from './encoding.ts';
import { tokenizerOf } from './tokenizer-of-model.ts';

/** Text up to this many UTF-16 units is counted whole. */
const MAX_COUNTED = 65_536;
const WINDOWS = 16;
const WINDOW_LENGTH = 4_096;
/** Words outside the vocabulary are the dear ones. Prose has few of them; a wall of random characters has nothing else. */
const MAX_MERGED_BYTES = 16_384;

/** Loaded vocabularies are as constant as the files that they come from. */
const encodings = new Encodings();

/** Tokens of a text for a model: exact for OpenAI's up to 64 Ki characters of ordinary text, an estimate for others and beyond. Bounded time for any text. */
export function countText(text: string, model: string): number {
  return countTexts([text], model);
}

/** Tokens of several texts that do not touch. */
export function countTexts(texts: readonly string[], model: string): number {
  const { encoding, factor } = tokenizerOf(model);
  let length = 0;
  for (const text of texts) length += text.length;
  if (length === 0) return 0;
  const loaded = encodings.get(encoding);
  const count = length <= MAX_COUNTED ? countAll(texts, loaded) : countSample(texts, length, loaded);
  return Math.ceil(count * factor);
}

function countAll(texts: readonly string[], encoding: Encoding): number {
  const tally = new Tally(MAX_MERGED_BYTES);
  for (const text of texts) encoding.count(text, tally);
  return tally.total();
}

/** Windows at even distances over all of the text, scaled up. A window goes on into the texts that follow. */
function countSample(texts: readonly string[], length: number, encoding: Encoding): number {
  const step = length / WINDOWS;
  const sample: string[] = [];
  let sampled = 0;
  let from = 0;
  for (const text of texts) {
    const to = from + text.length;
    for (let window = Math.max(0, Math.floor((from - WINDOW_LENGTH) / step)); window * step < to && window < WINDOWS; window += 1) {
      const start = Math.floor(window * step);
      const piece = text.slice(Math.max(0, start - from), Math.max(0, start + WINDOW_LENGTH - from));
      if (piece === '') continue;
      sample.push(piece);
      sampled += piece.length;
    }
    from = to;
  }
  return countAll(sample, encoding) * (length / sampled);
}
