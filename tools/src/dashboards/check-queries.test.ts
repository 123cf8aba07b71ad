import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { problemsOfQueries } from './check-queries.ts';
import { definedMetrics, metricVocabulary } from './metric-vocabulary.ts';
import { problemsOfDashboards, problemsOfTraceQl } from './problems-of-dashboards.ts';
import { queriesOf } from './queries-of.ts';
import { readPromQl } from './read-promql.ts';

const vocabulary = metricVocabulary([
  { record: 'ours:requests:rate5m', expr: 'sum by (model) (rate(gateway_requests_total[5m]))' },
  { record: 'ours:all:rate5m', expr: 'sum(rate(gateway_requests_total[5m]))' },
]);
const problems = (expr: string, legend = ''): string[] => problemsOfQueries([{ where: 'here', expr, legend }], vocabulary);

test('the committed dashboards are what the code makes, and ask with the alert rules only for what is there', () => {
  expect(problemsOfDashboards(join(import.meta.dirname, '..', '..', '..'))).toEqual([]);
});

test.each([
  ['a bracket that is not closed', 'sum(rate(gateway_requests_total[5m])', /not PromQL/],
  ['a range where there is none', 'rate(gateway_requests_total[five])', /not PromQL/],
  ['nothing', '', /not PromQL/],
  ['a metric that nobody has', 'rate(gateway_request_total[5m])', /no metric gateway_request_total/],
  ['a histogram without its suffix', 'rate(gateway_overhead_seconds[5m])', /no metric gateway_overhead_seconds/],
  ['buckets of a counter', 'rate(gateway_requests_total_bucket[5m])', /no metric gateway_requests_total_bucket/],
  ['a label that the metric does not have', 'gateway_requests_total{strategy="x"}', /gateway_requests_total has no label strategy/],
  ['a grouping by a label that the metric does not have', 'sum by (user) (gateway_requests_total)', /label user/],
  ['le of a counter', 'sum by (le) (rate(gateway_requests_total[5m]))', /label le/],
  ['a value outside of its closed list', 'sync_passes_total{outcome="refused"}', /no outcome="refused"/],
  ['one of several values outside of its list', 'gateway_degraded_mode{service=~"redis|mysql"}', /no service="mysql"/],
  ['a label that a recording has lost', 'ours:all:rate5m{model="auto"}', /ours:all:rate5m has no label model/],
  ['a recording that there is not', 'ours:requests:rate1h', /no metric ours:requests:rate1h/],
])('%s is refused', (_what, expr, problem) => {
  expect(problems(expr)).toEqual([expect.stringMatching(problem)]);
});

test('a legend may only name labels that the result has', () => {
  expect(problems('sum by (model) (rate(gateway_requests_total[$__rate_interval]))', '{{provider}}')).toEqual([expect.stringMatching(/legend asks for provider/)]);
  expect(problems('sum(rate(gateway_requests_total[$__rate_interval]))', '{{model}}')).toEqual([expect.stringMatching(/legend asks for model/)]);
  expect(problems('sum by (model) (rate(gateway_requests_total[$__rate_interval]))', '{{model}} per second')).toEqual([]);
});

test.each([
  ['histogram_quantile(0.99, sum by (le, strategy) (rate(router_decision_duration_seconds_bucket{instance=~"$instance"}[$__rate_interval])))'],
  ['time() - max(sync_last_success_timestamp_seconds{app="config-sync"}) > 2 * 60'],
  ['count(count by (revision) (gateway_config_info == 1))'],
  ['ours:requests:rate5m{model="auto"} / on () group_left () ours:all:rate5m'],
])('%s is accepted', (expr) => {
  expect(problems(expr)).toEqual([]);
});

test('queries are found in panels, in rows and in variables', () => {
  const target = (expr: string): object => ({ expr, legendFormat: '{{model}}' });
  const { promql, traceql } = queriesOf({
    panels: [
      { title: 'one', targets: [target('a')] },
      { title: 'row', panels: [{ title: 'two', targets: [target('b')] }] },
      { title: 'three', targets: [{ datasource: { type: 'tempo' }, query: '{ span.llm.model != nil }' }] },
    ],
    templating: { list: [{ name: 'instance', type: 'query', query: 'label_values(gateway_nothing, instance)' }] },
  });
  expect(promql.map(({ where, expr }) => `${where}: ${expr}`)).toEqual(['one: a', 'two: b', 'variable instance: group by (instance) (gateway_nothing)']);
  expect(traceql.map(({ expr }) => expr)).toEqual(['{ span.llm.model != nil }']);
});

test('traces are asked for attributes that spans have', () => {
  expect(problemsOfTraceQl('{ span.router.strategy="llmrouter-knn" && span.router.score > 0.8 }')).toEqual([]);
  expect(problemsOfTraceQl('{ span.router.scores_best > 0.8 }')).toEqual(['no span has the attribute router.scores_best']);
  expect(problemsOfTraceQl('{ span.router.score > 0.8')).toEqual(['braces do not match']);
});

test('the questions of docs/observability.md ask for attributes that spans have', () => {
  const page = readFileSync(join(import.meta.dirname, '..', '..', '..', 'docs', 'observability.md'), 'utf8');
  const questions = /### Questions in TraceQL\n```\n([\s\S]*?)```/.exec(page)?.[1]?.trim().split('\n') ?? [];
  expect(questions.length).toBeGreaterThan(5);
  expect(questions.flatMap(problemsOfTraceQl)).toEqual([]);
});

test('the vocabulary holds every metric that the code defines', () => {
  expect(definedMetrics().length).toBeGreaterThan(40);
  for (const { name, kind } of definedMetrics()) expect(vocabulary.labels.has(kind === 'histogram' ? `${name}_bucket` : name), name).toBe(true);
});

test('an expression is read down to its selectors', () => {
  expect(readPromQl('sum by (model) (rate(a_total{route!~"/health.*", b="c"}[5m])) / ignoring (x) d offset 5m')).toEqual({
    selectors: [{ metric: 'a_total', matchers: [{ label: 'route', operator: '!~', value: '/health.*' }, { label: 'b', operator: '=', value: 'c' }] }, { metric: 'd', matchers: [] }],
    groupingLabels: ['model', 'x'], keptLabels: ['model'],
  });
});
