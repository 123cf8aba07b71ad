import { isDeepStrictEqual } from 'node:util';
import { AppError } from '@pointsman/errors';
import { isAlias, isMap, isNode, isScalar, parseDocument, type Document, type YAMLMap } from 'yaml';

/** What a configuration says of one router model. */
export interface ModelUse {
  /** `router_settings`, or the groups of `router_settings.strategies`. */
  readonly places: readonly string[];
  readonly version: string | undefined;
  readonly canary: { readonly version: string; readonly weight: number } | undefined;
}

export interface ModelChange {
  /** The version that serves from now on; undefined leaves it. */
  readonly version?: string;
  /** Null takes the canary out; undefined leaves it. */
  readonly canary?: { readonly version: string; readonly weight: number } | null;
}

/** Who uses the model, in one file of a configuration; undefined when nobody does. @throws AppError for what is no YAML, or where uses of one model differ. */
export function modelUse(text: string, model: string): ModelUse | undefined {
  const document = parsed(text);
  const uses = usesOf(document, model).map(({ place, args }) => ({ place, version: textOf(args, 'model_version'), canary: canaryOf(document, args) }));
  const [first] = uses;
  if (first === undefined) return undefined;
  const other = uses.find(({ version, canary }) => version !== first.version || canary?.version !== first.canary?.version || canary?.weight !== first.canary?.weight);
  if (other !== undefined) {
    throw new AppError('conflict', 'model_used_differently', `${first.place} and ${other.place} serve ${model} differently: give them the same model_version and canary first`);
  }
  return { places: uses.map(({ place }) => place), version: first.version, canary: first.canary };
}

/**
 * The text with another version or canary of a model, wherever the file uses it. Only the characters that say so change; a file that is written so that this cannot be
 * done is written anew by the YAML library, which keeps comments and order and may move blanks.
 * @throws AppError when nothing in it uses the model.
 */
export function editModelVersion(text: string, model: string, change: ModelChange): string {
  const document = parsed(text);
  const uses = usesOf(document, model);
  if (uses.length === 0) throw new AppError('not_found', 'model_not_used', `no routing_strategy_args of this configuration have model_name: ${model}`);
  // Ranges are those of what was read: before anything is changed.
  const edits = uses.map(({ args }) => editsOf(text, args, change));
  const wanted = withChange(document, uses, change);
  if (edits.every((each) => each !== undefined)) {
    const spliced = applied(text, edits.flat());
    const again = parseDocument(spliced);
    if (again.errors.length === 0 && isDeepStrictEqual(again.toJS(), parseDocument(wanted).toJS())) return spliced;
  }
  return wanted;
}

/** What the text must mean in the end. */
function withChange(document: Document, uses: readonly { readonly args: YAMLMap }[], { version, canary }: ModelChange): string {
  for (const { args } of uses) {
    if (version !== undefined) setText(args, 'model_version', version);
    if (canary === null) args.delete('canary');
    else if (canary !== undefined) {
      const node = document.createNode({ model_version: canary.version, weight: canary.weight }) as YAMLMap;
      node.flow = true;
      args.set('canary', node);
    }
  }
  // Zero: lines are never folded.
  return document.toString({ lineWidth: 0 });
}

interface Edit {
  readonly from: number;
  readonly to: number;
  readonly text: string;
}

function applied(text: string, edits: readonly Edit[]): string {
  return edits.toSorted((a, b) => b.from - a.from).reduce((rest, { from, to, text: put }) => rest.slice(0, from) + put + rest.slice(to), text);
}

