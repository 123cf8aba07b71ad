import { groupsWithCanary, type GroupExperiment } from '../experiments/groups-with-canary.ts';
import { meanOf, meanScore, wilson, type Estimate } from '../experiments/intervals.ts';
import type { ArmTally, ModelArms } from '../experiments/model-arms.ts';
import { sendJson } from '../http/send-json.ts';
import { serve, type Handler } from '../http/serve.ts';
import type { GatewayContext } from './gateway-context.ts';

/**
 * `GET /router/experiments` (admin): the groups with a canary, and what each version did on this replica since it started, with 95 % intervals. For people who look:
 * what decides over a rollout sums all replicas and uses intervals that hold however often they are looked at (docs/rollout.md).
 */
export function routerExperiments(context: GatewayContext): Handler {
  return serve(context, { route: '/router/experiments' }, ({ exchange }) => {
    const { config, listed } = exchange.snapshot;
    const experiments = groupsWithCanary(config.router, listed.map(({ name }) => name)).map((experiment) => shown(experiment, context.metrics.arms));
    sendJson(exchange.res, 200, { object: 'list', scope: 'replica', confidence: 0.95, data: experiments });
  });
}

function shown({ group, model, stable, canary, weight }: GroupExperiment, arms: ModelArms): object {
  return {
    group, model, canary_weight: weight,
    arms: [
      { arm: 'stable', model_version: stable, ...figures(arms.tally(group, stable)) },
      { arm: 'canary', model_version: canary, ...figures(arms.tally(group, canary)) },
    ],
  };
}

function figures(tally: ArmTally | undefined): object {
  if (tally === undefined) return { requests: 0, failed: 0, refused: 0, error_rate: null, latency_s: null, router_latency_s: null, feedback: null, judge: null, cost_usd: null };
  const { requests, failed, refused, measures } = tally;
  return {
    requests, failed, refused, error_rate: written(wilson(failed, requests - refused)), latency_s: written(meanOf(measures.request_seconds)), router_latency_s: written(meanOf(measures.decision_seconds)),
    feedback: counted(meanScore(measures.feedback), measures.feedback.count), judge: counted(meanScore(measures.judge), measures.judge.count), cost_usd: written(meanOf(measures.cost_usd)),
  };
}

/** An interval without an end has nulls there: JSON has no infinity. */
function written(estimate: Estimate | undefined): object | null {
  if (estimate === undefined) return null;
  const [value, low, high] = [estimate.value, estimate.low, estimate.high].map((number) => (Number.isFinite(number) ? Number(number.toPrecision(6)) : null));
  return { value, low, high };
}

function counted(estimate: Estimate | undefined, count: number): object | null {
  const shownEstimate = written(estimate);
  return shownEstimate === null ? null : { ...shownEstimate, count };
}
