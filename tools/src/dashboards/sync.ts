import { RowBuilder, type DashboardBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import { frame } from './dashboard-frame.ts';
import { stat, table, timeSeries } from './panels.ts';

/** Who serves which configuration and which router model, how old that knowledge is, and what was refused. */
export function sync(): DashboardBuilder {
  return frame({ uid: 'sync', title: 'Configuration and models', description: 'Revision of each replica, age of the last proof, what was refused.', refresh: '10s', from: 'now-3h' })
    .withPanel(stat({ title: 'Revisions served', description: 'More than one: a canary, or a replica that is behind.', unit: 'short', width: 6, limits: { yellow: 2, red: 3 }, queries: [{ expr: 'count(count by (revision) (gateway_config_info == 1))' }] }))
    .withPanel(stat({ title: 'Oldest proof, config-sync', unit: 's', width: 6, limits: { yellow: 90, red: 150 }, queries: [{ expr: 'time() - min(sync_last_success_timestamp_seconds{app="config-sync"})' }] }))
    .withPanel(stat({ title: 'Oldest proof, model-sync', unit: 's', width: 6, limits: { yellow: 400, red: 660 }, queries: [{ expr: 'time() - min(sync_last_success_timestamp_seconds{app="model-sync"})' }] }))
    .withPanel(stat({ title: 'Refused, 1 h', unit: 'short', width: 6, limits: { yellow: 1, red: 2 }, noValue: '0', queries: [{ expr: 'sum(increase(sync_passes_total{outcome="rejected"}[1h]))' }] }))
    .withPanel(table({ title: 'Revision of each replica', unit: 'short', width: 12, queries: [{ expr: 'max by (instance, revision) (gateway_config_info)' }] }))
    .withPanel(table({ title: 'Published by each sidecar', unit: 'short', width: 12, queries: [{ expr: 'max by (app, instance, revision) (sync_published_info)' }] }))
    .withPanel(timeSeries({ title: 'Replicas by revision', unit: 'short', width: 12, isStacked: true, queries: [{ expr: 'count by (revision) (gateway_config_info == 1)', legend: '{{revision}}' }] }))
    .withPanel(timeSeries({ title: 'Age of the last proof', unit: 's', width: 12, queries: [{ expr: 'time() - sync_last_success_timestamp_seconds', legend: '{{app}} {{instance}}' }] }))
    .withPanel(timeSeries({ title: 'Passes', unit: 'short', width: 8, queries: [{ expr: 'sum by (app, outcome) (rate(sync_passes_total[$__rate_interval])) * 60', legend: '{{app}} {{outcome}} per minute' }] }))
    .withPanel(timeSeries({ title: 'Duration of a pass, P99', unit: 's', width: 8, queries: [{ expr: 'histogram_quantile(0.99, sum by (le, app) (rate(sync_pass_duration_seconds_bucket[$__rate_interval])))', legend: '{{app}}' }] }))
    .withPanel(timeSeries({ title: 'Reloads of gateways', unit: 'short', width: 8, queries: [{ expr: 'sum by (outcome) (increase(gateway_config_reloads_total[$__rate_interval]))', legend: '{{outcome}}' }] }))
    .withRow(new RowBuilder('Router models'))
    .withPanel(timeSeries({ title: 'Downloads', description: 'From the bucket once per version, else from the cache of the cluster.', unit: 'short', width: 8, queries: [{ expr: 'sum by (source, outcome) (increase(model_sync_fetches_total[$__rate_interval]))', legend: '{{source}} {{outcome}}' }] }))
    .withPanel(timeSeries({ title: 'Refused models', unit: 'short', width: 8, queries: [
      { expr: 'sum by (reason) (increase(model_sync_rejections_total[$__rate_interval]))', legend: 'sync: {{reason}}' }, { expr: 'sum by (reason) (increase(router_model_load_failures_total[$__rate_interval]))', legend: 'gateway: {{reason}}' },
    ] }))
    .withPanel(timeSeries({ title: 'Waiting for the lock, P99', unit: 's', width: 8, queries: [{ expr: 'histogram_quantile(0.99, sum by (le) (rate(model_sync_lock_wait_seconds_bucket[$__rate_interval])))', legend: 'P99' }] }))
    .withPanel(timeSeries({ title: 'Fetched', unit: 'Bps', width: 24, queries: [{ expr: 'sum by (app) (rate(sync_bytes_total[$__rate_interval]))', legend: '{{app}}' }] }));
}
