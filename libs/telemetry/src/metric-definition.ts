/** What a metric is called, what it means and how it is split. Label order is the order of `labels(...)`. */
export interface MetricDefinition<Kind extends 'counter' | 'gauge' | 'histogram' = 'counter' | 'gauge' | 'histogram', Labels extends readonly string[] = readonly string[]> {
  readonly kind: Kind;
  readonly name: string;
  readonly help: string;
  readonly labels: Labels;
  /** Upper bounds of a histogram, ascending, in the metric's unit. */
  readonly buckets: readonly number[];
  /** Most label combinations that are kept apart; what comes later is counted together as `other`. */
  readonly maxSeries: number;
}

export type CounterDefinition<Labels extends readonly string[] = readonly string[]> = MetricDefinition<'counter', Labels>;
export type GaugeDefinition<Labels extends readonly string[] = readonly string[]> = MetricDefinition<'gauge', Labels>;
export type HistogramDefinition<Labels extends readonly string[] = readonly string[]> = MetricDefinition<'histogram', Labels>;

/** One string per label name. */
export type LabelValues<Labels extends readonly string[]> = { readonly [Index in keyof Labels]: string };

const MAX_SERIES = 2000;
/** A histogram's series carries one line per bucket. */
const MAX_HISTOGRAM_SERIES = 500;

export function defineCounter<const Labels extends readonly string[]>(name: string, help: string, labels: Labels, maxSeries = MAX_SERIES): CounterDefinition<Labels> {
  return { kind: 'counter', name, help, labels, buckets: [], maxSeries };
}

export function defineGauge<const Labels extends readonly string[]>(name: string, help: string, labels: Labels, maxSeries = MAX_SERIES): GaugeDefinition<Labels> {
  return { kind: 'gauge', name, help, labels, buckets: [], maxSeries };
}

export function defineHistogram<const Labels extends readonly string[]>(name: string, help: string, labels: Labels, buckets: readonly number[], maxSeries = MAX_HISTOGRAM_SERIES): HistogramDefinition<Labels> {
  return { kind: 'histogram', name, help, labels, buckets, maxSeries };
}
