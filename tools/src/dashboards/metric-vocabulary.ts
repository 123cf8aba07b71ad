import { metric, type MetricDefinition } from '@pointsman/telemetry';
import { readPromQl } from './read-promql.ts';

/** What may be asked of Prometheus: labels by metric, and the values of labels that have a closed list. */
export interface MetricVocabulary {
  readonly labels: ReadonlyMap<string, ReadonlySet<string>>;
  readonly values: ReadonlyMap<string, ReadonlySet<string>>;
}

/** Labels that the scrape adds, whoever is scraped. */
const TARGET_LABELS = ['instance', 'job', 'namespace', 'pod'] as const;

/** Closed lists of label values, `metric/label`. The lists are the code's own. */
const VALUES: ReadonlyMap<string, readonly string[]> = new Map<string, readonly string[]>([
  ['gateway_failed_requests_total/reason', metric.FAILURE_REASONS],
  ['gateway_tokens_total/type', metric.TOKEN_TYPES],
  ['gateway_degraded_mode/service', metric.DEGRADED_SERVICES],
  ['gateway_provider_attempts_total/outcome', metric.ATTEMPT_OUTCOMES],
  ['gateway_retries_total/reason', metric.ATTEMPT_OUTCOMES],
  ['sync_passes_total/app', metric.SYNC_APPS],
  ['sync_passes_total/outcome', metric.SYNC_OUTCOMES],
  ['sync_last_success_timestamp_seconds/app', metric.SYNC_APPS],
  ['sync_published_info/app', metric.SYNC_APPS],
  ['gateway_config_reloads_total/outcome', ['applied', 'rejected', 'unchanged']],
  ['gateway_spool_rows/records', ['spend', 'audit']],
  ['gateway_spool_bytes/records', ['spend', 'audit']],
  ['gateway_cache_requests_total/result', ['hit', 'miss', 'skipped']],
  ['ALERTS/alertstate', ['firing', 'pending']],
]);

const isDefinition = (value: unknown): value is MetricDefinition => typeof value === 'object' && value !== null && 'kind' in value && 'labels' in value && 'name' in value;

/** Every metric that the code defines. */
export const definedMetrics = (): readonly MetricDefinition[] => Object.values<unknown>(metric).filter(isDefinition);

/** The names of `libs/telemetry/src/metric-names.ts` (a histogram is three), what Prometheus and prom-client add, and recordings with the labels that their expression keeps. */
export function metricVocabulary(recordings: readonly { readonly record: string; readonly expr: string }[]): MetricVocabulary {
  const labels = new Map<string, Set<string>>();
  const add = (name: string, own: readonly string[]): void => void labels.set(name, new Set([...own, ...TARGET_LABELS]));
  for (const { kind, name, labels: own } of definedMetrics()) {
    if (kind !== 'histogram') {
      add(name, own);
      continue;
    }
    add(`${name}_bucket`, [...own, 'le']);
    add(`${name}_sum`, own);
    add(`${name}_count`, own);
  }
  add('process_resident_memory_bytes', []);
  add('up', []);
  add('ALERTS', ['alertname', 'alertstate', 'severity', 'priority']);
  for (const { record, expr } of recordings) {
    const { keptLabels, selectors } = readPromQl(expr);
    const ofMetrics = selectors.flatMap(({ metric: name }) => [...labels.get(name) ?? []]);
    // A recording's own labels, without those of the scrape: aggregations drop them.
    labels.set(record, new Set((keptLabels ?? ofMetrics).filter((label) => label !== 'le')));
  }
  return { labels, values: new Map([...VALUES].map(([key, values]) => [key, new Set(values)])) };
}
