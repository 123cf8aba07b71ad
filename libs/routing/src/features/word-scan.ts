import { CHARACTER_CLASS, CJK, FIRST_WORD_CLASS } from './character-class.ts';
import { CodeUnits } from './code-units.ts';
import { murmurHash } from './murmur-hash.ts';
import { WHOLE_TEXT_LIMIT } from './sample-text.ts';

/** Most words taken of a text (of each of its two parts: half of them). Reached only by texts of single signs, such as 8,000 Chinese ones. */
export const MAX_WORDS = 4_096;
/** Longer words are cut into pieces of this many UTF-16 code units. */
export const MAX_WORD_UNITS = 64;

/**
 * Words of a text: runs of letters and digits of the lower-cased text, apostrophes inside kept ("don't"), each Chinese, Japanese or Korean sign a word
 * of its own. They lie behind each other in `bytes` as UTF-8, parted by one space, so that a word and a pair of words are one slice each.
 * The arrays are scratch space, valid until the next scan.
 */
export class WordScan {
  /** UTF-8; a code unit makes at most 3 bytes, a word adds a space. */
  readonly bytes: Uint8Array = new Uint8Array(WHOLE_TEXT_LIMIT * 3 + MAX_WORDS + 8);
  readonly start: Int32Array = new Int32Array(MAX_WORDS);
  readonly end: Int32Array = new Int32Array(MAX_WORDS);
  /** MurmurHash3 of each word. */
  readonly hash: Int32Array = new Int32Array(MAX_WORDS);
  /** Length of each word in UTF-16 code units. */
  readonly units: Uint8Array = new Uint8Array(MAX_WORDS);
  count = 0;
  /** Index of the first word of the second part; `count` where there is one part only. No pair of words crosses it. */
  secondPart = 0;
  #size = 0;
  readonly #text = new CodeUnits();

  scan(parts: readonly string[]): void {
    this.count = 0;
    this.#size = 0;
    const limit = MAX_WORDS / parts.length;
    parts.forEach((part, index) => {
      if (index === 1) this.secondPart = this.count;
      this.#scanPart(part.toLowerCase().slice(0, part.length), this.count + limit); // İ becomes two units
    });
    if (parts.length < 2) this.secondPart = this.count;
  }

  #scanPart(text: string, limit: number): void {
    const { bytes } = this;
    const length = this.#text.read(text);
    const { units } = this.#text;
    const classes = CHARACTER_CLASS;
    let size = this.#size;
    let wordStart = size;
    let wordUnits = 0;
    for (let at = 0; at < length && this.count < limit; at += 1) {
      const unit = units[at]!;
      const kind = classes[unit]!;
      const isWord = kind >= FIRST_WORD_CLASS && kind <= CJK;
      const isInside = isWord ? kind !== CJK : (unit === 0x27 || unit === 0x2019) && wordUnits > 0 && isWordUnit(units[at + 1]!);
      if (wordUnits > 0 && (!isInside || wordUnits === MAX_WORD_UNITS)) {
        this.#addWord(wordStart, size, wordUnits);
        bytes[size++] = 0x20;
        wordStart = size;
        wordUnits = 0;
      }
      if (!isWord && (!isInside || wordUnits === 0)) continue;
      if (unit < 0x80) bytes[size++] = unit;
      else if (unit === 0x2019) bytes[size++] = 0x27;
      else if (unit < 0x800) {
        bytes[size++] = 0xc0 | (unit >> 6);
        bytes[size++] = 0x80 | (unit & 0x3f);
      } else {
        bytes[size++] = 0xe0 | (unit >> 12);
        bytes[size++] = 0x80 | ((unit >> 6) & 0x3f);
        bytes[size++] = 0x80 | (unit & 0x3f);
      }
      wordUnits += 1;
      if (kind === CJK) {
        this.#addWord(wordStart, size, wordUnits);
        bytes[size++] = 0x20;
        wordStart = size;
        wordUnits = 0;
      }
    }
    if (wordUnits > 0 && this.count < limit) {
      this.#addWord(wordStart, size, wordUnits);
      bytes[size++] = 0x20;
    }
    this.#size = size;
  }

  #addWord(start: number, end: number, units: number): void {
    const index = this.count;
    this.start[index] = start;
    this.end[index] = end;
    this.units[index] = units;
    this.hash[index] = murmurHash(this.bytes, start, end);
    this.count = index + 1;
  }
}

function isWordUnit(unit: number): boolean {
  const kind = CHARACTER_CLASS[unit]!;
  return kind >= FIRST_WORD_CLASS && kind < CJK;
}
