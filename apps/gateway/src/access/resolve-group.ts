import { AppError } from '@pointsman/errors';
import type { Exchange } from '../http/exchange.ts';
import type { GroupPlan } from '../snapshot/snapshot.ts';
import { mayUseModel, type Principal } from './principal.ts';

/**
 * The plan of the model group that a name stands for, if the caller may use it. A name that the key has as an alias stands for its target, whose permission counts.
 * @throws AppError `invalid_request` for a name nobody configured, 401 for one the key may not use (LiteLLM's status).
 */
export function resolveGroup(exchange: Pick<Exchange, 'snapshot' | 'principal'>, model: string, path: string): GroupPlan | Promise<GroupPlan> {
  const { principal } = exchange;
  const name = principal.aliases?.get(model) ?? model;
  const plan = exchange.snapshot.plan(name);
  if (plan === undefined) {
    const shown = model.length > 200 ? `${model.slice(0, 200)}…` : model;
    throw new AppError('invalid_request', '400', `${path}: Invalid model name passed in model=${shown}. Call \`/v1/models\` to view available models for your key.`, { param: 'model' });
  }
  if (principal.models === undefined && principal.ownerModels === undefined) return plan;
  if (mayUseModel(principal, name)) return plan;
  if (plan instanceof Promise) {
    return plan.then((resolved) => {
      if (!mayUsePlan(principal, name, resolved)) throw refuseModel(principal, name);
      return resolved;
    });
  }
  if (!mayUsePlan(principal, name, plan)) throw refuseModel(principal, name);
  return plan;
}

/** A name of the router's own for a group that the key may use is allowed with it; so is a group whose deployments are in an access group of the key. */
function mayUsePlan(principal: Principal, name: string, plan: GroupPlan): boolean {
  const configured = plan.deployments.map((deployment) => deployment.configured);
  return mayUseModel(principal, name, configured) || (!plan.group.includes('*') && mayUseModel(principal, plan.group));
}

function refuseModel({ models, teamId, ...principal }: Principal, name: string): AppError {
  // The key's own list first: that is what its holder can have changed.
  const isKeys = models !== undefined && !mayUseModel({ ...principal, teamId, models, ownerModels: undefined }, name);
  const who = isKeys ? 'Key' : teamId === undefined ? 'User' : 'Team';
  return new AppError('forbidden', '401', `${who} not allowed to access model. Call \`/v1/models\` to view available models for your key.`, {
    type: `${who.toLowerCase()}_model_access_denied`, param: 'model', status: 401, details: { denied: 'model_denied', model: name.slice(0, 200) },
  });
}
