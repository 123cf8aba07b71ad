import type { JsonObject, JsonValue } from '@pointsman/schemas';
import { isMap, isScalar, isSeq, LineCounter, parseDocument, visit, type Document, type Pair, type ScalarTag, type YAMLError, type YAMLMap } from 'yaml';
import type { ConfigProblem } from './gateway-config.ts';
import { showPath, type Path } from './path.ts';

/** A file as the operator wrote it. */
export interface ConfigFile {
  /** As problems should name it; `include` entries are resolved next to it. */
  readonly path: string;
  readonly text: string;
}

/** A file that was read: plain data, and the places where its keys are written. */
export interface YamlFile {
  readonly path: string;
  readonly root: JsonObject;
  /** Line and column (from 1) of the node at `path`, or of its nearest ancestor that is written in the file. */
  locate(path: Path): { readonly line: number; readonly column: number } | undefined;
}

export type YamlOutcome = { readonly file: YamlFile } | { readonly problems: readonly ConfigProblem[] };

const MAX_FILE_CHARACTERS = 2 * 1024 * 1024;
/** YAML 1.2 section 5.1. */
const CONTROL_CHARACTER = new RegExp('[\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f]');
const MAX_DEPTH = 48;
/** Nodes after aliases are expanded; 500 deployments have about 10,000. */
const MAX_NODES = 400_000;
const MAX_PROBLEMS_OF_SYNTAX = 5;

/**
 * LiteLLM reads with PyYAML, which is YAML 1.1 (`yes`, `20_000`, `<<`) but leaves `y` and `n` alone.
 * Dates and base-60 numbers stay the text they are: `api_version: 2024-06-01`, `10:30`.
 */
const UNWANTED_TAGS: ReadonlySet<string> = new Set(['timestamp', 'bool', 'binary', 'omap', 'pairs', 'set'].map((name) => `tag:yaml.org,2002:${name}`));
const BOOLEANS: readonly ScalarTag[] = [
  { tag: 'tag:yaml.org,2002:bool', default: true, test: /^(?:yes|Yes|YES|true|True|TRUE|on|On|ON)$/, resolve: () => true },
  { tag: 'tag:yaml.org,2002:bool', default: true, test: /^(?:no|No|NO|false|False|FALSE|off|Off|OFF)$/, resolve: () => false },
];

/** Reads one YAML (or JSON) file into plain JSON data, within bounds of size, depth and alias expansion. Never throws, never runs a tag, never quotes the file in a message. */
export function readYaml({ path, text }: ConfigFile): YamlOutcome {
  const refuse = (message: string, where?: { line: number; col: number }): YamlOutcome => ({
    problems: [{ path: '', message, file: path, ...(where === undefined ? {} : { line: where.line, column: where.col }) }],
  });
  if (text.length > MAX_FILE_CHARACTERS) return refuse(`the file is longer than ${String(MAX_FILE_CHARACTERS / 1024 / 1024)} MiB`);
  const control = CONTROL_CHARACTER.exec(text);
  if (control !== null) {
    const before = text.slice(0, control.index).split('\n');
    return refuse('a control character: is this a text file?', { line: before.length, col: (before.at(-1)?.length ?? 0) + 1 });
  }
  const lines = new LineCounter();
  let document: Document;
  try {
    document = parseDocument(text, {
      version: '1.1', lineCounter: lines, prettyErrors: false, uniqueKeys: false, logLevel: 'error', keepSourceTokens: false,
      customTags: (tags) => [...tags.filter((tag) => typeof tag !== 'object' || !(UNWANTED_TAGS.has(tag.tag) || ('format' in tag && tag.format === 'TIME'))), ...BOOLEANS],
    });
  } catch (error) {
    return refuse(error instanceof RangeError ? 'the file is nested too deeply' : 'the file is not valid YAML');
  }
  if (document.errors.length > 0) {
    return { problems: document.errors.slice(0, MAX_PROBLEMS_OF_SYNTAX).map((error) => syntaxProblem(path, error, lines)) };
  }
  const repeated = repeatedKeys(document).slice(0, MAX_PROBLEMS_OF_SYNTAX);
  if (repeated.length > 0) {
    return { problems: repeated.map((offset) => ({ path: '', message: 'the same key appears twice in one mapping', file: path, ...columnOf(lines.linePos(offset)) })) };
  }
  if (document.contents === null || (isScalar(document.contents) && document.contents.value === null)) return refuse('the file is empty');
  if (!isMap(document.contents)) return refuse('expected a mapping of sections (model_list, router_settings, …) at the top', { line: 1, col: 1 });

  let loaded: unknown;
  try {
    loaded = document.toJS({ mapAsMap: true, maxAliasCount: 10_000 });
  } catch {
    return refuse('the anchors and aliases of the file expand to too much');
  }
  const locate = locator(document, lines);
  const problems: ConfigProblem[] = [];
  const root = plain(loaded, [], { left: MAX_NODES, ancestors: new Set() }, (at, message) => {
    const place = locate(at);
    problems.push({ path: showPath(at), message, file: path, ...place });
  });
  if (problems.length > 0) return { problems };
  return { file: { path, root: root as JsonObject, locate } };
}

