import { CodeUnits } from './code-units.ts';

/** Most characters of a word that is taken apart; longer ones are one unknown token (BERT's `max_input_chars_per_word`). */
const MAX_WORD_UNITS = 100;

/** Longest word that is kept once it was found. */
const MAX_KEPT_LETTERS = 12;
const KEPT_WORDS_BITS = 13;

// Classes of a code unit, found once per unit and kept.
const UNKNOWN = 0;
const LETTER = 1;
const BLANK = 2;
const SINGLE = 3; // punctuation and CJK ideographs: a word each

const PUNCTUATION = /^\p{P}$/u;
const BLANK_SIGN = /^\s$/u;
/** Combining marks, control and format characters, private use, lone surrogates: gone before words are looked for. */
const REMOVED = /(?![\t\n\r])[\p{Mn}\p{Cc}\p{Cf}\p{Co}\p{Cs}\ufffd]/gu;

/** Ideographs as BERT's `tokenize_chinese_chars` lists them. Kana and Hangul are not among them. */
function isIdeograph(codePoint: number): boolean {
  return (
    (codePoint >= 0x4e00 && codePoint <= 0x9fff) || (codePoint >= 0x3400 && codePoint <= 0x4dbf) || (codePoint >= 0xf900 && codePoint <= 0xfaff) ||
    (codePoint >= 0x20000 && codePoint <= 0x2a6df) || (codePoint >= 0x2a700 && codePoint <= 0x2ebef) || (codePoint >= 0x2f800 && codePoint <= 0x2fa1f)
  );
}

function classOf(codePoint: number): number {
  if (codePoint < 0x80) {
    if (codePoint <= 0x20) return BLANK;
    const isAlphanumeric = (codePoint >= 0x30 && codePoint <= 0x39) || ((codePoint | 0x20) >= 0x61 && (codePoint | 0x20) <= 0x7a);
    return isAlphanumeric ? LETTER : SINGLE;
  }
  if (isIdeograph(codePoint)) return SINGLE;
  if (codePoint >= 0x1f000 && codePoint <= 0x1faff) return LETTER; // pictures: signs that BERT leaves glued
  const sign = String.fromCodePoint(codePoint);
  if (BLANK_SIGN.test(sign)) return BLANK;
  return PUNCTUATION.test(sign) ? SINGLE : LETTER;
}

/**
 * BERT's uncased WordPiece tokenizer (Devlin et al. 2018, `tokenization.py`; the `BertNormalizer`, `BertPreTokenizer` and `WordPiece` of Hugging Face):
 * control characters out, accents stripped (NFD), lower case, a word per punctuation sign and per ideograph, then the longest known piece again and
 * again. Pieces are found by walking a trie of the vocabulary held in typed arrays: time linear in the text, no string made for ASCII.
 * Our own because general tokenizer libraries build an object per token and take a multiple of the whole decision's budget; tests hold it to one.
 */
export class WordPiece {
  readonly unknown: number;
  readonly cls: number;
  readonly sep: number;
  readonly size: number;
  readonly #text = new CodeUnits();
  readonly #letterOf = new Uint16Array(0x1_0000);
  /** Words that are one token, where they were last found: low and high part of the key, token. The walk of the trie misses the processor's caches, this does not. */
  readonly #kept = new Int32Array(3 << KEPT_WORDS_BITS);
  readonly #kinds = new Uint8Array(0x1_0000);
  #letters = 0;
  // Edges of the trie: (node, letter) → node, open addressing; key and node side by side, in one cache line.
  readonly #edges: Int32Array;
  readonly #edgeMask: number;
  #nodes = 1;
  /** Token that ends in a node, plus one; 0 for none. */
  readonly #tokenOf: Int32Array;
  /** The node below which the pieces inside a word (`##…`) hang. */
  readonly #insideRoot: number;

