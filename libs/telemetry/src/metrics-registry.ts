import { collectDefaultMetrics, Registry, type Metric } from 'prom-client';
import type { CounterDefinition, GaugeDefinition, HistogramDefinition, LabelValues, MetricDefinition } from './metric-definition.ts';
import { TELEMETRY_SERIES_OVERFLOW } from './metric-names.ts';
import { CounterSeries, GaugeSeries, HistogramSeries, SeriesTable } from './metric-series.ts';

/** A metric: find a series once, keep its handle, count through the handle. */
export interface LabelledMetric<Labels extends readonly string[], Series> {
  /** The series of these label values, in the order of the definition. Two dozen nanoseconds; keep the handle where you can. */
  labels(...values: LabelValues<Labels>): Series;
  /** Forgets one series: for labels that come and go, such as a revision. */
  remove(...values: LabelValues<Labels>): void;
  /** Forgets all series. */
  clear(): void;
}
export type Counter<Labels extends readonly string[] = readonly string[]> = LabelledMetric<Labels, CounterSeries>;
export type Gauge<Labels extends readonly string[] = readonly string[]> = LabelledMetric<Labels, GaugeSeries>;
export type Histogram<Labels extends readonly string[] = readonly string[]> = LabelledMetric<Labels, HistogramSeries>;

export interface Metrics {
  /** The metric of that definition; the same one when asked again. @throws TypeError when the name is taken by a different definition. */
  counter<const Labels extends readonly string[]>(definition: CounterDefinition<Labels>): Counter<Labels>;
  gauge<const Labels extends readonly string[]>(definition: GaugeDefinition<Labels>): Gauge<Labels>;
  histogram<const Labels extends readonly string[]>(definition: HistogramDefinition<Labels>): Histogram<Labels>;
  /** Called before every exposition, to bring gauges up to date. Returns a function that takes the callback off again. */
  onCollect(update: () => void): () => void;
  /** The text that Prometheus reads (format 0.0.4). */
  exposition(): Promise<{ readonly contentType: string; readonly text: string }>;
}

/** A line of the exposition as prom-client's registry takes it. */
interface ExposedValue {
  readonly labels: Record<string, string | number>;
  readonly value: number;
  readonly metricName?: string;
}

type AnyTable = SeriesTable<readonly string[], CounterSeries | GaugeSeries | HistogramSeries>;

function namedLabels(definition: MetricDefinition, values: readonly string[]): Record<string, string> {
  return Object.fromEntries(definition.labels.map((name, index) => [name, values[index] ?? '']));
}

function exposedValues(definition: MetricDefinition, table: AnyTable): ExposedValue[] {
  const lines: ExposedValue[] = [];
  for (const { values, series } of table.entries()) {
    const labels = namedLabels(definition, values);
    if (!(series instanceof HistogramSeries)) {
      lines.push({ labels, value: series.value });
      continue;
    }
    let cumulated = 0;
    for (const [index, count] of series.counts.entries()) {
      cumulated += count;
      lines.push({ labels: { ...labels, le: definition.buckets[index] ?? '+Inf' }, value: cumulated, metricName: `${definition.name}_bucket` });
    }
    lines.push({ labels, value: series.sum, metricName: `${definition.name}_sum` });
    lines.push({ labels, value: cumulated, metricName: `${definition.name}_count` });
  }
  return lines;
}

/**
 * The metrics of this process. Counting is plain additions on our own objects; prom-client writes the text (format and escaping are its)
 * and brings the process's default metrics (CPU, memory, event loop lag, garbage collection).
 */
export function createMetrics({ processMetrics = true }: { readonly processMetrics?: boolean } = {}): Metrics {
  const registry = new Registry();
  if (processMetrics) collectDefaultMetrics({ register: registry });
  const known = new Map<string, { definition: MetricDefinition; metric: unknown }>();
  const updates = new Set<() => void>();

  function register<Labels extends readonly string[], Series extends CounterSeries | GaugeSeries | HistogramSeries>(
    definition: MetricDefinition<MetricDefinition['kind'], Labels>,
    create: () => Series,
  ): LabelledMetric<Labels, Series> {
    const existing = known.get(definition.name);
    if (existing !== undefined) {
      const same = existing.definition.kind === definition.kind && existing.definition.labels.join() === definition.labels.join() && existing.definition.buckets.join() === definition.buckets.join();
      if (!same) throw new TypeError(`The metric ${definition.name} is already defined differently.`);
      return existing.metric as LabelledMetric<Labels, Series>;
    }
    const table = new SeriesTable<Labels, Series>({
      labels: definition.labels,
      maxSeries: definition.maxSeries,
      create,
      onOverflow: () => metrics.counter(TELEMETRY_SERIES_OVERFLOW).labels(definition.name).inc(),
    });
    const metric: LabelledMetric<Labels, Series> = {
      labels: (...values) => table.find(values),
      remove: (...values) => table.remove(values),
      clear: () => table.clear(),
    };
    // A metric without labels is shown from the start: an alert on its absence would be a false one.
    if (definition.labels.length === 0) table.find([] as unknown as LabelValues<Labels>);
    const exposed = {
      name: definition.name,
      get: () => ({ name: definition.name, help: definition.help, type: definition.kind, values: exposedValues(definition, table as unknown as AnyTable) }),
    };
    // prom-client's registry asks a metric for no more than this; its own classes would hash a label object at every increment.
    registry.registerMetric(exposed as unknown as Metric);
    known.set(definition.name, { definition, metric });
    return metric;
  }

  const metrics: Metrics = {
    counter: (definition) => register(definition, () => new CounterSeries()),
    gauge: (definition) => register(definition, () => new GaugeSeries()),
    histogram: (definition) => {
      const bounds = Float64Array.from(definition.buckets);
      return register(definition, () => new HistogramSeries(bounds));
    },
    onCollect: (update) => {
      updates.add(update);
      return () => updates.delete(update);
    },
    exposition: async () => {
      for (const update of updates) update();
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
  };
  metrics.counter(TELEMETRY_SERIES_OVERFLOW);
  return metrics;
}
