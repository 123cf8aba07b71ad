import { DatasourceVariableBuilder, TextBoxVariableBuilder, type DashboardBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import { COUNTED, frame } from './dashboard-frame.ts';
import { logs, timeSeries, traces } from './panels.ts';

/** From a number to its traces, from a trace to its log lines: one `trace_id` on all of them. */
export function traceCorrelation(): DashboardBuilder {
  return frame({ uid: 'trace-correlation', title: 'Traces and logs', description: 'Enter a trace id (header traceparent, field trace_id) to see its spans and its log lines in nginx and in every app.', refresh: '30s', from: 'now-1h' })
    .withVariable(new DatasourceVariableBuilder('traces').label('Traces').type('tempo'))
    .withVariable(new DatasourceVariableBuilder('logs').label('Logs').type('loki'))
    .withVariable(new TextBoxVariableBuilder('trace_id').label('Trace id').defaultValue('.+'))
    .withVariable(new TextBoxVariableBuilder('logs_of').label('Log streams').defaultValue('namespace=~".+"'))
    .withPanel(timeSeries({ title: 'Failures', unit: 'reqps', width: 8, queries: [{ expr: `sum by (model, reason) (rate(gateway_failed_requests_total{${COUNTED}}[$__rate_interval]))`, legend: '{{model}} {{reason}}' }] }))
    .withPanel(traces({ title: 'Traces that failed', width: 16, query: '{ span.http.route != nil && status = error } | select(span.error.type, span.llm.model, span.router.strategy)' }))
    .withPanel(traces({ title: 'Slow for the gateway', description: 'More than half a second was the gateway\'s own.', width: 12, query: '{ span.llm.overhead_ms > 500 } | select(span.llm.overhead_ms, span.llm.model, span.router.latency_ms)' }))
    .withPanel(traces({ title: 'Served by another than the first choice', width: 12, query: '{ span.llm.attempts > 1 } | select(span.router.selected_model, span.llm.model, span.llm.attempts)' }))
    .withPanel(logs({ title: 'Log lines of the trace', description: 'nginx\'s access log and the apps\' log by the same field.', width: 24, expr: '{${logs_of:raw}} | json | trace_id =~ "$trace_id"' }))
    .withPanel(logs({ title: 'Errors', description: 'A line\'s trace_id opens its trace where the data source of the logs has the derived field (docs/observability.md).', width: 24, expr: '{${logs_of:raw}} | json | level = "error"' }));
}
