import type { SettingsProblem } from '@pointsman/service';

export const HELP = `model-sync: keeps the router models of a gateway in step with an object store

Usage: npm run model-sync [-- --once]

  --once   one good pass without asking the gateway, then exit 0: an init container. Exit 1 after several failures.
  --help   this text

Environment (every problem is listed at start, exit code 78):
  OBJECT_STORE_URL            s3://bucket/prefix or file:///dir; or S3_BUCKET (with S3_ENDPOINT, AWS_*)
  CONFIG_DIR                  what config-sync publishes (/app/config); or CONFIG_PATH for one file
  MODELS_DIR                  where models are put (/app/models)
  RUN_DIR                     the gateway's gateway.pid and applied.json (/app/run)
  MODEL_SYNC_INTERVAL         seconds between two looks (300); a new configuration is noticed at once
  MODEL_VERIFY                require (default), warn, off: Ed25519 signature of the manifest
  MODEL_SIGNING_PUBLIC_KEYS   PEM files, separated by commas
  MODEL_MAX_BYTES             of all files of one model (8589934592)
  MODEL_CACHE                 cluster (default), node, off: one download per cluster, per machine, per pod
  MODEL_NODE_CACHE_DIR        a folder of the machine, for MODEL_CACHE=node
  REDIS_URL                   for the lock of MODEL_CACHE=cluster
  RELOAD_SIGNAL               SIGHUP (default), SIGUSR1, SIGUSR2; or RELOAD_URL with LITELLM_MASTER_KEY
  HEALTH_PORT                 /health/model-sync and /metrics (8082)
  POD_NAME, LOG_LEVEL, OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER
`;

/** Reads the words of the command line besides `--help`. */
export function readArguments(words: readonly string[]): { readonly once: boolean; readonly problems: readonly SettingsProblem[] } {
  return {
    once: words.includes('--once'),
    problems: words.filter((word) => word !== '--once').map((word) => ({ variable: 'arguments', problem: `${JSON.stringify(word.slice(0, 40))} is not known: see --help` })),
  };
}
