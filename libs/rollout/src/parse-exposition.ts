/** One line of a metrics page. */
export interface ExposedSample {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
}

const NAME = /[a-zA-Z_:][a-zA-Z0-9_:]*/y;
const LABEL = /\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\\n]|\\.)*)"\s*(,|(?=\}))/y;
const VALUE = /\s*([^\s#]+)/y;

/**
 * The samples of a page in Prometheus' text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/), also with the exemplars of OpenMetrics.
 * Lines of other metrics than `names`, comments, and lines that are none of the format are passed over. Timestamps are not read.
 */
export function* parseExposition(text: string, names: ReadonlySet<string>): Generator<ExposedSample> {
  for (const line of text.split('\n')) {
    NAME.lastIndex = 0;
    const name = NAME.exec(line)?.[0];
    if (name === undefined || !names.has(name)) continue;
    const rest = readLabels(line, NAME.lastIndex);
    if (rest === undefined) continue;
    VALUE.lastIndex = rest.end;
    const value = toNumber(VALUE.exec(line)?.[1]);
    if (value !== undefined) yield { name, labels: rest.labels, value };
  }
}

function readLabels(line: string, start: number): { readonly labels: ReadonlyMap<string, string>; readonly end: number } | undefined {
  const labels = new Map<string, string>();
  if (line[start] !== '{') return { labels, end: start };
  let at = start + 1;
  for (;;) {
    LABEL.lastIndex = at;
    const found = LABEL.exec(line);
    if (found === null) break;
    labels.set(found[1] ?? '', unescaped(found[2] ?? ''));
    at = LABEL.lastIndex;
  }
  while (line[at] === ' ') at += 1;
  return line[at] === '}' ? { labels, end: at + 1 } : undefined;
}

function unescaped(text: string): string {
  return text.includes('\\') ? text.replaceAll(/\\(.)/g, (whole, letter: string) => (letter === 'n' ? '\n' : letter === '"' || letter === '\\' ? letter : whole)) : text;
}

function toNumber(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[+-]?Inf(inity)?$/i.test(text)) return text.startsWith('-') ? -Infinity : Infinity;
  const value = Number(text);
  return Number.isNaN(value) ? undefined : value;
}
