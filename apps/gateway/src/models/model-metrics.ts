import { MODEL_REFUSALS } from '@pointsman/routing';
import { metric, type Metrics } from '@pointsman/telemetry';
import type { ModelStoreEvents } from './model-store.ts';

/** `gateway_model_info`, `router_model_loads_total` and `router_model_load_failures_total`, with every reason there from the start so that a first failure is an increase. */
export function modelMetrics(metrics: Metrics): Required<ModelStoreEvents> {
  const info = metrics.gauge(metric.GATEWAY_MODEL_INFO);
  const loads = metrics.counter(metric.ROUTER_MODEL_LOADS);
  const failures = metrics.counter(metric.ROUTER_MODEL_LOAD_FAILURES);
  for (const refusal of [...MODEL_REFUSALS, 'failed'] as const) failures.labels(refusal).inc(0);
  /** Two generations of one version may be in memory at once: the line is gone with the last. */
  const loaded = new Map<string, Set<string>>();
  return {
    applied({ name, version, revision }) {
      const key = `${name}/${version}`;
      const revisions = loaded.get(key) ?? new Set();
      if (!revisions.has(revision)) loads.labels(name).inc();
      loaded.set(key, revisions.add(revision));
      info.labels(name, version).set(1);
    },
    retired({ name, version, revision }) {
      const revisions = loaded.get(`${name}/${version}`);
      revisions?.delete(revision);
      if (revisions?.size !== 0) return;
      loaded.delete(`${name}/${version}`);
      info.remove(name, version);
    },
    refused(_model, _revision, refusal) {
      failures.labels(refusal).inc();
    },
  };
}
