import { AppError } from '@pointsman/errors';
import type { ConfigProblem, WantedModel } from '@pointsman/gateway-config';
import type { SyncPassContext, SyncResult } from '@pointsman/sync';
import type { ModelOutcome, ModelStatus } from './sync-model.ts';

export interface SyncModelsParts {
  readonly readWanted: () => Promise<{ readonly models: readonly WantedModel[]; readonly problems: readonly ConfigProblem[] }>;
  readonly syncModel: (wanted: WantedModel, context: SyncPassContext, signal: AbortSignal) => Promise<ModelOutcome>;
  readonly onStatus: (models: readonly ModelStatus[]) => void;
}

/** What a pass says when the configuration asks for no model: there is nothing to have a revision. */
export const NO_MODELS = 'none';

/** One pass over all models that the published configuration asks for. One that fails or is refused does not stop the others. */
export function createModelsPass({ readWanted, syncModel, onStatus }: SyncModelsParts): (context: SyncPassContext, signal: AbortSignal) => Promise<SyncResult> {
  return async (context, signal) => {
    const { models, problems } = await readWanted();
    for (const { path, message } of problems) context.logger.oncePerState(`wanted-models ${path}`).change(message, 'warn', 'configuration asks for a model that cannot be', { path, reason: message });
    const outcomes: ModelOutcome[] = [];
    for (const wanted of models) outcomes.push(await syncModel(wanted, context, signal));
    const statuses = outcomes.map(({ status }) => status);
    onStatus(statuses);
    const rejections = statuses.flatMap(({ name, rejected = [] }) => rejected.map(({ revision, reason }) => ({ revision: statuses.length === 1 ? revision : `${name}/${revision}`, reason })));
    const [rejection] = rejections;
    context.rejected(rejection);
    const failed = outcomes.filter(({ failure }) => failure !== undefined);
    if (failed.length === 1) throw failed[0]?.failure;
    if (failed.length > 1) {
      throw new AppError('unavailable', 'models_failed', failed.map(({ status }) => `${status.name}: ${status.problem ?? ''}`).join(' '), { cause: failed[0]?.failure });
    }
    const serving = servedRevision(statuses);
    if (rejection !== undefined) return { outcome: 'rejected', revision: rejection.revision, serving };
    return { outcome: outcomes.some(({ changed }) => changed) ? 'published' : 'unchanged', revision: serving ?? NO_MODELS, serving: serving ?? NO_MODELS };
  };
}

/** One model: its revision. Several: all of them, with their names. Undefined when none is published. */
export function servedRevision(models: readonly Pick<ModelStatus, 'name' | 'revision'>[]): string | undefined {
  const published = models.filter(({ revision }) => revision !== null);
  if (published.length === 0) return undefined;
  if (models.length === 1) return published[0]?.revision ?? undefined;
  return published.map(({ name, revision }) => `${name}/${revision ?? ''}`).join(',');
}
