import {
  ARABIC, CHARACTER_CLASS, CJK, CYRILLIC, DIGIT, FIRST_WORD_CLASS, LATIN_LOWER, LATIN_UPPER, MATH_SIGN, OTHER_LETTER, PUNCTUATION, QUOTE, SURROGATE,
} from './character-class.ts';
import { CodeUnits } from './code-units.ts';
import type { PromptInput } from './prompt-features.ts';
import type { WordScan } from './word-scan.ts';
import { WORD_CLASSES, WordClassTable } from './word-classes.ts';

/**
 * The text features, in order. `log n / k` stands for ln(1 + n) / k: fixed transforms to about 0…1, never fitted to data (that is the model's part).
 * Lengths are the true ones; everything else is counted in the sample that `sampleText` takes.
 */
export const TEXT_FEATURES = [
  'characters', //         log characters / 10
  'words', //              log words / 8
  'lines', //              log line ends / 5
  'longest_line', //       log characters of the longest line / 10
  'before_choices', //     log characters before the first answer choice (all when there is none) / 10
  'digit_share', //        digits per character
  'digits', //             log digits / 5
  'uppercase_share', //    Latin capitals per letter
  'punctuation_share', //  punctuation per character
  'word_length', //        mean characters of a word / 10, at most 2
  'long_words', //         share of words of 10 characters and more
  'type_token_ratio', //   different words per word, of the first 256 words
  'capitalised', //        share of words with a capital in front, of all words
  'numbers', //            log numbers / 4
  'largest_number', //     decimal digits of the largest number's whole part / 12
  'decimals', //           log numbers with a fraction / 3
  'years', //              log numbers of 1000 to 2099 with four digits / 3
  'negations', //          log words such as "not", "except", "never" / 2
  'blanks', //             log runs of two and more underscores / 2
  'question_marks', //     log question marks / 2
  'question_words', //     log words such as "which" / 3
  'quantifiers', //        log words such as "all", "only" / 3
  'comparisons', //        log words such as "greater" / 3
  'reasoning', //          log words such as "if", "therefore" / 3
  'arithmetic', //         log words such as "total", "percent" / 3
  'mathematics', //        log words such as "matrix" / 3
  'code_words', //         log words such as "return" / 3
  'instructions', //       log words such as "write" / 3
  'persons', //            log personal pronouns / 3
  'of_the_following', //   1 when "of the following" stands in the text
  'shouted_not', //        1 when NOT, EXCEPT or LEAST stands there in capitals
  'math_signs', //         log signs such as + = < ^ / 4
  'latex', //              log LaTeX commands and dollar signs / 3
  'code_signs', //         log braces, brackets, semicolons, underscores, hashes, backticks / 5
  'choices', //            log lines such as "A. …", "(B) …" / 2
  'choice_length', //      log mean characters of those lines / 6
  'choice_digit_share', // digits per character of those lines
  'choice_spread', //      1 − shortest / longest of those lines
  'bullets', //            log lines that begin with -, *, • or "1." / 3
  'quotes', //             log quotation marks / 4
  'parentheses', //        log opening parentheses / 3
  'urls', //               log "://" and "www." / 2
  'latin_share', //        Latin letters per letter; the scripts below likewise
  'cyrillic_share', //     Cyrillic
  'cjk_share', //          Chinese, Japanese, Korean
  'right_to_left_share', // Hebrew, Arabic, Syriac
  'other_script_share', // every other script
  'non_ascii_share', //    code units above 127 per code unit
  'astral_share', //       code units of pairs (emoji, rare scripts) per code unit
  'turns', //              log messages after the first / 4
  'images', //             log images / 2
  'tools', //              log tools / 4
  'wants_json', //         1 when JSON is asked for
  'system', //             log characters of the system prompt / 10
] as const;

const RATIO_WORDS = 256;
/** Word classes in the order in which `WORD_CLASSES` and `TEXT_FEATURES` name them; negations come first. */
const WORD_CLASS_COUNT = Object.keys(WORD_CLASSES).length;
const NEGATION = 0;
/** Signs of programs, besides those that prose has as well. */
const CODE_SIGNS = '{}[];_#`@&$';

function asciiFlags(signs: string): Uint8Array {
  const flags = new Uint8Array(128);
  for (const sign of signs) flags[sign.charCodeAt(0)] = 1;
  return flags;
}

