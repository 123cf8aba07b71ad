import { RowBuilder, type DashboardBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import { frame } from './dashboard-frame.ts';
import { stat, timeSeries } from './panels.ts';

/** What is away and what waits: Redis, PostgreSQL, store; cache, ledger, audit, training rows. */
export function state(): DashboardBuilder {
  return frame({ uid: 'state', title: 'State', description: 'Degraded modes, breakers, response cache, ledger, audit log and training rows.', refresh: '10s', from: 'now-3h' })
    .withPanel(stat({ title: 'Redis away, replicas', unit: 'short', width: 4, limits: { yellow: 1, red: 2 }, noValue: '0', queries: [{ expr: 'sum(gateway_degraded_mode{service="redis"})' }] }))
    .withPanel(stat({ title: 'PostgreSQL away, replicas', unit: 'short', width: 4, limits: { yellow: 1, red: 2 }, noValue: '0', queries: [{ expr: 'sum(gateway_degraded_mode{service="postgres"})' }] }))
    .withPanel(stat({ title: 'Object store away, processes', unit: 'short', width: 4, limits: { yellow: 1, red: 2 }, noValue: '0', queries: [{ expr: 'sum(gateway_degraded_mode{service="s3"})' }] }))
    .withPanel(stat({ title: 'Deployments not called', unit: 'short', width: 4, limits: { yellow: 1, red: 3 }, noValue: '0', queries: [{ expr: 'count(max by (target) (circuit_breaker_state{target!~"redis|postgres"}) == 2)' }] }))
    .withPanel(stat({ title: 'Rows lost, 24 h', unit: 'short', width: 4, limits: { yellow: 1, red: 2 }, noValue: '0', queries: [{ expr: 'sum(increase(gateway_spool_rows_lost_total[24h]))' }] }))
    .withPanel(stat({ title: 'Audit events lost, 24 h', unit: 'short', width: 4, limits: { yellow: 1, red: 2 }, noValue: '0', queries: [{ expr: 'sum(increase(audit_events_dropped_total[24h]))' }] }))
    .withPanel(timeSeries({ title: 'Degraded modes', unit: 'short', width: 12, queries: [{ expr: 'sum by (service) (gateway_degraded_mode)', legend: '{{service}}' }] }))
    .withPanel(timeSeries({ title: 'Breakers', description: '0 closed, 1 half open, 2 open.', unit: 'short', width: 12, queries: [{ expr: 'max by (target) (circuit_breaker_state)', legend: '{{target}}' }] }))
    .withRow(new RowBuilder('Response cache'))
    .withPanel(timeSeries({ title: 'Look-ups', unit: 'reqps', width: 12, isStacked: true, queries: [{ expr: 'sum by (result) (rate(gateway_cache_requests_total[$__rate_interval]))', legend: '{{result}}' }] }))
    .withPanel(timeSeries({ title: 'Hits', unit: 'percentunit', width: 12, queries: [{ expr: 'sum(rate(gateway_cache_requests_total{result="hit"}[$__rate_interval])) / sum(rate(gateway_cache_requests_total{result=~"hit|miss"}[$__rate_interval]))', legend: 'of look-ups' }] }))
    .withRow(new RowBuilder('Ledger and audit log'))
    .withPanel(timeSeries({ title: 'Rows that wait for the database', unit: 'short', width: 8, queries: [{ expr: 'sum by (records, instance) (gateway_spool_rows)', legend: '{{records}} {{instance}}' }] }))
    .withPanel(timeSeries({ title: 'Bytes that wait for the database', unit: 'bytes', width: 8, queries: [{ expr: 'sum by (records, instance) (gateway_spool_bytes)', legend: '{{records}} {{instance}}' }] }))
    .withPanel(timeSeries({ title: 'Requests without a price', unit: 'short', width: 8, queries: [{ expr: 'sum by (model) (increase(gateway_unpriced_requests_total[$__rate_interval]))', legend: '{{model}}' }] }))
    .withPanel(timeSeries({ title: 'Audit rows exported', unit: 'short', width: 8, queries: [{ expr: 'sum(increase(audit_export_rows_total[$__rate_interval]))', legend: 'rows' }] }))
    .withPanel(stat({ title: 'Last audit export', unit: 's', width: 8, limits: { yellow: 90_000, red: 93_600 }, queries: [{ expr: 'time() - max(sync_last_success_timestamp_seconds{app="audit-exporter"})' }] }))
    .withPanel(timeSeries({ title: 'Failed audit exports', unit: 'short', width: 8, queries: [{ expr: 'sum(increase(audit_export_failures_total[$__rate_interval]))', legend: 'exports' }] }))
    .withRow(new RowBuilder('Traces and training rows'))
    .withPanel(timeSeries({ title: 'Training rows', unit: 'short', width: 8, queries: [
      { expr: 'sum by (outcome) (rate(trace_exporter_rows_total[$__rate_interval]))', legend: '{{outcome}} per second' }, { expr: 'sum by (reason) (rate(trace_rows_dropped_total[$__rate_interval]))', legend: 'lost: {{reason}}' },
    ] }))
    .withPanel(timeSeries({ title: 'Rows on disk', unit: 'bytes', width: 8, queries: [{ expr: 'sum by (instance) (trace_spool_bytes)', legend: '{{instance}}' }] }))
    .withPanel(timeSeries({ title: 'Oldest row that waits', unit: 's', width: 8, queries: [{ expr: 'max by (instance) (trace_spool_oldest_seconds)', legend: '{{instance}}' }] }))
    .withPanel(timeSeries({ title: 'Spans', unit: 'short', width: 8, queries: [
      { expr: 'sum(rate(telemetry_spans_exported_total[$__rate_interval]))', legend: 'sent per second' }, { expr: 'sum by (reason) (rate(telemetry_spans_dropped_total[$__rate_interval]))', legend: 'lost: {{reason}}' },
    ] }))
    .withPanel(timeSeries({ title: 'Feedback', unit: 'short', width: 8, queries: [{ expr: 'sum by (outcome) (rate(trace_exporter_feedback_total[$__rate_interval]))', legend: '{{outcome}} per second' }] }))
    .withPanel(timeSeries({ title: 'Memory', unit: 'bytes', width: 8, queries: [{ expr: 'process_resident_memory_bytes', legend: '{{instance}}' }] }));
}
