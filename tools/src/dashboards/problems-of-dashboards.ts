import { globSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { attribute, metric } from '@pointsman/telemetry';
import { DASHBOARDS, renderDashboard } from './all-dashboards.ts';
import { problemsOfQueries } from './check-queries.ts';
import { metricVocabulary } from './metric-vocabulary.ts';
import { queriesOf } from './queries-of.ts';
import { readRules } from './read-rules.ts';

/** What TraceQL itself has in place of an attribute. */
const ATTRIBUTES: ReadonlySet<string> = new Set(Object.values(attribute).filter((name) => typeof name === 'string'));

/** Everything that is wrong with the committed dashboards and alert rules of a checkout. */
export function problemsOfDashboards(root: string): string[] {
  const { recordings, alerts } = readRules(join(root, 'alerts'));
  const vocabulary = metricVocabulary(recordings);
  const files = readdirSync(join(root, 'dashboards')).filter((name) => name.endsWith('.json'));
  const fromFiles = files.flatMap((name) => {
    const text = readFileSync(join(root, 'dashboards', name), 'utf8');
    const build = DASHBOARDS.get(name);
    const { promql, traceql } = queriesOf(JSON.parse(text));
    return [
      ...(build === undefined ? ['no code makes it'] : renderDashboard(build) === text ? [] : ['is not what the code makes: run npm run dashboards']),
      ...problemsOfQueries(promql, vocabulary),
      ...traceql.flatMap(({ where, expr }) => problemsOfTraceQl(expr).map((problem) => `${where}: ${problem}`)),
    ].map((problem) => `dashboards/${name}: ${problem}`);
  });
  const rules = [...recordings.map(({ record, expr }) => ({ where: record, expr, legend: '' })), ...alerts.map(({ alert, expr }) => ({ where: alert, expr, legend: '' }))];
  return [
    ...[...DASHBOARDS.keys()].filter((name) => !files.includes(name)).map((name) => `dashboards/${name}: is missing: run npm run dashboards`),
    ...fromFiles,
    ...problemsOfQueries(rules, vocabulary).map((problem) => `alerts: ${problem}`),
    ...metricsThatNobodyProduces(root, [...files.flatMap((name) => readFileSync(join(root, 'dashboards', name), 'utf8')), ...rules.map(({ expr }) => expr)].join('\n')),
  ];
}

/** `span.NAME` of a TraceQL query must be an attribute that the code sets. The grammar itself is Tempo's to judge: no parser of it can be had here. */
export function problemsOfTraceQl(query: string): string[] {
  const named = [...query.matchAll(/\bspan\.([a-z_][\w.]*)/g)].map(([, name = '']) => name);
  const problems = named.filter((name) => !ATTRIBUTES.has(name)).map((name) => `no span has the attribute ${name}`);
  const balanced = [...query].filter((letter) => letter === '{').length === [...query].filter((letter) => letter === '}').length;
  return balanced ? problems : [...problems, 'braces do not match'];
}

/** A definition is no promise: somebody has to count. Looks for the use of each asked metric's constant outside of tests. */
function metricsThatNobodyProduces(root: string, asked: string): string[] {
  const sources = globSync('{apps,libs}/*/src/**/*.ts', { cwd: root }).filter((path) => !path.endsWith('.test.ts') && !path.endsWith('metric-names.ts') && !path.startsWith(join('apps', 'system-tests')));
  const code = sources.map((path) => readFileSync(join(root, path), 'utf8')).join('\n');
  return Object.entries(metric).flatMap(([constant, definition]) => {
    if (typeof definition !== 'object' || !('name' in definition) || !new RegExp(`\\b${definition.name}(_bucket|_sum|_count)?\\b`).test(asked)) return [];
    return new RegExp(`\\b${constant}\\b`).test(code) ? [] : [`${definition.name} is asked for and defined, but nothing counts it`];
  });
}
