import type { MetricVocabulary } from './metric-vocabulary.ts';
import type { DashboardQuery } from './queries-of.ts';
import { readPromQl, type PromQl, type Selector } from './read-promql.ts';

/** Everything that is wrong with queries, one sentence each: not PromQL, a metric, label or label value that nobody produces. */
export function problemsOfQueries(queries: readonly DashboardQuery[], vocabulary: MetricVocabulary): string[] {
  return queries.flatMap(({ where, expr, legend }) => {
    try {
      return problemsOf(readPromQl(expr), legend, vocabulary).map((problem) => `${where}: ${problem}`);
    } catch (error) {
      return [`${where}: ${error instanceof Error ? error.message : String(error)}`];
    }
  });
}

function problemsOf({ selectors, groupingLabels, keptLabels }: PromQl, legend: string, vocabulary: MetricVocabulary): string[] {
  const known = new Set(selectors.flatMap(({ metric }) => [...vocabulary.labels.get(metric) ?? []]));
  const legendLabels = [...legend.matchAll(/\{\{\s*(\w+)\s*\}\}/g)].map(([, label = '']) => label);
  return [
    ...selectors.flatMap((selector) => problemsOfSelector(selector, vocabulary)),
    ...groupingLabels.filter((label) => !known.has(label)).map((label) => `no metric here has the label ${label}`),
    ...legendLabels.filter((label) => !(keptLabels === undefined ? known : new Set(keptLabels)).has(label)).map((label) => `the legend asks for ${label}, which the result does not have`),
  ];
}

function problemsOfSelector({ metric, matchers }: Selector, { labels, values }: MetricVocabulary): string[] {
  const own = labels.get(metric);
  if (own === undefined) return [`there is no metric ${metric === '' ? 'without a name' : metric}`];
  return matchers.flatMap(({ label, operator, value }) => {
    if (!own.has(label)) return [`${metric} has no label ${label}`];
    const closed = values.get(`${metric}/${label}`);
    if (closed === undefined || value.includes('$') || /[.*+?()[\]]/.test(value)) return [];
    const asked = operator.endsWith('~') ? value.split('|') : [value];
    return asked.filter((one) => !closed.has(one)).map((one) => `${metric} has no ${label}="${one}"`);
  });
}
