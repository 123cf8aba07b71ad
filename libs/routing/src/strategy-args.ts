import { AppError } from '@pointsman/errors';
import { isJsonObject, type JsonObject } from '@pointsman/schemas';

export interface NumberArg {
  readonly fallback: number;
  readonly min: number;
  readonly max?: number;
}

/**
 * A number of `router_settings.routing_strategy_args`, or its fallback when it is not set.
 * Throws an AppError that names the argument when it is no number or out of range: a configuration is refused, not guessed.
 */
export function numberArg(args: Readonly<Record<string, unknown>>, name: string, { fallback, min, max = Number.MAX_VALUE }: NumberArg): number {
  const value = Object.hasOwn(args, name) ? args[name] : undefined;
  if (value === undefined || value === null) return fallback;
  if (typeof value === 'number' && value >= min && value <= max) return value;
  const range = max === Number.MAX_VALUE ? `of at least ${min}` : `from ${min} to ${max}`;
  throw invalid(name, `a number ${range}`);
}

/** A text of the arguments; undefined when it is not set. Throws an AppError when it is something else. */
export function textArg(args: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = Object.hasOwn(args, name) ? args[name] : undefined;
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value === 'string') return value;
  throw invalid(name, 'a text');
}

/** A mapping of the arguments; undefined when it is not set. Throws an AppError when it is something else. */
export function objectArg(args: Readonly<Record<string, unknown>>, name: string): JsonObject | undefined {
  const value = Object.hasOwn(args, name) ? args[name] : undefined;
  if (value === undefined || value === null) return undefined;
  if (isJsonObject(value)) return value;
  throw invalid(name, 'a mapping');
}

function invalid(name: string, expected: string): AppError {
  return new AppError('invalid_request', 'invalid_strategy_argument', `routing_strategy_args.${name} must be ${expected}.`, { param: `router_settings.routing_strategy_args.${name}` });
}
