import type { DashboardBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import { gatewayOverview } from './gateway-overview.ts';
import { routing } from './routing.ts';
import { slo } from './slo.ts';
import { state } from './state.ts';
import { sync } from './sync.ts';
import { traceCorrelation } from './trace-correlation.ts';

/** Every dashboard by its file name in `dashboards/`. */
export const DASHBOARDS: ReadonlyMap<string, () => DashboardBuilder> = new Map([
  ['gateway-overview.json', gatewayOverview],
  ['slo.json', slo],
  ['routing.json', routing],
  ['trace-correlation.json', traceCorrelation],
  ['sync.json', sync],
  ['state.json', state],
]);

/** The bytes of a dashboard's file: two spaces, a new line at the end, the same for the same code. */
export function renderDashboard(build: () => DashboardBuilder): string {
  const dashboard = build().build();
  let id = 0;
  // Grafana numbers panels that have no number anew with each save, which would show as changes.
  for (const panel of dashboard.panels ?? []) panel.id = (id += 1);
  return `${JSON.stringify(dashboard, undefined, 2)}\n`;
}
