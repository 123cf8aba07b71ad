import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { toModelPrice, type ModelPrice } from './model-price.ts';
import { foldLookup, foldName, isOfProvider, priceKeys, type PriceLookup } from './price-lookup.ts';

/** Prices and limits by model. */
export interface PriceMap {
  /** Number of entries. */
  readonly size: number;
  /** The entry of that model, by the order that `priceKeys` describes: as written, and where that finds nothing whatever the case and the spaces around; undefined when the map does not know it. */
  findPrice(lookup: PriceLookup): ModelPrice | undefined;
  /** The entry of exactly that name. */
  get(key: string): ModelPrice | undefined;
  /** All names. */
  keys(): IterableIterator<string>;
}

/**
 * A price map over parsed entries in LiteLLM's format. What is not an object is left out; `sample_spec`, LiteLLM's own explanation, too.
 * Entries are read when they are asked for.
 */
export function createPriceMap(entries: Readonly<Record<string, unknown>>): PriceMap {
  const known = new Map<string, object>();
  for (const [key, entry] of Object.entries(entries)) {
    if (typeof entry === 'object' && entry !== null && !Array.isArray(entry) && key !== 'sample_spec') known.set(key, entry);
  }
  const get = (key: string): ModelPrice | undefined => {
    const entry = known.get(key);
    return entry === undefined ? undefined : toModelPrice(key, entry);
  };
  let byFolded: Map<string, string> | undefined;
  const getFolded = (key: string): ModelPrice | undefined => {
    byFolded ??= foldedNames(known.keys());
    const name = byFolded.get(foldName(key));
    return name === undefined ? undefined : get(name);
  };
  const find = (lookup: PriceLookup, getEntry: (key: string) => ModelPrice | undefined): ModelPrice | undefined => {
    for (const { key, namesProvider } of priceKeys(lookup)) {
      const price = getEntry(key);
      if (price !== undefined && (namesProvider || isOfProvider(price.provider, lookup.provider))) return price;
    }
    return undefined;
  };
  return {
    size: known.size,
    get,
    keys: () => known.keys(),
    // Providers serve `GPT-4O` as they serve `gpt-4o`: it must not be free here.
    findPrice: (lookup) => find(lookup, get) ?? find(foldLookup(lookup), getFolded),
  };
}

/** The names of a map by their folded form; a name that is folded already wins over one that only becomes it. */
function foldedNames(names: Iterable<string>): Map<string, string> {
  const byFolded = new Map<string, string>();
  for (const name of names) {
    const folded = foldName(name);
    if (folded === name || !byFolded.has(folded)) byFolded.set(folded, name);
  }
  return byFolded;
}

/** The built-in price map (4,241 models, see `data/NOTICE.md`). Takes some 30 ms: load it once and keep it. */
export function loadPriceMap(): PriceMap {
  const packed = readFileSync(new URL('./data/model_prices.json.gz', import.meta.url));
  return createPriceMap(JSON.parse(gunzipSync(packed).toString('utf8')) as Record<string, unknown>);
}
