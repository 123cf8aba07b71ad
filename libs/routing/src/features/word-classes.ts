import { murmurHash } from './murmur-hash.ts';

/** Bits of the word classes that features count. A word may be in several. English: most routed prompts and all public outcomes are. */
export const WORD_CLASSES = {
  negation: "not no never none neither nor cannot can't don't doesn't didn't won't isn't aren't wasn't weren't without except false incorrect untrue least unlikely",
  question: 'what which who whom whose when where why how',
  quantifier: 'all every each any some always only must both either most many few several',
  comparison: 'more less greater smaller larger fewer higher lower best better worst worse greatest largest smallest highest lowest than compared',
  reasoning: 'if then because therefore thus hence suppose assume given prove show derive explain implies implied conclude consistent statement argument valid true',
  arithmetic:
    'sum total add added subtract minus plus times multiply multiplied divide divided difference product ratio percent percentage average mean half twice double triple per cost costs price dollars dollar cents much altogether remaining left',
  mathematics:
    'function equation integral derivative matrix vector polynomial theorem probability variable linear quadratic graph group ring field finite infinite integer integers prime root roots equal equals value angle triangle radius velocity mass energy',
  code: 'code def class return import function const let var int void public static string array list loop python java javascript typescript sql select from where program output compile algorithm null print',
  instruction: 'write generate create summarize translate rewrite list describe give make implement explain classify extract complete',
  person: 'i me my we our you your he him his she her they their',
} as const;
export type WordClass = keyof typeof WORD_CLASSES;

const TABLE = 2_048;

/** Word hash → bits of its classes: open addressing in two typed arrays, because a Map of numbers above 2^30 allocates for every look-up. */
export class WordClassTable {
  readonly #keys = new Int32Array(TABLE);
  readonly #bits = new Int32Array(TABLE);
  static readonly bit: Readonly<Record<WordClass, number>> = Object.fromEntries(
    Object.keys(WORD_CLASSES).map((name, index) => [name, 1 << index]),
  ) as Record<WordClass, number>;

  constructor() {
    const encoder = new TextEncoder();
    for (const [name, words] of Object.entries(WORD_CLASSES) as [WordClass, string][]) {
      for (const word of words.split(' ')) {
        const bytes = encoder.encode(word);
        const slot = this.#slot(murmurHash(bytes, 0, bytes.length));
        this.#keys[slot] = murmurHash(bytes, 0, bytes.length);
        this.#bits[slot]! |= WordClassTable.bit[name];
      }
    }
  }

  /** 0 for a word of no class. Two words with the same 32-bit hash are one to it. */
  bitsOf(hash: number): number {
    return this.#bits[this.#slot(hash)]!;
  }

  #slot(hash: number): number {
    let slot = hash & (TABLE - 1);
    while (this.#bits[slot] !== 0 && this.#keys[slot] !== hash) slot = (slot + 1) & (TABLE - 1);
    return slot;
  }
}
