import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '@pointsman/errors';
import { MANIFEST_FILE, modelFolder, SIGNATURE_FILE } from '@pointsman/model-artifacts';
import type { ObjectStore } from '@pointsman/object-store';

/** One more than the highest whole-numbered version of a model in the store; `v1` when there is none. */
export async function nextVersion(store: ObjectStore, name: string, signal: AbortSignal): Promise<string> {
  let highest = 0;
  for await (const { key } of store.list(`models/${name}-v`, { signal })) {
    const found = /^v(\d{1,9})$/.exec(key.slice(`models/${name}-`.length).split('/')[0] ?? '');
    if (found !== null) highest = Math.max(highest, Number(found[1]));
  }
  return `v${String(highest + 1)}`;
}

/**
 * Uploads an artifact to `models/{name}-{version}/`, its report to the folder `report` in it, and the manifest last: whoever finds a manifest finds everything.
 * @throws AppError `version_taken` when that version is there already: what is served never changes under its name
 */
export async function publishArtifact(store: ObjectStore, { directory, reportDirectory, name, version, signal }: {
  readonly directory: string; readonly reportDirectory: string | undefined; readonly name: string; readonly version: string; readonly signal: AbortSignal;
}): Promise<string> {
  const folder = modelFolder(name, version);
  if (await store.head(`${folder}/${MANIFEST_FILE}`, { signal }) !== undefined) throw taken(folder);
  const files = (await readdir(directory)).filter((file) => file !== MANIFEST_FILE && file !== SIGNATURE_FILE);
  const signature = (await readdir(directory)).filter((file) => file === SIGNATURE_FILE);
  for (const file of [...files, ...signature]) await store.upload(`${folder}/${file}`, { file: join(directory, file) }, { signal });
  if (reportDirectory !== undefined) for (const file of await readdir(reportDirectory).catch(() => [])) await store.upload(`${folder}/report/${file}`, { file: join(reportDirectory, file) }, { signal });
  if (await store.upload(`${folder}/${MANIFEST_FILE}`, { file: join(directory, MANIFEST_FILE) }, { signal, ifAbsent: true }) === false) throw taken(folder);
  return folder;
}

function taken(folder: string): AppError {
  return new AppError('conflict', 'version_taken', `${folder} is in the store already. Train another version: TRAIN_VERSION=next takes one that is free.`);
}
