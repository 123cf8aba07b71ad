import { RowBuilder, type DashboardBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import { COUNTED, frame } from './dashboard-frame.ts';
import { stat, table, timeSeries } from './panels.ts';

const HERE = 'instance=~"$instance"';
const quantiles = (metric: string, more = ''): { readonly expr: string; readonly legend: string }[] => [0.5, 0.9, 0.99].map((q) => ({
  expr: `histogram_quantile(${q}, sum by (le) (rate(${metric}_bucket{${more}${HERE}}[$__rate_interval])))`, legend: `P${q * 100}`,
}));

/** Rate, errors, duration; streams, tokens, money. */
export function gatewayOverview(): DashboardBuilder {
  return frame({ uid: 'gateway-overview', title: 'Gateway overview', description: 'Rate, errors and durations of requests; streams, tokens and spend.', refresh: '5s', from: 'now-30m', hasInstances: true })
    .withPanel(stat({ title: 'Requests', unit: 'reqps', width: 4, queries: [{ expr: `sum(rate(gateway_requests_total{${COUNTED}, ${HERE}}[$__rate_interval]))` }] }))
    .withPanel(stat({ title: 'Failed', description: 'Through no fault of the caller, whatever the status.', unit: 'percentunit', decimals: 2, width: 4, limits: { yellow: 0.0005, red: 0.001 },
      queries: [{ expr: `(sum(rate(gateway_failed_requests_total{${COUNTED}, ${HERE}}[$__rate_interval])) or vector(0)) / sum(rate(gateway_requests_total{${COUNTED}, ${HERE}}[$__rate_interval]))` }] }))
    .withPanel(stat({ title: 'Gateway adds, P99', unit: 's', width: 4, limits: { yellow: 0.25, red: 0.5 }, queries: [{ expr: `histogram_quantile(0.99, sum by (le) (rate(gateway_overhead_seconds_bucket{${HERE}}[$__rate_interval])))` }] }))
    .withPanel(stat({ title: 'Streams now', unit: 'short', width: 4, queries: [{ expr: `sum(active_llm_streams{${HERE}})` }] }))
    .withPanel(stat({ title: 'Replicas', unit: 'short', width: 4, queries: [{ expr: `count(gateway_inflight_requests{${HERE}})` }] }))
    .withPanel(stat({ title: 'Spend per hour', unit: 'currencyUSD', decimals: 2, width: 4, noValue: '0', queries: [{ expr: `sum(rate(gateway_spend_usd_total{${HERE}}[$__rate_interval])) * 3600` }] }))
    .withRow(new RowBuilder('Rate, errors, duration'))
    .withPanel(timeSeries({ title: 'Requests by status', unit: 'reqps', width: 8, isStacked: true, queries: [{ expr: `sum by (status) (rate(gateway_requests_total{${COUNTED}, ${HERE}}[$__rate_interval]))`, legend: '{{status}}' }] }))
    .withPanel(timeSeries({ title: 'Failures by reason', description: 'Requests that failed through no fault of their caller.', unit: 'reqps', width: 8, isStacked: true,
      queries: [{ expr: `sum by (reason) (rate(gateway_failed_requests_total{${COUNTED}, ${HERE}}[$__rate_interval]))`, legend: '{{reason}}' }] }))
    .withPanel(timeSeries({ title: 'Duration', description: 'First byte of the request to last byte of the reply: mostly the time that models write.', unit: 's', width: 8, queries: quantiles('gateway_request_duration_seconds', `${COUNTED}, `) }))
    .withPanel(timeSeries({ title: 'Requests by model', unit: 'reqps', width: 8, queries: [{ expr: `topk(10, sum by (model) (rate(gateway_requests_total{${COUNTED}, ${HERE}}[$__rate_interval])))`, legend: '{{model}}' }] }))
    .withPanel(timeSeries({ title: 'Calls to providers that failed', unit: 'reqps', width: 8,
      queries: [{ expr: `sum by (provider, outcome) (rate(gateway_provider_attempts_total{outcome!~"ok|cancelled", ${HERE}}[$__rate_interval]))`, legend: '{{provider}} {{outcome}}' }] }))
    .withPanel(timeSeries({ title: 'Gateway adds', description: 'Without the time spent waiting for providers.', unit: 's', width: 8, limits: { yellow: 0.25, red: 0.5 }, queries: quantiles('gateway_overhead_seconds') }))
    .withPanel(timeSeries({ title: 'Retries and fallbacks', unit: 'reqps', width: 8, queries: [
      { expr: `sum by (reason) (rate(gateway_retries_total{${HERE}}[$__rate_interval]))`, legend: 'retry: {{reason}}' },
      { expr: `sum by (from, to) (rate(gateway_fallbacks_total{${HERE}}[$__rate_interval]))`, legend: '{{from}} → {{to}}' },
    ] }))
    .withPanel(timeSeries({ title: 'Refused by limits', unit: 'reqps', width: 8, queries: [{ expr: `sum by (scope, kind) (rate(gateway_rate_limited_total{${HERE}}[$__rate_interval]))`, legend: '{{scope}} {{kind}}' }] }))
    .withPanel(timeSeries({ title: 'Requests under way', unit: 'short', width: 8, queries: [{ expr: `sum by (instance) (gateway_inflight_requests{${HERE}})`, legend: '{{instance}}' }] }))
    .withRow(new RowBuilder('Streams'))
    .withPanel(timeSeries({ title: 'Streams', description: 'Autoscalers go by the mean of replicas: up above 100.', unit: 'short', width: 8, limits: { yellow: 80, red: 100 }, queries: [{ expr: `sum by (instance) (active_streams_count{${HERE}})`, legend: '{{instance}}' }] }))
    .withPanel(timeSeries({ title: 'Time to first token', unit: 's', width: 8, queries: quantiles('gateway_time_to_first_token_seconds') }))
    .withPanel(timeSeries({ title: 'How streams end', unit: 'reqps', width: 8, isStacked: true, queries: [{ expr: `sum by (outcome) (rate(gateway_streams_ended_total{${HERE}}[$__rate_interval]))`, legend: '{{outcome}}' }] }))
    .withRow(new RowBuilder('Tokens and money'))
    .withPanel(timeSeries({ title: 'Tokens', description: 'Cached tokens are also in prompt, reasoning tokens also in completion.', unit: 'short', width: 8, queries: [{ expr: `sum by (type) (rate(gateway_tokens_total{${HERE}}[$__rate_interval]))`, legend: '{{type}} per second' }] }))
    .withPanel(timeSeries({ title: 'Spend per hour by model', unit: 'currencyUSD', width: 8, isStacked: true, queries: [{ expr: `topk(10, sum by (model) (rate(gateway_spend_usd_total{${HERE}}[$__rate_interval])) * 3600)`, legend: '{{model}}' }] }))
    .withPanel(table({ title: 'Spend, 24 h', unit: 'currencyUSD', width: 8, queries: [{ expr: `sort_desc(sum by (model) (increase(gateway_spend_usd_total{${HERE}}[24h])))` }] }));
}
