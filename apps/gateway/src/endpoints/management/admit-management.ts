import { AppError } from '@pointsman/errors';
import { Decider } from '@pointsman/routing';
import { systemClock } from '@pointsman/timing';
import type { KeyLimits } from '../../access/key-limits.ts';
import type { Principal } from '../../access/principal.ts';
import type { GroupPlan } from '../../snapshot/snapshot.ts';
import type { GatewayContext } from '../gateway-context.ts';

/** No model is asked for. */
const NO_GROUP: GroupPlan = {
  group: '', candidates: [], deployments: [], deploymentOf: new Map(), enforcesRateLimits: false, readsPrompt: false,
  decider: new Decider({ clock: systemClock, strategy: { name: 'none', decide: ({ candidates }) => ({ order: candidates, scores: [], strategy: 'none', modelVersion: '', propensity: 1 }) } }),
};

const requestLimits = new WeakMap<KeyLimits, KeyLimits>();

/**
 * Counts a call of an admin route against `rpm_limit` of an ordinary key, its team and its user, like any other request. Tokens, budgets and parallel limits do not matter:
 * who has spent everything may still look at it.
 * @throws AppError `rate_limited`.
 */
export function admitManagement({ limits: counters }: GatewayContext, principal: Principal): void | Promise<void> {
  const { role, limits } = principal;
  if (role !== 'user' || limits === undefined) return;
  let ofRequests = requestLimits.get(limits);
  if (ofRequests === undefined) {
    ofRequests = {
      dependsOnModel: false,
      scopes: limits.scopes.map((scope) => ({ ...scope, always: { requests: scope.always.requests, tokens: [], parallel: undefined, budgets: [] }, perModel: new Map() })),
    };
    requestLimits.set(limits, ofRequests);
  }
  const admitted = counters.admit({ ...principal, limits: ofRequests }, { plan: NO_GROUP, outline: {}, endUser: undefined, promptTokens: () => 0 });
  if (admitted instanceof Promise) return admitted.then(check);
  check(admitted);
}

/** Windows keep what they counted: there is nothing to settle. */
function check(admitted: unknown): void {
  if (admitted instanceof AppError) throw admitted;
}
