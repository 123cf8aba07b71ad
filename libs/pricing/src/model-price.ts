/** What the price map, and the configuration on top of it, say about one model: fields named as in LiteLLM's map, prices in USD. */
export interface ModelPrice {
  /** The entry's name in the map; `custom` when all prices come from the configuration. */
  readonly key: string;
  /** `litellm_provider` of the entry. */
  readonly provider: string | undefined;
  /** `chat`, `embedding`, `image_generation`, … */
  readonly mode: string | undefined;
  readonly fields: ReadonlyMap<string, unknown>;
}

/** A price or limit of the entry: a finite number of at least zero, also when it was written as text (YAML reads `4e-07` as text); else undefined. */
export function numberField(price: ModelPrice, name: string): number | undefined {
  return asAmount(price.fields.get(name));
}

/** A finite number of at least zero, from a number or its text; else undefined. */
export function asAmount(value: unknown): number | undefined {
  const amount = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  return typeof amount === 'number' && Number.isFinite(amount) && amount >= 0 ? amount : undefined;
}

export function toModelPrice(key: string, entry: object): ModelPrice {
  const fields = new Map<string, unknown>(Object.entries(entry));
  const text = (name: string): string | undefined => {
    const value = fields.get(name);
    return typeof value === 'string' ? value : undefined;
  };
  return { key, provider: text('litellm_provider'), mode: text('mode'), fields };
}
