import { isJsonObject, type JsonObject, type JsonValue } from '@pointsman/schemas';

/** Deeper than any schema that people write; a schema that refers to itself ends here. */
const DEEPEST = 16;
const LONGEST_LIST = 8;
const LONGEST_TEXT = 1_000;

/** Words of the prompt that look like the value of something: names and numbers first, so that `get_weather` asks for the city that was meant. */
export function telling(prompt: string): string[] {
  const words = prompt.match(/[\p{L}\p{N}][\p{L}\p{N}'.-]*[\p{L}\p{N}]|[\p{L}\p{N}]/gu) ?? [];
  // The first word of a sentence is capitalised for another reason.
  const names = words.filter((word, index) => index > 0 && /^\p{Lu}/u.test(word) && word !== 'I');
  return names.length > 0 ? names : words.filter((word) => word.length > 3).reverse();
}

/**
 * A value that satisfies a JSON Schema, with texts taken from the prompt: what a model with structured outputs would send.
 * Knows $ref within the schema, const, enum, default, anyOf/oneOf/allOf, and the limits of numbers, texts and lists; `pattern` is not followed.
 */
export function jsonBySchema(schema: JsonValue | undefined, prompt: string): JsonValue {
  return new SchemaReader(schema, prompt).value(schema, '', 0);
}

class SchemaReader {
  readonly #root: JsonValue | undefined;
  readonly #prompt: string;
  readonly #words: readonly string[];
  #used = 0;

  constructor(root: JsonValue | undefined, prompt: string) {
    this.#root = root;
    this.#prompt = prompt;
    this.#words = telling(prompt);
  }

  value(raw: JsonValue | undefined, name: string, depth: number): JsonValue {
    if (!isJsonObject(raw)) return this.#word(name);
    const schema = this.#resolved(raw);
    if (depth > DEEPEST) return null;
    if (schema['const'] !== undefined) return schema['const'];
    const choices = schema['enum'];
    if (Array.isArray(choices) && choices.length > 0) return this.#chosen(choices);
    const branch = firstOf(schema['anyOf']) ?? firstOf(schema['oneOf']);
    if (branch !== undefined) return this.value(branch, name, depth + 1);
    switch (typeOf(schema)) {
      case 'object':
        return this.#object(schema, depth);
      case 'array':
        return this.#list(schema, name, depth);
      case 'string':
        return this.#text(schema, name);
      case 'integer':
      case 'number':
        return this.#number(schema);
      case 'boolean':
        return true;
      case 'null':
        return null;
      default:
        return schema['default'] ?? this.#word(name);
    }
  }

  /** Follows `$ref` and lays the parts of `allOf` over one another. */
  #resolved(start: JsonObject): JsonObject {
    let schema = start;
    for (let step = 0; step < DEEPEST; step += 1) {
      const reference = schema['$ref'];
      if (typeof reference !== 'string') break;
      schema = this.#lookUp(reference);
    }
    const parts = schema['allOf'];
    if (!Array.isArray(parts)) return schema;
    const objects = parts.filter(isJsonObject).map((part) => (typeof part['$ref'] === 'string' ? this.#lookUp(part['$ref']) : part));
    const merged = new Map<string, JsonValue | undefined>(Object.entries(schema).filter(([key]) => key !== 'allOf'));
    for (const [key, value] of objects.flatMap((part) => Object.entries(part))) {
      const before = merged.get(key);
      if (Array.isArray(before) && Array.isArray(value)) merged.set(key, [...before, ...value]);
      else if (isJsonObject(before) && isJsonObject(value)) merged.set(key, Object.fromEntries([...Object.entries(before), ...Object.entries(value)]));
      else merged.set(key, value);
    }
    return Object.fromEntries(merged);
  }

  #lookUp(reference: string): JsonObject {
    if (!reference.startsWith('#')) return {};
    let found: JsonValue | undefined = this.#root;
    for (const step of reference.slice(1).split('/').filter((part) => part !== '')) {
      const key = decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~');
      found = isJsonObject(found) && Object.hasOwn(found, key) ? found[key] : undefined;
    }
    return isJsonObject(found) ? found : {};
  }

  #object(schema: JsonObject, depth: number): JsonObject {
    const properties = isJsonObject(schema['properties']) ? schema['properties'] : {};
    const required = Array.isArray(schema['required']) ? schema['required'].filter((key) => typeof key === 'string') : [];
    // Optional fields too while shallow: a fuller answer looks more like a model's. Deeper, only what must be there, so that recursion ends.
    const keys = depth < 3 ? new Set([...required, ...Object.keys(properties)]) : new Set(required);
    // fromEntries defines own properties: a field called __proto__ stays a field.
    return Object.fromEntries([...keys].map((key) => [key, this.value(Object.hasOwn(properties, key) ? properties[key] : undefined, key, depth + 1)]));
  }

  #list(schema: JsonObject, name: string, depth: number): JsonValue[] {
    const least = numberOr(schema['minItems'], 1);
    const length = Math.max(0, Math.min(LONGEST_LIST, numberOr(schema['maxItems'], LONGEST_LIST), depth > 3 ? numberOr(schema['minItems'], 0) : least));
    const first = Array.isArray(schema['prefixItems']) ? schema['prefixItems'] : [];
    return Array.from({ length: Math.max(length, Math.min(first.length, LONGEST_LIST)) }, (_, index) => this.value(first[index] ?? schema['items'], name, depth + 1));
  }

  #text(schema: JsonObject, name: string): string {
    const formatted = typeof schema['format'] === 'string' ? FORMATTED.get(schema['format']) : undefined;
    if (formatted !== undefined) return formatted;
    const shortest = Math.min(LONGEST_TEXT, numberOr(schema['minLength'], 0));
    const longest = Math.max(shortest, numberOr(schema['maxLength'], LONGEST_TEXT));
    return this.#word(name).padEnd(shortest, '.').slice(0, longest);
  }

  #number(schema: JsonObject): number {
    const whole = typeOf(schema) === 'integer';
    const step = numberOr(schema['multipleOf'], whole ? 1 : 0);
    const gap = step > 0 ? step : 0.001;
    const lowest = Math.max(numberOr(schema['minimum'], -Infinity), numberOr(schema['exclusiveMinimum'], -Infinity) + gap);
    const highest = Math.min(numberOr(schema['maximum'], Infinity), numberOr(schema['exclusiveMaximum'], Infinity) - gap);
    const meant = Number(/-?\d+(\.\d+)?/.exec(this.#prompt)?.[0] ?? 1);
    const inside = Math.min(Math.max(meant, lowest), highest);
    if (step === 0) return inside;
    const up = Math.ceil(inside / step) * step;
    return up <= highest ? up : Math.floor(inside / step) * step;
  }

  /** The choice that the prompt names, else the first. */
  #chosen(choices: readonly JsonValue[]): JsonValue {
    const lower = this.#prompt.toLowerCase();
    return choices.find((choice) => typeof choice === 'string' && choice !== '' && lower.includes(choice.toLowerCase())) ?? choices[0] ?? null;
  }

  #word(name: string): string {
    if (this.#words.length === 0) return name === '' ? 'value' : name;
    const word = this.#words[this.#used % this.#words.length] ?? name;
    this.#used += 1;
    return word;
  }
}

const FORMATTED: ReadonlyMap<string, string> = new Map([
  ['date', '2026-01-31'],
  ['time', '12:30:00Z'],
  ['date-time', '2026-01-31T12:30:00Z'],
  ['duration', 'PT30M'],
  ['email', 'someone@example.com'],
  ['hostname', 'example.com'],
  ['ipv4', '192.0.2.1'],
  ['ipv6', '2001:db8::1'],
  ['uri', 'https://example.com/'],
  ['uuid', '9b2f6f0e-58a4-4c7e-9d5c-3a1f0d7b8e21'],
]);

function typeOf(schema: JsonObject): JsonValue | undefined {
  const type = schema['type'];
  if (Array.isArray(type)) return type.find((one) => one !== 'null') ?? 'null';
  if (type !== undefined) return type;
  if (schema['properties'] !== undefined || schema['required'] !== undefined) return 'object';
  return schema['items'] === undefined ? undefined : 'array';
}

function firstOf(branches: JsonValue | undefined): JsonObject | undefined {
  return Array.isArray(branches) ? branches.find(isJsonObject) : undefined;
}

function numberOr(value: JsonValue | undefined, otherwise: number): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : otherwise;
}
