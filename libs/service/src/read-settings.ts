import type { z } from 'zod';
import { SettingsError } from './settings-error.ts';

export interface ReadSettingsOptions {
  /** Other names of a variable, read when its own name is not set: `{ CONFIG_PATH: ['LITELLM_CONFIG_PATH'] }`. */
  readonly aliases?: Readonly<Record<string, readonly string[]>>;
}

/**
 * Reads the variables that `schema` names (its keys are the variables) from `env`. An empty value counts as not set.
 * @throws SettingsError with every problem, never with a value.
 */
export function readSettings<Shape extends z.ZodRawShape>(
  schema: z.ZodObject<Shape>,
  env: Readonly<Record<string, string | undefined>>,
  { aliases = {} }: ReadSettingsOptions = {},
): z.output<z.ZodObject<Shape>> {
  const named: Record<string, string> = {};
  for (const variable of Object.keys(schema.shape)) {
    const value = [variable, ...(aliases[variable] ?? [])].map((name) => env[name]?.trim()).find((text) => text !== undefined && text !== '');
    if (value !== undefined) named[variable] = value;
  }
  const result = schema.safeParse(named);
  if (result.success) return result.data;
  throw new SettingsError(
    result.error.issues.map((issue) => {
      const variable = issue.path.map(String).join('.') || 'settings';
      const isMissing = issue.path.length === 1 && !(variable in named) && issue.code !== 'custom';
      return { variable, problem: isMissing ? 'is required' : issue.message };
    }),
  );
}
