import { z } from 'zod';

/** `os.environ/NAME` stands for a value in the environment: editors must accept it wherever a value may be text. */
const REFERENCE = 'os\\.environ/.+';
const NUMERIC = new RegExp(`^(\\s*[-+]?(\\d[\\d_]*\\.?\\d*|\\.\\d+)([eE][-+]?\\d+)?\\s*|${REFERENCE})$`);
const TRUTHY = /^\s*(true|yes|on|1)\s*$/i;
const BOOLEAN = new RegExp(`^(\\s*([tT][rR][uU][eE]|[fF][aA][lL][sS][eE]|[yY][eE][sS]|[nN][oO]|[oO][nN]|[oO][fF][fF]|1|0)\\s*|${REFERENCE})$`);
const DURATION = new RegExp(`^(\\s*\\d+(\\.\\d+)?\\s*(ms|s|m|h|d|w)?\\s*|${REFERENCE})$`);
const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };
/** What a JavaScript timer can wait: 2^31 - 1 ms. */
const LONGEST_MS = 2_147_483_647;

/** What is shown beside a key in the reference, the JSON Schema and the docs. */
export interface SettingFacts {
  readonly description: string;
  /** The value that holds where the key is absent. */
  readonly default?: string | number | boolean;
  /** The key is Pointsman's own, not LiteLLM's. */
  readonly ours?: true;
}

export function setting<S extends z.ZodType>(schema: S, facts: SettingFacts): z.ZodOptional<S> {
  return schema.optional().meta({ ...facts });
}

/** `expected …, got …` without the value itself, which may be a secret. */
export function expected(what: string): (issue: { readonly input?: unknown }) => string {
  return (issue) => (issue.input === undefined ? `missing: expected ${what}` : `expected ${what}, got ${kindOf(issue.input)}`);
}

export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (typeof value === 'string') return value === '' ? 'empty text' : 'text';
  if (typeof value === 'number') return Number.isInteger(value) ? 'a whole number' : 'a number';
  if (typeof value === 'boolean') return 'true/false';
  return Array.isArray(value) ? 'a list' : 'a mapping';
}

export interface Bounds {
  readonly min?: number;
  readonly max?: number;
  readonly integer?: true;
}

/** A number, also as text as it arrives from the environment (`rpm: "10"`, `os.environ/RPM`). */
export function numberSetting({ min, max, integer }: Bounds) {
  const limits = min !== undefined && max !== undefined ? ` from ${String(min)} to ${String(max)}` : min !== undefined ? ` of at least ${String(min)}` : '';
  const what = `a ${integer === true ? 'whole ' : ''}number${limits}`;
  const error = { error: expected(what) };
  let bounded = z.number(error);
  if (integer === true) bounded = bounded.int(error);
  if (min !== undefined) bounded = bounded.min(min, error);
  if (max !== undefined) bounded = bounded.max(max, error);
  return z.union([bounded, z.string().regex(NUMERIC, error)], error)
    .transform((value) => (typeof value === 'number' ? value : Number(value.replaceAll('_', ''))))
    .refine((value) => bounded.safeParse(value).success, { error: `expected ${what}` });
}

/** A length of time in milliseconds, written in seconds (`30`, `"0.5"`) or with a unit (`500ms`, `30s`, `5m`, `1h`, `7d`). */
export function durationSetting({ positive = false }: { readonly positive?: boolean } = {}) {
  const error = { error: expected(`seconds, or text such as 30s, 5m or 1h${positive ? ', more than 0' : ''}`) };
  return z.union([z.number(error).min(0, error), z.string().regex(DURATION, error)], error)
    .transform(toMilliseconds)
    .refine((value) => Number.isFinite(value) && value <= LONGEST_MS && (!positive || value > 0), { error: `expected ${positive ? 'more than 0 and ' : ''}at most ${String(Math.floor(LONGEST_MS / 1000))} seconds` });
}

function toMilliseconds(value: number | string): number {
  if (typeof value === 'number') return Math.round(value * 1000);
  const match = /^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)?\s*$/.exec(value);
  return match === null ? Number.NaN : Math.round(Number(match[1]) * (UNIT_MS[match[2] ?? 's'] ?? Number.NaN));
}

export function booleanSetting() {
  const error = { error: expected('true or false') };
  return z.union([z.boolean(), z.literal(0), z.literal(1), z.string().regex(BOOLEAN, error)], error)
    .transform((value) => (typeof value === 'string' ? TRUTHY.test(value) : Boolean(value)));
}

/** Text that is not empty. Numbers count as text where YAML made one of a name (`api_version: 2024`). */
export function textSetting(what = 'text') {
  const error = { error: expected(what) };
  return z.union([z.string().min(1, error), z.number()], error).transform(String);
}

/** A list of names; one name alone counts as a list of one. */
export function namesSetting(what = 'a list of names') {
  const error = { error: expected(what) };
  const name = z.string(error).min(1, error);
  return z.union([z.array(name), name], error).transform((value) => (typeof value === 'string' ? [value] : value));
}
