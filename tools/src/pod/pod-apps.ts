/** Where the pod keeps what it writes: everything under one folder, `.pointsman` by default. */
export interface PodPlaces {
  readonly home: string;
  /** The configuration the gateway reads. */
  readonly configFile: string;
  readonly masterKey: string;
  readonly host: string;
  readonly port: number;
}

export interface PodApp {
  readonly name: string;
  readonly nodeFlags?: readonly string[];
  /** What it adds to the environment it inherits; a variable the caller has set wins. */
  readonly env: (places: PodPlaces) => Readonly<Record<string, string>>;
}

/** The containers of the pod, in the order they start. An app that this checkout does not have yet is left out. */
export const POD_APPS: readonly PodApp[] = [
  {
    name: 'gateway',
    nodeFlags: ['--max-semi-space-size=8'],
    env: ({ home, configFile, masterKey, host, port }) => ({
      HOST: host, PORT: String(port), CONFIG_PATH: configFile, LITELLM_MASTER_KEY: masterKey,
      MODELS_DIR: `${home}/models`, RUN_DIR: `${home}/run`, POINTSMAN_HOME: home, OBJECT_STORE_URL: `file://${home}/objects`,
    }),
  },
  {
    name: 'config-sync',
    env: ({ home }) => ({ CONFIG_DIR: `${home}/config`, OBJECT_STORE_URL: `file://${home}/objects`, RUN_DIR: `${home}/run`, HEALTH_PORT: '8081' }),
  },
  {
    name: 'model-sync',
    env: ({ home }) => ({ MODELS_DIR: `${home}/models`, CONFIG_DIR: `${home}/config`, OBJECT_STORE_URL: `file://${home}/objects`, RUN_DIR: `${home}/run`, HEALTH_PORT: '8082' }),
  },
  {
    name: 'trace-exporter',
    env: ({ home }) => ({ TRACES_BUCKET_URL: `file://${home}/objects`, SPOOL_DIR: `${home}/spool`, HEALTH_PORT: '8084' }),
  },
  {
    name: 'audit-exporter',
    env: ({ home }) => ({ AUDIT_BUCKET_URL: `file://${home}/objects`, POINTSMAN_HOME: home, HEALTH_PORT: '8083' }),
  },
];
