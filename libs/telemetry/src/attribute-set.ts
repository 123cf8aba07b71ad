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

/** Sets by a text that names what they say. Bounded: a set beyond the bound is made anew each time. */
export class AttributeSets {
  readonly #sets = new Map<string, AttributeSet>();

  get(name: string): AttributeSet | undefined {
    return this.#sets.get(name);
  }

  keep(name: string, set: AttributeSet): AttributeSet {
    if (this.#sets.size < MAX_KEPT) this.#sets.set(name, set);
    return set;
  }
}
