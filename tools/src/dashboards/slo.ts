import type { DashboardBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import { frame } from './dashboard-frame.ts';
import { stat, timeSeries } from './panels.ts';

/** Minutes of 30 days in which everything may fail: 0.05 %. */
const BUDGET_MINUTES = '21.6';

/** Each objective as a number that is green, yellow or red, over what led to it. Needs the recordings of `alerts/slo.rules.yaml`. */
export function slo(): DashboardBuilder {
  return frame({ uid: 'slo', title: 'Objectives', description: 'Availability 99.95 % over 30 days, success 99.9 % over 1 hour, P99 of the gateway under 500 ms and of routing under 50 ms over 5 minutes.', refresh: '30s', from: 'now-24h' })
    .withPanel(stat({ title: 'Availability, 30 d', description: 'Objective 99.95 %.', unit: 'percentunit', decimals: 3, width: 5, limits: { yellow: 0.9997, red: 0.9995 }, queries: [{ expr: '1 - pointsman:failed_requests:ratio_30d' }] }))
    .withPanel(stat({ title: 'Success, 1 h', description: 'Objective 99.9 %.', unit: 'percentunit', decimals: 2, width: 5, limits: { yellow: 0.9995, red: 0.999 }, queries: [{ expr: '1 - pointsman:failed_requests:ratio_1h' }] }))
    .withPanel(stat({ title: 'Gateway P99, 5 min', description: 'Objective under 500 ms, without the time spent waiting for providers.', unit: 's', width: 5, limits: { yellow: 0.25, red: 0.5 }, queries: [{ expr: 'pointsman:gateway_overhead_seconds:p99_5m' }] }))
    .withPanel(stat({ title: 'Routing P99, 5 min', description: 'Objective under 50 ms, the slowest strategy.', unit: 's', width: 5, limits: { yellow: 0.025, red: 0.05 }, queries: [{ expr: 'max(pointsman:router_decision_duration_seconds:p99_5m)' }] }))
    .withPanel(stat({ title: 'Error budget left, 30 d', unit: 'percentunit', decimals: 0, width: 4, limits: { yellow: 0.5, red: 0.1 }, queries: [{ expr: 'pointsman:error_budget:remaining_ratio_30d' }] }))
    .withPanel(stat({ title: 'Error minutes left of 21.6', description: 'Minutes of full failure that the month may still have.', unit: 'm', decimals: 1, width: 5, limits: { yellow: 10.8, red: 2.16 }, queries: [{ expr: `pointsman:error_budget:remaining_ratio_30d * ${BUDGET_MINUTES}` }] }))
    .withPanel(stat({ title: 'Burn rate, 1 h', description: '1 uses the budget up in exactly 30 days; at 14.4 somebody is called.', unit: 'short', decimals: 1, width: 5, limits: { yellow: 1, red: 14.4 }, queries: [{ expr: 'pointsman:failed_requests:ratio_1h / 0.0005' }] }))
    .withPanel(stat({ title: 'Burn rate, 6 h', description: 'At 6 somebody is called.', unit: 'short', decimals: 1, width: 5, limits: { yellow: 1, red: 6 }, queries: [{ expr: 'pointsman:failed_requests:ratio_6h / 0.0005' }] }))
    .withPanel(stat({ title: 'Burn rate, 3 d', unit: 'short', decimals: 1, width: 5, limits: { yellow: 0.5, red: 1 }, queries: [{ expr: 'pointsman:failed_requests:ratio_3d / 0.0005' }] }))
    .withPanel(stat({ title: 'Alerts firing', unit: 'short', width: 4, limits: { yellow: 1, red: 2 }, noValue: '0', queries: [{ expr: 'count(ALERTS{alertstate="firing", priority=~"P0|P1"}) or vector(0)' }] }))
    .withPanel(timeSeries({ title: 'Failed requests', description: 'Share of requests that failed through no fault of their caller.', unit: 'percentunit', width: 12, limits: { yellow: 0.0005, red: 0.001 }, queries: [
      { expr: 'pointsman:failed_requests:ratio_5m', legend: '5 min' }, { expr: 'pointsman:failed_requests:ratio_30m', legend: '30 min' }, { expr: 'pointsman:failed_requests:ratio_1h', legend: '1 h' },
      { expr: 'pointsman:failed_requests:ratio_2h', legend: '2 h' }, { expr: 'pointsman:failed_requests:ratio_6h', legend: '6 h' }, { expr: 'pointsman:failed_requests:ratio_1d', legend: '1 d' },
    ] }))
    .withPanel(timeSeries({ title: 'Error budget left', unit: 'percentunit', width: 12, queries: [{ expr: 'pointsman:error_budget:remaining_ratio_30d', legend: 'of 30 days' }] }))
    .withPanel(timeSeries({ title: 'Gateway P99', unit: 's', width: 8, limits: { yellow: 0.25, red: 0.5 }, queries: [{ expr: 'pointsman:gateway_overhead_seconds:p99_5m', legend: 'added by the gateway' }] }))
    .withPanel(timeSeries({ title: 'Routing P99', unit: 's', width: 8, limits: { yellow: 0.025, red: 0.05 }, queries: [{ expr: 'pointsman:router_decision_duration_seconds:p99_5m', legend: '{{strategy}}' }] }))
    .withPanel(timeSeries({ title: 'Time to first token, P99', description: 'For knowledge: no objective, it is the providers\' time.', unit: 's', width: 8, queries: [{ expr: 'pointsman:gateway_time_to_first_token_seconds:p99_5m', legend: '{{model}}' }] }));
}
