import type { z } from 'zod';
import { isJsonObject } from './json.ts';

/** One thing that is wrong with a body or a file, in words that name the field. */
export interface Problem {
  /** The field as a path: `messages[0].role`; '' for the whole. */
  readonly path: string;
  readonly code: 'missing_required_parameter' | 'invalid_type' | 'invalid_value' | 'unknown_parameter';
  readonly message: string;
}

type Path = readonly PropertyKey[];
type Issue = z.core.$ZodIssue;
const MAX_QUOTED = 64;

/**
 * What zod found, one problem per field, in the order of the fields, at most `limit` of them: a body of a megabyte can be wrong in a hundred thousand places.
 * `value` is what was parsed; it is quoted only in short.
 */
export function describeProblems(error: z.ZodError, value: unknown, limit = 20): readonly Problem[] {
  return error.issues.slice(0, limit).map((issue) => describeIssue(issue, [], value));
}

/** `messages[0].role`; keys that are not plain words are quoted: `logit_bias["50256"]`. */
export function pathText(path: Path): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else if (/^[A-Za-z_][\w-]*$/.test(String(part))) text += text === '' ? String(part) : `.${String(part)}`;
    else text += `[${JSON.stringify(short(String(part)))}]`;
  }
  return text;
}

function describeIssue(issue: Issue, parent: Path, value: unknown): Problem {
  const at = [...parent, ...issue.path];
  const path = pathText(at);
  if (issue.code === 'invalid_union') return describeUnion(issue.errors, at, value);
  const got = valueAt(value, at);
  if (issue.code === 'unrecognized_keys') {
    const unknown = pathText([...at, issue.keys[0] ?? '']);
    return { path: unknown, code: 'unknown_parameter', message: `Unknown parameter: '${unknown}'.` };
  }
  if (got === undefined && at.length > 0) return { path, code: 'missing_required_parameter', message: `Missing required parameter: '${path}'.` };
  switch (issue.code) {
    case 'invalid_type':
      return wrongType(path, [article(issue.expected)], got);
    case 'invalid_value':
      return { path, code: 'invalid_value', message: `Invalid value for '${path}': ${quoted(got)}. Supported values are: ${list(issue.values.map((each) => `'${String(each)}'`), 'and')}.` };
    case 'too_small':
      return { path, code: 'invalid_value', message: `Invalid value for '${path}': expected ${atLeast(issue)}, but got ${quoted(got)} instead.` };
    case 'too_big':
      return { path, code: 'invalid_value', message: `Invalid value for '${path}': expected ${atMost(issue, got)} instead.` };
    default:
      return { path, code: 'invalid_value', message: `Invalid value for '${path}': ${short(issue.message, 200)}.` };
  }
}

/** Of the forms that a field may have, the one that the value comes nearest to; when it comes near none, all of them. */
function describeUnion(branches: readonly (readonly Issue[])[], at: Path, value: unknown): Problem {
  let nearest: Issue | undefined;
  const expected: string[] = [];
  for (const [issue] of branches) {
    if (issue === undefined) continue;
    if (issue.path.length === 0 && issue.code === 'invalid_type') {
      const word = article(issue.expected);
      if (!expected.includes(word)) expected.push(word);
    } else if (nearest === undefined || issue.path.length > nearest.path.length) {
      nearest = issue;
    }
  }
  if (nearest !== undefined) return describeIssue(nearest, at, value);
  const path = pathText(at);
  const got = valueAt(value, at);
  if (got === undefined) return { path, code: 'missing_required_parameter', message: `Missing required parameter: '${path}'.` };
  return wrongType(path, expected, got);
}

function wrongType(path: string, expected: readonly string[], got: unknown): Problem {
  // JSON knows no infinity, but its parser reads 1e309 as one.
  if (typeof got === 'number' && !Number.isFinite(got)) return { path, code: 'invalid_type', message: `Invalid type for '${path}': expected ${list(expected.map((word) => word.replace(/^an? (?=number|int)/, 'a finite ')), 'or')}, but got one that is too large instead.` };
  const subject = path === '' ? 'the body' : `'${path}'`;
  return { path, code: 'invalid_type', message: `Invalid type for ${subject}: expected ${list(expected, 'or')}, but got ${typeWords(got)} instead.` };
}

function atLeast(issue: { readonly origin: string; readonly minimum: number | bigint }): string {
  if (issue.origin === 'array') return 'a non-empty array';
  if (issue.origin === 'string') return 'a non-empty string';
  return `a number not below ${String(issue.minimum)}`;
}

/** `at most 100 items, but got 140`: what is counted is said, and how many there were. */
function atMost(issue: { readonly origin: string; readonly maximum: number | bigint }, got: unknown): string {
  const most = `at most ${String(issue.maximum)}`;
  if (issue.origin === 'array' && Array.isArray(got)) return `${most} items, but got ${got.length}`;
  if (issue.origin === 'string' && typeof got === 'string') return `${most} characters, but got ${got.length}`;
  return `${most}, but got ${quoted(got)}`;
}

function article(expected: string): string {
  if (expected === 'int') return 'an integer';
  if (expected === 'record') return 'an object';
  return /^[aeiou]/.test(expected) ? `an ${expected}` : `a ${expected}`;
}

function typeWords(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'number' && !Number.isInteger(value)) return 'a number with decimals';
  return article(typeof value);
}

function quoted(value: unknown): string {
  if (typeof value === 'string') return `'${short(value)}'`;
  if (Array.isArray(value)) return value.length === 0 ? 'an empty array' : 'an array';
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}

function list(words: readonly string[], conjunction: string): string {
  return words.length < 2 ? (words[0] ?? 'another form') : `${words.slice(0, -1).join(', ')} ${conjunction} ${words[words.length - 1] as string}`;
}

function short(text: string, length = MAX_QUOTED): string {
  return text.length <= length ? text : `${text.slice(0, length)}…`;
}

function valueAt(value: unknown, path: Path): unknown {
  let current = value;
  for (const part of path) {
    if (Array.isArray(current)) current = current[Number(part)];
    else if (isJsonObject(current) && Object.hasOwn(current, part)) current = current[String(part)];
    else return undefined;
  }
  return current;
}
