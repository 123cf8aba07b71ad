import {
  BigValueColorMode, GraphThresholdsStyleConfigBuilder, GraphThresholdsStyleMode, LegendDisplayMode, LegendPlacement, ReduceDataOptionsBuilder, StackingConfigBuilder, StackingMode,
  TableSortByFieldStateBuilder, VisibilityMode, VizLegendOptionsBuilder, type DataSourceRef,
} from '@grafana/grafana-foundation-sdk/common';
import { ThresholdsConfigBuilder, ThresholdsMode, type DynamicConfigValue } from '@grafana/grafana-foundation-sdk/dashboard';
import { PanelBuilder as LogsPanel } from '@grafana/grafana-foundation-sdk/logs';
import { DataqueryBuilder as LokiQuery } from '@grafana/grafana-foundation-sdk/loki';
import { DataqueryBuilder as PrometheusQuery, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as StatPanel } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as TablePanel } from '@grafana/grafana-foundation-sdk/table';
import { DataqueryBuilder as TempoQuery, SearchTableType } from '@grafana/grafana-foundation-sdk/tempo';
import { PanelBuilder as TimeSeriesPanel } from '@grafana/grafana-foundation-sdk/timeseries';

// Data sources are variables: the same files serve every installation.
export const PROMETHEUS: DataSourceRef = { type: 'prometheus', uid: '${metrics}' };
export const TEMPO: DataSourceRef = { type: 'tempo', uid: '${traces}' };
export const LOKI: DataSourceRef = { type: 'loki', uid: '${logs}' };

/** A PromQL query and how its series are called; `{{label}}` stands for a label's value. */
export interface Query {
  readonly expr: string;
  readonly legend?: string;
}

/** Where green ends and where red begins; a value that is better when it is higher has `yellow` above `red`. */
export interface Limits {
  readonly yellow: number;
  readonly red: number;
}

interface PanelOptions {
  readonly title: string;
  readonly description?: string;
  /** Grafana's unit id: `s`, `reqps`, `percentunit`, `currencyUSD`, `bytes`, `short`. */
  readonly unit: string;
  /** Of 24 columns; a row is as high as its panels. */
  readonly width: number;
  readonly queries: readonly Query[];
  readonly limits?: Limits;
}

const HEIGHT = 8;
const STAT_HEIGHT = 5;
const letter = (index: number): string => String.fromCharCode(65 + index);

/** Lines over time. A limit is drawn where it begins to be red. */
export function timeSeries({ title, description = '', unit, width, queries, limits, isStacked = false }: PanelOptions & { readonly isStacked?: boolean }): TimeSeriesPanel {
  const panel = new TimeSeriesPanel().title(title).description(description).datasource(PROMETHEUS).unit(unit).min(0).span(width).height(HEIGHT).lineWidth(1)
    .fillOpacity(isStacked ? 30 : 8).showPoints(VisibilityMode.Never)
    .legend(new VizLegendOptionsBuilder().displayMode(LegendDisplayMode.List).placement(LegendPlacement.Bottom).showLegend(true))
    .targets(queries.map(rangeQuery));
  if (isStacked) panel.stacking(new StackingConfigBuilder().mode(StackingMode.Normal).group('A'));
  if (limits !== undefined) panel.thresholds(thresholds(limits)).thresholdsStyle(new GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.Dashed));
  return panel;
}

/** One number, coloured by its limits. */
export function stat({ title, description = '', unit, width, queries, limits, decimals, noValue = 'no data' }: PanelOptions & { readonly decimals?: number; readonly noValue?: string }): StatPanel {
  const panel = new StatPanel().title(title).description(description).datasource(PROMETHEUS).unit(unit).span(width).height(STAT_HEIGHT).noValue(noValue)
    .colorMode(limits === undefined ? BigValueColorMode.None : BigValueColorMode.Background)
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']).fields('').values(false))
    .targets(queries.map((query, index) => rangeQuery(query, index).instant()));
  if (decimals !== undefined) panel.decimals(decimals);
  if (limits !== undefined) panel.thresholds(thresholds(limits));
  return panel;
}

/** The series of instant queries as rows: a column per label, and one per query. */
export function table({ title, description = '', unit, width, queries, limits, sortBy = 'Value' }: PanelOptions & { readonly sortBy?: string }): TablePanel {
  const hidden: DynamicConfigValue[] = [{ id: 'custom.hidden', value: true }];
  const panel = new TablePanel().title(title).description(description).datasource(PROMETHEUS).unit(unit).span(width).height(HEIGHT)
    .sortBy([new TableSortByFieldStateBuilder().displayName(sortBy).desc(true)])
    .overrideByName('Time', hidden)
    .targets(queries.map((query, index) => new PrometheusQuery().datasource(PROMETHEUS).refId(letter(index)).expr(query.expr).legendFormat(query.legend ?? '').instant().format(PromQueryFormat.Table)));
  if (queries.length > 1) panel.withTransformation({ id: 'merge', options: {} });
  if (limits !== undefined) panel.thresholds(thresholds(limits));
  return panel;
}

/** Traces that a TraceQL query finds. A row opens the trace. */
export function traces({ title, description = '', width, query }: { readonly title: string; readonly description?: string; readonly width: number; readonly query: string }): TablePanel {
  return new TablePanel().title(title).description(description).datasource(TEMPO).span(width).height(HEIGHT)
    .withTarget(new TempoQuery().datasource(TEMPO).refId('A').queryType('traceql').query(query).limit(50).tableType(SearchTableType.Traces));
}

/** Lines of the structured log that a LogQL query finds. */
export function logs({ title, description = '', width, expr }: { readonly title: string; readonly description?: string; readonly width: number; readonly expr: string }): LogsPanel {
  return new LogsPanel().title(title).description(description).datasource(LOKI).span(width).height(HEIGHT + 4).showTime(true).enableLogDetails(true).prettifyLogMessage(true)
    .withTarget(new LokiQuery().datasource(LOKI).refId('A').queryType('range').expr(expr).maxLines(1000));
}

function rangeQuery({ expr, legend = '' }: Query, index: number): PrometheusQuery {
  return new PrometheusQuery().datasource(PROMETHEUS).refId(letter(index)).expr(expr).legendFormat(legend);
}

function thresholds({ yellow, red }: Limits): ThresholdsConfigBuilder {
  // The first step has no value of its own: Grafana reads null as minus infinity.
  const steps = yellow < red
    ? [{ color: 'green', value: null }, { color: 'yellow', value: yellow }, { color: 'red', value: red }]
    : [{ color: 'red', value: null }, { color: 'yellow', value: red }, { color: 'green', value: yellow }];
  return new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(steps);
}