/** Counters of one text; cleared for each. */
class Counts {
  scanned = 0;
  perClass = new Int32Array(SURROGATE + 1);
  lines = 0;
  longestLine = 0;
  beforeChoices = -1;
  numbers = 0;
  largestDigits = 0;
  decimals = 0;
  years = 0;
  capitalised = 0;
  blanks = 0;
  questionMarks = 0;
  latex = 0;
  codeSigns = 0;
  parentheses = 0;
  nonAscii = 0;
  urls = 0;
  bullets = 0;
  choices = 0;
  choiceCharacters = 0;
  choiceDigits = 0;
  longestChoice = 0;
  shortestChoice = 0;

  clear(): void {
    this.perClass.fill(0);
    this.scanned = this.lines = this.longestLine = this.numbers = this.largestDigits = this.decimals = this.years = 0;
    this.capitalised = this.blanks = this.questionMarks = this.latex = this.codeSigns = this.parentheses = this.nonAscii = 0;
    this.urls = this.bullets = this.choices = this.choiceCharacters = this.choiceDigits = this.longestChoice = this.shortestChoice = 0;
    this.beforeChoices = -1;
  }
}

/** Makes the text features. Holds scratch space: one per extractor, calls do not overlap. */
export class TextFeatureMaker {
  readonly #counts = new Counts();
  readonly #codeSigns = asciiFlags(CODE_SIGNS);
  readonly #classes = new WordClassTable();
  readonly #perWordClass = new Int32Array(WORD_CLASS_COUNT);
  readonly #seen = new Int32Array(4 * RATIO_WORDS);
  readonly #seenIn = new Int32Array(4 * RATIO_WORDS);
  #texts = 0;
  readonly #text = new CodeUnits();

  /** One float per name of `TEXT_FEATURES`, finite. `parts` is the sample of `input.text`, `words` the scan of those parts. */
  make(input: PromptInput, parts: readonly string[], words: WordScan): Float32Array {
    const counts = this.#counts;
    counts.clear();
    for (const part of parts) this.#countPart(part);
    this.#countWords(words);
    const perClass = counts.perClass;
    const of = this.#perWordClass;
    const scanned = Math.max(1, counts.scanned);
    const letters = perClass[LATIN_UPPER]! + perClass[LATIN_LOWER]! + perClass[CYRILLIC]! + perClass[ARABIC]! + perClass[OTHER_LETTER]! + perClass[CJK]!;
    const perLetter = 1 / Math.max(1, letters);
    const characters = input.text.length;

    const features = new Float32Array(TEXT_FEATURES.length);
    let at = 0;
    features[at++] = log(characters) / 10;
    features[at++] = log(words.count) / 8;
    features[at++] = log(counts.lines) / 5;
    features[at++] = log(counts.longestLine) / 10;
    features[at++] = log(counts.beforeChoices < 0 ? characters : counts.beforeChoices) / 10;
    features[at++] = perClass[DIGIT]! / scanned;
    features[at++] = log(perClass[DIGIT]!) / 5;
    features[at++] = perClass[LATIN_UPPER]! * perLetter;
    features[at++] = (perClass[PUNCTUATION]! + perClass[QUOTE]!) / scanned;
    let wordUnits = 0;
    let longWords = 0;
    for (let word = 0; word < words.count; word += 1) {
      const units = words.units[word]!;
      wordUnits += units;
      if (units >= 10) longWords += 1;
    }
    const perWord = 1 / Math.max(1, words.count);
    features[at++] = Math.min(2, (wordUnits * perWord) / 10);
    features[at++] = longWords * perWord;
    features[at++] = this.#typeTokenRatio(words);
    features[at++] = Math.min(1, counts.capitalised * perWord);
    features[at++] = log(counts.numbers) / 4;
    features[at++] = Math.min(2, counts.largestDigits / 12);
    features[at++] = log(counts.decimals) / 3;
    features[at++] = log(counts.years) / 3;
    features[at++] = log(of[NEGATION]!) / 2;
    features[at++] = log(counts.blanks) / 2;
    features[at++] = log(counts.questionMarks) / 2;
    for (let index = NEGATION + 1; index < of.length; index += 1) features[at++] = log(of[index]!) / 3;
    features[at++] = has(parts, 'of the following') ? 1 : 0;
    features[at++] = has(parts, 'NOT ') || has(parts, 'EXCEPT') || has(parts, 'LEAST') ? 1 : 0;
    features[at++] = log(perClass[MATH_SIGN]!) / 4;
    features[at++] = log(counts.latex) / 3;
    features[at++] = log(counts.codeSigns) / 5;
    features[at++] = log(counts.choices) / 2;
    features[at++] = counts.choices === 0 ? 0 : log(counts.choiceCharacters / counts.choices) / 6;
    features[at++] = counts.choiceDigits / Math.max(1, counts.choiceCharacters);
    features[at++] = counts.choices === 0 ? 0 : 1 - counts.shortestChoice / Math.max(1, counts.longestChoice);
    features[at++] = log(counts.bullets) / 3;
    features[at++] = log(perClass[QUOTE]!) / 4;
    features[at++] = log(counts.parentheses) / 3;
    features[at++] = log(counts.urls) / 2;
    features[at++] = (perClass[LATIN_UPPER]! + perClass[LATIN_LOWER]!) * perLetter;
    features[at++] = perClass[CYRILLIC]! * perLetter;
    features[at++] = perClass[CJK]! * perLetter;
    features[at++] = perClass[ARABIC]! * perLetter;
    features[at++] = perClass[OTHER_LETTER]! * perLetter;
    features[at++] = counts.nonAscii / scanned;
    features[at++] = perClass[SURROGATE]! / scanned;
    features[at++] = log(input.turns - 1) / 4;
    features[at++] = log(input.images) / 2;
    features[at++] = log(input.tools) / 4;
    features[at++] = input.wantsJson ? 1 : 0;
    features[at++] = log(input.system.length) / 10;
    return features;
  }

