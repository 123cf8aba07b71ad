import { DashboardBuilder, DashboardLinkBuilder, DashboardLinkType, DatasourceVariableBuilder, QueryVariableBuilder, VariableRefresh } from '@grafana/grafana-foundation-sdk/dashboard';
import { PROMETHEUS } from './panels.ts';

export interface FrameOptions {
  /** Also the file name in `dashboards/`. */
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly refresh: string;
  /** How far back it looks at first: `now-1h`. */
  readonly from: string;
  /** Whether `$instance` narrows it to some replicas. */
  readonly hasInstances?: boolean;
}

/** What all dashboards share: the choice of data sources, links to each other, the choice of replicas. */
export function frame({ uid, title, description, refresh, from, hasInstances = false }: FrameOptions): DashboardBuilder {
  const dashboard = new DashboardBuilder(`Pointsman / ${title}`).uid(`pointsman-${uid}`).description(description).tags(['pointsman']).timezone('browser').refresh(refresh).time({ from, to: 'now' })
    .link(new DashboardLinkBuilder('Pointsman').type(DashboardLinkType.Dashboards).tags(['pointsman']).asDropdown(true).keepTime(true))
    .withVariable(new DatasourceVariableBuilder('metrics').label('Metrics').type('prometheus'));
  if (hasInstances) {
    dashboard.withVariable(new QueryVariableBuilder('instance').label('Replica').datasource(PROMETHEUS).query('label_values(gateway_inflight_requests, instance)').refresh(VariableRefresh.OnTimeRangeChanged)
      .multi(true).includeAll(true).allValue('.+').current({ text: 'All', value: '$__all' }));
  }
  return dashboard;
}

/** Routes that are no work for clients: not in rates, errors or objectives. The same as in `alerts/slo.rules.yaml`. */
export const COUNTED = 'route!~"/health.*|/metrics|/config/.*"';
