import { AppError, describeUnknown } from '@pointsman/errors';
import { createObjectStoreDeployments, openModelRegistry, type Deployment, type DeploymentLedger } from '@pointsman/model-registry';
import type { ObjectStore } from '@pointsman/object-store';
import type { CommandContext } from '../command-context.ts';
import { atDatabase, openDatabase } from '../open-database.ts';
import { openAuditTrail, type AuditTrail } from '../release/audit-trail.ts';

const TRY_MS = 10_000;

export interface ModelRecordsOptions {
  readonly store: ObjectStore;
  readonly model: string;
  readonly actor: string;
  /** `--database` */
  readonly database: string | undefined;
  readonly audit: 'require' | 'best-effort';
  readonly env: CommandContext['env'];
  readonly warn: (text: string) => void;
}

/** Who did what with a model: the audit log, the table `model_deployments` (the store where there is no database), and the registry's aliases. */
export interface ModelRecords extends AsyncDisposable {
  /** Never throws: what cannot be written is told. `audit` joins the audit row. */
  record(row: Omit<Deployment, 'model' | 'actor' | 'at'>, audit?: { readonly before?: object; readonly after?: object }): Promise<void>;
  /** Newest first. */
  history(limit: number): Promise<readonly Deployment[]>;
}

export async function openModelRecords({ store, model, actor, database, audit, env, warn }: ModelRecordsOptions): Promise<ModelRecords> {
  const trail: AuditTrail = await openAuditTrail({ url: database, mode: audit, actor, resource: `model:${model}`, env, warn });
  const inStore = createObjectStoreDeployments(store);
  const hasDatabase = database !== undefined || (env['DATABASE_URL'] ?? '') !== '';
  const atLedger = async <T>(work: (ledger: DeploymentLedger) => Promise<T>): Promise<T> => {
    if (!hasDatabase) return await work(inStore);
    await using opened = await openDatabase({ url: database, option: '--database', env, create: false, signal: new AbortController().signal });
    return await atDatabase(opened.place, () => work({
      add: (row) => opened.deployments.add(row, AbortSignal.timeout(TRY_MS)),
      list: (name, limit) => opened.deployments.list(name, limit, AbortSignal.timeout(TRY_MS)),
    }));
  };
  const tell = (what: string, error: unknown): void => { warn(`${what}: ${error instanceof AppError ? error.message : describeUnknown(error)}`); };

  const mark = async ({ action, version, percent, to, environment }: Omit<Deployment, 'model' | 'actor' | 'at'>, at: string): Promise<void> => {
    const registry = openModelRegistry(env, store);
    const signal = AbortSignal.timeout(TRY_MS);
    if (action === 'start') await registry.setAlias(model, 'challenger', version, { signal });
    if (action === 'promote' || action === 'rollback') await registry.setAlias(model, 'challenger', undefined, { signal });
    if (action === 'promote' || (action === 'rollback' && to !== null && percent === 100)) await registry.setAlias(model, 'champion', to ?? version, { signal });
    await registry.markDeployed(model, version, { environment, percent, actor, at }, { signal });
  };

  return {
    record: async (row, { before = {}, after = {} } = {}) => {
      const at = new Date().toISOString();
      const { action, version, digest, percent, reason, from, to } = row;
      await trail.record(`model.rollout.${action}`, { before: { model_version: from, ...before }, after: { model_version: to, version, digest, percent, reason, ...after } });
      const full: Deployment = { ...row, model, actor, at };
      try {
        await atLedger((ledger) => ledger.add(full));
      } catch (error) {
        tell('cannot write model_deployments, its row goes to the object store', error);
        await inStore.add(full).catch((failed: unknown) => { tell(`this deployment was never written: ${JSON.stringify(full)}`, failed); });
      }
      await mark(row, at).catch((error: unknown) => { tell('the model registry was not brought up to date', error); });
    },
    history: (limit) => atLedger((ledger) => ledger.list(model, limit)),
    [Symbol.asyncDispose]: () => trail[Symbol.asyncDispose](),
  };
}
