import { DatasourceVariableBuilder, RowBuilder, type DashboardBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import { frame } from './dashboard-frame.ts';
import { stat, table, timeSeries, traces } from './panels.ts';

const HERE = 'instance=~"$instance"';
const quantile = (q: number): string => `histogram_quantile(${q}, sum by (le, strategy) (rate(router_decision_duration_seconds_bucket{${HERE}}[$__rate_interval])))`;

/** What the router chooses, how fast, with which score, and versions of a router model side by side. */
export function routing(): DashboardBuilder {
  return frame({ uid: 'routing', title: 'Routing', description: 'Share of models, scores, latency per strategy, versions of router models side by side.', refresh: '10s', from: 'now-6h', hasInstances: true })
    .withVariable(new DatasourceVariableBuilder('traces').label('Traces').type('tempo'))
    .withPanel(table({ title: 'Top models by selection, 24 h', unit: 'short', width: 12, queries: [{ expr: `topk(20, sum by (selected_model) (increase(router_decisions_total{${HERE}}[24h])))` }] }))
    .withPanel(timeSeries({ title: 'Share by model', unit: 'percentunit', width: 12, isStacked: true,
      queries: [{ expr: `sum by (selected_model) (rate(router_decisions_total{${HERE}}[$__rate_interval])) / on () group_left () sum(rate(router_decisions_total{${HERE}}[$__rate_interval]))`, legend: '{{selected_model}}' }] }))
    .withPanel(timeSeries({ title: 'Decision latency, P50 and P99 per strategy', unit: 's', width: 12, limits: { yellow: 0.025, red: 0.05 }, queries: [{ expr: quantile(0.5), legend: '{{strategy}} P50' }, { expr: quantile(0.99), legend: '{{strategy}} P99' }] }))
    .withPanel(timeSeries({ title: 'Decisions by strategy', unit: 'reqps', width: 6, queries: [{ expr: `sum by (strategy) (rate(router_decisions_total{${HERE}}[$__rate_interval]))`, legend: '{{strategy}}' }] }))
    .withPanel(timeSeries({ title: 'Default order instead', description: 'The strategy was late or broken.', unit: 'reqps', width: 6, queries: [{ expr: `sum by (strategy) (rate(router_decision_timeouts_total{${HERE}}[$__rate_interval]))`, legend: '{{strategy}}' }] }))
    .withRow(new RowBuilder('Versions side by side'))
    .withPanel(timeSeries({ title: 'Decisions by version', unit: 'reqps', width: 8, isStacked: true, queries: [{ expr: `sum by (strategy, model_version) (rate(router_decisions_total{${HERE}}[$__rate_interval]))`, legend: '{{strategy}} {{model_version}}' }] }))
    .withPanel(table({ title: 'Choices of each version, 24 h', unit: 'short', width: 8, queries: [{ expr: `sum by (model_version, selected_model) (increase(router_decisions_total{${HERE}}[24h]))` }] }))
    .withPanel(table({ title: 'Versions loaded', description: 'Replicas that have loaded the version.', unit: 'short', width: 8, queries: [{ expr: `count by (name, version) (gateway_model_info{${HERE}} == 1)` }] }))
    .withPanel(timeSeries({ title: 'Feedback by version', description: 'Scores that were joined to their request.', unit: 'reqps', width: 8, queries: [{ expr: 'sum by (strategy, model_version) (rate(router_feedback_total[$__rate_interval]))', legend: '{{strategy}} {{model_version}}' }] }))
    .withPanel(stat({ title: 'Models loaded, 24 h', unit: 'short', width: 8, noValue: '0', queries: [{ expr: `sum(increase(router_model_loads_total{${HERE}}[24h]))` }] }))
    .withPanel(stat({ title: 'Models refused, 24 h', unit: 'short', width: 8, noValue: '0', limits: { yellow: 1, red: 2 }, queries: [{ expr: `sum(increase(router_model_load_failures_total{${HERE}}[24h]))` }] }))
    .withRow(new RowBuilder('Scores (from traces)'))
    .withPanel(traces({ title: 'Decisions with a high score', width: 12, query: '{ span.router.strategy=~"llmrouter-.*" && span.router.score > 0.8 } | select(span.router.selected_model, span.router.score, span.router.model_version)' }))
    .withPanel(traces({ title: 'Decisions with a low score', description: 'What the router knows no good model for: worth a look, and worth training rows.', width: 12, query: '{ span.router.strategy=~"llmrouter-.*" && span.router.score < 0.4 } | select(span.router.selected_model, span.router.score, span.router.model_version)' }));
}