  /** `vocabulary`: one token per line, the line number is its id. Throws when it lacks [UNK], [CLS] or [SEP]. */
  constructor(vocabulary: readonly string[]) {
    this.size = vocabulary.length;
    this.unknown = vocabulary.indexOf('[UNK]');
    this.cls = vocabulary.indexOf('[CLS]');
    this.sep = vocabulary.indexOf('[SEP]');
    if (this.unknown < 0 || this.cls < 0 || this.sep < 0) throw new RangeError('The vocabulary lacks [UNK], [CLS] or [SEP].');
    let units = 0;
    for (const token of vocabulary) units += token.length;
    let capacity = 1024;
    while (capacity < units) capacity *= 2;
    this.#edges = new Int32Array(2 * capacity);
    this.#edgeMask = 2 * capacity - 1;
    this.#tokenOf = new Int32Array(units + 2);
    for (const token of vocabulary) {
      for (let at = 0; at < token.length; at += 1) {
        const unit = token.charCodeAt(at);
        if (this.#letterOf[unit] === 0) this.#letterOf[unit] = this.#letters += 1;
      }
    }
    // 2,048 letters leave 20 bits of the key for nodes.
    if (this.#letters >= 2_048 || units >= 1 << 20) throw new RangeError('The vocabulary has too many different characters or is too long.');
    this.#insideRoot = this.#nodes++;
    vocabulary.forEach((token, id) => this.#insert(token, id));
  }

  /**
   * Token ids of `text` into `into` (from `offset`), at most as many as fit; returns the index behind the last one. No [CLS], no [SEP].
   */
  encode(text: string, into: Int32Array, offset = 0): number {
    let length = this.#text.read(text);
    if (!isPlain(this.#text.units, length)) length = this.#text.read(normalise(text));
    const { units } = this.#text;
    const kinds = this.#kinds;
    const limit = into.length;
    let size = offset;
    let wordStart = -1;
    let at = 0;
    while (at < length && size < limit) {
      const unit = units[at]!;
      let kind = kinds[unit]!;
      if (kind === UNKNOWN) kind = kinds[unit] = classOf(unit);
      let width = 1;
      if (unit >= 0xd800 && unit <= 0xdbff) {
        kind = classOf(((unit & 0x3ff) << 10) + (units[at + 1]! & 0x3ff) + 0x1_0000);
        width = 2;
      }
      if (kind === LETTER) {
        if (wordStart < 0) wordStart = at;
      } else {
        if (wordStart >= 0) {
          size = this.#encodeWord(wordStart, at, into, size);
          wordStart = -1;
        }
        if (kind === SINGLE && size < limit) size = this.#encodeWord(at, at + width, into, size);
      }
      at += width;
    }
    if (wordStart >= 0 && size < limit) size = this.#encodeWord(wordStart, length, into, size);
    return size;
  }

  #encodeWord(start: number, end: number, into: Int32Array, offset: number): number {
    const { units } = this.#text;
    const letterOf = this.#letterOf;
    const tokenOf = this.#tokenOf;
    const edges = this.#edges;
    const mask = this.#edgeMask;
    let size = offset;
    const limit = into.length;
    if (end - start > MAX_WORD_UNITS) {
      into[size++] = this.unknown;
      return size;
    }
    // Five bits a letter, six letters a number: short words of plain letters have a key of their own.
    let isWhole = false;
    let low = 0;
    let high = 0;
    let slotOfWord = -1;
    if (end - start <= MAX_KEPT_LETTERS) {
      let next = start;
      for (; next < end; next += 1) {
        const letter = (units[next]! | 0x20) - 0x60;
        if (letter < 1 || letter > 26) break;
        if (next - start < 6) low = (low << 5) | letter;
        else high = (high << 5) | letter;
      }
      if (next === end) {
        slotOfWord = 3 * ((Math.imul(low, 0x9e3779b1) ^ Math.imul(high, 0x85ebca6b)) >>> (32 - KEPT_WORDS_BITS));
        if (this.#kept[slotOfWord] === low && this.#kept[slotOfWord + 1] === high) {
          into[size++] = this.#kept[slotOfWord + 2]!;
          return size;
        }
      }
    }
    let at = start;
    while (at < end) {
      let node = at === start ? 0 : this.#insideRoot;
      let token = 0;
      let tokenEnd = at;
      for (let next = at; next < end; next += 1) {
        const unit = units[next]!;
        const letter = letterOf[unit >= 0x41 && unit <= 0x5a ? unit | 0x20 : unit]!;
        if (letter === 0) break;
        // As `#child`, by hand: this is the innermost loop.
        const key = (node << 11) | letter;
        let slot = slotOf(key, mask);
        let found = edges[slot]!;
        while (found !== key && found !== 0) {
          slot = (slot + 2) & mask;
          found = edges[slot]!;
        }
        if (found === 0) break;
        node = edges[slot + 1]!;
        const ends = tokenOf[node]!;
        if (ends !== 0) {
          token = ends;
          tokenEnd = next + 1;
        }
      }
      if (token === 0) {
        // One unknown piece makes the whole word unknown.
        into[offset] = this.unknown;
        return offset + 1;
      }
      if (size < limit) into[size++] = token - 1;
      if (at === start) isWhole = tokenEnd === end;
      at = tokenEnd;
    }
    if (slotOfWord >= 0 && isWhole) {
      this.#kept[slotOfWord] = low;
      this.#kept[slotOfWord + 1] = high;
      this.#kept[slotOfWord + 2] = into[offset]!;
    }
    return size;
  }

  /** 0 (the root, which is nobody's child) when there is none. */
  #child(node: number, letter: number): number {
    if (letter === 0) return 0;
    const edges = this.#edges;
    const key = (node << 11) | letter;
    let slot = slotOf(key, this.#edgeMask);
    for (let found = edges[slot]!; found !== 0; found = edges[slot]!) {
      if (found === key) return edges[slot + 1]!;
      slot = (slot + 2) & this.#edgeMask;
    }
    return 0;
  }

  #insert(token: string, id: number): void {
    const isInside = token.startsWith('##') && token.length > 2;
    let node = isInside ? this.#insideRoot : 0;
    for (let at = isInside ? 2 : 0; at < token.length; at += 1) {
      const letter = this.#letterOf[token.charCodeAt(at)]!;
      const next = this.#child(node, letter);
      node = next === 0 ? this.#addEdge(node, letter) : next;
    }
    this.#tokenOf[node] = id + 1;
  }

  #addEdge(node: number, letter: number): number {
    const key = (node << 11) | letter;
    let slot = slotOf(key, this.#edgeMask);
    while (this.#edges[slot] !== 0) slot = (slot + 2) & this.#edgeMask;
    this.#edges[slot] = key;
    return (this.#edges[slot + 1] = this.#nodes++);
  }
}

/** Where an edge is looked for first: keys at even places, their nodes behind them. */
function slotOf(key: number, mask: number): number {
  return (Math.imul(key, 0x9e3779b1) >>> 8 << 1) & mask;
}

/** Printable ASCII and line ends only: nothing to normalise. */
function isPlain(units: Uint16Array, length: number): boolean {
  for (let at = 0; at < length; at += 1) {
    const unit = units[at]!;
    if (unit > 0x7e || (unit < 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09)) return false;
  }
  return true;
}

function normalise(text: string): string {
  return text.toLowerCase().normalize('NFD').replace(REMOVED, '');
}