/** Where characters change in one mapping; undefined where that is not plain to see. The ranges are those of the text that was parsed. */
function editsOf(text: string, args: YAMLMap, { version, canary }: ModelChange): readonly Edit[] | undefined {
  const edits: Edit[] = [];
  const places = args.items.map(({ key, value }) => ({ name: isScalar(key) ? key.value : undefined, key: rangeOf(key), value: rangeOf(value) }));
  const at = (name: string): (typeof places)[number] | undefined => places.find((place) => place.name === name);
  const lineEnd = (index: number): number => (text.indexOf('\n', index) < 0 ? text.length : text.indexOf('\n', index));
  /** A new entry after the name of the model, or after its version. */
  const add = (entry: string): boolean => {
    const after = at('model_version') ?? at('model_name');
    if (after?.value === undefined || after.key === undefined) return false;
    const indent = text.slice(text.lastIndexOf('\n', after.key[0]) + 1, after.key[0]);
    if (args.flow === true) edits.push({ from: after.value[1], to: after.value[1], text: `, ${entry}` });
    else if (indent.trim() === '') edits.push({ from: lineEnd(after.value[1]), to: lineEnd(after.value[1]), text: `\n${indent}${entry}` });
    else return false;
    return true;
  };
  if (version !== undefined) {
    const place = at('model_version');
    if (place === undefined ? !add(`model_version: ${version}`) : place.value === undefined) return undefined;
    if (place?.value !== undefined) edits.push({ from: place.value[0], to: place.value[1], text: text[place.value[0]] === '"' ? JSON.stringify(version) : version });
  }
  const before = at('canary');
  if (canary !== undefined && canary !== null) {
    const isJson = args.flow === true && text[at('model_name')?.key?.[0] ?? -1] === '"';
    const value = isJson ? JSON.stringify({ model_version: canary.version, weight: canary.weight }) : `{ model_version: ${canary.version}, weight: ${String(canary.weight)} }`;
    if (before === undefined) return add(`${isJson ? '"canary"' : 'canary'}: ${value}`) ? edits : undefined;
    if (before.value === undefined || text.slice(...before.value).includes('\n')) return undefined;
    edits.push({ from: before.value[0], to: before.value[1], text: value });
  } else if (canary === null && before !== undefined) {
    const previous = places[places.indexOf(before) - 1];
    if (before.key === undefined || before.value === undefined || previous?.value === undefined) return undefined;
    if (args.flow === true) edits.push({ from: previous.value[1], to: before.value[1], text: '' });
    else if (!text.slice(...before.value).includes('\n')) edits.push({ from: text.lastIndexOf('\n', before.key[0]), to: lineEnd(before.value[1]), text: '' });
    else return undefined;
  }
  return edits;
}

function rangeOf(node: unknown): readonly [number, number] | undefined {
  return isNode(node) && node.range !== null && node.range !== undefined ? [node.range[0], node.range[1]] : undefined;
}

function parsed(text: string): Document {
  const document = parseDocument(text);
  const [problem] = document.errors;
  if (problem !== undefined) throw new AppError('invalid_request', 'invalid_yaml', `the configuration is no YAML: ${problem.message.split('\n')[0] ?? ''}`);
  return document;
}

/** Only the text of a scalar that is there, so that a comment beside it stays. */
function setText(map: YAMLMap, key: string, value: string): void {
  const node = map.get(key, true);
  if (isScalar(node)) node.value = value;
  else map.set(key, value);
}

function usesOf(document: Document, model: string): { readonly place: string; readonly args: YAMLMap }[] {
  const found: { readonly place: string; readonly args: YAMLMap }[] = [];
  const add = (place: string, path: readonly string[]): void => {
    const args = resolved(document, document.getIn(path, true));
    // Two groups may share one mapping by an alias.
    if (isMap(args) && textOf(args, 'model_name') === model && !found.some((each) => each.args === args)) found.push({ place, args });
  };
  add('router_settings', ['router_settings', 'routing_strategy_args']);
  const strategies = resolved(document, document.getIn(['router_settings', 'strategies'], true));
  if (isMap(strategies)) {
    for (const { key } of strategies.items) {
      const group = isScalar(key) ? String(key.value) : undefined;
      if (group === undefined) continue;
      const strategy = resolved(document, strategies.get(group, true));
      if (!isMap(strategy)) continue;
      const args = resolved(document, strategy.get('routing_strategy_args', true));
      if (isMap(args) && textOf(args, 'model_name') === model && !found.some((each) => each.args === args)) found.push({ place: group, args });
    }
  }
  return found;
}

function resolved(document: Document, node: unknown): unknown {
  return isAlias(node) ? node.resolve(document) : node;
}

function canaryOf(document: Document, args: YAMLMap): ModelUse['canary'] {
  const canary = resolved(document, args.get('canary', true));
  if (!isMap(canary)) return undefined;
  const version = textOf(canary, 'model_version');
  return version === undefined ? undefined : { version, weight: Number(canary.get('weight') ?? 0) };
}

function textOf(map: YAMLMap, key: string): string | undefined {
  const value = map.get(key);
  return typeof value === 'string' && value !== '' ? value : undefined;
}
