import { AppError } from '@pointsman/errors';
import type { Exchange } from '../http/exchange.ts';
import type { GroupPlan } from '../snapshot/snapshot.ts';
import { mayUseModel } from './principal.ts';

/**
 * The plan of the model group that a name stands for, if the caller may use it.
 * @throws AppError `invalid_request` for a name nobody configured, 401 for one the key may not use (LiteLLM's status).
 */
export function resolveGroup(exchange: Pick<Exchange, 'snapshot' | 'principal'>, model: string, path: string): GroupPlan | Promise<GroupPlan> {
  const plan = exchange.snapshot.plan(model);
  if (plan === undefined) {
    const shown = model.length > 200 ? `${model.slice(0, 200)}…` : model;
    throw new AppError('invalid_request', '400', `${path}: Invalid model name passed in model=${shown}. Call \`/v1/models\` to view available models for your key.`, { param: 'model' });
  }
  if (!mayUseModel(exchange.principal, model)) {
    throw new AppError('forbidden', '401', 'Key not allowed to access model. Call `/v1/models` to view available models for your key.', {
      type: 'key_model_access_denied', param: 'model', status: 401,
    });
  }
  return plan;
}
