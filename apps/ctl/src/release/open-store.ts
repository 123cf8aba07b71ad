import { AppError } from '@pointsman/errors';
import { ObjectStoreError, openObjectStore, type ObjectStore } from '@pointsman/object-store';
import type { CommandContext } from '../command-context.ts';

/** The store that `--store` or the environment names, the same one that config-sync with this environment reads. Nothing is asked yet. @throws AppError `invalid_request` */
export async function openStore(option: string | undefined, env: CommandContext['env']): Promise<ObjectStore & Disposable> {
  const set = (name: string): string | undefined => (env[name] === '' ? undefined : env[name]);
  const bucket = set('S3_BUCKET');
  const url = option ?? set('OBJECT_STORE_URL') ?? (bucket === undefined ? undefined : `s3://${bucket}`);
  if (url === undefined) throw new AppError('invalid_request', 'no_store', 'no object store is named: --store s3://bucket/prefix, or OBJECT_STORE_URL');
  const [accessKeyId, secretAccessKey, sessionToken, endpoint, region] = [set('AWS_ACCESS_KEY_ID'), set('AWS_SECRET_ACCESS_KEY'), set('AWS_SESSION_TOKEN'), set('S3_ENDPOINT'), set('AWS_REGION')];
  return await atStore(async () => {
    const store = await openObjectStore(url, {
      ...(endpoint === undefined ? {} : { endpoint }), ...(region === undefined ? {} : { region }),
      ...(accessKeyId === undefined || secretAccessKey === undefined ? {} : { credentials: { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) } }),
    });
    return Object.assign(store, { [Symbol.dispose]: () => { store.close(); } });
  });
}

/** Does the work and turns what the store refuses into words for the operator. */
export async function atStore<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ObjectStoreError)) throw error;
    throw new AppError(error.retryable ? 'unavailable' : 'invalid_request', `store_${error.kind}`, `object store: ${error.message}`, { cause: error });
  }
}
