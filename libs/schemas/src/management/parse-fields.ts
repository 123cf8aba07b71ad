import { AppError } from '@pointsman/errors';
import { z } from 'zod';
import { describeProblems, pathText } from '../describe-problems.ts';
import { nearestField } from './nearest-field.ts';

/** The fields of one admin route: those that mean something here, and those that LiteLLM knows and that have no effect here. */
export interface FieldsDefinition<Shape extends z.ZodRawShape = z.ZodRawShape> {
  readonly schema: z.ZodObject<Shape>;
  readonly withoutEffect: ReadonlySet<string>;
}

export type FieldsOf<Definition> = Definition extends FieldsDefinition<infer Shape> ? z.output<z.ZodObject<Shape>> : never;

/** `withoutEffect`: names divided by spaces. */
export function defineFields<Shape extends z.ZodRawShape>(shape: Shape, withoutEffect = ''): FieldsDefinition<Shape> {
  return { schema: z.object(shape), withoutEffect: new Set(withoutEffect.split(/\s+/).filter((field) => field !== '')) };
}

/**
 * Reads the fields of a body or a query. `ignored` are fields that LiteLLM would act on and this gateway does not.
 * @throws AppError `invalid_request` that names the field: an unknown one with the nearest known, a wrong type or value, a text that no database can hold.
 */
export function parseFields<Shape extends z.ZodRawShape>(definition: FieldsDefinition<Shape>, value: Readonly<Record<string, unknown>>): { readonly fields: z.output<z.ZodObject<Shape>>; readonly ignored: readonly string[] } {
  const unfit = findUnfitText(value, []);
  if (unfit !== undefined) throw refused('invalid_value', `Invalid value for '${unfit.path}': ${unfit.reason}.`, unfit.path);
  const ignored: string[] = [];
  for (const field of Object.keys(value)) {
    if (Object.hasOwn(definition.schema.shape, field)) continue;
    if (!definition.withoutEffect.has(field)) {
      const path = pathText([field]);
      const nearest = nearestField(field, Object.keys(definition.schema.shape));
      throw refused('unknown_parameter', `Unknown parameter: '${path}'.${nearest === undefined ? '' : ` Did you mean '${nearest}'?`}`, path);
    }
    ignored.push(field);
  }
  const result = definition.schema.safeParse(value);
  if (result.success) return { fields: result.data, ignored };
  const [problem] = describeProblems(result.error, value, 1);
  throw refused(problem?.code ?? 'invalid_value', problem?.message ?? 'The request is not valid.', problem?.path ?? '');
}

function refused(code: string, message: string, path: string): AppError {
  return new AppError('invalid_request', code, message, path === '' ? {} : { param: path });
}

/** NUL and half a surrogate pair: valid in JSON, impossible in a Postgres text. Bodies come here with their depth bounded. */
function findUnfitText(value: unknown, path: readonly PropertyKey[]): { readonly path: string; readonly reason: string } | undefined {
  if (typeof value === 'string') {
    const reason = reasonAgainst(value);
    return reason === undefined ? undefined : { path: pathText(path), reason };
  }
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [key, item] of Array.isArray(value) ? value.entries() : Object.entries(value)) {
    const inside = typeof key === 'string' && reasonAgainst(key) !== undefined ? { path: pathText(path), reason: `a key of it ${reasonAgainst(key) ?? ''}` } : findUnfitText(item, [...path, key]);
    if (inside !== undefined) return inside;
  }
  return undefined;
}

function reasonAgainst(text: string): string | undefined {
  if (text.includes('\0')) return 'contains a NUL character';
  return text.isWellFormed() ? undefined : 'contains half a surrogate pair, which is not valid Unicode';
}
