import type { ObjectStore } from '@pointsman/object-store';
import type { ModelRegistry } from './model-registry.ts';
import { createMlflowRegistry } from './mlflow-registry.ts';
import { createObjectStoreRegistry } from './object-store-registry.ts';

/** MLflow's own environment variables. */
export interface ModelRegistrySettings {
  readonly MLFLOW_TRACKING_URI?: string | undefined;
  readonly MLFLOW_TRACKING_TOKEN?: string | undefined;
  readonly MLFLOW_TRACKING_USERNAME?: string | undefined;
  readonly MLFLOW_TRACKING_PASSWORD?: string | undefined;
}

/** MLflow where one is named, else the object store. Nothing is asked yet. @throws ModelRegistryError for an address that is none */
export function openModelRegistry(settings: ModelRegistrySettings, store: ObjectStore): ModelRegistry {
  const url = settings.MLFLOW_TRACKING_URI;
  if (url === undefined || url === '') return createObjectStoreRegistry(store);
  return createMlflowRegistry({ url, token: settings.MLFLOW_TRACKING_TOKEN, username: settings.MLFLOW_TRACKING_USERNAME, password: settings.MLFLOW_TRACKING_PASSWORD });
}
