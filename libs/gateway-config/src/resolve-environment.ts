import { isJsonObject, type JsonObject, type JsonValue } from '@pointsman/schemas';
import type { Findings } from './findings.ts';
import type { Path } from './path.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** A whole value is everything after the prefix, as LiteLLM takes it; inside other text a name ends where it cannot go on (`Bearer os.environ/TOKEN`). */
const WHOLE = /^\s*os\.environ\/([^\s/]+)\s*$/;
const INSIDE = /os\.environ\/([A-Za-z_][A-Za-z0-9_]*)/g;

/** Adds the `environment_variables` of a file to what references see. The process's own environment is never written. */
export function withFileVariables(env: Environment, section: unknown, findings: Findings): Environment {
  if (section === undefined || section === null) return env;
  if (!isJsonObject(section)) {
    findings.problems.push({ path: ['environment_variables'], message: 'expected a mapping from name to value' });
    return env;
  }
  const merged: Record<string, string | undefined> = { ...env };
  for (const [name, value] of Object.entries(section)) {
    if (value === null || value === undefined) continue;
    const path: Path = ['environment_variables', name];
    if (typeof value === 'object') {
      findings.problems.push({ path, message: 'expected text' });
      continue;
    }
    const resolved = typeof value === 'string' ? resolveText(value, env) : { value: String(value), missing: undefined };
    if (resolved.missing !== undefined) findings.warnings.push({ path, message: missingMessage(resolved.missing) });
    else merged[name] = resolved.value;
  }
  return merged;
}

/** A value with its references replaced. What names a missing variable is left out (in lists: dropped) and reported through `onMissing`. */
export function resolveReferences(value: JsonValue, env: Environment, path: Path, onMissing: (path: Path, variable: string) => void): JsonValue | undefined {
  if (typeof value === 'string') {
    if (!value.includes('os.environ/')) return value;
    const resolved = resolveText(value, env);
    if (resolved.missing !== undefined) onMissing(path, resolved.missing);
    return resolved.value;
  }
  if (Array.isArray(value)) {
    return value.map((item, index) => resolveReferences(item, env, [...path, index], onMissing)).filter((item) => item !== undefined);
  }
  if (isJsonObject(value)) {
    const copy: JsonObject = {};
    for (const [key, item] of Object.entries(value)) {
      const resolved = item === undefined ? undefined : resolveReferences(item, env, [...path, key], onMissing);
      if (resolved !== undefined) copy[key] = resolved;
    }
    return copy;
  }
  return value;
}

export function missingMessage(variable: string): string {
  return `the environment has no ${/^[A-Za-z_][A-Za-z0-9_]{0,99}$/.test(variable) ? variable : 'such variable'}: taken as not set`;
}

function resolveText(text: string, env: Environment): { readonly value: string | undefined; readonly missing: string | undefined } {
  const whole = WHOLE.exec(text)?.[1];
  if (whole !== undefined) {
    const value = lookUp(env, whole);
    return { value, missing: value === undefined ? whole : undefined };
  }
  let missing: string | undefined;
  const replaced = text.replaceAll(INSIDE, (_reference, name: string) => {
    const value = lookUp(env, name);
    if (value === undefined) missing ??= name;
    return value ?? '';
  });
  return missing === undefined ? { value: replaced, missing } : { value: undefined, missing };
}

/** An empty variable counts as missing: `API_KEY=` in a manifest means that nobody filled it in. */
function lookUp(env: Environment, name: string): string | undefined {
  const value = Object.hasOwn(env, name) ? env[name] : undefined;
  return value === '' ? undefined : value;
}