  /** One pass over the code units; what concerns a whole line is looked at when the line ends. */
  #countPart(text: string): void {
    const counts = this.#counts;
    const perClass = counts.perClass;
    const codeSigns = this.#codeSigns;
    const length = this.#text.read(text);
    const { units } = this.#text;
    let lineStart = 0;
    let digitsInLine = 0;
    let previous = 0x0a;
    let previousKind = 0;
    let numberStart = -1;
    let underscores = 0;
    let lowerCase = 0;
    for (let at = 0; at < length; at += 1) {
      const unit = units[at]!;
      if (unit >= 0x61 && unit <= 0x7a && numberStart < 0 && previous !== 0x5c) {
        // Three of four code units of a prompt: nothing below concerns them.
        lowerCase += 1;
        underscores = 0;
        previous = unit;
        previousKind = LATIN_LOWER;
        continue;
      }
      const kind = CHARACTER_CLASS[unit]!;
      perClass[kind]!++;
      if (kind === DIGIT) {
        digitsInLine += 1;
        if (previousKind < FIRST_WORD_CLASS) {
          // "3.14" and "1,000" are one number: the part behind the sign is no new one.
          const joins = (previous === 0x2e || previous === 0x2c) && at > 1 && isDigit(units, at - 2);
          if (!joins) counts.numbers += 1;
          else if (previous === 0x2e) counts.decimals += 1;
          numberStart = at;
        }
      } else {
        if (numberStart >= 0) {
          this.#endNumber(units, numberStart, at);
          numberStart = -1;
        }
        if (kind === LATIN_UPPER && previousKind < FIRST_WORD_CLASS) counts.capitalised += 1;
        if (unit < 128) {
          counts.codeSigns += codeSigns[unit]!;
          if (unit === 0x0a) {
            this.#endLine(units, lineStart, at, digitsInLine);
            counts.lines += 1;
            lineStart = at + 1;
            digitsInLine = 0;
          } else if (unit === 0x3f) counts.questionMarks += 1;
          else if (unit === 0x28) counts.parentheses += 1;
          else if (unit === 0x24) counts.latex += 1;
          else if (unit === 0x5f) {
            underscores += 1;
            if (underscores === 2) counts.blanks += 1;
          } else if (unit === 0x2f && previous === 0x2f && at > 1 && units[at - 2]! === 0x3a) counts.urls += 1;
          else if (previous === 0x5c && (unit | 0x20) >= 0x61 && (unit | 0x20) <= 0x7a) counts.latex += 1;
          else if (unit === 0x2e && previous === 0x77 && at > 2 && units[at - 2]! === 0x77 && units[at - 3]! === 0x77) counts.urls += 1;
        }
      }
      if (unit !== 0x5f) underscores = 0;
      if (unit >= 128) counts.nonAscii += 1;
      previous = unit;
      previousKind = kind;
    }
    if (numberStart >= 0) this.#endNumber(units, numberStart, length);
    this.#endLine(units, lineStart, length, digitsInLine);
    perClass[LATIN_LOWER]! += lowerCase;
    counts.scanned += length;
  }

  #endNumber(units: Uint16Array, start: number, end: number): void {
    const counts = this.#counts;
    if (start > 1 && units[start - 1]! === 0x2e && isDigit(units, start - 2)) return; // a fraction
    let digits = end - start;
    // Thousands: "12,000,000" has eight digits.
    for (let at = start; at > 1 && units[at - 1]! === 0x2c && isDigit(units, at - 2) && digits < 24;) {
      at -= 2;
      digits += 1;
      while (at > 0 && digits < 24 && isDigit(units, at - 1)) {
        at -= 1;
        digits += 1;
      }
    }
    if (digits > counts.largestDigits) counts.largestDigits = Math.min(24, digits);
    if (end - start === 4 && digits === 4 && (units[start]! === 0x31 || (units[start]! === 0x32 && units[start + 1]! === 0x30))) {
      counts.years += 1;
    }
  }

  #endLine(units: Uint16Array, lineStart: number, end: number, digits: number): void {
    const counts = this.#counts;
    if (end - lineStart > counts.longestLine) counts.longestLine = end - lineStart;
    let start = lineStart;
    while (start < end && start < lineStart + 16 && units[start]! <= 0x20) start += 1;
    if (end - start < 3) return;
    const first = units[start]!;
    const second = units[start + 1]!;
    const third = units[start + 2]!;
    const isLetterChoice = isChoiceLetter(first) && (second === 0x2e || second === 0x29 || second === 0x3a) && third <= 0x20;
    if (isLetterChoice || (first === 0x28 && isChoiceLetter(second) && third === 0x29)) {
      const characters = end - start - 3;
      if (counts.beforeChoices < 0) counts.beforeChoices = counts.scanned + lineStart;
      if (counts.choices === 0 || characters < counts.shortestChoice) counts.shortestChoice = characters;
      if (characters > counts.longestChoice) counts.longestChoice = characters;
      counts.choices += 1;
      counts.choiceCharacters += characters;
      counts.choiceDigits += digits;
      return;
    }
    const isMark = (first === 0x2d || first === 0x2a || first === 0x2022) && second <= 0x20;
    const isOrdinal = first >= 0x30 && first <= 0x39 && (second === 0x2e || second === 0x29) && third <= 0x20;
    if (isMark || isOrdinal) counts.bullets += 1;
  }

  #countWords(words: WordScan): void {
    const of = this.#perWordClass.fill(0);
    for (let word = 0; word < words.count; word += 1) {
      let bits = this.#classes.bitsOf(words.hash[word]!);
      for (let index = 0; bits !== 0; index += 1, bits >>>= 1) of[index]! += bits & 1;
    }
  }

  /** Different words in the first 256, by their hashes, in a small table that is stamped instead of cleared. */
  #typeTokenRatio(words: WordScan): number {
    const count = Math.min(words.count, RATIO_WORDS);
    if (count === 0) return 0;
    const stamp = this.#texts = (this.#texts + 1) & 0x3fff_ffff;
    if (stamp === 0) {
      this.#seenIn.fill(-1);
    }
    const mask = this.#seen.length - 1;
    let different = 0;
    for (let word = 0; word < count; word += 1) {
      const hash = words.hash[word]!;
      let slot = hash & mask;
      while (this.#seenIn[slot] === stamp && this.#seen[slot] !== hash) slot = (slot + 1) & mask;
      if (this.#seenIn[slot] === stamp) continue;
      this.#seenIn[slot] = stamp;
      this.#seen[slot] = hash;
      different += 1;
    }
    return different / count;
  }
}

/** ln(1 + count); 0 for what is no count (negative, NaN, infinite), so that a feature is finite whatever came in. */
function log(count: number): number {
  return count > 0 && count < Infinity ? Math.log1p(count) : 0;
}

function has(parts: readonly string[], phrase: string): boolean {
  return parts.some((part) => part.includes(phrase));
}

function isDigit(units: Uint16Array, at: number): boolean {
  const unit = units[at]!;
  return unit >= 0x30 && unit <= 0x39;
}

function isChoiceLetter(unit: number): boolean {
  return unit >= 0x41 && unit <= 0x4a;
}

