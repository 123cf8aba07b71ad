import { createRequire } from 'node:module';
import type { EncodingName } from './tokenizer-of-model.ts';

const requireModule = createRequire(import.meta.url);

/** A piece of bytes takes time by the square of its length: longer ones, which no language has, are cut. UTF-16 units. */
const MAX_PIECE = 48;
const NO_RANK = 0x7fffffff;

/**
 * Counts tokens in one of OpenAI's vocabularies. The vocabulary and the pattern are gpt-tokenizer's; the merging is our own, because that of the
 * library takes ten times as long for words outside the vocabulary and seconds for a long one, and what clients send must not stop the process.
 */
export class Encoding {
  readonly #splitPattern: RegExp;
  /** Rank by the token's bytes, each byte a character of a latin1 string. */
  readonly #ranks: ReadonlyMap<string, number>;
  readonly #starts = new Int32Array(MAX_PIECE * 3 + 2);
  readonly #pairRanks = new Int32Array(MAX_PIECE * 3 + 2);

  constructor(name: EncodingName) {
    const patterns = requireModule('gpt-tokenizer/cjs/encodingParams/constants') as Readonly<Record<'O200K_TOKEN_SPLIT_REGEX' | 'CL100K_TOKEN_SPLIT_REGEX', RegExp>>;
    this.#splitPattern = new RegExp(name === 'o200k_base' ? patterns.O200K_TOKEN_SPLIT_REGEX : patterns.CL100K_TOKEN_SPLIT_REGEX);
    const { default: vocabulary } = requireModule(`gpt-tokenizer/cjs/bpeRanks/${name}`) as { readonly default: readonly (string | readonly number[] | undefined)[] };
    const ranks = new Map<string, number>();
    vocabulary.forEach((token, rank) => {
      if (token !== undefined) ranks.set(typeof token === 'string' ? bytesOf(token) : Buffer.from(token).toString('latin1'), rank);
    });
    this.#ranks = ranks;
  }

  /** Adds the tokens of a text to a tally. Names of special tokens (`<|endoftext|>`) are text, as providers treat them. */
  count(text: string, tally: Tally): void {
    const pattern = this.#splitPattern;
    pattern.lastIndex = 0;
    for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
      const piece = match[0];
      const bytes = bytesOf(piece);
      if (this.#ranks.has(bytes)) tally.tokens += 1;
      else this.#countUnknown(piece, bytes, tally);
    }
  }

  #countUnknown(piece: string, bytes: string, tally: Tally): void {
    tally.unknownBytes += bytes.length;
    if (piece.length <= MAX_PIECE) {
      if (tally.mergedBytes >= tally.maxMergedBytes) return;
      tally.mergedBytes += bytes.length;
      tally.mergedTokens += this.#merge(bytes);
      return;
    }
    for (let at = 0; at < piece.length && tally.mergedBytes < tally.maxMergedBytes; at += MAX_PIECE) {
      const part = bytesOf(piece.slice(at, at + MAX_PIECE));
      tally.mergedBytes += part.length;
      tally.mergedTokens += this.#merge(part);
    }
  }

  /** How many tokens are left when the pair of the lowest rank is merged until none is in the vocabulary. */
  #merge(bytes: string): number {
    const starts = this.#starts;
    const pairRanks = this.#pairRanks;
    let parts = bytes.length;
    for (let index = 0; index <= parts; index += 1) starts[index] = index;
    for (let index = 0; index < parts - 1; index += 1) pairRanks[index] = this.#ranks.get(bytes.slice(index, index + 2)) ?? NO_RANK;
    while (parts > 1) {
      let lowest = NO_RANK;
      let at = -1;
      for (let index = 0; index < parts - 1; index += 1) {
        const rank = pairRanks[index] as number;
        if (rank < lowest) {
          lowest = rank;
          at = index;
        }
      }
      if (at === -1) break;
      starts.copyWithin(at + 1, at + 2, parts + 1);
      pairRanks.copyWithin(at, at + 1, parts - 1);
      parts -= 1;
      if (at < parts - 1) pairRanks[at] = this.#rankOf(bytes, at);
      if (at > 0) pairRanks[at - 1] = this.#rankOf(bytes, at - 1);
    }
    return parts;
  }

  #rankOf(bytes: string, index: number): number {
    return this.#ranks.get(bytes.slice(this.#starts[index], this.#starts[index + 2])) ?? NO_RANK;
  }
}

/** Tokens counted so far. Words outside the vocabulary are merged up to a number of bytes; what there is beyond is taken to be like them. */
export class Tally {
  readonly maxMergedBytes: number;
  tokens = 0;
  unknownBytes = 0;
  mergedBytes = 0;
  mergedTokens = 0;

  constructor(maxMergedBytes: number) {
    this.maxMergedBytes = maxMergedBytes;
  }

  total(): number {
    return this.tokens + (this.mergedBytes === 0 ? 0 : this.mergedTokens * (this.unknownBytes / this.mergedBytes));
  }
}

const ASCII = /^[\0-\x7f]*$/;

/** UTF-8, a character per byte. */
function bytesOf(text: string): string {
  return ASCII.test(text) ? text : Buffer.from(text, 'utf8').toString('latin1');
}

/** The vocabularies that were asked for. */
export class Encodings {
  readonly #loaded = new Map<EncodingName, Encoding>();

  /**
   * The first call for o200k_base takes 200 to 400 ms and 50 MB, for cl100k_base half of that: a bill needs it before the last byte of a reply is
   * written, so there is nobody to await it, and a gateway whose providers all report usage never pays for it.
   */
  get(name: EncodingName): Encoding {
    let encoding = this.#loaded.get(name);
    if (encoding === undefined) {
      encoding = new Encoding(name);
      this.#loaded.set(name, encoding);
    }
    return encoding;
  }
}