/** What goes wrong in practice, in words of ours: the library's messages may quote the file, and with it a secret. */
const SYNTAX: Readonly<Partial<Record<string, string>>> = {
  BAD_ALIAS: 'an alias (*name) names an anchor that is not defined before it',
  BAD_DQ_ESCAPE: 'an escape inside double quotes is not valid',
  BAD_INDENT: 'wrong indentation',
  BAD_SCALAR_START: 'a plain value starts with a character that needs quotes (@, `, %, …)',
  BLOCK_AS_IMPLICIT_KEY: 'a nested mapping or list starts on the line of another key',
  BLOCK_IN_FLOW: 'an indented block inside { } or [ ]',
  MISSING_CHAR: 'a closing quote, bracket, comma or colon is missing',
  MULTILINE_IMPLICIT_KEY: 'a key spans more than one line: is a colon missing?',
  MULTIPLE_DOCS: 'more than one YAML document (---) in the file',
  RESOURCE_EXHAUSTION: 'the file is nested too deeply',
  TAB_AS_INDENT: 'a tab is used for indentation',
  TAG_RESOLVE_FAILED: 'a tag (!name) is not allowed, or its value does not fit',
  UNEXPECTED_TOKEN: 'something here does not belong: check quotes, brackets and indentation',
};

function syntaxProblem(file: string, error: YAMLError, lines: LineCounter): ConfigProblem {
  const at = lines.linePos(error.pos[0]);
  return { path: '', message: `not valid YAML: ${SYNTAX[error.code] ?? error.code.toLowerCase().replaceAll('_', ' ')}`, file, line: at.line, column: at.col };
}

/** Where keys are written a second time. The library's own check compares every key with every other, which a wide mapping makes slow. */
function repeatedKeys(document: Document): readonly number[] {
  const offsets: number[] = [];
  visit(document, {
    Map: (_position, map) => {
      const seen = new Set<string>();
      for (const { key } of map.items) {
        if (!isScalar(key) || key.value === '<<') continue;
        const name = String(key.value);
        if (seen.has(name)) offsets.push(key.range?.[0] ?? 0);
        seen.add(name);
      }
    },
  });
  return offsets;
}

function columnOf(at: { readonly line: number; readonly col: number }): { readonly line: number; readonly column: number } {
  return { line: at.line, column: at.col };
}

interface Budget {
  left: number;
  readonly ancestors: Set<unknown>;
}

/** Copies what the YAML library made into plain JSON data, so that shared and circular references, `__proto__` and non-finite numbers end here. */
function plain(value: unknown, path: Path, budget: Budget, refuse: (path: Path, message: string) => void): JsonValue {
  budget.left -= 1;
  if (budget.left < 0) {
    if (budget.left === -1) refuse([], 'the anchors and aliases of the file expand to too much');
    return null;
  }
  if (value === null || value === undefined) return null;
  if (typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'bigint') return plain(Number(value), path, budget, refuse);
  if (typeof value === 'number') {
    if (Number.isFinite(value)) return value;
    refuse(path, 'expected a finite number');
    return null;
  }
  if (path.length > MAX_DEPTH || budget.ancestors.has(value)) {
    refuse(path.slice(0, 4), 'nested too deeply');
    return null;
  }
  budget.ancestors.add(value);
  let copy: JsonValue = null;
  if (Array.isArray(value)) copy = value.map((item, index) => plain(item, [...path, index], budget, refuse));
  else if (value instanceof Map) {
    const object: JsonObject = {};
    for (const [rawKey, item] of value) {
      if (typeof rawKey === 'object' && rawKey !== null) {
        refuse(path, 'expected text as a key');
        continue;
      }
      const key = String(rawKey);
      if (key === '__proto__') refuse([...path, key], 'this key is not allowed');
      else object[key] = plain(item, [...path, key], budget, refuse);
    }
    copy = object;
  } else refuse(path, 'expected text, a number, true/false, a list or a mapping');
  budget.ancestors.delete(value);
  return copy;
}

function locator(document: Document, lines: LineCounter): YamlFile['locate'] {
  const index = new Map<unknown, ReadonlyMap<string, Pair>>();
  const pairOf = (map: YAMLMap, key: string): Pair | undefined => {
    let pairs = index.get(map);
    if (pairs === undefined) index.set(map, pairs = new Map(map.items.flatMap((pair) => (isScalar(pair.key) ? [[String(pair.key.value), pair] as const] : []))));
    return pairs.get(key);
  };
  return (path) => {
    let node: unknown = document.contents;
    let offset = 0;
    for (const step of path) {
      if (isMap(node)) {
        const pair = pairOf(node, String(step));
        if (pair === undefined) break;
        offset = (isScalar(pair.key) ? pair.key.range?.[0] : undefined) ?? offset;
        node = pair.value;
      } else if (isSeq(node) && typeof step === 'number') {
        node = node.items[step];
        offset = rangeStart(node) ?? offset;
      } else break;
    }
    const at = lines.linePos(offset);
    return { line: at.line, column: at.col };
  };
}

function rangeStart(node: unknown): number | undefined {
  return isScalar(node) || isMap(node) || isSeq(node) ? node.range?.[0] : undefined;
}
