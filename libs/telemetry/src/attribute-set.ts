import type { AttributeValue } from './span.ts';

/**
 * Attributes that several spans have in common: those of a route, of a deployment, of one decision that two spans tell. They are encoded once and copied
 * into every span they are added to.
 */
export class AttributeSet {
  /** Key, value, key, value … */
  readonly list: readonly (string | AttributeValue)[];
  /** What the encoder wrote for them the first time; only the encoder reads and writes it. */
  encoded: Buffer | undefined = undefined;

  constructor(list: readonly (string | AttributeValue)[]) {
    this.list = list;
  }

  /** Attributes without a value are left out. */
  static of(attributes: Readonly<Record<string, AttributeValue | undefined>>): AttributeSet {
    const list: (string | AttributeValue)[] = [];
    for (const [key, value] of Object.entries(attributes)) if (value !== undefined) list.push(key, value);
    return new AttributeSet(list);
  }
}

const MAX_KEPT = 512;

/**
 * Sets by the words that name what they say. A tree of maps, because words that many requests share are found by the hash they already have, and joined into
 * one text they would be a new text to copy and hash each time. Bounded: a set beyond the bound is made anew each time.
 */
export class AttributeSets {
  readonly #sets = new Map<string, Map<string, Map<string, Map<string, AttributeSet>>>>();
  #size = 0;

  get(first: string, second: string, third: string, fourth = ''): AttributeSet | undefined {
    return this.#sets.get(first)?.get(second)?.get(third)?.get(fourth);
  }

  keep(set: AttributeSet, first: string, second: string, third: string, fourth = ''): AttributeSet {
    if (this.#size >= MAX_KEPT) return set;
    branch(branch(branch(this.#sets, first), second), third).set(fourth, set);
    this.#size += 1;
    return set;
  }
}

function branch<K, L, V>(of: Map<K, Map<L, V>>, key: K): Map<L, V> {
  let found = of.get(key);
  if (found === undefined) of.set(key, found = new Map<L, V>());
  return found;
}
