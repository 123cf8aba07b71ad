export {
  ModelRegistryError, type AskOptions, type DeploymentMark, type ModelRegistry, type NewRun, type NewVersion, type RegisteredVersion, type RegistryRun, type RunFigures, type RunOutcome,
} from './model-registry.ts';
export { openModelRegistry, type ModelRegistrySettings } from './open-model-registry.ts';
export { createMlflowRegistry, type MlflowSettings } from './mlflow-registry.ts';
export { createObjectStoreRegistry } from './object-store-registry.ts';
export { createObjectStoreDeployments, deploymentSchema, type Deployment, type DeploymentLedger } from './object-store-deployments.ts';
