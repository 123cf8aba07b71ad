/** Where the pod keeps what it writes: everything under one folder, `.pointsman` by default. */
export interface PodPlaces {
  readonly home: string;
  /** A configuration of the caller's own, which the gateway reads itself; undefined: config-sync brings the one in the store. */
  readonly ownConfig: string | undefined;
  /** `file://` of the folder that stands in for a bucket; undefined where the environment names a real one. */
  readonly storeUrl: string | undefined;
  /** PEM file of the key that router models must be signed by. */
  readonly modelKey: string;
  readonly masterKey: string;
  readonly host: string;
  readonly port: number;
  /** Where trace-exporter takes spans; undefined where the environment names another receiver, or there is no such app. */
  readonly otlpPort: number | undefined;
  /** By app: a free port for its health and metrics. */
  readonly healthPorts: ReadonlyMap<string, number>;
}

export interface PodApp {
  readonly name: string;
  readonly nodeFlags?: readonly string[];
  /** Serves `/health/<name>` there, unless it is taken. */
  readonly healthPort?: number;
  /** Left out where the caller brings a configuration of its own. */
  readonly needsStoredConfig?: true;
  /** What it adds to the environment it inherits; a variable the caller has set wins. */
  readonly env: (places: PodPlaces) => Readonly<Record<string, string>>;
}

function configPathOf({ home, ownConfig }: PodPlaces): string {
  return ownConfig ?? `${home}/config/config.yaml`;
}

function sidecar(name: string, places: PodPlaces): Record<string, string> {
  const { home, storeUrl, healthPorts } = places;
  return {
    CONFIG_DIR: `${home}/config`, MODELS_DIR: `${home}/models`, RUN_DIR: `${home}/run`, POINTSMAN_HOME: home, ...(storeUrl === undefined ? {} : { OBJECT_STORE_URL: storeUrl }),
    HEALTH_PORT: String(healthPorts.get(name) ?? 0), HEALTH_HOST: '127.0.0.1',
  };
}

/** The containers of the pod, in the order they start. An app that this checkout does not have yet is left out. */
export const POD_APPS: readonly PodApp[] = [
  {
    name: 'gateway',
    nodeFlags: ['--max-semi-space-size=8'],
    env: (places) => ({
      HOST: places.host, PORT: String(places.port), CONFIG_PATH: configPathOf(places), LITELLM_MASTER_KEY: places.masterKey,
      MODELS_DIR: `${places.home}/models`, RUN_DIR: `${places.home}/run`, POINTSMAN_HOME: places.home,
      ...(places.otlpPort === undefined ? {} : { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${String(places.otlpPort)}` }),
    }),
  },
  { name: 'config-sync', healthPort: 8081, needsStoredConfig: true, env: (places) => ({ ...sidecar('config-sync', places), CONFIG_SYNC_INTERVAL: '2' }) },
  {
    name: 'model-sync', healthPort: 8082,
    env: (places) => ({ ...sidecar('model-sync', places), MODEL_SYNC_INTERVAL: '10', MODEL_SIGNING_PUBLIC_KEYS: places.modelKey, ...(places.ownConfig === undefined ? {} : { CONFIG_PATH: places.ownConfig }) }),
  },
  { name: 'trace-exporter', healthPort: 8084, env: (places) => ({ ...sidecar('trace-exporter', places), SPOOL_DIR: `${places.home}/spool/traces`, FLUSH_INTERVAL: '10', JOIN_WINDOW: '60', ...(places.otlpPort === undefined ? {} : { OTLP_PORT: String(places.otlpPort) }), ...(places.storeUrl === undefined ? {} : { TRACES_BUCKET_URL: places.storeUrl }) }) },
  { name: 'audit-exporter', healthPort: 8083, env: (places) => ({ ...sidecar('audit-exporter', places), AUDIT_EXPORT_INTERVAL: '60', ...(places.storeUrl === undefined ? {} : { AUDIT_BUCKET_URL: places.storeUrl }) }) },
];
