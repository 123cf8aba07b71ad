import { z } from 'zod';

const panelSchema = z.looseObject({
  title: z.string().optional(),
  targets: z.array(z.looseObject({ expr: z.string().optional(), legendFormat: z.string().optional(), query: z.string().optional(), datasource: z.looseObject({ type: z.string() }).optional() })).optional(),
});
const dashboardSchema = z.looseObject({
  panels: z.array(panelSchema.extend({ panels: z.array(panelSchema).optional() })).default([]),
  templating: z.looseObject({ list: z.array(z.looseObject({ name: z.string(), type: z.string(), query: z.unknown() })).default([]) }).optional(),
});

/** One query for Prometheus, and where it stands. */
export interface DashboardQuery {
  readonly where: string;
  readonly expr: string;
  readonly legend: string;
}

export interface DashboardQueries {
  readonly promql: readonly DashboardQuery[];
  readonly logql: readonly DashboardQuery[];
  readonly traceql: readonly DashboardQuery[];
}

/** Every query of a dashboard's JSON, also those in rows and in variables. */
export function queriesOf(dashboard: unknown): DashboardQueries {
  const { panels, templating } = dashboardSchema.parse(dashboard);
  const all = panels.flatMap((panel) => [panel, ...(panel.panels ?? [])]).flatMap(({ title = 'untitled', targets = [] }) => targets.map((target) => ({
    kind: target.datasource?.type ?? 'prometheus', where: title, expr: target.expr ?? target.query ?? '', legend: target.legendFormat ?? '',
  })));
  const variables = (templating?.list ?? []).flatMap(({ name, type, query }) => {
    const asked = type === 'query' && typeof query === 'string' ? /^label_values\((.+),\s*(\w+)\)$/.exec(query) : null;
    // `label_values(metric, label)` is no PromQL, and this asks for the same two names.
    return asked === null ? [] : [{ kind: 'prometheus', where: `variable ${name}`, expr: `group by (${asked[2] ?? ''}) (${asked[1] ?? ''})`, legend: '' }];
  });
  const ofKind = (kind: string): DashboardQuery[] => [...all, ...variables].filter((query) => query.kind === kind).map(({ where, expr, legend }) => ({ where, expr, legend }));
  return { promql: ofKind('prometheus'), logql: ofKind('loki'), traceql: ofKind('tempo') };
}
