import { AppError } from '@pointsman/errors';
import type { ObjectStore } from '@pointsman/object-store';
import { editModelVersion, modelUse, type ModelChange, type ModelUse } from '@pointsman/rollout';
import type { CommandContext } from '../command-context.ts';
import { readStoredConfig, refuseInvalid, revisionOf, uploadConfig, type ConfigTextsOfFolder } from '../release/config-folder.ts';
import { atStore } from '../release/open-store.ts';
import { folderOf, inFolder, isUpload, openReleaseFile, promoted, type StoredRelease } from '../release/release-file.ts';

const TRY_MS = 15_000;

/** The configuration that is served now, as far as one router model goes. */
export interface StoredModelConfig {
  readonly use: ModelUse;
  readonly revision: string;
  readonly configKey: string;
  readonly texts: ConfigTextsOfFolder;
  /** The file that names the model. */
  readonly file: { readonly index: number; readonly key: string; readonly etag: string };
  readonly stored: StoredRelease;
}

export interface ModelConfig {
  readonly environment: string;
  /** @throws AppError when nobody uses the model, or a configuration is being rolled out. */
  read(): Promise<StoredModelConfig>;
  /** Undefined: somebody else has written in between. `by` stands in the history of the release, once for each rollout. */
  write(read: StoredModelConfig, change: ModelChange, by: { readonly actor: string; readonly at: Date; readonly isFirst: boolean }): Promise<{ readonly revision: string } | undefined>;
}

/**
 * Where `model_version` and `canary` of a model are changed: in the object that config-sync reads, on the condition that nobody else has changed it. Where `release.json`
 * names an upload, which nobody may change, a new upload takes its place in the release, on the same condition.
 */
export function openModelConfig({ store, configKey, model, env }: { readonly store: ObjectStore; readonly configKey: string; readonly model: string; readonly env: CommandContext['env'] }): ModelConfig {
  const releases = openReleaseFile(store, configKey);
  const { environment } = releases;
  return {
    environment,
    read: async () => {
      const stored = await releases.read();
      const { stable, canary } = stored.release;
      if (canary !== undefined) throw new AppError('conflict', 'rollout_running', `a configuration is being rolled out (${canary.config_key}, started by ${canary.started_by}): a model waits for its end, so that one cause at a time is watched`);
      const texts = await readStoredConfig(store, stable.config_key);
      if (texts === undefined) throw new AppError('not_found', 'no_config', `there is no ${stable.config_key} in ${store.url}`);
      const users = texts.files.flatMap(({ path, text }, index) => {
        const use = modelUse(text, model);
        return use === undefined ? [] : [{ path, index, text, use }];
      });
      const [user] = users;
      if (user === undefined) throw new AppError('not_found', 'model_not_used', `${stable.config_key} has no routing_strategy_args with model_name: ${model}`);
      if (users.length > 1) throw new AppError('conflict', 'model_in_many_files', `${users.map(({ path }) => path).join(' and ')} both name ${model}: one file must, so that it changes in one step`);
      const key = user.index === 0 ? stable.config_key : inFolder(folderOf(stable.config_key), user.path);
      const found = await atStore(() => store.read(key, { maxBytes: 8 * 1024 * 1024, timeoutMs: TRY_MS }));
      if (found === undefined || found === 'unchanged' || found.body.toString('utf8') !== user.text) throw new AppError('unavailable', 'config_changing', `${key} is being changed`);
      return { use: user.use, revision: revisionOf(texts), configKey: stable.config_key, texts, file: { index: user.index, key, etag: found.head.etag }, stored };
    },
    write: async ({ texts, file, stored, configKey: servedKey, revision }, change, { actor, at, isFirst }) => {
      const before = texts.files[file.index]?.text ?? '';
      const text = editModelVersion(before, model, change);
      if (text === before) return { revision };
      const next: ConfigTextsOfFolder = { ...texts, files: texts.files.map((each, index) => (index === file.index ? { ...each, text } : each)) };
      refuseInvalid(servedKey, next, env);
      if (!isUpload(servedKey, environment)) {
        const written = await atStore(() => store.write(file.key, text, { ifMatch: file.etag, contentType: 'application/yaml', timeoutMs: TRY_MS }));
        return written === false ? undefined : { revision: revisionOf(next) };
      }
      const key = await uploadConfig(store, { environment, texts: next, at });
      const release = isFirst
        ? promoted({ ...stored.release, canary: { config_key: key, percent: 100, started_at: at.toISOString(), started_by: actor } }, { at, by: actor })
        : { ...stored.release, stable: { config_key: key } };
      return await releases.replace(stored, release) ? { revision: revisionOf(next) } : undefined;
    },
  };
}
