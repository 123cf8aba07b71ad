import { z } from 'zod';

/** Longest id, alias or name. */
export const MAX_NAME_LENGTH = 512;
/** Longest free object (`metadata`, `permissions`, `config`, …), as JSON in UTF-8, and its deepest nesting. */
export const MAX_OBJECT_BYTES = 65_536;
export const MAX_OBJECT_DEPTH = 32;

/** An id, alias, e-mail or the like. */
export const name = z.string().min(1).max(MAX_NAME_LENGTH);

/** Control, format (zero-width, bidi) and line separator characters: they make a name look like another one, or act on the terminal that shows it. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

/** A name that is given to something here: lists, logs and terminals will show it. Looking up by a name takes any `name`. */
export const newName = name.refine((text) => !UNSEEN.test(text), 'it holds a character that cannot be seen (a control, zero-width or direction character, or a line break)');

/** The audit log calls the master key so. */
const RESERVED_ALIAS = 'master';

export const newKeyAlias = newName.refine((text) => text.normalize('NFKC').trim().toLowerCase() !== RESERVED_ALIAS, `'${RESERVED_ALIAS}' is the name of the master key`);

/** USD. 0 means that nothing may be spent. */
export const money = z.number().min(0).max(1e15);

/** A count per minute or a number of requests at a time. 0 means none. */
export const limit = z.int().min(0);

/** LiteLLM's durations: a positive number with s, m, h, d, w or mo (calendar months). */
export const duration = z.string().regex(/^(?:100000|[1-9]\d{0,4})(?:s|mo|m|h|d|w)$/, "expected a duration: a number from 1 to 100000 with s, m, h, d, w or mo, such as '30s', '12h', '7d' or '1mo'");

export function listOf(most: number): z.ZodArray<z.ZodString> {
  return z.array(name).max(most);
}

/** A list that says what to act on: an empty one is a mistake. */
export function someOf(most: number): z.ZodArray<z.ZodString> {
  return z.array(name).min(1).max(most);
}

/** An object whose fields are the caller's own business, within bounds. */
export const freeObject = bounded(z.record(z.string(), z.unknown()));
export const nameMap = bounded(z.record(name, name));
export const limitMap = bounded(z.record(name, limit));

/**
 * Budgets per model: a number, `{max_budget, budget_duration}`, or LiteLLM's older `{budget_limit, time_period}` (whose numbers may be texts);
 * all of them become the second.
 */
export const modelBudgets = bounded(z.record(name, z.union([
  money.transform((max_budget) => ({ max_budget, budget_duration: null })),
  z.strictObject({ max_budget: money, budget_duration: duration.nullish() }).transform(({ max_budget, budget_duration }) => ({ max_budget, budget_duration: budget_duration ?? null })),
  z.strictObject({
    budget_limit: z.union([money, z.string().regex(/^\d{1,12}(?:\.\d{1,12})?$/, 'expected a number').transform(Number)]), time_period: duration.nullish(),
  }).transform(({ budget_limit, time_period }) => ({ max_budget: budget_limit, budget_duration: time_period ?? null })),
])));

function bounded<T extends z.ZodType>(schema: T): T {
  return schema.check((context) => {
    if (depthOf(context.value, 1) > MAX_OBJECT_DEPTH) {
      context.issues.push({ code: 'custom', input: context.value, message: `expected at most ${String(MAX_OBJECT_DEPTH)} levels` });
    } else if (utf8Length(JSON.stringify(context.value)) > MAX_OBJECT_BYTES) {
      context.issues.push({ code: 'custom', input: context.value, message: `expected at most ${String(MAX_OBJECT_BYTES / 1024)} KB of JSON` });
    }
  }) as T;
}

function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** Stops one level past what is allowed. */
function depthOf(value: unknown, depth: number): number {
  if (typeof value !== 'object' || value === null) return depth - 1;
  if (depth > MAX_OBJECT_DEPTH) return depth;
  let deepest = depth;
  for (const item of Object.values(value)) deepest = Math.max(deepest, depthOf(item, depth + 1));
  return deepest;
}

/** Query parameters are texts. */
export const queryNumber = (least: number, most: number): z.ZodType<number, string> => z.string().regex(/^\d{1,9}$/, `expected an integer from ${String(least)} to ${String(most)}`)
  .transform(Number).refine((number) => number >= least && number <= most, `expected an integer from ${String(least)} to ${String(most)}`);

export const queryBoolean: z.ZodType<boolean, string> = z.enum(['true', 'false', 'True', 'False', '1', '0']).transform((text) => text === 'true' || text === 'True' || text === '1');

const DATE = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:?\d{2})?)?$/;
const DATE_WORDS = "expected a date such as '2026-01-31', or a time such as '2026-01-31T12:00:00Z'";

/** A day or a time; without a zone it is UTC. The text itself comes along: who reads the end of a span must know whether a whole day was meant. */
export const queryDate = z.string().regex(DATE, DATE_WORDS).transform((text, context) => {
  const zoned = /(?:Z|[+-]\d{2}:?\d{2})$/.test(text) && text.length > 10;
  const at = new Date(text.length === 10 ? `${text}T00:00:00Z` : `${text.replace(' ', 'T')}${zoned ? '' : 'Z'}`);
  // `2026-02-31` would quietly become another day.
  const isReal = !Number.isNaN(at.getTime()) && (zoned || at.toISOString().startsWith(text.slice(0, 10)));
  if (!isReal) context.addIssue({ code: 'custom', message: DATE_WORDS });
  return { at, wholeDay: text.length === 10 };
});
