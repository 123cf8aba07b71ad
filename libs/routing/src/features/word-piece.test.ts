import { Tokenizer } from '@huggingface/tokenizers';
import { expect, test } from 'vitest';
import { seededRandom } from '../seeded-random.ts';
import { staticVocabulary } from './static-vocabulary.fixture.ts';
import { WordPiece } from './word-piece.ts';

const vocabulary = await staticVocabulary();
const reference = new Tokenizer(
  {
    version: '1.0',
    added_tokens: [],
    normalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: true },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: null,
    decoder: null,
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])),
    },
  },
  {},
);
const ours = new WordPiece(vocabulary);

function encode(text: string, limit = 100_000): number[] {
  const ids = new Int32Array(limit);
  return [...ids.subarray(0, ours.encode(text, ids))];
}
const theirs = (text: string): number[] => [...reference.encode(text, { add_special_tokens: false }).ids];

const TEXTS = [
  '',
  ' ',
  'Hello, World!',
  'The quick brown fox jumps over the lazy dog.',
  "Don't can't won't; she's 3.14159 (approximately) $1,000.50 50%...",
  'unaffable antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis',
  'Crème brûlée, naïve façade, Ångström, São Paulo, İstanbul, ﬁancé, Straße ÅÉÎÕÜ ç',
  'Привет, мир! Как дела? Ёлка, йод.',
  'مرحبا بالعالم، كيف حالك؟ שָׁלוֹם עולם',
  '你好，世界！今天天气怎么样？漢字かな交じり文。カタカナ ﾊﾝｶｸ 한국어 텍스트',
  'नमस्ते दुनिया, क्या हाल है? สวัสดีชาวโลก',
  'Ελληνικά γράμματα, σίγμα τελικό: ΟΔΟΣ',
  'x² + y₁ ≤ √2 × π ± ∞ → ∑ ∫ €5 £3 ¥7 25°C ½ © ™ …',
  '“quoted” ‘single’ «guillemets» – en — em ‐ hyphen • bullet',
  'emoji 😀😃 👩‍👩‍👧 🇩🇪 end 𝒳 𝔄bc',
  'tabs\tand\nnew\r\nlines\u00a0nbsp\u2003em\u3000wide\u200bzero\u2060join\ufeffbom',
  'control\u0000in\u0007side\u007fwords\u0085next\u000bvt\u000cff \u00ad soft\u00adhyphen',
  'lone \ud83d high and \udc00 low surrogate x\ud83dy',
  '\\frac{a}{b} $x_1^2$ ```js\nconst a = b => c;\n``` <div class="x">&amp;</div>',
  '____ blank __ [MASK [SEP no] a_b_c A.B.C. #hash @user http://example.com/a?b=c&d=e',
  `${'a'.repeat(100)} ${'a'.repeat(101)} ${'é'.repeat(101)}`,
  'combining e\u0301 a\u0308 n\u0303 \u0301alone',
];

test.each(TEXTS)('tokens are those of the Hugging Face tokenizer: %j', (text) => {
  expect(encode(text)).toEqual(theirs(text));
});

test('tokens are those of the Hugging Face tokenizer for 2,000 seeded texts of mixed scripts', () => {
  const random = seededRandom(7);
  const ranges: readonly (readonly [number, number])[] = [[0x20, 0x7e], [0x61, 0x7a], [0x61, 0x7a], [0xa0, 0x24f], [0x370, 0x4ff], [0x590, 0x6ff], [0x900, 0x97f], [0x1e00, 0x1eff], [0x2000, 0x22ff], [0x3000, 0x30ff], [0x4e00, 0x4fff], [0xac00, 0xacff], [0xff00, 0xff9f], [0x1f600, 0x1f64f]];
  for (let round = 0; round < 2_000; round += 1) {
    let text = '';
    const length = 1 + Math.floor(random() * 40);
    let range = ranges[0]!;
    for (let at = 0; at < length; at += 1) {
      if (random() < 0.3) range = ranges[Math.floor(random() * ranges.length)]!;
      text += random() < 0.15 ? ' ' : String.fromCodePoint(range[0] + Math.floor(random() * (range[1] - range[0] + 1)));
    }
    expect(encode(text), JSON.stringify(text)).toEqual(theirs(text));
  }
});

test('what does not fit into the array is left out', () => {
  const all = encode('one two three four five');
  expect(encode('one two three four five', 3)).toEqual(all.slice(0, 3));
  expect(ours.encode('pneumonoultramicroscopicsilicovolcanoconiosis', new Int32Array(2))).toBe(2);
});

test('a vocabulary without the special tokens is refused', () => {
  expect(() => new WordPiece(['a', 'b'])).toThrow(/\[UNK\], \[CLS\] or \[SEP\]/);
});
