/**
 * What a UTF-16 code unit is to the features. Block ranges are written out instead of asked from the engine's Unicode tables (`\p{…}`): an engine
 * with a newer Unicode version must not change a feature that a trained model was fitted to.
 */
export const SPACE = 0;
export const OTHER_SIGN = 1;
export const PUNCTUATION = 2;
export const QUOTE = 3;
export const MATH_SIGN = 4;
export const DIGIT = 5;
export const LATIN_UPPER = 6;
export const LATIN_LOWER = 7;
export const CYRILLIC = 8;
export const ARABIC = 9;
export const OTHER_LETTER = 10;
/** Han, kana and Hangul syllables: written without spaces (or with few), so that each one counts as a word. */
export const CJK = 11;
export const SURROGATE = 12;

/** Classes from here on are part of a word; below it they part words. */
export const FIRST_WORD_CLASS = DIGIT;

/** [first, last, class]; later lines win. Everything not named is a letter of some other script. */
const BLOCKS: readonly (readonly [number, number, number])[] = [
  [0x0000, 0x0020, SPACE],
  [0x0021, 0x002f, PUNCTUATION],
  [0x0030, 0x0039, DIGIT],
  [0x003a, 0x0040, PUNCTUATION],
  [0x0041, 0x005a, LATIN_UPPER],
  [0x005b, 0x0060, PUNCTUATION],
  [0x0061, 0x007a, LATIN_LOWER],
  [0x007b, 0x007e, PUNCTUATION],
  [0x007f, 0x00a0, SPACE],
  [0x00a1, 0x00bf, OTHER_SIGN],
  [0x00c0, 0x00de, LATIN_UPPER],
  [0x00df, 0x024f, LATIN_LOWER], // Latin Extended alternates case; counted as lower
  [0x0250, 0x02ff, LATIN_LOWER],
  [0x0400, 0x052f, CYRILLIC],
  [0x0590, 0x08ff, ARABIC], // Hebrew to Arabic Extended: written right to left
  [0x1100, 0x11ff, CJK],
  [0x1e00, 0x1eff, LATIN_LOWER],
  [0x2000, 0x200a, SPACE],
  [0x200b, 0x206f, PUNCTUATION],
  [0x2028, 0x2029, SPACE],
  [0x2070, 0x20cf, MATH_SIGN], // super- and subscripts, currency
  [0x2100, 0x2bff, MATH_SIGN], // letterlike, arrows, operators, shapes
  [0x2600, 0x27bf, OTHER_SIGN], // pictures
  [0x2e00, 0x2e7f, PUNCTUATION],
  [0x2e80, 0x2fff, CJK],
  [0x3000, 0x3000, SPACE],
  [0x3001, 0x3004, PUNCTUATION],
  [0x3008, 0x3020, PUNCTUATION],
  [0x3040, 0x9fff, CJK],
  [0xa960, 0xa97f, CJK],
  [0xac00, 0xd7ff, CJK],
  [0xd800, 0xdfff, SURROGATE],
  [0xe000, 0xf8ff, OTHER_SIGN],
  [0xf900, 0xfaff, CJK],
  [0xfb50, 0xfdff, ARABIC],
  [0xfe00, 0xfe0f, SPACE], // variation selectors
  [0xfe10, 0xfe6f, PUNCTUATION],
  [0xfe70, 0xfefe, ARABIC],
  [0xfeff, 0xfeff, SPACE],
  [0xff01, 0xff0f, PUNCTUATION],
  [0xff10, 0xff19, DIGIT],
  [0xff1a, 0xff20, PUNCTUATION],
  [0xff66, 0xff9d, CJK],
  [0xfff0, 0xffff, OTHER_SIGN],
];
const QUOTES = '"\u00ab\u00bb\u2018\u2019\u201a\u201c\u201d\u201e\u2039\u203a\u300c\u300d';
const MATH_SIGNS = '+<=>^~|*/%\u00ac\u00b0\u00b1\u00b2\u00b3\u00b9\u00d7\u00f7';
/** Signs among the Latin-1 ones that are letters. */
const LETTERS = '\u00aa\u00b5\u00ba';

function classTable(): Uint8Array {
  const table = new Uint8Array(0x1_0000).fill(OTHER_LETTER);
  for (const [first, last, kind] of BLOCKS) table.fill(kind, first, last + 1);
  for (const sign of QUOTES) table[sign.charCodeAt(0)] = QUOTE;
  for (const sign of MATH_SIGNS) table[sign.charCodeAt(0)] = MATH_SIGN;
  for (const sign of LETTERS) table[sign.charCodeAt(0)] = LATIN_LOWER;
  return table;
}

/** Class of each UTF-16 code unit. Code points above U+FFFF are pairs of `SURROGATE`: signs to the features (nearly all of them are emoji). */
export const CHARACTER_CLASS: Uint8Array = classTable();
